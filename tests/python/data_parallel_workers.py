"""What each process of test_data_parallel.py does: trains under DistributedDataParallel with the optimizer in backward and
after it, and returns the parameters of both."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any, Callable

import backend_choice
import torch
import torch.distributed as dist
from distributed_workers import TORCH2, batch, error_of
from support import make_model, values
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import gradient_stabilizer as gs

backend_choice.take_chosen()

STEPS = 6
Loop = Callable[[nn.Module, Any, Callable[[], None], int, int], None]


class Branches(nn.Module):
    """Uses one of two layers, or both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor, use: str = "both") -> torch.Tensor:
        hidden = [layer(inputs) for name, layer in (("first", self.first), ("second", self.second)) if use in (name, "both")]
        return self.head(torch.stack(hidden).sum(0).tanh())


class TwoWrappers(nn.Module):
    """One part in a DistributedDataParallel of its own, and another behind it, whose gradients come first."""

    def __init__(self, static: bool) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = DistributedDataParallel(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), static_graph=static)
        self.head = DistributedDataParallel(nn.Linear(8, 3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(inputs))


def loss_of(model: nn.Module, step: int, rank: int, world: int, **arguments: Any) -> torch.Tensor:
    inputs, targets = (part.chunk(world)[rank] for part in batch(step))
    return (model(inputs, **arguments) - targets).square().mean() * (100.0 if step == 4 else 1.0)


def ordinary(model: nn.Module, stepper: Any, step: Callable[[], None], rank: int, world: int) -> None:
    for number in range(STEPS):
        loss_of(model, number, rank, world).backward()
        step()


def accumulate(model: nn.Module, stepper: Any, step: Callable[[], None], rank: int, world: int) -> None:
    """Two micro-steps without and one with an average."""
    for number in range(STEPS):
        with model.no_sync():
            for micro in range(2):
                loss_of(model, 10 * number + micro, rank, world).backward()
        loss_of(model, 10 * number + 2, rank, world).backward()
        step()


def forward_without_average(model: nn.Module, stepper: Any, step: Callable[[], None], rank: int, world: int) -> None:
    """What counts for DistributedDataParallel is where the forward is, not the backward."""
    for number in range(STEPS):
        with model.no_sync():
            loss = loss_of(model, 10 * number, rank, world)
        loss.backward()
        loss = loss_of(model, 10 * number + 1, rank, world)
        with model.no_sync(), torch.no_grad():
            loss_of(model, 99, rank, world)
        with model.no_sync():
            loss.backward()
        step()


def hold(model: nn.Module, stepper: Any, step: Callable[[], None], rank: int, world: int) -> None:
    """Averages that are held back: the next one is of what is there and of what comes."""
    for number in range(STEPS):
        if stepper is not None:
            stepper.hold()
        loss_of(model, 10 * number, rank, world).backward()
        if stepper is not None:
            stepper.hold(False)
        loss_of(model, 10 * number + 1, rank, world).backward()
        step()


def branches(model: nn.Module, stepper: Any, step: Callable[[], None], rank: int, world: int) -> None:
    """Processes use different parameters; in some steps nobody uses one of them."""
    for number in range(STEPS):
        use = ("first", "second") if number % 2 else ("first", "first")
        loss_of(model, number, rank, world, use=use[rank % 2]).backward()
        step()


def unfreeze(model: nn.Module, stepper: Any, step: Callable[[], None], rank: int, world: int) -> None:
    for number in range(STEPS):
        model.module[0].weight.requires_grad_(number >= 3)
        loss_of(model, number, rank, world).backward()
        step()


def compress(model: DistributedDataParallel) -> DistributedDataParallel:
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

    model.register_comm_hook(None, fp16_compress_hook)
    return model


class Checkpointed(nn.Module):
    """All of it, or all but the last layer, in one checkpoint."""

    def __init__(self, everything: bool) -> None:
        super().__init__()
        self.layers, self.everything = make_model(), everything

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inside, outside = (self.layers, []) if self.everything else (self.layers[:-1], self.layers[-1:])
        outputs = checkpoint(inside, inputs.clone().requires_grad_(True), use_reentrant=True)
        for layer in outside:
            outputs = layer(outputs)
        return outputs


WRAPPED: dict[str, tuple[Callable[[], nn.Module], Loop]] = {
    "plain": (lambda: DistributedDataParallel(make_model()), ordinary),
    "views of buckets": (lambda: DistributedDataParallel(make_model(), gradient_as_bucket_view=True), ordinary),
    "small buckets": (lambda: DistributedDataParallel(make_model(), bucket_cap_mb=1e-4), ordinary),
    "static graph": (lambda: DistributedDataParallel(make_model(), static_graph=True), ordinary),
    "communication hook": (lambda: compress(DistributedDataParallel(make_model())), ordinary),
    "two wrappers": (lambda: TwoWrappers(static=False), ordinary),
    "two wrappers, static": (lambda: TwoWrappers(static=True), ordinary),
    "no_sync": (lambda: DistributedDataParallel(make_model()), accumulate),
    "no_sync, views": (lambda: DistributedDataParallel(make_model(), gradient_as_bucket_view=True), accumulate),
    "forward in no_sync": (lambda: DistributedDataParallel(make_model()), forward_without_average),
    "hold": (lambda: DistributedDataParallel(make_model()), hold),
    "unused": (lambda: DistributedDataParallel(Branches(), find_unused_parameters=True), branches),
    "unfrozen": (lambda: DistributedDataParallel(make_model(), find_unused_parameters=True), unfreeze),
    "checkpoint": (lambda: DistributedDataParallel(Checkpointed(False)), ordinary),
}
if TORCH2:
    WRAPPED["compiled"] = (lambda: torch.compile(DistributedDataParallel(make_model()), backend="eager"), ordinary)
    WRAPPED["compiled, no_sync"] = (
        lambda: DistributedDataParallel(torch.compile(make_model(), backend="eager")),
        accumulate,
    )


def in_backward(name: str, rank: int, world: int) -> dict[str, Any]:
    make, loop = WRAPPED[name]
    model = make()
    stepper = gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)
    loop(model, stepper, lambda: None, rank, world)
    left = sum(parameter.grad is not None for parameter in model.parameters())
    return {"values": values(model), "gradients": left, "report": [one.present for one in stepper.report().tensors]}


def after_backward(name: str, rank: int, world: int) -> list[torch.Tensor]:
    make, loop = WRAPPED[name]
    model = make()
    optimizer = gs.optim.AdamW(model.named_parameters(), lr=1e-2)

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    loop(model, None, step, rank, world)
    return values(model)


def wrapped_afterwards() -> dict[str, Any]:
    """A model that DistributedDataParallel will have, and one that it has but that it is not."""
    model = make_model()
    before = values(model)
    inside = DistributedDataParallel(make_model())
    return {
        "refused": error_of(lambda: gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)),
        "inner model": error_of(lambda: gs.optimizer_in_backward(inside.module, gs.optim.AdamW, lr=1e-2)),
        "untouched": all(map(torch.equal, values(model), before)),
    }


def group_comes_later(folder: str, rank: int, world: int) -> dict[str, Any]:
    """The processes meet when backward already steps."""
    model = make_model()
    gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)
    meet(folder, rank, world)
    wrapped = DistributedDataParallel(model)
    before = values(model)
    error = error_of(lambda: loss_of(wrapped, 0, rank, world).backward())
    return {"refused": error, "untouched": all(map(torch.equal, values(model), before))}


def own_gradients(rank: int, world: int) -> list[torch.Tensor]:
    model = make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2, own_gradients=True)
    ordinary(model, stepper, lambda: None, rank, world)
    return values(model)


def nested(rank: int, world: int) -> dict[str, Any]:
    model = DistributedDataParallel(Checkpointed(True))
    gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)
    before = values(model)
    error = error_of(lambda: loss_of(model, 0, rank, world).backward())
    return {"refused": error, "untouched": all(map(torch.equal, values(model), before))}


def fully_sharded_afterwards(world: int) -> str:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = make_model()
    gs.optimizer_in_backward(model, gs.optim.AdamW, own_gradients=True)
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    return error_of(lambda: model(batch(0)[0]))


def older_fully_sharded_afterwards(use_orig_params: bool) -> str:
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = make_model()
    gs.optimizer_in_backward(model, gs.optim.AdamW, own_gradients=True)
    sharded = FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=use_orig_params)
    return error_of(lambda: sharded(batch(0)[0]).sum().backward())


def meet(folder: str, rank: int, world: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    results: dict[str, Any] = {"group later": group_comes_later(folder, rank, world)}
    for name in WRAPPED:
        results[name] = in_backward(name, rank, world)
        results[f"{name}, after"] = after_backward(name, rank, world)
    results["wrapped afterwards"] = wrapped_afterwards()
    results["own gradients"] = own_gradients(rank, world)
    results["nested"] = nested(rank, world)
    if TORCH2:
        from distributed_workers import FULLY_SHARDS_ON_CPU

        if FULLY_SHARDS_ON_CPU:
            results["fully_shard"] = fully_sharded_afterwards(world)
        results["older"] = [older_fully_sharded_afterwards(orig) for orig in (True, False)]
    torch.save(results, pathlib.Path(folder) / f"rank{rank}.pt")
    with contextlib.suppress(RuntimeError):
        dist.barrier()
    dist.destroy_process_group()
