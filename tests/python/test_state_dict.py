"""state_dict and load_state_dict of optimizers: what is in them, what goes where, and what torch's own tools make of it.

Several processes: test_distributed_state.py.
"""

from __future__ import annotations

import copy
import io
from typing import Any, Callable

import pytest
import torch
from support import backward, make_model, same_bits, same_state, train, values
from torch import nn

import gradient_stabilizer as gs

TORCH2 = hasattr(torch, "compile")
PREFIX = "gradient_stabilizer."

OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "SGD": lambda model: gs.optim.SGD(model.named_parameters(), 0.05),
    "SGD momentum": lambda model: gs.optim.SGD(model.named_parameters(), 0.05, momentum=0.9, transform=gs.zclip(warmup_steps=2)),
    "Adam": lambda model: gs.optim.Adam(model.named_parameters(), 1e-2, amsgrad=True, transform=gs.adagc(warmup_steps=2)),
    "AdamW": lambda model: gs.optim.AdamW(model.named_parameters(), 1e-2),
    "AdamW groups": lambda model: gs.optim.AdamW(
        model.named_parameters(), 1e-2, transform=gs.stabilize(granularity="group", groups={"biases": ["*bias"]})
    ),
    "AdamW rows": lambda model: gs.optim.AdamW(model.named_parameters(), 1e-2, transform=gs.stabilize(granularity="row")),
    "AdamW model": lambda model: gs.optim.AdamW(
        model.named_parameters(), 1e-2, transform=gs.stabilize(granularity="model", robust_kappa=3.0)
    ),
    "Stable-SPAM": lambda model: gs.optim.AdamW(
        model.named_parameters(), 1e-2, reset_interval=3, transform=gs.chain(gs.adaptive_value_clip(), gs.adaptive_norm())
    ),
    "plain": lambda model: gs.optim.AdamW(model.named_parameters(), 1e-2, transform=None),
    "Lion": lambda model: gs.optim.Lion(model.named_parameters(), 1e-3, transform=gs.spike_aware_clip(quiet_steps=1)),
    "AdamMini": lambda model: gs.optim.AdamMini(model.named_parameters(), 1e-2, dim=16, n_heads=2),
    "SPAM": lambda model: gs.optim.SPAM(model.named_parameters(), 1e-2, reset_interval=3, quiet_steps=2),
}
WRAPPED: dict[str, Callable[[nn.Module], Any]] = {
    "wrap(AdamW)": lambda model: gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2)),
    "wrap(SGD)": lambda model: gs.wrap(torch.optim.SGD(model.parameters(), lr=0.05), named_parameters=model.named_parameters()),
    "wrap(SGD momentum)": lambda model: gs.wrap(
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), gs.chain(gs.zclip(warmup_steps=2), gs.stabilize())
    ),
    "wrap(Adagrad)": lambda model: gs.wrap(torch.optim.Adagrad(model.parameters()), gs.stabilize(granularity="row")),
}
ALL = {**OPTIMIZERS, **WRAPPED}


def through_a_file(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer)


def trained(make: Callable[[nn.Module], Any], steps: int = 5, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Any]:
    model = make_model(dtype=torch.float32).to(dtype)
    optimizer = make(model)
    train(model, optimizer, range(steps))
    return model, optimizer


def twin_of(model: nn.Module, make: Callable[[nn.Module], Any]) -> tuple[nn.Module, Any]:
    twin = copy.deepcopy(model)
    return twin, make(twin)


def goes_on(model: nn.Module, optimizer: Any, twin: nn.Module, its: Any, start: int = 5) -> bool:
    train(model, optimizer, range(start, start + 5))
    train(twin, its, range(start, start + 5))
    return same_bits(values(model), values(twin))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", ALL)
def test_a_fresh_optimizer_goes_on_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    if dtype == torch.bfloat16 and name in ("AdamMini", "wrap(Adagrad)"):
        dtype = torch.float32
    model, optimizer = trained(ALL[name], dtype=dtype)
    twin, its = twin_of(model, ALL[name])
    state = optimizer.state_dict()
    its.load_state_dict(through_a_file(state))
    assert same_state(its.state_dict(), state)
    assert goes_on(model, optimizer, twin, its)
    # Negative control.
    other, fresh = twin_of(trained(ALL[name], dtype=dtype)[0], ALL[name])
    train(other, fresh, range(5, 10))
    assert not same_bits(values(model), values(other))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_in_tensors_by_parameter_under_torchs_names(name: str) -> None:
    model, optimizer = trained(OPTIMIZERS[name])
    state = optimizer.state_dict()["state"]
    assert list(state) == [0, 1, 2, 3]
    for parameter, entry in zip(model.parameters(), state.values()):
        assert entry["step"].item() == 5
        for key, value in entry.items():
            assert isinstance(value, torch.Tensor)
            if key in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer"):
                assert value.shape == parameter.shape and value.dtype == parameter.dtype
            elif key.startswith(PREFIX):
                assert value.dtype == torch.float64
    keys = set(state[0])
    if name == "AdamW":
        assert PREFIX + "0.stabilize.m" in keys and state[0][PREFIX + "0.stabilize.k"] == 5
    # The names are those of torch's own optimizer.
    own = {"SGD momentum": torch.optim.SGD, "Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}.get(name)
    if own is not None:
        settings = {"momentum": 0.9} if own is torch.optim.SGD else {"amsgrad": name == "Adam"}
        plain = own(model.parameters(), lr=0.1, **settings)
        train(model, plain, range(1))
        its = {key for key in plain.state_dict()["state"][0] if not key.startswith("_")}
        assert its <= keys and all(key.startswith(PREFIX) or key == "step" for key in keys - its)


def test_statistics_are_complete_where_they_are_shown() -> None:
    model, optimizer = trained(WRAPPED["wrap(AdamW)"])
    assert optimizer.state_dict()["state"][0][PREFIX + "0.stabilize.m"] == optimizer.statistics()["0.stabilize.m"][0]
    inner = optimizer.optimizer
    assert not any(key.startswith(PREFIX) for entry in inner.state.values() for key in entry)
    assert PREFIX + "0.stabilize.k" in optimizer.state[model[0].weight]
    # The inner optimizer does not meet them.
    backward(model, 5)
    optimizer.step()
    assert not any(key.startswith(PREFIX) for entry in inner.state.values() for key in entry)
    assert optimizer.state[model[0].weight][PREFIX + "0.stabilize.k"] == 6


def test_from_wrap_to_the_fused_optimizer_and_back() -> None:
    model, wrapped = trained(lambda model: gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2)))
    twin, fused = twin_of(model, lambda model: gs.optim.AdamW(model.parameters(), lr=1e-2))
    fused.load_state_dict(through_a_file(wrapped.state_dict()))
    train(model, wrapped, range(5, 10))
    train(twin, fused, range(5, 10))
    for a, b in zip(values(model), values(twin)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert torch.equal(wrapped.statistics()["0.stabilize.k"], torch.full((4,), 10.0, dtype=torch.float64))
    assert fused.state[twin[0].weight][PREFIX + "0.stabilize.k"] == 10
    back_model, back = twin_of(twin, lambda model: gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2)))
    back.load_state_dict(through_a_file(fused.state_dict()))
    assert back.statistics()["0.stabilize.k"].tolist() == [10.0] * 4
    train(twin, fused, range(10, 12))
    train(back_model, back, range(10, 12))
    for a, b in zip(values(twin), values(back_model)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_statistics_that_have_been_through_a_plain_optimizer_are_not_taken_for_those_of_today() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        model, optimizer = trained(WRAPPED["wrap(AdamW)"], dtype=dtype)
        plain = torch.optim.AdamW(model.parameters(), lr=1e-2)
        plain.load_state_dict(through_a_file(optimizer.state_dict()))
        train(model, plain, range(5, 8))
        optimizer.load_state_dict(through_a_file(plain.state_dict()))
        assert optimizer.statistics()["0.stabilize.k"].tolist() == [0.0] * 4
        assert int(optimizer.state[model[0].weight]["step"]) == 8


class TestGroupsOfOthers:
    """Settings that a loaded group does not have stay as they are."""

    def test_reset_interval_stays(self) -> None:
        model = make_model()
        plain = torch.optim.AdamW(model.parameters(), lr=5e-3)
        train(model, plain, range(3))
        optimizer = gs.optim.AdamW(model.parameters(), lr=1e-2, reset_interval=4, compat="released")
        optimizer.load_state_dict(plain.state_dict())
        group = optimizer.param_groups[0]
        assert (group["reset_interval"], group["compat"], group["lr"]) == (4, "released", 5e-3)
        # And it counts: at step 4 the moments start afresh.
        twin = copy.deepcopy(model)
        without = gs.optim.AdamW(twin.parameters(), lr=1e-2)
        without.load_state_dict(plain.state_dict())
        for each, its in ((model, optimizer), (twin, without)):
            train(each, its, range(3, 6))
        assert not same_bits(values(model), values(twin))

    @pytest.mark.parametrize("name", ["Lion", "AdamMini", "SPAM"])
    def test_every_setting_of_every_optimizer_stays(self, name: str) -> None:
        model, optimizer = trained(OPTIMIZERS[name])
        state = optimizer.state_dict()
        settings = {key: value for key, value in state["param_groups"][0].items() if key not in ("params", "param_names")}
        for key in settings:
            if key == "lr":
                continue
            less = copy.deepcopy(state)
            del less["param_groups"][0][key]
            optimizer.load_state_dict(less)
            assert optimizer.param_groups[0][key] == settings[key]


class TestRefusals:
    def test_another_kind_method_or_setting_is_named(self) -> None:
        _, optimizer = trained(OPTIMIZERS["AdamW"])
        state = optimizer.state_dict()
        make = lambda **settings: gs.optim.AdamW(make_model().named_parameters(), **settings)  # noqa: E731
        for other, words in (
            (gs.optim.Lion(make_model().named_parameters()), "'adamw', expected 'lion'|'adam'"),
            (make(transform=gs.stabilize(gamma1=0.5)), "gamma1 = 0.5 here but gamma1 = 0.6"),
            (make(transform=gs.zclip()), "saved state is of 'stabilize', expected 'zclip'"),
            (make(transform=None), "saved state is of 'stabilize', this optimizer has no transform"),
        ):
            before = copy.deepcopy(other.state_dict())
            with pytest.raises(ValueError, match=words):
                other.load_state_dict(state)
            assert same_state(other.state_dict(), before)

    def test_state_without_its_frame_is_compared_too(self) -> None:
        """What torch.distributed.checkpoint hands on is state and groups alone."""
        _, optimizer = trained(OPTIMIZERS["AdamW"])
        bare = {key: optimizer.state_dict()[key] for key in ("state", "param_groups")}
        for transform, words in (
            (gs.stabilize(gamma1=0.5), "'0.weight' are of other settings of 'stabilize'"),
            (gs.zclip(), "'0.weight' are not those of 'zclip'"),
        ):
            other = gs.optim.AdamW(make_model().named_parameters(), transform=transform)
            with pytest.raises(ValueError, match=words):
                other.load_state_dict(bare)
            assert other.state_dict()["state"] == {}
        wrapped = gs.wrap(torch.optim.AdamW(make_model().parameters()), gs.stabilize(gamma1=0.5))
        with pytest.raises(ValueError, match="other settings of 'stabilize'"):
            wrapped.load_state_dict(bare)
        assert wrapped.state_dict()["state"] == {}

    def test_damaged_statistics_are_refused_and_change_nothing(self) -> None:
        model, optimizer = trained(OPTIMIZERS["AdamW"])
        before = copy.deepcopy(optimizer.state_dict())
        for key, value in (
            ("0.stabilize.v", -1.0),
            ("0.stabilize.k", 2.5),
            ("updates", -3.0),
            ("0.stabilize.exponent", 1e12),
        ):
            broken = copy.deepcopy(before)
            broken["state"][2][PREFIX + key] = torch.tensor(value, dtype=torch.float64)
            with pytest.raises(ValueError):
                optimizer.load_state_dict(broken)
            assert same_state(optimizer.state_dict(), before)
        less = copy.deepcopy(before)
        del less["state"][1][PREFIX + "0.stabilize.m"]
        with pytest.raises(ValueError, match="'0.bias' have too few values of '0.stabilize.m'"):
            optimizer.load_state_dict(less)
        more = copy.deepcopy(before)
        more["state"][1][PREFIX + "0.zclip.mean"] = torch.tensor(0.0, dtype=torch.float64)
        with pytest.raises(ValueError, match="'0.zclip.mean'"):
            optimizer.load_state_dict(more)
        assert same_state(optimizer.state_dict(), before)

    def test_wrap_refuses_optimizers_that_have_a_transform_of_their_own(self) -> None:
        with pytest.raises(TypeError, match="transform="):
            gs.wrap(gs.optim.AdamW(make_model().parameters()))


@pytest.mark.skipif(not TORCH2, reason="hooks around state_dict came with torch 2.0")
def test_hooks_see_and_change_what_is_saved_and_loaded() -> None:
    model, optimizer = trained(OPTIMIZERS["AdamW"])
    seen = []
    optimizer.register_state_dict_pre_hook(lambda its: seen.append("pre"))
    optimizer.register_state_dict_post_hook(lambda its, state: seen.append(sorted(state["state"][0])[0]))
    state = optimizer.state_dict()
    assert seen == ["pre", "exp_avg"]

    def double(its: Any, state: dict[str, Any]) -> dict[str, Any]:
        entry = dict(state["state"][0])
        entry["exp_avg"] = entry["exp_avg"] * 2
        return {**state, "state": {**state["state"], 0: entry}}

    twin, its = twin_of(model, OPTIMIZERS["AdamW"])
    its.register_load_state_dict_pre_hook(double)
    its.register_load_state_dict_post_hook(lambda its: seen.append(int(its.state[twin[0].weight]["step"])))
    its.load_state_dict(state)
    assert seen[-1] == 5
    assert torch.equal(its.state[twin[0].weight]["exp_avg"], 2 * state["state"][0]["exp_avg"])


@pytest.mark.parametrize("name", ["AdamW", "SGD momentum", "Lion"])
def test_bfloat16_parameters_take_a_plain_state_and_make_their_copies(name: str) -> None:
    """The copy is made of what the parameter is at the next step, also where the model is loaded after the optimizer."""
    model, optimizer = trained(OPTIMIZERS[name], dtype=torch.bfloat16)
    plain = copy.deepcopy(optimizer.plain_state_dict())
    weights = copy.deepcopy(model.state_dict())
    results = []
    for model_first in (True, False):
        twin = make_model(seed=5).to(torch.bfloat16)
        its = OPTIMIZERS[name](twin)
        if model_first:
            twin.load_state_dict(weights)
        its.load_state_dict(plain)
        if not model_first:
            saved = its.plain_state_dict()["state"]
            assert all(torch.equal(saved[0][key], plain["state"][0][key]) for key in plain["state"][0])
            twin.load_state_dict(weights)
        train(twin, its, range(5, 8))
        results.append(values(twin))
    assert same_bits(*results)
    assert all((a - b).abs().max() < 0.5 for a, b in zip(results[0], weights.values()))


# ---- torch.distributed.checkpoint, in one process ----

dcp = pytest.mark.skipif(not TORCH2, reason="torch 1.13 has no torch.distributed.checkpoint.state_dict")


def options(**settings: Any) -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    try:
        return StateDictOptions(**settings)
    except TypeError as error:
        pytest.skip(f"this torch: {error}")


def check_that_torch_can(**settings: Any) -> None:
    """Skips what torch cannot do with the state of its own SGD either, in which no tensor tells it the device."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        state = get_optimizer_state_dict(model, optimizer, options=options(**settings))
        set_optimizer_state_dict(model, optimizer, state, options=options(**settings))
    except Exception as error:
        pytest.skip(f"torch's own SGD: {error}")


OPTIONS = [{}, {"flatten_optimizer_state_dict": True}, {"full_state_dict": True, "cpu_offload": True}]


@dcp
@pytest.mark.parametrize("settings", OPTIONS, ids=lambda settings: " ".join(settings) or "default")
@pytest.mark.parametrize("name", ALL)
@pytest.mark.filterwarnings("ignore")
def test_what_torchs_tools_make_of_it_goes_on_in_a_fresh_optimizer(name: str, settings: Any, tmp_path: Any) -> None:
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

    if name in ("SGD", "wrap(SGD)"):
        check_that_torch_can(**settings)
    model, optimizer = trained(ALL[name])
    optimizer.zero_grad()
    saved = get_optimizer_state_dict(model, optimizer, options=options(**settings))
    checkpoint.save({"optimizer": saved}, checkpoint_id=str(tmp_path))
    twin, its = twin_of(model, ALL[name])
    for parameter in twin.parameters():
        parameter.grad = None
    into = get_optimizer_state_dict(twin, its, options=options(**settings))
    assert same_bits(values(twin), values(model)), "what makes the state has left the parameters alone"
    checkpoint.load({"optimizer": into}, checkpoint_id=str(tmp_path))
    set_optimizer_state_dict(twin, its, into, options=options(**settings))
    ours = {key: optimizer.state_dict()[key] for key in ("state",)}
    assert same_state({"state": its.state_dict()["state"]}, ours)
    assert goes_on(model, optimizer, twin, its)


@dcp
@pytest.mark.parametrize("form", ["state_dict", "plain_state_dict"])
@pytest.mark.parametrize("name", ["AdamW", "SGD momentum", "wrap(AdamW)", "wrap(SGD momentum)"])
@pytest.mark.filterwarnings("ignore")
def test_a_state_that_was_not_read_is_noticed(name: str, form: str, tmp_path: Any) -> None:
    """A fresh optimizer's dictionary has no places for state, and torch.distributed.checkpoint reads what has a place."""
    from torch.distributed import checkpoint

    model, optimizer = trained(ALL[name])
    if not hasattr(optimizer, form):
        return
    checkpoint.save({"optimizer": getattr(optimizer, form)()}, checkpoint_id=str(tmp_path))
    twin, its = twin_of(model, ALL[name])
    into = getattr(its, form)()
    checkpoint.load({"optimizer": into}, checkpoint_id=str(tmp_path))
    with pytest.raises(ValueError, match="state of 4 parameters is missing.*get_optimizer_state_dict"):
        its.load_state_dict(into)
    # Into one that has stepped it is read.
    train(twin, its, range(1))
    into = getattr(its, form)()
    checkpoint.load({"optimizer": into}, checkpoint_id=str(tmp_path))
    its.load_state_dict(into)
    twin.load_state_dict(model.state_dict())
    if form == "state_dict":
        assert goes_on(model, optimizer, twin, its)


@dcp
def test_a_transforms_own_state_goes_through_torchs_checkpoints(tmp_path: Any) -> None:
    from torch.distributed import checkpoint

    model = make_model()
    transform = gs.GradientTransform(model.named_parameters(), gs.chain(gs.zclip(), gs.stabilize()))
    for step in range(3):
        backward(model, step)
        transform.step()
    checkpoint.save({"transform": transform.state_dict()}, checkpoint_id=str(tmp_path))
    fresh = gs.GradientTransform(make_model().named_parameters(), gs.chain(gs.zclip(), gs.stabilize()))
    into = fresh.state_dict()
    checkpoint.load({"transform": into}, checkpoint_id=str(tmp_path))
    fresh.load_state_dict(into)
    assert same_state(fresh.statistics(), transform.statistics())
