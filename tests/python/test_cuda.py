"""gradient_stabilizer.cuda, whose device code runs on the host here, against plain PyTorch and the CPU's results."""

import importlib.util
import os
import pathlib

import pytest
import torch
from released_class import ReleasedStabilizer

if "GRADSTAB_LIBRARY" not in os.environ:
    pytest.skip("GRADSTAB_LIBRARY does not name the shared library", allow_module_level=True)

# By its file: the module needs nothing of the package around it.
_path = pathlib.Path(__file__).resolve().parents[2] / "adaptors/python/gradient_stabilizer/cuda.py"
_spec = importlib.util.spec_from_file_location("gradient_stabilizer_cuda", _path)
cuda = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cuda)

SHAPES = [(), (3,), (5, 7), (20001,), (2, 900)]


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def set_gradients(tensors, seed):
    generator = torch.Generator().manual_seed(seed)
    for tensor in tensors:
        tensor.grad = torch.randn(tensor.shape, generator=generator)


def test_stabilizer_does_what_the_released_class_does():
    ours, theirs = parameters(), parameters()
    stabilizer = cuda.CudaStabilizer(ours, epsilon=1e-12, emulate=True)
    released = ReleasedStabilizer()
    for step in range(20):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        stabilizer.step()
        released(theirs)
        for a, b in zip(ours, theirs):
            # The released class keeps its moments in float32.
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)
    assert stabilizer.counts()["launches"] == 60
    assert stabilizer.counts()["waits"] == 0


def test_report_and_policy():
    tensors = parameters()
    stabilizer = cuda.CudaStabilizer([("a", tensors[1]), ("b", tensors[2])], nonfinite="skip_step", emulate=True)
    set_gradients(tensors, 1)
    norm = tensors[2].grad.norm().item()
    stabilizer.step()
    stabilizer.request_report()
    report = stabilizer.report()
    assert report["tensors"][1]["raw_norm"] == pytest.approx(norm, rel=1e-6)
    assert report["tensors"][1]["norm"] == pytest.approx(1.0)
    assert report["skip_step"] == 0
    set_gradients(tensors, 2)
    tensors[1].grad[0] = float("nan")
    before = tensors[2].grad.clone()
    stabilizer.step()
    stabilizer.request_report()
    assert stabilizer.report()["skip_step"] == 1
    assert torch.equal(tensors[2].grad, before)


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_optimizer_does_what_torch_does(kind):
    ours, theirs = parameters(), parameters()
    options = {"lr": 0.01, **({"momentum": 0.9} if kind == "sgd" else {"betas": (0.8, 0.99), "weight_decay": 0.1})}
    optimizer = cuda.CudaOptimizer(ours, kind, stabilize=False, emulate=True, **options)
    plain = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[kind](theirs, **options)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, lambda step: 1 / (1 + step)) for each in (optimizer, plain)]
    for step in range(10):
        set_gradients(ours, step)
        set_gradients(theirs, step)
        optimizer.step()
        plain.step()
        for schedule in schedules:
            schedule.step()
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.data, b.data, rtol=1e-5, atol=1e-6)
    assert optimizer.counts()["waits"] == 0


def test_groups_names_and_state_dict():
    ours = parameters()
    groups = [{"params": ours[:2], "lr": 0.1}, {"params": ours[2:], "weight_decay": 0.0}]
    optimizer = cuda.CudaOptimizer(groups, "adamw", emulate=True)
    set_gradients(ours, 1)
    optimizer.step()
    saved = optimizer.state_dict()
    assert [group["lr"] for group in saved["param_groups"]] == [0.1, 1e-3]
    set_gradients(ours, 2)
    before = [p.detach().clone() for p in ours]
    optimizer.step()
    after = [p.detach().clone() for p in ours]
    other = parameters()
    for p, value in zip(other, before):
        p.data.copy_(value)
    again = cuda.CudaOptimizer(
        [{"params": other[:2], "lr": 0.1}, {"params": other[2:], "weight_decay": 0.0}], "adamw", emulate=True)
    again.load_state_dict(saved)
    set_gradients(other, 2)
    again.step()
    for a, b in zip(other, after):
        assert torch.equal(a.data, b)


def test_squared_norms_can_be_summed_over_parts():
    whole = [torch.nn.Parameter(torch.zeros(100))]
    halves = [[torch.nn.Parameter(torch.zeros(50))] for _ in range(2)]
    full = cuda.CudaStabilizer(whole, emulate=True)
    parts = [cuda.CudaStabilizer(half, emulate=True) for half in halves]
    for step in range(3):
        set_gradients(whole, step)
        for half, values in zip(halves, whole[0].grad.clone().split(50)):
            half[0].grad = values.clone()
        full.step()
        for part in parts:
            part._pass("measure", False)
        total = sum(part.squared_norms().clone() for part in parts)
        for part in parts:
            part.squared_norms().copy_(total)
            part._call("finish", part._stream())
        torch.testing.assert_close(torch.cat([half[0].grad for half in halves]), whole[0].grad, rtol=1e-6, atol=0)


def test_errors_say_what_is_wrong():
    with pytest.raises(TypeError, match="no setting 'gama'"):
        cuda.CudaStabilizer(parameters(), gama=1, emulate=True)
    with pytest.raises(cuda.CudaError, match="gamma1"):
        cuda.CudaStabilizer(parameters(), gamma1=2.0, emulate=True)
    with pytest.raises(TypeError, match="no option momentum"):
        cuda.CudaOptimizer(parameters(), "adamw", momentum=0.9, emulate=True)
    reason = cuda.available()
    if reason is not None:
        assert "CUDA" in reason
        with pytest.raises(cuda.CudaError):
            cuda.CudaStabilizer(parameters())
