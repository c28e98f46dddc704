"""Tensors on a device: those of an emulated one, whose code runs on the host over host memory."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import torch
from support import backward, make_model, norms, same_bits, train, values

import gradient_stabilizer as gs
from gradient_stabilizer import _native

HOST = gs.backends()[-1]


def close(a: list[torch.Tensor], b: list[torch.Tensor], steps: int) -> bool:
    """Up to the last bits of norms, and a handful of roundings in each step."""
    return all(torch.allclose(x, y, rtol=0, atol=16 * 2**-24 * steps * float(y.abs().max())) for x, y in zip(a, b))


def on(backend: str, make: Any) -> Any:
    model = make_model()
    return model, make(model, backend)


def wrapped(model: torch.nn.Module, backend: str) -> gs.WrappedOptimizer:
    return gs.wrap(torch.optim.SGD(model.parameters(), 0.1), backend=backend)


def fused(model: torch.nn.Module, backend: str) -> gs.optim.AdamW:
    return gs.optim.AdamW(model.named_parameters(), 0.01, backend=backend)


@pytest.mark.parametrize("make", [wrapped, fused])
def test_training_is_that_of_the_host(make: Any) -> None:
    (host, on_host), (device, on_device) = on(HOST, make), on("emulated", make)
    train(host, on_host, range(30))
    train(device, on_device, range(30))
    assert close(values(device), values(host), 30)
    assert on_device.backend_name() == "emulated" and on_host.backend_name() == HOST
    ours, theirs = on_device.report(), on_host.report()
    assert ours.raw_global_norm == pytest.approx(theirs.raw_global_norm, rel=1e-5) and ours.step == theirs.step == 30
    train(device, on_device, range(30, 31))
    assert not close(values(device), values(host), 30)


@pytest.mark.parametrize("make", [wrapped, fused])
def test_a_checkpoint_moves_between_host_and_device(make: Any) -> None:
    (device, on_device), (host, on_host) = on("emulated", make), on(HOST, make)
    train(device, on_device, range(7))
    host.load_state_dict(device.state_dict())
    on_host.load_state_dict(on_device.state_dict())
    back, on_back = on("emulated", make)
    back.load_state_dict(host.state_dict())
    on_back.load_state_dict(on_host.state_dict())
    train(device, on_device, range(7, 12))
    train(back, on_back, range(7, 12))
    assert same_bits(values(device), values(back))


def test_statistics_and_norms_need_no_report() -> None:
    model = make_model()
    state = gs.GradientState(backend="emulated", check_repeats=False)
    backward(model, 0)
    expected = norms(list(model.parameters()))
    assert gs.stabilize_grad_(model.parameters(), state).tolist() == pytest.approx(expected, rel=1e-12)
    model[0].weight.grad = None
    assert gs.stabilize_grad_(model.parameters(), state)[0].item() == 0.0
    assert state.backend_name() == "emulated"
    assert state.statistics()["0.stabilize.k"].tolist() == [1, 2, 2, 2]


def test_what_a_device_has_not_is_done_on_copies_with_the_same_bits() -> None:
    method = gs.chain(gs.clip_by_value(0.01), gs.zclip())
    model, twin = make_model(), make_model()
    there = gs.GradientTransform(model.parameters(), method, backend="emulated")
    here = gs.GradientTransform(twin.parameters(), method, backend=HOST)
    for step in range(5):
        backward(model, step)
        backward(twin, step)
        there.step()
        here.step()
        assert same_bits([p.grad for p in model.parameters()], [p.grad for p in twin.parameters()])
    assert there.backend_name().endswith(" (copies)")


def test_a_skipped_step_is_known_to_the_optimizer_behind() -> None:
    model = make_model()
    optimizer = gs.wrap(torch.optim.SGD(model.parameters(), 0.1), backend="emulated", nonfinite="skip_step")
    backward(model, 0)
    model[0].bias.grad[0] = float("nan")
    before = values(model)
    optimizer.step()
    assert same_bits(values(model), before)
    assert optimizer.report().skip_step


def test_backend_cuda_refuses_what_would_be_copied() -> None:
    model = make_model()
    backward(model, 0)
    with pytest.raises(TypeError, match="host memory, but backend is 'cuda'"):
        gs.GradientStabilizer(model.parameters(), backend="cuda").step()


def test_stepping_in_backward_is_stepping_afterwards() -> None:
    model, twin = make_model(), make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.AdamW, lr=0.01, backend="emulated")
    optimizer = gs.optim.AdamW(twin.named_parameters(), 0.01, backend="emulated")
    for step in range(6):
        backward(model, step)
        backward(twin, step)
        optimizer.step()
        assert same_bits(values(model), values(twin))
        assert model[0].weight.grad is None
        assert stepper.report().raw_global_norm == pytest.approx(optimizer.report().raw_global_norm, rel=1e-12)
    assert stepper.optimizer.backend_name() == "emulated"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_on_devices_are_measured_and_scaled_as_in_host_memory(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    parts = [(torch.randn(shape) * 100).to(dtype) for shape in [(3, 5), (), (1000,), (0,)]]
    parts.append(torch.eye(4).to(dtype).to_sparse().coalesce())
    ours = _native.ops.squared_norms(parts)
    # The library adds the squares of 16-bit numbers in pairs, in float32.
    tolerance = 2**-24 if dtype == torch.bfloat16 else 1e-12
    assert torch.allclose(_native.ops.squared_norms(parts, by_torch=True), ours, rtol=tolerance, atol=0)

    factors = torch.tensor([0.3, 1.0, 1e-3, 2.0, 0.5], dtype=torch.float64)
    dense = parts[:4]
    by_torch = [part.clone() for part in dense]
    _native.ops.scale_(dense, factors[:4])
    _native.ops.scale_(by_torch, factors[:4], by_torch=True)
    for a, b in zip(dense, by_torch):
        # A factor rounded to float32, and a product that is rounded twice.
        assert torch.allclose(a, b, rtol=2 * torch.finfo(dtype).eps, atol=0)
    bad = [torch.tensor([1.0, float("nan")])]
    _native.ops.scale_(bad, torch.zeros(1, dtype=torch.float64), by_torch=True)
    assert bad[0].tolist() == [0.0, 0.0]


def test_the_check_of_a_device_passes_where_its_code_runs_on_the_host() -> None:
    script = pathlib.Path(__file__).parents[2] / "tools/gpu_check/check_package.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-B", str(script), "--emulate"], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.count("passed    ") == 9, done.stdout + done.stderr
