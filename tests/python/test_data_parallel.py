"""The optimizer in backward under DistributedDataParallel: two processes that talk by Gloo."""

from __future__ import annotations

import pathlib
from typing import Any

import data_parallel_workers as workers
import pytest
import torch
import torch.multiprocessing as processes
from support import make_model, same_bits, values

import gradient_stabilizer as gs

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
WORLD = 2


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What every process returned."""
    folder = tmp_path_factory.mktemp("data_parallel")
    processes.spawn(workers.work, (WORLD, str(folder)), nprocs=WORLD)
    load = lambda path: torch.load(path, **({"weights_only": False} if workers.TORCH2 else {}))  # noqa: E731
    return [load(pathlib.Path(folder) / f"rank{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", workers.WRAPPED)
def test_steps_in_backward_are_made_with_the_averages(ranks: list[dict[str, Any]], name: str) -> None:
    """Bit for bit those of the same optimizer after backward, and so the same in all processes."""
    for rank in ranks:
        assert same_bits(rank[name]["values"], rank[f"{name}, after"])
        assert same_bits(rank[name]["values"], ranks[0][name]["values"])
        assert rank[name]["gradients"] == 0, "gradients are freed"
        assert all(rank[name]["report"])


def test_steps_with_what_each_process_has_would_differ(ranks: list[dict[str, Any]]) -> None:
    """Negative control of the test above, and what own_gradients is for."""
    apart, plain = [rank["own gradients"] for rank in ranks], ranks[0]["plain"]["values"]
    assert not same_bits(apart[0], apart[1])
    assert not same_bits(apart[0], plain)


def test_averages_that_come_from_elsewhere_are_refused_with_the_remedy(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for refused in (rank["wrapped afterwards"]["refused"], rank["wrapped afterwards"]["inner model"], rank["group later"]["refused"]):
            assert refused.startswith("RuntimeError: '0.weight' would be stepped with the gradient of one of 2 processes")
            assert "DistributedDataParallel(model) returned" in refused and "own_gradients=True" in refused
        assert rank["wrapped afterwards"]["untouched"] and rank["group later"]["untouched"]


def test_backward_within_backward_is_refused_before_anything_is_stepped(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["nested"]["refused"].startswith("RuntimeError") and "use_reentrant=False" in rank["nested"]["refused"]
        assert rank["nested"]["untouched"]


@pytest.mark.skipif(not workers.TORCH2, reason="torch 1.13 shards on CUDA only")
def test_parameters_that_are_sharded_afterwards_are_noticed(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for error in [*rank["older"], *([rank["fully_shard"]] if "fully_shard" in rank else [])]:
            assert error.startswith("RuntimeError: parameter ") and "fully_shard" in error


def alone(rank: int, folder: str) -> None:
    """A single process with a process group."""
    torch.set_num_threads(1)
    workers.meet(folder, 0, 1)
    outer = workers.in_backward("plain", 0, 1)
    inner = make_model()
    gs.optimizer_in_backward(inner, gs.optim.AdamW, lr=1e-2)
    workers.ordinary(torch.nn.parallel.DistributedDataParallel(inner), None, lambda: None, 0, 1)
    torch.save([outer["values"], values(inner), workers.after_backward("plain", 0, 1)], f"{folder}/alone.pt")


def test_of_a_single_process_either_order_is_right(tmp_path: pathlib.Path) -> None:
    processes.spawn(alone, (str(tmp_path),), nprocs=1)
    outer, inner, after = torch.load(tmp_path / "alone.pt")
    assert same_bits(outer, after)
    assert same_bits(inner, after)
