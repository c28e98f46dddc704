"""What each process of test_distributed.py does: trains or transforms its share, and returns what the test compares."""

from __future__ import annotations

import pathlib
from typing import Any, Callable
from unittest import mock

import backend_choice
import torch
import torch.distributed as dist
from support import make_model, values
from torch import nn

import gradient_stabilizer as gs

backend_choice.take_chosen()

STEPS = 6
ROWS = 24  # of a batch: divisible by 2 and by 3
TORCH2 = hasattr(torch, "compile")
# torch 2.6 calls for events of a stream that is the CPU's, which has none there.
FULLY_SHARDS_ON_CPU = TORCH2 and hasattr(torch.cpu.Stream, "record_event")

METHODS = {
    "stabilize": gs.stabilize(),
    "chain": gs.chain(gs.clip_by_global_norm(0.5), gs.stabilize()),
    "zclip": gs.zclip(warmup_steps=2, max_norm=1e9),
    "groups": gs.stabilize(granularity="group", groups={"biases": ["*.bias"]}),
}


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(ROWS, 6, generator=generator)
    return inputs, torch.stack([inputs.sum(1).sin(), inputs[:, 0], inputs[:, 1] * inputs[:, 2]], 1)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, rank: int, world: int) -> None:
    """Of every batch the rank's share of the rows. An average of gradients over the ranks is that of the batch."""
    for step in range(STEPS):
        inputs, targets = (part.chunk(world)[rank] for part in batch(step))
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean() * (100.0 if step == 4 else 1.0)
        loss.backward()
        optimizer.step()


def adamw(model: nn.Module, **settings: Any) -> gs.WrappedOptimizer:
    return gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2), named_parameters=model.named_parameters(), **settings)


def full_gradients(step: int) -> dict[str, torch.Tensor]:
    """Gradients of a step in float64; a spike in the fourth, a NaN in the fifth."""
    generator = torch.Generator().manual_seed(50 + step)
    gradients = {
        name: torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * (1e4 if step == 3 else 1.0)
        for name, parameter in make_model().named_parameters()
    }
    if step == 4:
        gradients["0.weight"][-1, -1] = torch.nan
    return gradients


def whole(method: gs.Method) -> tuple[list[dict[str, torch.Tensor]], dict[str, Any]]:
    """The transform in one process: the gradients after each step, and the state in the end."""
    named = [(name, nn.Parameter(torch.zeros(value.shape, dtype=value.dtype))) for name, value in full_gradients(0).items()]
    transform = gs.GradientTransform(named, method)
    results = []
    for step in range(STEPS):
        for name, parameter in named:
            parameter.grad = full_gradients(step)[name]
        transform.step()
        results.append({name: parameter.grad.clone() for name, parameter in named})
    return results, transform.state_dict()


class CountedCollectives:
    """Counts the calls of all_reduce while it is on."""

    def __enter__(self) -> CountedCollectives:
        self.count = 0
        original = dist.all_reduce

        def counted(*arguments: Any, **settings: Any) -> Any:
            self.count += 1
            return original(*arguments, **settings)

        self._patch = mock.patch("torch.distributed.all_reduce", counted)
        self._patch.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._patch.stop()


def error_of(function: Callable[[], Any]) -> str:
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def optimizers(**common: Any) -> dict[str, Callable[[Any], Any]]:
    """Fused optimizers of every kind that takes parts, behind methods of different scopes."""
    return {
        "adamw": lambda named: gs.optim.AdamW(named, lr=1e-2, **common),
        "adam chain": lambda named: gs.optim.Adam(named, lr=1e-2, amsgrad=True, transform=METHODS["chain"], **common),
        "sgd groups": lambda named: gs.optim.SGD(named, lr=1e-2, momentum=0.9, transform=METHODS["groups"], **common),
        "lion skip_step": lambda named: gs.optim.Lion(named, lr=1e-2, nonfinite="skip_step", **common),
        "spam": lambda named: gs.optim.SPAM(named, lr=1e-2, reset_interval=4, quiet_steps=1, **common),
    }


def start_values(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {name: value.detach().to(dtype) for name, value in make_model().named_parameters()}


def step_of(optimizer: Any, named: list[tuple[str, nn.Parameter]], step: int, divide: Callable[..., Any]) -> None:
    for name, parameter in named:
        parameter.grad = divide(name, full_gradients(step)[name].to(parameter.dtype))
    optimizer.step()


def fused_whole(make: Callable[[Any], Any], dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], Any]:
    """Steps of a fused optimizer in one process: the parameters in the end, and the optimizer."""
    named = [(name, nn.Parameter(value.clone())) for name, value in start_values(dtype).items()]
    optimizer = make(named)
    for step in range(STEPS):
        step_of(optimizer, named, step, lambda _, gradient: gradient)
    return {name: parameter.detach() for name, parameter in named}, optimizer


def in_parts(
    rank: int,
    world: int,
    method: gs.Method,
    dtype: torch.dtype = torch.float64,
    backend: str = "",
    is_missing: Callable[[int, int, str], bool] = lambda rank, step, name: False,
) -> dict[str, Any]:
    """Every parameter cut in flat pieces, one per process; the last ones may be empty."""

    def piece(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.to(dtype)
        return tensor.flatten().tensor_split(world)[rank] if tensor.numel() > 3 else tensor.flatten()[: 0 if rank else None]

    named = [(name, nn.Parameter(torch.zeros(piece(value).shape, dtype=dtype))) for name, value in full_gradients(0).items()]
    transform = gs.GradientTransform(named, method, shard_group=True, backend=backend)
    results, counts = [], []
    for step in range(STEPS):
        for name, parameter in named:
            part = piece(full_gradients(step)[name]).clone()
            parameter.grad = part if part.numel() and not is_missing(rank, step, name) else None
        with CountedCollectives() as collectives:
            transform.step()
        counts.append(collectives.count)
        results.append({name: parameter.grad for name, parameter in named})
    again = error_of(transform.step)
    result = {
        "gradients": [{name: None if gradient is None else gradient.clone() for name, gradient in one.items()} for one in results],
        "collectives": counts,
        "state": transform.statistics(),
        "again": again,
        "norms": [tensor.raw_norm for tensor in transform.report().tensors],
        "backend": transform.backend_name(),
    }
    for _, parameter in named:
        if parameter.grad is not None:
            parameter.grad.data.mul_(3.0)  # which no version shows
    result["new"] = error_of(transform.step)
    return result


def is_missing(rank: int, step: int, name: str) -> bool:
    """One process alone has no gradient of a parameter, all have none of another."""
    return (name == "0.weight" and step == 2 and rank == 0) or (name == "2.weight" and step == 1)


def divider(world: int) -> Callable[[str, torch.Tensor], torch.Tensor]:
    """Makes DTensors, by the name of the parameter."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (world,))

    def divide(name: str, tensor: torch.Tensor) -> torch.Tensor:
        # Rows, columns, or not at all: 16 rows and 6 columns do not all divide by 3.
        placement = {"0.weight": Shard(0), "2.weight": Shard(1), "2.bias": Replicate()}.get(name, Shard(0))
        return distribute_tensor(tensor, mesh, [placement])

    return divide


def fused_dtensors(world: int, make: Callable[[Any], Any], dtype: torch.dtype) -> dict[str, Any]:
    """As `fused_whole`, over DTensors."""
    divide = divider(world)
    new = lambda: [(name, nn.Parameter(divide(name, value))) for name, value in start_values(dtype).items()]  # noqa: E731
    named = new()
    optimizer = make(named)
    counts = []
    for step in range(STEPS):
        with CountedCollectives() as collectives:
            step_of(optimizer, named, step, divide)
        counts.append(collectives.count)
    backend = optimizer.backend_name()
    version = named[0][1]._version
    # Another optimizer goes on from the saved state as this one does.
    other = new()
    with torch.no_grad():
        for (_, to), (_, source) in zip(other, named):
            to.copy_(source)
    restored = make(other)
    restored.load_state_dict(optimizer.state_dict())
    trained = {name: parameter.full_tensor().detach().clone() for name, parameter in named}
    for one, its in ((optimizer, named), (restored, other)):
        step_of(one, its, STEPS, divide)
    foreign = optimizer.state_dict()
    foreign["gradient_stabilizer"]["names"] = ["another", *foreign["gradient_stabilizer"]["names"][1:]]
    plain = optimizer.plain_state_dict()["state"]
    return {
        "values": trained,
        "collectives": counts,
        "backend": backend,
        "is known to be written": named[0][1]._version > version,
        "goes on": all(torch.equal(a.to_local(), b.to_local()) for (_, a), (_, b) in zip(named, other)),
        "whole state": error_of(lambda: restored.load_state_dict(fused_whole(make, dtype)[1].state_dict())),
        "refused": {
            "foreign": error_of(lambda: restored.load_state_dict(foreign)),
            "backward": error_of(lambda: gs.optimizer_in_backward(make_model(), optimizer)),
            "pickle": error_of(lambda: optimizer.__getstate__()),
            "adam_mini": error_of(lambda: gs.optim.AdamMini(named)),
            "agc": error_of(lambda: gs.optim.AdamW(named, transform=gs.agc())),
        },
        "plain": {index: {key: whole_tensor(value) for key, value in entry.items()} for index, entry in plain.items()},
    }


def whole_tensor(value: Any) -> Any:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def plain_state_moves(world: int) -> dict[str, Any]:
    """AdamW's state from one process into DTensors, and from there into DTensors that are divided otherwise."""
    from torch.distributed.tensor import Replicate

    trained, whole_optimizer = fused_whole(optimizers()["adamw"], torch.float32)
    divide = divider(world)
    named = [(name, nn.Parameter(divide(name, value))) for name, value in trained.items()]
    sharded = gs.optim.AdamW(named, lr=1e-2)
    sharded.load_state_dict(whole_optimizer.plain_state_dict())
    copies = [(name, nn.Parameter(p.detach().redistribute(p.device_mesh, [Replicate()]))) for name, p in named]
    replicated = gs.optim.AdamW(copies, lr=1e-2)
    replicated.load_state_dict(sharded.plain_state_dict())
    back = gs.optim.AdamW([(name, nn.Parameter(value.clone())) for name, value in trained.items()], lr=1e-2)
    back.load_state_dict(sharded.plain_state_dict())
    expected = whole_optimizer.plain_state_dict()["state"]
    same = lambda one: all(  # noqa: E731
        torch.equal(whole_tensor(value), expected[index][key])
        for index, entry in one.plain_state_dict()["state"].items()
        for key, value in entry.items()
    )
    return {
        "sharded": same(sharded),
        "replicated": same(replicated),
        "back": same(back),
        "is divided": hasattr(sharded.plain_state_dict()["state"][0]["exp_avg"], "placements"),
        "entries": len(sharded.plain_state_dict()["state"]),
    }


def checkpointed(world: int, folder: str) -> dict[str, Any]:
    """torch.distributed.checkpoint: of moments in DTensors, and of what its functions for torch's optimizers make."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    divide = divider(world)

    def trained(step: int) -> tuple[nn.ParameterDict, Any]:
        values = {name.replace(".", "_"): (name, value) for name, value in start_values(torch.float32).items()}
        model = nn.ParameterDict({key: nn.Parameter(divide(name, value)) for key, (name, value) in values.items()})
        optimizer = gs.optim.AdamW(model.named_parameters(), lr=1e-2)
        for key, (name, _) in values.items():
            model[key].grad = divide(name, full_gradients(step)[name].float())
        optimizer.step()
        return model, optimizer

    model, optimizer = trained(0)
    saved = optimizer.plain_state_dict()
    checkpoint.save({"optimizer": saved}, checkpoint_id=f"{folder}/checkpoint")
    other = trained(1)[1]
    loaded = other.plain_state_dict()
    equal = lambda a, b: all(  # noqa: E731
        torch.equal(whole_tensor(a["state"][index][key]), whole_tensor(value))
        for index, entry in b["state"].items()
        for key, value in entry.items()
    )
    before = equal(loaded, saved)
    checkpoint.load({"optimizer": loaded}, checkpoint_id=f"{folder}/checkpoint")
    other.load_state_dict(loaded)
    optimizer.zero_grad()
    names = set(get_optimizer_state_dict(model, optimizer)["state"])
    return {
        "before": before,
        "after": equal(other.plain_state_dict(), saved),
        "has all": names == {name for name, _ in model.named_parameters()},
        "untouched": equal(optimizer.plain_state_dict(), saved),
    }


def fused_parts(rank: int, world: int, make: Callable[[Any], Any]) -> dict[str, Any]:
    """Flat pieces of float32 parameters, with gradients that are missing in one process or in all."""

    def piece(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return (tensor.flatten().tensor_split(world)[rank] if tensor.numel() > 3 else tensor.flatten()[: 0 if rank else None]).clone()

    named = [(name, nn.Parameter(piece(name, value))) for name, value in start_values(torch.float32).items()]
    optimizer = make(named)
    for step in range(STEPS):
        missing = lambda name, gradient: None if is_missing(rank, step, name) else piece(name, gradient)  # noqa: E731, B023
        step_of(optimizer, named, step, missing)
    report = optimizer.report()
    return {
        "values": {name: parameter.detach() for name, parameter in named},
        "norms": [tensor.raw_norm for tensor in report.tensors],
        "factors": [tensor.factor for tensor in report.tensors],
        "backend": optimizer.backend_name(),
    }


def as_dtensors(rank: int, world: int, method: gs.Method) -> dict[str, Any]:
    divide = divider(world)
    named = [(name, nn.Parameter(divide(name, torch.zeros_like(value)))) for name, value in full_gradients(0).items()]
    transform = gs.GradientTransform(named, method)
    results, counts = [], []
    for step in range(STEPS):
        for name, parameter in named:
            parameter.grad = divide(name, full_gradients(step)[name])
        with CountedCollectives() as collectives:
            transform.step()
        counts.append(collectives.count)
        results.append({name: parameter.grad.full_tensor().clone() for name, parameter in named})
    restored = gs.GradientTransform(named, method)
    refused = error_of(lambda: restored.load_state_dict(whole(method)[1]))
    result = {
        "gradients": results,
        "collectives": counts,
        "state": transform.statistics(),
        "saved": transform.state_dict(),
        "whole state refused": refused,
        "again": error_of(transform.step),
    }
    for _, parameter in named:
        parameter.grad.to_local().data.mul_(3.0)  # which no version shows
    result["new"] = error_of(transform.step)
    return result


def scenarios(rank: int, world: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, method in METHODS.items():
        results[f"parts {name}"] = in_parts(rank, world, method)
    for backend in (gs.backends()[-1], "emulated"):
        for name in ("stabilize", "chain"):
            results[f"{name} {backend}"] = in_parts(rank, world, METHODS[name], torch.float32, backend, is_missing)
    for name in ("adamw", "adam chain", "spam"):
        for backend in (gs.backends()[-1], "emulated"):
            make = optimizers(shard_group=True, backend=backend)[name]
            results[f"fused parts {name} {backend}"] = fused_parts(rank, world, make)
    model = nn.parallel.DistributedDataParallel(make_model())
    optimizer = adamw(model.module)
    train(model, optimizer, rank, world)
    results["ddp"] = {"values": values(model.module), "state": optimizer.state_dict()["gradient_stabilizer"]["state"]}
    results["refused"] = [
        error_of(lambda: gs.GradientTransform(make_model().parameters(), method, shard_group=True))
        for method in (gs.clip_by_value(), gs.agc(), gs.clip_by_global_norm(1.0, 1.0), gs.stabilize(granularity="row"))
    ]
    if not TORCH2:
        return results
    for name, method in METHODS.items():
        results[f"dtensor {name}"] = as_dtensors(rank, world, method)
    for name, make in optimizers().items():
        results[f"fused {name}"] = fused_dtensors(world, make, torch.float64)
        results[f"fused {name} emulated"] = fused_dtensors(world, optimizers(backend="emulated")[name], torch.float32)
    results["plain state"] = plain_state_moves(world)
    if FULLY_SHARDS_ON_CPU:
        results["fsdp2"] = fsdp2(rank, world)
        results["fsdp2 fused"] = fsdp2_fused(rank, world)
    results["fsdp1"] = fsdp1(rank, world)
    return results


def fsdp2(rank: int, world: int) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = make_model()
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    optimizer = adamw(model)
    train(model, optimizer, rank, world)
    return {
        "values": [parameter.full_tensor().detach() for parameter in model.parameters()],
        "state": optimizer.state_dict()["gradient_stabilizer"]["state"],
        "copy": error_of(lambda: optimizer._engine.__getstate__()),
    }


def fsdp2_fused(rank: int, world: int) -> list[torch.Tensor]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = make_model()
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    train(model, gs.optim.AdamW(model.named_parameters(), lr=1e-2), rank, world)
    return [parameter.full_tensor().detach() for parameter in model.parameters()]


def fsdp1(rank: int, world: int) -> dict[str, Any]:
    from torch.distributed.fsdp import FullyShardedDataParallel

    make = lambda orig: FullyShardedDataParallel(  # noqa: E731
        make_model(), device_id=torch.device("cpu"), use_orig_params=orig
    )
    model = make(True)
    optimizer = adamw(model, shard_group=True)
    train(model, optimizer, rank, world)
    with FullyShardedDataParallel.summon_full_params(model):
        trained = values(model)
    again = make(True)
    train(again, gs.optim.AdamW(again.named_parameters(), lr=1e-2, shard_group=True), rank, world)
    with FullyShardedDataParallel.summon_full_params(again):
        fused = values(again)
    return {
        "values": trained,
        "fused": fused,
        "no group": error_of(lambda: adamw(make(True))),
        "flat": error_of(lambda: adamw(make(False), shard_group=True)),
    }


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    results = scenarios(rank, world)
    if TORCH2:
        results["checkpointed"] = checkpointed(world, folder)
    torch.save(results, pathlib.Path(folder) / f"rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
