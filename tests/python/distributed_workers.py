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
    return {
        "gradients": results,
        "collectives": counts,
        "state": transform.statistics(),
        "again": again,
        "norms": [tensor.raw_norm for tensor in transform.report().tensors],
        "backend": transform.backend_name(),
    }


def is_missing(rank: int, step: int, name: str) -> bool:
    """One process alone has no gradient of a parameter, all have none of another."""
    return (name == "0.weight" and step == 2 and rank == 0) or (name == "2.weight" and step == 1)


def as_dtensors(rank: int, world: int, method: gs.Method) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (world,))

    def divide(name: str, tensor: torch.Tensor) -> torch.Tensor:
        # Rows, columns, or not at all: 16 rows and 6 columns do not all divide by 3.
        placement = {"0.weight": Shard(0), "2.weight": Shard(1), "2.bias": Replicate()}.get(name, Shard(0))
        return distribute_tensor(tensor, mesh, [placement])

    named = [(name, nn.Parameter(divide(name, torch.zeros_like(value)))) for name, value in full_gradients(0).items()]
    transform = gs.GradientTransform(named, method)
    results, counts = [], []
    for step in range(STEPS):
        for name, parameter in named:
            parameter.grad = divide(name, full_gradients(step)[name])
        with CountedCollectives() as collectives:
            transform.step()
        counts.append(collectives.count)
        results.append({name: parameter.grad.full_tensor() for name, parameter in named})
    restored = gs.GradientTransform(named, method)
    refused = error_of(lambda: restored.load_state_dict(whole(method)[1]))
    return {
        "gradients": results,
        "collectives": counts,
        "state": transform.statistics(),
        "saved": transform.state_dict(),
        "whole state refused": refused,
        "fused": error_of(lambda: gs.optim.AdamW(named).step()),
        "again": error_of(transform.step),
    }


def scenarios(rank: int, world: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, method in METHODS.items():
        results[f"parts {name}"] = in_parts(rank, world, method)
    for backend in (gs.backends()[-1], "emulated"):
        for name in ("stabilize", "chain"):
            results[f"{name} {backend}"] = in_parts(rank, world, METHODS[name], torch.float32, backend, is_missing)
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
    if FULLY_SHARDS_ON_CPU:
        results["fsdp2"] = fsdp2(rank, world)
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
    return {
        "values": trained,
        "no group": error_of(lambda: adamw(make(True))),
        "flat": error_of(lambda: adamw(make(False), shard_group=True)),
    }


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    torch.save(scenarios(rank, world), pathlib.Path(folder) / f"rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
