"""gs.NormRecorder: what is in the file, and that training goes on whatever happens to it."""

from __future__ import annotations

import copy
import gc
import math
import os
import pathlib
import pickle
import resource
import signal
import subprocess
import sys
import warnings
from typing import Any

import pytest
import torch
from recordings import Recording, check_step, expected
from support import TORCH2, backward, loss_of, make_model, make_scaler, same_bits, train, values
from torch import nn

import gradient_stabilizer as gs
from gradient_stabilizer import _device_copies
from gradient_stabilizer import recorder as recorder_module


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "run.gsnorms"


def optimizers(model: nn.Module) -> dict[str, torch.optim.Optimizer]:
    return {
        "AdamW": torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95)),
        "SGD": torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9),
        "wrapped": gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-3)),
        "fused": gs.optim.AdamW(model.named_parameters(), lr=1e-3),
    }


@pytest.mark.parametrize("kind", ["AdamW", "SGD", "wrapped", "fused"])
def test_attached_to_any_optimizer_it_records_every_step_and_changes_nothing(path: pathlib.Path, kind: str) -> None:
    plain, model = make_model(), make_model()
    train(plain, optimizers(plain)[kind], range(5))
    optimizer = optimizers(model)[kind]
    norms = []
    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        for step in range(5):
            optimizer.zero_grad()
            recorder.loss = loss_of(model, step)
            recorder.loss.backward()
            norms.append((recorder.loss.item(), expected(model.named_parameters())))
            optimizer.step()
    optimizer.zero_grad()
    backward(model, 5)
    optimizer.step()  # after close nothing is recorded
    assert same_bits(values(plain), values(model)) is False
    recording = Recording(path)
    assert recording.numbers() == [1, 2, 3, 4, 5]
    assert recording.headers == 1
    assert recording.tensors == [("0.weight", 96, "float32"), ("0.bias", 16, "float32"), ("2.weight", 48, "float32"), ("2.bias", 3, "float32")]
    for step, (loss, of_step) in zip(recording.steps, norms):
        check_step(step, of_step)
        assert step[1] == loss
    facts = recording.facts
    assert facts["optimizer"] == ("SGD" if kind == "SGD" else "AdamW")
    assert facts["library"] == f"gradstab {gs.__version__}" and facts["torch"] == torch.__version__
    assert facts.get("beta2") == (None if kind == "SGD" else "0.95" if kind == "AdamW" else "0.999")
    assert facts.get("transform") == (str(gs.stabilize()) if kind in ("wrapped", "fused") else None)
    assert "in front of the optimizer's step" in facts["measured"]


@pytest.mark.parametrize("kind", ["AdamW", "wrapped", "fused"])
def test_training_is_the_same_bits_with_a_recorder(path: pathlib.Path, kind: str) -> None:
    plain, model = make_model(), make_model()
    train(plain, optimizers(plain)[kind], range(8))
    optimizer = optimizers(model)[kind]
    with gs.NormRecorder(path) as recorder:
        recorder.attach(optimizer)
        train(model, optimizer, range(8))
    assert same_bits(values(plain), values(model))
    assert len(Recording(path).steps) == 8


def test_parameters_without_names_have_positions(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD([{"params": [model[0].weight]}, {"params": [model[2].weight]}], lr=0.1)
    with gs.NormRecorder(path) as recorder:
        recorder.attach(optimizer)
        train(model, optimizer, range(1))
        optimizer.add_param_group({"params": [model[0].bias]})
        train(model, optimizer, range(1, 2))
    recording = Recording(path)
    assert [name for name, *_ in recording.tensors] == ["group0.parameter0", "group1.parameter0", "group2.parameter0"]
    assert recording.headers == 2 and len(recording.steps) == 2
    assert len(recording.steps[0][3]) == 2 and len(recording.steps[1][3]) == 3


def test_by_hand_in_front_of_clipping(path: pathlib.Path) -> None:
    model = make_model()
    with gs.NormRecorder(path, model.named_parameters(), facts={"clip": 0.5, "clipping": "before clipping"}) as recorder:
        for step in range(3):
            loss = backward(model, step, scale=100.0)
            of_step = expected(model.named_parameters())
            recorder.record(step=10 * step, loss=loss if step else 2.5)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            check_step(Recording(path).steps[-1], of_step)  # in the file at once
    recording = Recording(path)
    assert recording.numbers() == [0, 10, 20]
    assert recording.steps[0][1] == 2.5 and recording.steps[2][1] == loss.item()
    assert recording.facts["clip"] == "0.5" and recording.facts["clipping"] == "before clipping"
    assert recording.facts["measured"] == "where record() was called"


def test_every_nth_step(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gs.NormRecorder(path, model, every=3) as recorder:
        recorder.attach(optimizer)
        train(model, optimizer, range(10))
    assert Recording(path).numbers() == [3, 6, 9]
    assert Recording(path).facts["every"] == "3"


def test_absent_gradients_are_absent_and_nan_is_nan(path: pathlib.Path) -> None:
    model = make_model()
    with gs.NormRecorder(path, model) as recorder:
        backward(model, 0)
        model[0].weight.grad = None
        model[2].bias.grad[0] = math.nan
        model[2].weight.grad[0, 0] = math.inf
        recorder.record(loss=math.nan)
        model.zero_grad(set_to_none=True)
        recorder.record()  # of nothing
    recording = Recording(path)
    (step,) = recording.steps
    assert list(step[3]) == ["0.bias", "2.weight", "2.bias"]
    assert math.isnan(step[3]["2.bias"]) and step[3]["2.weight"] == math.inf
    assert math.isnan(step[2]) and step[1] is not None and math.isnan(step[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_dtypes_and_layouts(path: pathlib.Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    named = [(name, nn.Parameter(torch.zeros(6, 4, dtype=dtype))) for name in ("a", "b", "c", "d")]
    a, b, c, d = (parameter for _, parameter in named)
    a.grad = torch.randn(6, 4).to(dtype)
    b.grad = torch.randn(4, 6).to(dtype).t()
    c.grad = torch.randn(1, 4).to(dtype).expand(6, 4)
    d.grad = torch._neg_view(torch.randn(6, 4).to(dtype))
    before = [parameter.grad for _, parameter in named]
    versions = [gradient._version for gradient in before]
    with gs.NormRecorder(path, named) as recorder:
        recorder.record()
    assert all(parameter.grad is gradient for (_, parameter), gradient in zip(named, before))
    assert [gradient._version for gradient in before] == versions
    recording = Recording(path)
    check = {name: parameter.grad.resolve_neg().to(torch.complex128).abs().norm().item() for name, parameter in named}
    for name, norm in check.items():
        # Squares of two neighbouring 16-bit numbers are added in float32.
        assert math.isclose(recording.steps[0][3][name], norm, rel_tol=2**-23), name
    assert {each[2] for each in recording.tensors} == {str(dtype).replace("torch.", "")}


def test_norms_beyond_float32(path: pathlib.Path) -> None:
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    with gs.NormRecorder(path, [("w", parameter)]) as recorder:
        for scale in (1e200, 1e-200):
            parameter.grad = torch.tensor([3.0, 4.0], dtype=torch.float64) * scale
            recorder.record()
    for step, scale in zip(Recording(path).steps, (1e200, 1e-200)):
        assert math.isclose(step[3]["w"], 5 * scale, rel_tol=2**-50)


def test_sparse_gradients(path: pathlib.Path) -> None:
    embedding = nn.Embedding(10, 3, sparse=True)
    embedding(torch.tensor([1, 1, 4])).square().sum().backward()
    with gs.NormRecorder(path, embedding) as recorder:
        recorder.record()
    assert not embedding.weight.grad.is_coalesced(), "the gradient is left as it was"
    check_step(Recording(path).steps[0], expected(embedding.named_parameters()))


def test_lazy_parameters_have_their_shape_when_they_have_gradients(path: pathlib.Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that they are new in torch
        model = nn.LazyLinear(2)
        with gs.NormRecorder(path, model) as recorder:
            model(torch.ones(1, 3)).sum().backward()
            recorder.record()
    recording = Recording(path)
    assert recording.tensors == [("weight", 6, "float32"), ("bias", 2, "float32")]
    check_step(recording.steps[0], expected(model.named_parameters()))


def test_a_recording_is_continued(path: pathlib.Path) -> None:
    model = make_model()
    for run in range(2):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with gs.NormRecorder(path, model) as recorder:
            recorder.attach(optimizer)
            train(model, optimizer, range(run * 3, run * 3 + 3))
        with path.open("ab") as file:
            file.write(b"STEP\x30\0\0\0")  # what a killed job leaves
    data = path.read_bytes()
    path.write_bytes(data[:-8])
    recording = Recording(path)
    assert recording.numbers() == [1, 2, 3, 4, 5, 6]
    assert recording.headers == 1


def test_a_closure_is_recorded_when_it_is_first_evaluated(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    norms: list[dict[str, float]] = []
    losses: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        norms.append(expected(model.named_parameters()))
        losses.append(loss.item())
        return loss

    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        optimizer.step(closure)
        second = len(norms)
        optimizer.step(closure=closure)
    assert second > 1, "evaluated more than once"
    recording = Recording(path)
    assert recording.numbers() == [1, 2]
    for step, at in zip(recording.steps, (0, second)):
        check_step(step, norms[at])
        assert step[1] == losses[at]


def test_a_scaler_has_unscaled_and_left_out_steps_are_not_there(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = make_scaler()
    norms = []
    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        for step in range(3):
            backward(model, step)
            norms.append(expected(model.named_parameters()))
            for parameter in model.parameters():
                parameter.grad = None
            scaler.scale(loss_of(model, step) * (math.inf if step == 1 else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
    recording = Recording(path)
    assert recording.numbers() == [1, 2]
    check_step(recording.steps[0], norms[0])
    check_step(recording.steps[1], norms[2])


def test_a_factor_that_is_still_there_is_taken_out(path: pathlib.Path) -> None:
    model = make_model()
    scaler = make_scaler()
    backward(model, 0)
    norms = expected(model.named_parameters())
    model.zero_grad(set_to_none=True)
    with gs.NormRecorder(path, model) as recorder:
        scaler.scale(loss_of(model, 0)).backward()
        recorder.record(scaler=scaler)
        assert not math.isclose(expected(model.named_parameters())["0.weight"], norms["0.weight"], rel_tol=0.5)
    check_step(Recording(path).steps[0], norms)


@pytest.mark.skipif(not TORCH2, reason="torch 1.13 has fused optimizers on CUDA alone")
def test_optimizers_that_unscale_by_themselves(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    scaler = make_scaler()
    backward(model, 0)
    norms = expected(model.named_parameters())
    model.zero_grad(set_to_none=True)
    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        scaler.scale(loss_of(model, 0)).backward()
        scaler.step(optimizer)
    check_step(Recording(path).steps[0], norms)


def test_schedulers_and_the_recorder_do_not_mind_each_other(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gs.NormRecorder(path, model) as recorder:
            recorder.attach(optimizer)
            after = torch.optim.lr_scheduler.StepLR(optimizer, 1)
            train(model, optimizer, range(2))
            before.step()
            after.step()
        train(model, optimizer, range(2, 3))
    assert Recording(path).numbers() == [1, 2]


@pytest.mark.parametrize("kind", ["AdamW", "wrapped", "fused"])
def test_copies_and_pickles_of_an_attached_optimizer_are_not_attached(path: pathlib.Path, kind: str) -> None:
    model = make_model()
    optimizer = optimizers(model)[kind]
    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        train(model, optimizer, range(2))
        for made in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
            for group in made.param_groups:
                for parameter in group["params"]:
                    parameter.grad = torch.ones_like(parameter)
            made.step()
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            copy.copy(recorder)
    assert Recording(path).numbers() == [1, 2]


def test_a_forked_process_trains_on_and_does_not_record(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        train(model, optimizer, range(1))
        child = os.fork()
        if child == 0:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    for parameter in model.parameters():
                        parameter.grad = torch.ones_like(parameter)
                    optimizer.step()
                    recorder.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        train(model, optimizer, range(1, 2))
    assert Recording(path).numbers() == [1, 2]


def test_closing_twice_is_harmless_and_what_follows_is_left_out(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    recorder = gs.NormRecorder(path, model).attach(optimizer)
    train(model, optimizer, range(1))
    recorder.close()
    recorder.close()
    recorder.record()
    train(model, optimizer, range(1, 2))
    assert Recording(path).numbers() == [1]
    assert "closed" in repr(recorder)
    # One that is forgotten lets go of the file.
    forgotten = gs.NormRecorder(path, model)
    del forgotten
    gc.collect()
    gs.NormRecorder(path, model).close()


def test_what_cannot_be_recorded_is_said_at_once(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = make_model()
    with pytest.raises(OSError, match="No such file or directory"):
        gs.NormRecorder(tmp_path / "none" / "run.gsnorms", model)
    with pytest.raises(OSError, match="is no regular file"):
        gs.NormRecorder(tmp_path, model)
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        gs.NormRecorder(path, model, every=0)
    path.write_text("step,loss\n")
    with pytest.raises(ValueError, match="is no recording of norms"):
        gs.NormRecorder(path, model)
    assert path.read_text() == "step,loss\n"
    path.unlink()
    with pytest.raises(TypeError, match="expected a module or its named parameters, got int"):
        gs.NormRecorder(path, 3)
    with pytest.raises(ValueError, match="is also"):
        gs.NormRecorder(path, [("a", model[0].weight), ("b", model[0].weight)])
    with gs.NormRecorder(path) as recorder:
        with pytest.raises(OSError, match="is being written by another recorder"):
            gs.NormRecorder(path, model)
        with pytest.raises(RuntimeError, match="there are no parameters to record"):
            recorder.record()
        with pytest.raises(TypeError, match="attach expects a torch.optim.Optimizer, got int"):
            recorder.attach(3)  # type: ignore[arg-type]
        recorder.attach(torch.optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(RuntimeError, match="an optimizer is attached already"):
            recorder.attach(torch.optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(ValueError, match="step must be a whole number of at least 0, got -1"):
            recorder.record(step=-1)


def test_what_backward_steps_is_refused(path: pathlib.Path) -> None:
    model = make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-3)
    with gs.NormRecorder(path, model) as recorder, pytest.raises(RuntimeError, match="backward steps this optimizer"):
        recorder.attach(stepper.optimizer)
    assert Recording(path).steps == []


def test_a_full_disk_is_a_warning_and_training_goes_on(path: pathlib.Path) -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    recorder = gs.NormRecorder(path, model).attach(optimizer)
    train(model, optimizer, range(2))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = values(model)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limit[1]))
        with pytest.warns(RuntimeWarning, match="no more norms are recorded to .*training goes on: cannot write") as caught:
            train(model, optimizer, range(2, 5))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(caught) == 1
    assert not same_bits(before, values(model))
    gs.NormRecorder(path, model).close()  # the file is let go
    recorder.close()
    assert Recording(path).numbers() == [1, 2]


def test_a_killed_job_leaves_what_it_recorded(path: pathlib.Path) -> None:
    program = f"""
import torch, gradient_stabilizer as gs
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
gs.NormRecorder({str(path)!r}, model).attach(optimizer)
for step in range(10**9):
    optimizer.zero_grad()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    if step == 50:
        print("ready", flush=True)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment) as job:
        assert job.stdout is not None and job.stdout.readline() == b"ready\n"
        job.send_signal(signal.SIGKILL)
        job.wait()
    recording = Recording(path)
    assert recording.numbers() == list(range(1, len(recording.steps) + 1)) and len(recording.steps) >= 51
    model = nn.Linear(3, 2)
    with gs.NormRecorder(path, model) as recorder:
        model(torch.ones(1, 3)).sum().backward()
        recorder.record()
    assert Recording(path).numbers()[-1] == len(recording.steps) + 1


class Event:
    """In the place of a device's event: happens when the test says so."""

    def __init__(self) -> None:
        self.has_happened = False
        self.waits = 0

    def query(self) -> bool:
        return self.has_happened

    def synchronize(self) -> None:
        self.waits += 1
        self.has_happened = True


class Device:
    """Host memory that is taken for a device's, whose copies arrive with their events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self._copies: list[tuple[torch.Tensor, torch.Tensor]] = []
        monkeypatch.setattr(recorder_module, "_is_on_host", lambda tensor: False)
        monkeypatch.setattr(_device_copies.Copies, "start", lambda _, numbers: self.start(numbers))

    def start(self, numbers: torch.Tensor) -> tuple[torch.Tensor, Event]:
        assert numbers.dtype == torch.float64 and numbers.dim() == 1
        there = torch.full_like(numbers, math.nan)
        event = Event()
        happen = event.synchronize

        def arrive() -> None:
            there.copy_(numbers)
            happen()

        event.synchronize = arrive  # type: ignore[method-assign]
        self.events.append(event)
        self._copies.append((there, numbers))
        return there, event

    def arrive(self, *which: int) -> None:
        for index in which:
            there, numbers = self._copies[index]
            there.copy_(numbers)
            self.events[index].has_happened = True


def test_steps_on_a_device_are_written_in_order_when_they_have_arrived(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(monkeypatch)
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = []
    losses = []
    recorder = gs.NormRecorder(path, model).attach(optimizer)
    for step in range(5):
        losses.append(backward(model, step))
        norms.append(expected(model.named_parameters()))
        recorder.loss = losses[-1]
        optimizer.step()
        # Two copies in a step, the norms and the loss.
        assert len(device.events) == 2 * step + 2
        if step == 1:
            device.arrive(2, 3)  # the second step's, before the first's
            assert Recording(path).steps == []
        if step == 2:
            assert Recording(path).steps == [], "what came later waits for what came before"
            device.arrive(0)
        if step == 3:
            assert Recording(path).steps == [], "the loss is not there yet"
            device.arrive(1)
    assert Recording(path).numbers() == [1, 2], "written by a later step"
    assert all(event.waits == 0 for event in device.events), "nobody has waited"
    recorder.close()
    assert [event.waits for event in device.events] == [0] * 4 + [1] * 6
    recording = Recording(path)
    assert recording.numbers() == [1, 2, 3, 4, 5]
    for step, of_step, loss in zip(recording.steps, norms, losses):
        check_step(step, of_step)
        assert step[1] == loss.item()


def test_on_a_device_nothing_is_written_for_other_parameters(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch)
    model = make_model()
    optimizer = torch.optim.SGD([model[0].weight], lr=0.01)
    with gs.NormRecorder(path) as recorder:
        recorder.attach(optimizer)
        backward(model, 0)
        first = model[0].weight.grad.double().norm().item()
        optimizer.step()
        optimizer.add_param_group({"params": [model[2].weight]})
        backward(model, 1)
        optimizer.step()
    recording = Recording(path)
    assert [len(norms) for *_, norms in recording.steps] == [1, 2]
    assert math.isclose(recording.steps[0][3]["group0.parameter0"], first, rel_tol=2**-23)


def test_the_factor_of_a_scaler_on_a_device(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch)
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0]) * 1024

    class Scaler:
        _scale = torch.tensor(1024.0)

    with gs.NormRecorder(path, [("w", parameter)]) as recorder:
        recorder.record(scaler=Scaler())
    assert Recording(path).steps[0][3] == {"w": 5.0}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device(path: pathlib.Path) -> None:
    model = make_model().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = []
    with gs.NormRecorder(path, model) as recorder:
        recorder.attach(optimizer)
        for _ in range(5):
            model(torch.randn(4, 6, device="cuda")).square().mean().backward()
            norms.append(expected(model.named_parameters()))
            optimizer.step()
    for each, of_step in zip(Recording(path).steps, norms):
        check_step(each, of_step)


def test_parts_are_marked(path: pathlib.Path) -> None:
    flat = nn.Parameter(torch.zeros(4))
    flat._is_flat_param = True  # type: ignore[attr-defined]
    flat.grad = torch.ones(4)
    with gs.NormRecorder(path, [("flat", flat)]) as recorder:
        recorder.record()
    assert Recording(path).facts["parts"] == "of one process"


DTENSOR = """
import sys, torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
import gradient_stabilizer as gs
dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
weight = torch.nn.Parameter(distribute_tensor(torch.zeros(2, 2), mesh, [Shard(0)]))
weight.grad = distribute_tensor(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), mesh, [Shard(0)])
with gs.NormRecorder(sys.argv[2], [("w", weight)]) as recorder:
    recorder.record()
dist.destroy_process_group()
"""


@pytest.mark.skipif(not TORCH2, reason="torch 1.13 has no DTensor")
def test_of_a_dtensor_the_part_is_recorded(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", DTENSOR, str(tmp_path / "meet"), str(path)], check=True, env=environment, timeout=120)
    recording = Recording(path)
    assert recording.facts["parts"] == "1 of 1"
    assert recording.tensors == [("w", 4, "float32")]
    assert recording.steps[0][3] == {"w": 5.0}
