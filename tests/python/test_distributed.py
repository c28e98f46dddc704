"""Two and three processes that talk by Gloo against a single one."""

from __future__ import annotations

import pathlib
from typing import Any

import distributed_workers as workers
import pytest
import torch
import torch.multiprocessing as processes
from support import make_model, values

import gradient_stabilizer as gs

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed")
torch2 = pytest.mark.skipif(
    not workers.TORCH2, reason="torch 1.13 has no DTensor, and its FullyShardedDataParallel wants CUDA"
)
METHODS = list(workers.METHODS)


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What every process returned."""
    folder = tmp_path_factory.mktemp(f"world{request.param}")
    processes.spawn(workers.work, (request.param, str(folder)), nprocs=request.param)
    load = lambda path: torch.load(path, **({"weights_only": False} if workers.TORCH2 else {}))  # noqa: E731
    return [load(pathlib.Path(folder) / f"rank{rank}.pt") for rank in range(request.param)]


def single() -> tuple[list[torch.Tensor], torch.Tensor]:
    """The training in one process: parameters, and the state of the transform."""
    model = make_model()
    optimizer = workers.adamw(model)
    workers.train(model, optimizer, 0, 1)
    return values(model), optimizer.state_dict()["gradient_stabilizer"]["state"]


def assert_trained_alike(results: list[torch.Tensor]) -> None:
    # AdamW's first steps are of the size of lr whatever the gradient, so float32 sums in another order show as parts
    # of lr; a transform left out shows as whole ones.
    for got, expected in zip(results, single()[0]):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
    plain = make_model()
    workers.train(plain, torch.optim.AdamW(plain.parameters(), lr=1e-2), 0, 1)
    assert max((a - b).abs().max().item() for a, b in zip(results, values(plain))) > 1e-3


def assert_same(got: torch.Tensor, expected: torch.Tensor) -> None:
    # Norms are equal to a few units in the last place of float64 whatever the order of the sum.
    torch.testing.assert_close(got, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_parts_give_the_gradients_of_the_whole(ranks: list[dict[str, Any]], name: str) -> None:
    expected, _ = workers.whole(workers.METHODS[name])
    for step in range(workers.STEPS):
        for parameter, whole in expected[step].items():
            pieces = [rank[f"parts {name}"]["gradients"][step][parameter] for rank in ranks]
            together = torch.cat([piece for piece in pieces if piece is not None])
            assert_same(together, whole.flatten())


def test_a_part_by_itself_would_be_scaled_otherwise() -> None:
    """Negative control of the test above."""
    gradients = workers.full_gradients(0)
    part = torch.nn.Parameter(torch.zeros(8, 6, dtype=torch.float64))
    part.grad = gradients["0.weight"][:8].clone()
    gs.GradientStabilizer([part]).step()
    expected = workers.whole(gs.stabilize())[0][0]["0.weight"][:8]
    with pytest.raises(AssertionError):
        assert_same(part.grad, expected)


@pytest.mark.parametrize("name", ["stabilize", "chain"])
def test_parts_on_devices_give_the_gradients_of_the_host(ranks: list[dict[str, Any]], name: str) -> None:
    """`stabilize` is decided on by the device, the chain by the host, from the norms of the device."""
    host, device = f"{name} {gs.backends()[-1]}", f"{name} emulated"
    for rank in ranks:
        ours, theirs = rank[device], rank[host]
        assert ours["backend"] == "emulated" and theirs["backend"] == gs.backends()[-1]
        assert ours["collectives"] == [1] * workers.STEPS
        assert ours["norms"] == pytest.approx(theirs["norms"], rel=1e-12, nan_ok=True)
        assert "already transformed" in ours["again"]
        assert ours["new"] == ""
        for key, value in ours["state"].items():
            assert torch.equal(value, ranks[0][device]["state"][key]), "the state is the same everywhere"
            torch.testing.assert_close(value, theirs["state"][key], rtol=1e-12, atol=0)
        for got, expected in zip(ours["gradients"], theirs["gradients"]):
            for name, gradient in expected.items():
                assert (gradient is None) == (got[name] is None)
                if gradient is not None:
                    torch.testing.assert_close(got[name], gradient, rtol=2**-23, atol=0)
    if name != "stabilize":
        return
    # The parameter that one process misses once has been seen in every step; the one that all miss has not.
    seen = dict(zip(list(workers.full_gradients(0)), ranks[0][device]["state"]["0.stabilize.k"].tolist()))
    assert seen == {"0.weight": workers.STEPS - 1, "0.bias": workers.STEPS, "2.weight": workers.STEPS - 1, "2.bias": workers.STEPS}


def test_norms_of_a_parameter_without_elements_are_decided_on() -> None:
    native = gs.stabilize().make("skip_tensor", "")
    native.bind_shapes(["some", "none"], [[3], [0, 2]], [], [])
    assert native.decide(torch.tensor([4.0, 0.0], dtype=torch.float64)).tolist() == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize("kind", ["parts", pytest.param("dtensor", marks=torch2)])
@pytest.mark.parametrize("name", METHODS)
def test_there_is_one_collective_per_step_and_the_state_is_the_same_everywhere(
    ranks: list[dict[str, Any]], name: str, kind: str
) -> None:
    for rank in ranks:
        mine = rank[f"{kind} {name}"]
        assert mine["collectives"] == [1] * workers.STEPS
        assert "already transformed" in mine["again"]
        assert mine["new"] == ""
        for key, value in mine["state"].items():
            assert torch.equal(value, ranks[0][f"{kind} {name}"]["state"][key])
    if name == "stabilize":
        # The NaN is in one process's part alone, and counted in all (row 21 of the released defects).
        assert ranks[0][f"{kind} {name}"]["state"]["0.stabilize.skipped"].tolist() == [1, 0, 0, 0]


def test_data_parallel_training_equals_a_single_process(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert_trained_alike(rank["ddp"]["values"])
        assert torch.equal(rank["ddp"]["state"], ranks[0]["ddp"]["state"])


def test_methods_that_need_whole_gradients_are_refused(ranks: list[dict[str, Any]]) -> None:
    for message, name in zip(
        ranks[0]["refused"], ("clip_by_value", "adaptive_clip", "clip_by_global_norm", "stabilize")
    ):
        assert message.startswith("TypeError") and name in message


@torch2
@pytest.mark.parametrize("name", METHODS)
def test_dtensors_give_the_gradients_and_the_state_of_the_whole(ranks: list[dict[str, Any]], name: str) -> None:
    expected, state = workers.whole(workers.METHODS[name])
    for rank in ranks:
        mine = rank[f"dtensor {name}"]
        for step in range(workers.STEPS):
            for parameter, whole in expected[step].items():
                assert_same(mine["gradients"][step][parameter], whole)
        assert mine["whole state refused"] == ""
    # The state of the sharded run goes on in a single process.
    zeros = [(key, torch.nn.Parameter(torch.zeros_like(value))) for key, value in expected[0].items()]
    transform = gs.GradientTransform(zeros, workers.METHODS[name])
    transform.load_state_dict(ranks[0][f"dtensor {name}"]["saved"])
    reference = gs.GradientTransform(zeros, workers.METHODS[name])
    reference.load_state_dict(state)
    for key, value in reference.statistics().items():
        assert_same(transform.statistics()[key], value)


@pytest.mark.skipif(
    not workers.FULLY_SHARDS_ON_CPU, reason="fully_shard of this torch does not work on the CPU, or is not there"
)
def test_fully_shard_equals_a_single_process(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert_trained_alike(rank["fsdp2"]["values"])
        assert_trained_alike(rank["fsdp2 fused"])
        assert "state_dict" in rank["fsdp2"]["copy"]
        assert torch.equal(rank["fsdp2"]["state"], ranks[0]["fsdp2"]["state"])
    # Saved sharded, loaded into an optimizer of whole parameters.
    model = make_model()
    optimizer = workers.adamw(model)
    state = optimizer.state_dict()
    state["gradient_stabilizer"]["state"] = ranks[0]["fsdp2"]["state"]
    optimizer.load_state_dict(state)
    assert optimizer.statistics()["0.stabilize.k"].tolist() == [workers.STEPS] * 4


@torch2
def test_the_older_fully_sharded_data_parallel_equals_a_single_process(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert_trained_alike(rank["fsdp1"]["values"])
        assert_trained_alike(rank["fsdp1"]["fused"])
        assert rank["fsdp1"]["no group"].startswith("ValueError") and "shard_group" in rank["fsdp1"]["no group"]
        assert rank["fsdp1"]["flat"].startswith("TypeError") and "use_orig_params" in rank["fsdp1"]["flat"]


KINDS = list(workers.optimizers())


@torch2
@pytest.mark.parametrize("name", KINDS)
def test_fused_optimizers_over_dtensors_equal_a_single_process(ranks: list[dict[str, Any]], name: str) -> None:
    expected, single_optimizer = workers.fused_whole(workers.optimizers()[name], torch.float64)
    plain = single_optimizer.plain_state_dict()["state"]
    for rank in ranks:
        mine = rank[f"fused {name}"]
        # Factors agree to a few units in the last place of float64, and steps are of the size of lr.
        for key, value in expected.items():
            torch.testing.assert_close(mine["values"][key], value, rtol=1e-12, atol=1e-13)
        assert mine["collectives"] == [1] * workers.STEPS
        assert mine["goes on"] and mine["is known to be written"]
        assert mine["whole state"] == "", "that of one process fits"
        assert set(mine["plain"]) == set(plain)


@pytest.mark.parametrize("name", ["adamw", "adam chain"])
def test_a_part_by_itself_would_be_updated_otherwise(name: str) -> None:
    """Negative control of the test above."""
    expected, _ = workers.fused_whole(workers.optimizers()[name], torch.float64)
    part = torch.nn.Parameter(workers.start_values(torch.float64)["0.weight"][:8].clone())
    optimizer = workers.optimizers()[name]([("0.weight", part)])
    for step in range(workers.STEPS):
        workers.step_of(optimizer, [("0.weight", part)], step, lambda _, gradient: gradient[:8])
    with pytest.raises(AssertionError):
        torch.testing.assert_close(part.detach(), expected["0.weight"][:8], rtol=1e-6, atol=1e-6)


@torch2
@pytest.mark.parametrize("name", KINDS)
def test_fused_optimizers_over_dtensors_on_devices(ranks: list[dict[str, Any]], name: str) -> None:
    expected, _ = workers.fused_whole(workers.optimizers(backend="emulated")[name], torch.float32)
    for rank in ranks:
        mine = rank[f"fused {name} emulated"]
        assert mine["backend"] == "emulated"
        # Factors agree to 1e-11, which float32 shows in its last place or not at all.
        for key, value in expected.items():
            torch.testing.assert_close(mine["values"][key], value, rtol=2**-21, atol=2**-24)
        assert mine["collectives"] == [1] * workers.STEPS
        assert mine["goes on"]


@torch2
def test_what_fused_optimizers_over_dtensors_refuse(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        refused = rank["fused adamw"]["refused"]
        assert refused["foreign"].startswith("ValueError") and "another" in refused["foreign"]
        assert refused["backward"].startswith("TypeError: the parameters are sharded")
        assert refused["pickle"].startswith("TypeError: an optimizer of sharded parameters")
        assert refused["adam_mini"].startswith("TypeError: Adam-mini")
        assert refused["agc"].startswith("TypeError: adaptive_clip")


@torch2
def test_plain_state_moves_between_shardings(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        assert rank["plain state"] == {
            "sharded": True, "replicated": True, "back": True, "is divided": True, "entries": 4,
        }  # fmt: skip


@torch2
def test_torch_distributed_checkpoint_takes_plain_state_and_makes_no_step(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        mine = rank["checkpointed"]
        assert (mine["before"], mine["after"], mine["untouched"], mine["has all"]) == (False, True, True, True)


@pytest.mark.parametrize("name", ["adamw", "adam chain", "spam"])
def test_fused_optimizers_over_parts_with_missing_gradients(ranks: list[dict[str, Any]], name: str) -> None:
    host, device = f"fused parts {name} {gs.backends()[-1]}", f"fused parts {name} emulated"
    for rank in ranks:
        ours, theirs = rank[device], rank[host]
        assert ours["backend"] == "emulated" and theirs["backend"] == gs.backends()[-1]
        assert theirs["factors"] == ranks[0][host]["factors"], "the decision is the same everywhere"
        assert theirs["norms"] == ranks[0][host]["norms"]
        assert ours["factors"] == pytest.approx(theirs["factors"], rel=1e-10)
        for key, value in theirs["values"].items():
            torch.testing.assert_close(ours["values"][key], value, rtol=2**-20, atol=2**-22)
