"""What each process of test_distributed_state.py does: saves the state of an optimizer of sharded or shared parameters by
torch's own tools, loads it into a fresh one, and returns what the test compares."""

from __future__ import annotations

import copy
import pathlib
from typing import Any, Callable

import backend_choice
import torch
import torch.distributed as dist
from distributed_workers import FULLY_SHARDS_ON_CPU, METHODS, TORCH2, batch, error_of, train, whole_tensor
from support import make_model
from torch import nn

import gradient_stabilizer as gs

backend_choice.take_chosen()

PREFIX = "gradient_stabilizer."

#: Of every kind whose parameters can be in parts.
MAKERS: dict[str, Callable[[nn.Module], Any]] = {
    "AdamW": lambda model: gs.optim.AdamW(model.named_parameters(), lr=1e-2),
    "Adam chain": lambda model: gs.optim.Adam(
        model.named_parameters(), lr=1e-2, amsgrad=True, reset_interval=4, transform=METHODS["chain"]
    ),
    "SGD groups": lambda model: gs.optim.SGD(
        model.named_parameters(), lr=1e-2, momentum=0.9, transform=gs.stabilize(granularity="group", groups={"b": ["*bias"]})
    ),
    "SGD": lambda model: gs.optim.SGD(model.named_parameters(), lr=1e-2, transform=gs.zclip(warmup_steps=2, max_norm=1e9)),
    "Lion": lambda model: gs.optim.Lion(model.named_parameters(), lr=1e-2),
    "SPAM": lambda model: gs.optim.SPAM(model.named_parameters(), lr=1e-2, reset_interval=4, quiet_steps=3),
    "wrap(AdamW)": lambda model: gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2), named_parameters=model.named_parameters()),
    "wrap(SGD)": lambda model: gs.wrap(torch.optim.SGD(model.parameters(), lr=1e-2), gs.adagc(warmup_steps=2)),
}


def local(state: Any) -> Any:
    """With this process's part in the place of DTensors."""
    if hasattr(state, "to_local"):
        return state.to_local().clone()
    if isinstance(state, dict):
        return {key: local(value) for key, value in state.items()}
    return state.clone() if isinstance(state, torch.Tensor) else state


def whole(state: Any) -> Any:
    """With whole tensors in the place of DTensors."""
    if isinstance(state, dict):
        return {key: whole(value) for key, value in state.items()}
    return whole_tensor(state)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    return a == b


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [local(parameter.detach()) for parameter in model.parameters()]


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b)))


def sharded(world: int, seed: int = 0) -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = make_model(seed)
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    return model


def copy_weights(source: nn.Module, to: nn.Module) -> None:
    with torch.no_grad():
        for a, b in zip(source.parameters(), to.parameters()):
            b.copy_(a)


def shared(world: int, seed: int = 0) -> nn.Module:
    return nn.parallel.DistributedDataParallel(make_model(seed))


def by_torchs_tools(
    make: Callable[[nn.Module], Any],
    build: Callable[..., nn.Module],
    rank: int,
    world: int,
    folder: pathlib.Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Into a fresh optimizer of a fresh model, by get_optimizer_state_dict, save, load and set_optimizer_state_dict."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_optimizer_state_dict,
        set_optimizer_state_dict,
    )

    options = StateDictOptions(**settings)
    model = build(world)
    optimizer = make(model)
    train(model, optimizer, rank, world)
    optimizer.zero_grad()
    saved = get_optimizer_state_dict(model, optimizer, options=options)
    checkpoint.save({"optimizer": saved}, checkpoint_id=str(folder))
    twin = build(world, 7)
    copy_weights(model, twin)
    fresh = make(twin)
    into = get_optimizer_state_dict(twin, fresh, options=options)
    checkpoint.load({"optimizer": into}, checkpoint_id=str(folder))
    set_optimizer_state_dict(twin, fresh, into, options=options)
    state, its = local(optimizer.state_dict()["state"]), local(fresh.state_dict()["state"])
    result = {"state": same(state, its), "is there": bool(state), "statistics": statistics(state)}
    train(model, optimizer, rank, world)
    train(twin, fresh, rank, world)
    return {**result, "goes on": same_weights(model, twin)}


def statistics(state: dict[Any, Any]) -> dict[str, float]:
    first = state[min(state)] if state else {}
    return {key[len(PREFIX) :]: float(value) for key, value in first.items() if key.startswith(PREFIX)}


def for_one_process(rank: int, world: int, folder: pathlib.Path) -> dict[str, Any]:
    """Saved by these processes, to be loaded by one."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    results = {}
    for name in ("AdamW", "wrap(AdamW)"):
        model = sharded(world)
        optimizer = MAKERS[name](model)
        train(model, optimizer, rank, world)
        optimizer.zero_grad()
        saved = {"optimizer": get_optimizer_state_dict(model, optimizer), "model": model.state_dict()}
        checkpoint.save(saved, checkpoint_id=str(folder / name))
        results[name] = whole(optimizer.state_dict()["state"])
    return results


def direct(name: str, rank: int, world: int, folder: pathlib.Path) -> dict[str, Any]:
    """checkpoint.save and load of what state_dict gives."""
    from torch.distributed import checkpoint

    make = MAKERS[name]
    model = sharded(world)
    optimizer = make(model)
    train(model, optimizer, rank, world)
    results = {}
    for form in ("state_dict", "plain_state_dict"):
        if not hasattr(optimizer, form):
            continue
        checkpoint.save({"optimizer": getattr(optimizer, form)()}, checkpoint_id=str(folder / form))
        twin = sharded(world, 7)
        fresh = make(twin)
        into = getattr(fresh, form)()
        checkpoint.load({"optimizer": into}, checkpoint_id=str(folder / form))
        results[f"{form} fresh"] = error_of(lambda: fresh.load_state_dict(into))  # noqa: B023
        train(twin, fresh, rank, world)
        into = getattr(fresh, form)()
        checkpoint.load({"optimizer": into}, checkpoint_id=str(folder / form))
        fresh.load_state_dict(into)
        a, b = (local(getattr(each, form)()["state"]) for each in (optimizer, fresh))
        results[f"{form} stepped"] = same(a, b)
    return results


def saved_by_another(rank: int, world: int, folder: pathlib.Path) -> dict[str, str]:
    """A file of another process, of DTensors and of parts."""
    model = sharded(world)
    optimizer = MAKERS["AdamW"](model)
    train(model, optimizer, rank, world)
    named = parts(rank, world)
    of_parts = gs.optim.AdamW(named, lr=1e-2, shard_group=True)
    step_parts(of_parts, named, rank, world)
    results = {}
    for name, its in (("dtensor", optimizer), ("parts", of_parts)):
        torch.save(its.state_dict(), folder / f"{name}{rank}.pt")
        dist.barrier()
        load = lambda number: torch.load(folder / f"{name}{number}.pt", weights_only=False)  # noqa: E731, B023
        results[name] = error_of(lambda: its.load_state_dict(load((rank + 1) % world)))  # noqa: B023
        results[f"{name} own"] = error_of(lambda: its.load_state_dict(load(rank)))  # noqa: B023
    return results


def parts(rank: int, world: int, seed: int = 0) -> list[tuple[str, nn.Parameter]]:
    """Flat pieces of the parameters, of which the last process has none of the smallest."""
    piece = lambda value: value.detach().flatten().tensor_split(world)[rank].clone()  # noqa: E731
    named = [(name, nn.Parameter(piece(value))) for name, value in make_model(seed).named_parameters()]
    return [*named, ("last", nn.Parameter(torch.ones(0 if rank else 1)))]


def step_parts(optimizer: Any, named: list[tuple[str, nn.Parameter]], rank: int, world: int, start: int = 0) -> None:
    for step in range(start, start + 3):
        for index, (_, parameter) in enumerate(named):
            generator = torch.Generator().manual_seed(100 * step + 10 * index + rank)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


def of_parts(rank: int, world: int, folder: pathlib.Path) -> dict[str, Any]:
    """Parts that the caller has made: nobody else knows them, and each process's state is its own."""
    from torch.distributed import checkpoint

    named, others = parts(rank, world), parts(rank, world, 7)
    make = lambda its: gs.optim.AdamW(its, lr=1e-2, shard_group=True)  # noqa: E731
    optimizer, fresh = make(named), make(others)
    step_parts(optimizer, named, rank, world)
    checkpoint.save({"optimizer": optimizer.state_dict()}, checkpoint_id=str(folder))
    into = fresh.state_dict()
    checkpoint.load({"optimizer": into}, checkpoint_id=str(folder))
    refused = error_of(lambda: fresh.load_state_dict(into))
    step_parts(fresh, others, rank, world, 50)
    into = fresh.state_dict()
    checkpoint.load({"optimizer": into}, checkpoint_id=str(folder))
    fresh.load_state_dict(into)
    state = same(optimizer.state_dict()["state"], fresh.state_dict()["state"])
    with torch.no_grad():
        for (_, a), (_, b) in zip(named, others):
            b.copy_(a)
    step_parts(optimizer, named, rank, world, 3)
    step_parts(fresh, others, rank, world, 3)
    return {
        "refused": refused,
        "state": state,
        "goes on": all(torch.equal(a, b) for (_, a), (_, b) in zip(named, others)),
        "labels": sorted({label for entry in optimizer.state_dict()["state"].values() for label in entry}),
    }


def fsdp1(name: str, rank: int, world: int) -> dict[str, Any]:
    """The older FullyShardedDataParallel's own functions, with a state that moves over whole parameters."""
    from torch.distributed.fsdp import FullyShardedDataParallel as Sharded

    def build(seed: int = 0) -> tuple[nn.Module, Any]:
        model = Sharded(make_model(seed), device_id=torch.device("cpu"), use_orig_params=True)
        if name == "gs.optim":
            return model, gs.optim.AdamW(model.named_parameters(), lr=1e-2, shard_group=True)
        inner = torch.optim.AdamW(model.parameters(), lr=1e-2)
        if name == "torch alone":
            return model, inner
        return model, gs.wrap(inner, named_parameters=model.named_parameters(), shard_group=True)

    model, optimizer = build()
    train(model, optimizer, rank, world)
    state = Sharded.optim_state_dict(model, optimizer)
    twin, fresh = build(7)
    with Sharded.summon_full_params(model), Sharded.summon_full_params(twin):
        copy_weights(model, twin)
    fresh.load_state_dict(Sharded.optim_state_dict_to_load(twin, fresh, copy.deepcopy(state)))
    again = Sharded.optim_state_dict(twin, fresh)
    statistic = {key: value.tolist() for key, value in statistics_of(optimizer).items()}
    its = {key: value.tolist() for key, value in statistics_of(fresh).items()}
    train(model, optimizer, rank, world)
    train(twin, fresh, rank, world)
    return {
        "shapes": {key: tuple(entry["exp_avg"].shape) for key, entry in whole(state["state"]).items()} if rank == 0 else {},
        "state": same(whole(state["state"]), whole(again["state"])),
        "statistics": statistic == its,
        "norms": statistic,
        "goes on": same_weights(model, twin),
    }


def statistics_of(optimizer: Any) -> dict[str, torch.Tensor]:
    if isinstance(optimizer, torch.optim.AdamW):
        return {}
    if hasattr(optimizer, "statistics"):
        return optimizer.statistics()
    names, values = optimizer._native.statistics(list(range(len(optimizer.names))))
    return {f"{i}.{name}": value for i, pair in enumerate(zip(names, values)) for name, value in zip(*pair)}


def zero_redundancy(name: str, rank: int, world: int) -> dict[str, Any]:
    """Each process updates some of the parameters, and has the state of those."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    classes = {"AdamW": (gs.optim.AdamW, {}), "SGD": (gs.optim.SGD, {"momentum": 0.9}), "SPAM": (gs.optim.SPAM, {})}
    kind, settings = classes[name]

    def build(seed: int) -> tuple[nn.Module, Any]:
        model = nn.parallel.DistributedDataParallel(make_model(seed))
        return model, ZeroRedundancyOptimizer(model.parameters(), optimizer_class=kind, lr=1e-2, **settings)

    model, optimizer = build(0)
    train(model, optimizer, rank, world)
    optimizer.consolidate_state_dict(to=0)
    box = [optimizer.state_dict() if rank == 0 else None]
    dist.broadcast_object_list(box)
    twin, fresh = build(7)
    copy_weights(model, twin)
    fresh.load_state_dict(copy.deepcopy(box[0]))
    train(model, optimizer, rank, world)
    train(twin, fresh, rank, world)
    names = {0: "momentum_buffer"} if name == "SGD" else {0: "exp_avg", 1: "exp_avg_sq"}
    return {
        "parameters": sorted(box[0]["state"]),
        "names": all(key in entry for entry in box[0]["state"].values() for key in names.values()),
        "goes on": same_weights(model, twin),
    }


def scenarios(rank: int, world: int, folder: pathlib.Path) -> dict[str, Any]:
    results: dict[str, Any] = {f"zero {name}": zero_redundancy(name, rank, world) for name in ("AdamW", "SGD", "SPAM")}
    if not TORCH2:
        return results
    for name in ("gs.optim", "gs.wrap", "torch alone"):
        results[f"fsdp1 {name}"] = fsdp1(name, rank, world)
    results["parts"] = of_parts(rank, world, folder / "parts")
    for name, make in MAKERS.items():
        results[f"shared {name}"] = by_torchs_tools(make, shared, rank, world, folder / f"shared {name}", {})
    if not FULLY_SHARDS_ON_CPU:
        return results
    for name, make in MAKERS.items():
        results[f"sharded {name}"] = by_torchs_tools(make, sharded, rank, world, folder / f"sharded {name}", {})
    for name in ("AdamW", "wrap(AdamW)", "wrap(SGD)"):
        for key, settings in OPTIONS.items():
            if (name, key) == STATELESS:
                continue
            where = folder / f"{key} {name}"
            results[f"{key} {name}"] = by_torchs_tools(MAKERS[name], sharded, rank, world, where, settings)
    for name in ("AdamW", "SPAM", "wrap(AdamW)"):
        results[f"direct {name}"] = direct(name, rank, world, folder / f"direct {name}")
    results["for one"] = for_one_process(rank, world, folder / "for one")
    results["of another"] = saved_by_another(rank, world, folder)
    return results


#: What torch itself cannot do, nor with its own SGD: it asks the moments for their device, and there are none.
STATELESS = ("wrap(SGD)", "full")

OPTIONS = {
    "flat": {"flatten_optimizer_state_dict": True},
    "full": {"full_state_dict": True},
}


def work(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    torch.save(scenarios(rank, world, pathlib.Path(folder)), pathlib.Path(folder) / f"rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


__all__ = ["MAKERS", "OPTIONS", "batch", "work"]
