"""Checks the Python package on tensors of a CUDA device against the host. Prints a line per check; ends with 1 if one fails.

    PYTHONPATH=build/adaptors/python python3 tools/gpu_check/check_package.py [--emulate]

With --emulate the device's code runs on the host, and what needs a device is left out.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
import traceback
from typing import Any, Callable

import torch
from torch import nn

import gradient_stabilizer as gs

HOST = gs.backends()[-1]
CHECKS: list[Callable[[Any], None]] = []


class Setting:
    """Where tensors are, and under which backend they are stepped."""

    def __init__(self, emulate: bool) -> None:
        self.emulate = emulate
        self.device = "cpu" if emulate else "cuda"
        self.backend = "emulated" if emulate else ""
        self.name = "emulated" if emulate else "cuda"


def check(function: Callable[[Any], None]) -> Callable[[Any], None]:
    CHECKS.append(function)
    return function


def needs_a_device(function: Callable[[Any], None]) -> Callable[[Any], None]:
    function.needs_a_device = True  # type: ignore[attr-defined]
    return check(function)


def make_model(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 64), nn.Tanh(), nn.Linear(64, 10))
    model[0].to(memory_format=torch.channels_last)
    return model.to(dtype)


def set_gradients(model: nn.Module, step: int) -> None:
    """Drawn on the host, so that they are the same everywhere; every fifth has another order in memory or is missing."""
    generator = torch.Generator().manual_seed(step)
    for index, parameter in enumerate(model.parameters()):
        size = 1e3 if step % 13 == 12 else 1.0
        gradient = (torch.randn(parameter.shape, generator=generator) * size).to(parameter.dtype).to(parameter.device)
        if (step + index) % 5 == 0 and gradient.dim() > 1:
            gradient = gradient.transpose(0, 1).contiguous().transpose(0, 1)
        parameter.grad = None if (step + index) % 7 == 6 else gradient


def pair(setting: Setting, make: Callable[[nn.Module, str], Any], dtype: torch.dtype = torch.float32) -> Any:
    host = make_model(dtype)
    there = copy.deepcopy(host).to(setting.device)
    return (host, make(host, HOST)), (there, make(there, setting.backend))


def steps(model: nn.Module, optimizer: Any, numbers: range) -> None:
    for step in numbers:
        set_gradients(model, step)
        optimizer.step()


def distance(a: nn.Module, b: nn.Module) -> float:
    """Largest difference, relative to the largest number of its tensor."""
    worst = 0.0
    for x, y in zip(a.parameters(), b.parameters()):
        x, y = x.detach().cpu().double(), y.detach().cpu().double()
        worst = max(worst, float((x - y).abs().max() / y.abs().max()))
    return worst


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def expect_close(a: nn.Module, b: nn.Module, count: int, roundoff: float = 2.0**-24) -> None:
    found, most = distance(a, b), 16 * roundoff * count
    expect(found <= most, f"differs from the host by {found:.3g}, expected at most {most:.3g}")


OPTIMIZERS: dict[str, Callable[[nn.Module, str], Any]] = {
    "wrapped SGD": lambda model, backend: gs.wrap(
        torch.optim.SGD(model.parameters(), 0.01, momentum=0.9), named_parameters=model.named_parameters(), backend=backend),
    "SGD": lambda model, backend: gs.optim.SGD(model.parameters(), 0.01, momentum=0.9, backend=backend),
    "AdamW": lambda model, backend: gs.optim.AdamW(model.named_parameters(), 0.01, backend=backend),
    "Adam": lambda model, backend: gs.optim.Adam(model.parameters(), 0.01, amsgrad=True, backend=backend),
    "SPAM": lambda model, backend: gs.optim.SPAM(model.parameters(), 0.01, reset_interval=7, backend=backend),
    "plain AdamW": lambda model, backend: gs.optim.AdamW(model.parameters(), 0.01, transform=None, backend=backend),
}


@check
def trajectories_are_those_of_the_host(setting: Setting) -> None:
    for name, make in OPTIMIZERS.items():
        (host, on_host), (there, on_device) = pair(setting, make)
        steps(host, on_host, range(40))
        steps(there, on_device, range(40))
        expect(on_device.backend_name() == setting.name, f"{name} was stepped by {on_device.backend_name()}")
        expect_close(there, host, 40)
        steps(there, on_device, range(40, 41))
        expect(distance(there, host) > 1e-6, "one more step is a difference that shows")


@check
def bfloat16_parameters_have_a_master_copy(setting: Setting) -> None:
    (host, on_host), (there, on_device) = pair(setting, OPTIMIZERS["AdamW"], torch.bfloat16)
    steps(host, on_host, range(30))
    steps(there, on_device, range(30))
    expect(on_device.backend_name() == setting.name, on_device.backend_name())
    # A master copy that differs in the last digit may round to a neighbour.
    expect(distance(there, host) <= 2.0**-7, f"differs by {distance(there, host):.3g}")


@check
def reports_are_those_of_the_host(setting: Setting) -> None:
    (host, on_host), (there, on_device) = pair(setting, OPTIMIZERS["wrapped SGD"])
    for step in range(20):
        steps(host, on_host, range(step, step + 1))
        steps(there, on_device, range(step, step + 1))
        for a, b in zip(on_host.report().tensors, on_device.report().tensors):
            expect((a.present, a.finite, a.spike, a.zeroed) == (b.present, b.finite, b.spike, b.zeroed), f"flags of {a.name}")
            expect(abs(a.raw_norm - b.raw_norm) <= 1e-12 * a.raw_norm, f"norm of {a.name}: {a.raw_norm} and {b.raw_norm}")


@check
def norms_come_back_where_the_gradients_are(setting: Setting) -> None:
    model = make_model().to(setting.device)
    state = gs.GradientState(backend=setting.backend)
    set_gradients(model, 1)
    expected = torch.stack([
        torch.zeros(()) if p.grad is None else p.grad.detach().cpu().double().norm() for p in model.parameters()])
    norms = gs.stabilize_grad_(model.parameters(), state)
    expect(norms.device.type == setting.device, f"norms are on {norms.device}")
    expect(torch.allclose(norms.cpu(), expected.double(), rtol=1e-12, atol=0), f"{norms} and {expected}")


@check
def stepping_in_backward_is_stepping_afterwards(setting: Setting) -> None:
    """As far as backward itself repeats its bits, which on a device it may not: compared up to roundings."""
    inside, after = make_model().to(setting.device), make_model().to(setting.device)
    stepper = gs.optimizer_in_backward(inside, gs.optim.AdamW, lr=1e-3, backend=setting.backend)
    optimizer = gs.optim.AdamW(after.named_parameters(), 1e-3, backend=setting.backend)
    inputs = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(7)).to(setting.device)
    for _ in range(5):
        optimizer.zero_grad()
        for model in (inside, after):
            model(inputs).square().mean().backward()
        optimizer.step()
        expect(all(p.grad is None for p in inside.parameters()), "a gradient was kept")
        ours, theirs = stepper.report().raw_global_norm, optimizer.report().raw_global_norm
        expect(abs(ours - theirs) <= 1e-4 * theirs, f"norms {ours} and {theirs}")
    expect(stepper.optimizer.backend_name() == setting.name, stepper.optimizer.backend_name())
    expect(distance(inside, after) <= 1e-2, f"differs by {distance(inside, after):.3g}")


@check
def checkpoints_move(setting: Setting) -> None:
    (host, on_host), (there, on_device) = pair(setting, OPTIMIZERS["AdamW"])
    steps(there, on_device, range(9))
    host.load_state_dict({name: value.cpu() for name, value in there.state_dict().items()})
    on_host.load_state_dict(on_device.state_dict())
    steps(host, on_host, range(9, 15))
    steps(there, on_device, range(9, 15))
    expect_close(there, host, 15)


@check
def what_a_device_has_not_has_the_bits_of_the_host(setting: Setting) -> None:
    method = gs.chain(gs.clip_by_value(0.5), gs.zclip())
    (host, on_host), (there, on_device) = pair(
        setting, lambda model, backend: gs.GradientTransform(model.parameters(), method, backend=backend))
    for step in range(5):
        set_gradients(host, step)
        set_gradients(there, step)
        on_host.step()
        on_device.step()
        for a, b in zip(host.parameters(), there.parameters()):
            expect(a.grad is None or torch.equal(a.grad, b.grad.cpu()), f"step {step}")
    expect(on_device.backend_name().endswith(" (copies)"), on_device.backend_name())


@check
def nan_is_kept_out(setting: Setting) -> None:
    for policy in ("skip_tensor", "skip_step", "raise"):
        model = make_model().to(setting.device)
        optimizer = gs.optim.AdamW(model.parameters(), 0.01, nonfinite=policy, backend=setting.backend)
        steps(model, optimizer, range(2))
        before = copy.deepcopy(model)
        set_gradients(model, 3)
        model[2].weight.grad[0, 0] = float("nan")
        try:
            optimizer.step()
            expect(policy != "raise", "raise did not raise")
        except RuntimeError as error:
            expect(policy == "raise" and "NaN" in str(error), str(error))
        changed = distance(model, before) > 0
        expect(changed == (policy == "skip_tensor"), f"{policy}: the parameters have {'' if changed else 'not '}changed")
        expect(all(bool(p.isfinite().all()) for p in model.parameters()), f"{policy}: a parameter holds NaN")


@needs_a_device
def nobody_waits(setting: Setting) -> None:
    model = make_model().cuda()
    for make in (OPTIMIZERS["wrapped SGD"], OPTIMIZERS["AdamW"]):
        optimizer = make(model, "")
        steps(model, optimizer, range(3))
        set_gradients(model, 1)
        state = gs.GradientState()
        gs.stabilize_grad_(model.parameters(), state)
        set_gradients(model, 1)
        torch.cuda.synchronize()
        begin = time.monotonic()
        torch.cuda._sleep(int(2e9))  # about a second of work before ours
        for _ in range(4):
            optimizer.step() if not isinstance(optimizer, gs.WrappedOptimizer) else optimizer._engine.native.step(False)
        queued = time.monotonic() - begin
        torch.cuda.synchronize()
        done = time.monotonic() - begin
        expect(queued < done / 4, f"the host was busy for {queued:.3f} s of {done:.3f} s")


@needs_a_device
def the_current_stream_is_used(setting: Setting) -> None:
    (host, on_host), (there, on_device) = pair(setting, OPTIMIZERS["AdamW"])
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        steps(there, on_device, range(20))
    stream.synchronize()
    steps(host, on_host, range(20))
    expect_close(there, host, 20)


@needs_a_device
def a_step_can_be_captured(setting: Setting) -> None:
    (one, on_one), (two, on_two) = [(m, OPTIMIZERS["AdamW"](m, "")) for m in (make_model().cuda(), make_model().cuda())]
    for model, optimizer in ((one, on_one), (two, on_two)):
        steps(model, optimizer, range(1, 2))  # the first step allocates
        set_gradients(model, 1)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        on_one.step()
    for _ in range(50):
        graph.replay()
        on_two.step()
    torch.cuda.synchronize()
    expect(distance(one, two) == 0.0, f"replays differ from steps by {distance(one, two):.3g}")


@needs_a_device
def gradient_scaling_works(setting: Setting) -> None:
    model = make_model().cuda()
    optimizer = OPTIMIZERS["wrapped SGD"](model, "")
    scaler = torch.cuda.amp.GradScaler(init_scale=2.0**10)
    inputs = torch.randn(4, 3, 8, 8, device="cuda")
    for step in range(5):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16):
            loss = model(inputs).float().square().mean()
        if step == 3:
            loss = loss * float("inf")
        before = copy.deepcopy(model)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        expect((distance(model, before) > 0) == (step != 3), f"step {step}")


def shared_gradients(step: int) -> dict[str, torch.Tensor]:
    """Of whole parameters, with a spike in the third step and a NaN in the last row of a matrix in the fifth."""
    model = make_model()
    set_gradients(model, step)
    gradients = {
        name: (torch.zeros_like(p) if p.grad is None else p.grad.contiguous()) * (1e3 if step == 2 else 1.0)
        for name, p in model.named_parameters()
    }
    if step == 4:
        gradients["2.weight"][-1, -1] = float("nan")
    return gradients


def stabilized(cut: Callable[[torch.Tensor], torch.Tensor], **settings: Any) -> list[dict[str, torch.Tensor]]:
    """What stabilize makes of the parts that `cut` takes, step by step."""
    named = [(name, nn.Parameter(torch.zeros_like(cut(value)))) for name, value in shared_gradients(0).items()]
    transform = gs.GradientTransform(named, gs.stabilize(), **settings)
    results = []
    for step in range(6):
        gradients = shared_gradients(step)
        for name, parameter in named:
            parameter.grad = cut(gradients[name]).clone()
        transform.step()
        results.append({name: parameter.grad.cpu() for name, parameter in named})
    return results


def trained(cut: Callable[[torch.Tensor], torch.Tensor], where: str, **settings: Any) -> dict[str, torch.Tensor]:
    """What a stabilized AdamW makes of the parts that `cut` takes, in six steps that are made there."""
    named = [(name, nn.Parameter(cut(p.detach()).clone())) for name, p in make_model().named_parameters()]
    optimizer = gs.optim.AdamW(named, lr=1e-2, **settings)
    for step in range(6):
        gradients = shared_gradients(step)
        for name, parameter in named:
            parameter.grad = cut(gradients[name]).clone()
        optimizer.step()
        expect(optimizer.backend_name() == where, f"step {step} was made by {optimizer.backend_name()}")
    return {name: parameter.detach().cpu() for name, parameter in named}


def one_of_two_processes(rank: int, folder: str, emulate: bool) -> None:
    setting = Setting(emulate)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    settings = {"shard_group": True, "backend": setting.backend}
    cut = lambda tensor: tensor.flatten().tensor_split(2)[rank].to(setting.device)
    torch.save((stabilized(cut, **settings), trained(cut, setting.name, **settings)), f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@check
def two_processes_have_parts_of_the_same_tensors(setting: Setting) -> None:
    whole = stabilized(lambda tensor: tensor, backend=HOST)
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(one_of_two_processes, (folder, setting.emulate), nprocs=2)
        parts, updated = zip(*[torch.load(f"{folder}/{rank}.pt") for rank in range(2)])
    for step, expected in enumerate(whole):
        for name, gradient in expected.items():
            together = torch.cat([part[step][name] for part in parts])
            expect(torch.allclose(together, gradient.flatten(), rtol=4 * 2.0**-24, atol=0), f"step {step}: {name}")
    for name, value in trained(lambda tensor: tensor, HOST, backend=HOST).items():
        # Steps are of the size of lr; on a device their numbers differ by a few rounding errors of float32.
        together = torch.cat([part[name] for part in updated])
        expect(torch.allclose(together, value.flatten(), rtol=2.0**-21, atol=6 * 1e-2 * 2.0**-21), f"updated: {name}")
    alone = stabilized(lambda tensor: tensor.flatten().tensor_split(2)[0], backend=HOST)
    expect(not torch.allclose(alone[0]["2.weight"], parts[0][0]["2.weight"], rtol=1e-3), "a part by itself is scaled alike")


@needs_a_device
def a_process_group_of_the_device_sums(setting: Setting) -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "nccl", init_method=f"file://{os.path.join(folder, 'group')}", world_size=1, rank=0)
        try:
            (host, on_host), (there, on_device) = pair(
                setting, lambda model, backend: gs.GradientTransform(
                    model.named_parameters(), gs.stabilize(), shard_group=True if backend == "" else None))
            for step in range(5):
                set_gradients(host, step)
                set_gradients(there, step)
                on_host.step()
                on_device.step()
                for a, b in zip(host.parameters(), there.parameters()):
                    if a.grad is not None:
                        expect(torch.allclose(a.grad, b.grad.cpu(), rtol=4 * 2.0**-24, atol=0), f"step {step}")
        finally:
            torch.distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulate", action="store_true")
    setting = Setting(parser.parse_args().emulate)
    failures = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        if setting.emulate and getattr(function, "needs_a_device", False):
            print(f"left out  {name}")
            continue
        try:
            function(setting)
            print(f"passed    {name}")
        except Exception:  # whatever it is, the other checks go on
            failures += 1
            print(f"FAILED    {name}\n{traceback.format_exc()}")
    print(f"{failures} failed")
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
