"""State that torch's tools save and load in two processes (and from two for one): complete, exact, or refused in words."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import state_workers as workers
import torch
import torch.multiprocessing as processes
from support import make_model

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
torch2 = pytest.mark.skipif(not workers.TORCH2, reason="torch 1.13 has no torch.distributed.checkpoint.state_dict")
fully_shards = pytest.mark.skipif(
    not workers.FULLY_SHARDS_ON_CPU, reason="fully_shard of this torch does not work on the CPU, or is not there"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def ranks(folder: pathlib.Path) -> list[dict[str, Any]]:
    """What both processes returned."""
    processes.spawn(workers.work, (2, str(folder)), nprocs=2)
    load = lambda path: torch.load(path, **({"weights_only": False} if workers.TORCH2 else {}))  # noqa: E731
    return [load(folder / f"rank{rank}.pt") for rank in range(2)]


@torch2
@pytest.mark.parametrize("name", workers.MAKERS)
@pytest.mark.parametrize("how", ["shared", pytest.param("sharded", marks=fully_shards)])
def test_get_and_set_optimizer_state_dict_keep_everything(ranks: list[dict[str, Any]], how: str, name: str) -> None:
    for rank in ranks:
        mine = rank[f"{how} {name}"]
        assert mine["is there"] and mine["state"] and mine["goes on"]
        assert mine["statistics"]["updates"] == 6
        assert mine["statistics"] == ranks[0][f"{how} {name}"]["statistics"]


@fully_shards
@pytest.mark.parametrize("name", ["AdamW", "wrap(AdamW)", "wrap(SGD)"])
@pytest.mark.parametrize("how", workers.OPTIONS)
def test_they_do_so_with_torchs_options(ranks: list[dict[str, Any]], how: str, name: str) -> None:
    if (name, how) == workers.STATELESS:
        pytest.skip("torch itself cannot do it without moments")
    for rank in ranks:
        mine = rank[f"{how} {name}"]
        assert mine["is there"] and mine["state"] and mine["goes on"]


@fully_shards
@pytest.mark.parametrize("name", ["AdamW", "wrap(AdamW)"])
@pytest.mark.filterwarnings("ignore")
def test_one_process_goes_on_with_the_state_of_two(ranks: list[dict[str, Any]], folder: pathlib.Path, name: str) -> None:
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    model = make_model(9)
    optimizer = workers.MAKERS[name](model)
    into = {"optimizer": get_optimizer_state_dict(model, optimizer), "model": model.state_dict()}
    checkpoint.load(into, checkpoint_id=str(folder / "for one" / name))
    set_optimizer_state_dict(model, optimizer, into["optimizer"])
    assert workers.same(optimizer.state_dict()["state"], ranks[0]["for one"][name])


@fully_shards
@pytest.mark.parametrize("name", ["AdamW", "SPAM", "wrap(AdamW)"])
def test_what_checkpoint_reads_is_exact_and_what_it_does_not_read_is_noticed(
    ranks: list[dict[str, Any]], name: str
) -> None:
    for rank in ranks:
        mine = rank[f"direct {name}"]
        for form in ("state_dict", "plain_state_dict"):
            if f"{form} fresh" in mine and not (form == "plain_state_dict" and name == "SPAM"):
                assert "state of 4 parameters is missing" in mine[f"{form} fresh"]
                assert "get_optimizer_state_dict" in mine[f"{form} fresh"]
                assert mine[f"{form} stepped"]


@fully_shards
def test_the_file_of_another_process_is_refused(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        mine = rank["of another"]
        assert (mine["dtensor own"], mine["parts own"]) == ("", "")
        assert mine["dtensor"].startswith("ValueError: this is the state of other parts")
        assert mine["parts"].startswith("ValueError: this is the state of other parts")


@torch2
def test_parts_of_ones_own_are_saved_apart(ranks: list[dict[str, Any]]) -> None:
    for number, rank in enumerate(ranks):
        mine = rank["parts"]
        assert mine["state"] and mine["goes on"] and mine["labels"] == [f"part {number} of 2"]
        assert "is missing" in mine["refused"]


@torch2
@pytest.mark.parametrize("name", ["gs.optim", "gs.wrap"])
def test_the_older_fully_sharded_data_parallel_moves_state(ranks: list[dict[str, Any]], name: str) -> None:
    shapes = {key: tuple(value.shape) for key, value in make_model().named_parameters()}
    assert ranks[0][f"fsdp1 {name}"]["shapes"] == shapes
    for rank in ranks:
        mine = rank[f"fsdp1 {name}"]
        assert mine["state"] and mine["statistics"]
        assert mine["norms"] == ranks[0][f"fsdp1 {name}"]["norms"]
    if not all(rank["fsdp1 torch alone"]["goes on"] for rank in ranks):
        pytest.skip("optim_state_dict of this torch returns exp_avg_sq as exp_avg on the CPU, for torch's own AdamW too")
    assert all(rank[f"fsdp1 {name}"]["goes on"] for rank in ranks)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "SPAM"])
def test_zero_redundancy_optimizer_has_the_state_of_all(ranks: list[dict[str, Any]], name: str) -> None:
    for rank in ranks:
        mine = rank[f"zero {name}"]
        assert mine["parameters"] == [0, 1, 2, 3] and mine["names"] and mine["goes on"]
