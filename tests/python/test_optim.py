"""gradient_stabilizer.optim: the fused optimizers as torch's optimizers. Their numbers are in test_golden_optimizers.py
as well."""

from __future__ import annotations

import copy
import functools
import io
import pickle
from typing import Any, Callable

import pytest
import torch
from support import backward, loss_of, make_model, norms, same_bits, same_state, train, values
from torch import nn

import gradient_stabilizer as gs

#: Fused optimizer and torch's own with the same arguments.
PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], dict[str, Any]]] = {
    "SGD": (gs.optim.SGD, torch.optim.SGD, {"lr": 0.05}),
    "SGD momentum": (gs.optim.SGD, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    "SGD nesterov": (gs.optim.SGD, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "Adam": (gs.optim.Adam, torch.optim.Adam, {"lr": 1e-2, "weight_decay": 0.1}),
    "AdamW": (gs.optim.AdamW, torch.optim.AdamW, {"lr": 1e-2}),
    "AdamW amsgrad": (gs.optim.AdamW, torch.optim.AdamW, {"lr": 1e-2, "amsgrad": True, "betas": (0.8, 0.95)}),
}
#: Every optimizer, those that have more to show with settings.
FUSED: dict[str, Callable[..., Any]] = {
    **{name: functools.partial(getattr(gs.optim, name), lr=1e-2) for name in gs.optim.__all__},
    "SGD": lambda named: gs.optim.SGD(named, 0.05, momentum=0.9),
    "Lion": lambda named: gs.optim.Lion(named, 1e-3, weight_decay=0.1),
    "Adam with resets": lambda named: gs.optim.Adam(named, 1e-2, reset_interval=3),
    "SPAM": lambda named: gs.optim.SPAM(named, 1e-2, reset_interval=4, warmup_steps=2, quiet_steps=1),
}


def close(model: nn.Module, twin: nn.Module, steps: int) -> None:
    """Within a few epsilons per step of float64, relative to the largest value of a tensor."""
    for a, b in zip(values(model), values(twin)):
        assert (a - b).abs().max() <= 16 * steps * torch.finfo(torch.float64).eps * b.abs().max()


@pytest.mark.parametrize("name", PAIRS)
def test_without_a_transform_they_follow_torchs_own(name: str) -> None:
    fused, own, settings = PAIRS[name]
    model, twin = make_model(dtype=torch.float64), make_model(dtype=torch.float64)
    train(model, fused(model.parameters(), **settings, transform=None), range(20))
    train(twin, own(twin.parameters(), **settings), range(20))
    close(model, twin, 20)
    # Negative control: the same comparison tells stabilized from plain.
    stabilized = make_model(dtype=torch.float64)
    train(stabilized, fused(stabilized.parameters(), **settings), range(20))
    with pytest.raises(AssertionError):
        close(stabilized, twin, 20)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(
    "method", [gs.stabilize(), gs.chain(gs.clip_by_global_norm(0.1), gs.stabilize(0.5)), gs.zclip(warmup_steps=3)], ids=str
)
def test_a_folded_transform_equals_one_in_front_of_torchs_own(name: str, method: gs.Method) -> None:
    fused, own, settings = PAIRS[name]
    model, twin = make_model(dtype=torch.float64), make_model(dtype=torch.float64)
    optimizer = fused(model.parameters(), **settings, transform=method)
    reference = gs.wrap(own(twin.parameters(), **settings), method)
    for step in range(20):
        for each, its_optimizer in ((model, optimizer), (twin, reference)):
            backward(each, step, scale=100.0 if step == 12 else 1.0)
            its_optimizer.step()
    close(model, twin, 20)
    seen, expected = optimizer.report(), reference.report()
    assert [tensor.factor for tensor in seen.tensors] == pytest.approx(
        [tensor.factor for tensor in expected.tensors], rel=1e-9
    )


def test_gradients_are_read_and_not_written() -> None:
    model = make_model()
    optimizer = gs.optim.AdamW(model.named_parameters(), 1e-2)
    backward(model, 0)
    before = [parameter.grad.clone() for parameter in model.parameters()]
    optimizer.step()
    assert same_bits([parameter.grad for parameter in model.parameters()], before)
    assert optimizer.report()["0.weight"].norm == pytest.approx(1.0, rel=1e-12)
    assert optimizer.report()["0.weight"].raw_norm == pytest.approx(norms([model[0].weight])[0], rel=1e-12)


def test_autograd_notices_that_parameters_were_written() -> None:
    model = make_model()
    optimizer = gs.optim.SGD(model.parameters(), 0.1)
    loss = (model[0].weight ** 2).sum()
    backward(model, 0)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", FUSED)
def test_a_resumed_run_equals_the_uninterrupted_one(name: str) -> None:
    model = make_model()
    optimizer = FUSED[name](model.named_parameters())
    train(model, optimizer, range(5))
    buffer = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), buffer)
    buffer.seek(0)
    weights, state = torch.load(buffer)
    train(model, optimizer, range(5, 10))
    resumed = make_model(seed=3)
    resumed.load_state_dict(weights)
    its_optimizer = FUSED[name](resumed.named_parameters())
    train(resumed, its_optimizer, range(2))  # what it had before is replaced
    resumed.load_state_dict(weights)
    its_optimizer.load_state_dict(state)
    train(resumed, its_optimizer, range(5, 10))
    assert same_bits(values(resumed), values(model))


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"]
)
def test_a_copy_goes_on_like_the_original(name: str, copied: Any) -> None:
    model = make_model()
    optimizer = FUSED[name](model.named_parameters())
    train(model, optimizer, range(4))
    its_model, its_optimizer = copied((model, optimizer))
    train(model, optimizer, range(4, 8))
    train(its_model, its_optimizer, range(4, 8))
    assert same_bits(values(model), values(its_model))


@pytest.mark.parametrize("name", PAIRS)
def test_torchs_own_checkpoint_goes_on_here_and_back(name: str) -> None:
    fused, own, settings = PAIRS[name]
    model = make_model(dtype=torch.float64)
    plain = own(model.parameters(), **settings)
    train(model, plain, range(5))
    twin = copy.deepcopy(model)
    optimizer = fused(twin.parameters(), **{**settings, "lr": 9.0}, transform=None)
    optimizer.load_state_dict(plain.state_dict())
    assert optimizer.param_groups[0]["lr"] == settings["lr"]
    train(model, plain, range(5, 10))
    train(twin, optimizer, range(5, 10))
    close(twin, model, 10)
    back = own(twin.parameters(), **settings)
    back.load_state_dict({**plain.state_dict(), **optimizer.plain_state_dict()} if not settings.get("momentum", 1) else
                         {"state": optimizer.plain_state_dict()["state"], "param_groups": plain.state_dict()["param_groups"]})
    train(model, plain, range(10, 15))
    train(twin, back, range(10, 15))
    close(twin, model, 15)


def test_checkpoints_that_do_not_fit_change_nothing() -> None:
    model = make_model()
    optimizer = gs.optim.AdamW(model.named_parameters(), 1e-2)
    train(model, optimizer, range(3))
    before = optimizer.state_dict()
    lion = gs.optim.Lion(model.named_parameters())
    other = nn.Linear(2, 2)
    plain = torch.optim.AdamW(make_model().parameters(), lr=5.0)
    state = plain.state_dict()
    state["state"] = {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}}
    for wrong in (
        lion.state_dict(),
        gs.optim.AdamW(other.named_parameters()).state_dict(),
        {**before, "gradient_stabilizer": {**before["gradient_stabilizer"], "format": 7}},
        state,
    ):
        with pytest.raises((ValueError, TypeError)):
            optimizer.load_state_dict(wrong)
        after = optimizer.state_dict()
        assert after["state"] and same_state(after, before)


def test_schedulers_and_groups() -> None:
    model, twin = make_model(), make_model()
    make = lambda each, kind: kind(  # noqa: E731
        [{"params": list(each[0].parameters()), "lr": 0.1}, {"params": list(each[2].parameters())}], lr=0.01
    )
    optimizer = make(model, lambda groups, lr: gs.optim.SGD(groups, lr, transform=None))
    reference = make(twin, torch.optim.SGD)
    schedules = [torch.optim.lr_scheduler.ExponentialLR(each, 0.5) for each in (optimizer, reference)]
    for step in range(4):
        for each, its_optimizer, schedule in zip((model, twin), (optimizer, reference), schedules):
            backward(each, step)
            its_optimizer.step()
            schedule.step()
    for a, b in zip(values(model), values(twin)):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert optimizer.param_groups[1]["lr"] == 0.01 * 0.5**4


def test_a_group_added_later_starts_afresh() -> None:
    model = make_model()
    optimizer = gs.optim.AdamW(model[0].named_parameters(), 1e-2)
    train(model, optimizer, range(3))
    optimizer.add_param_group({"params": list(model[2].named_parameters(prefix="head")), "lr": 0.5})
    backward(model, 3)
    optimizer.step()
    assert optimizer.names == ["weight", "bias", "head.weight", "head.bias"]
    steps = [int(state["step"]) for state in optimizer.plain_state_dict()["state"].values()]
    assert steps == [4, 4, 1, 1]
    with pytest.raises(ValueError):
        optimizer.add_param_group({"params": [model[0].weight]})
    assert len(optimizer.param_groups) == 2


def test_closures() -> None:
    model, twin = make_model(), make_model()
    optimizer, reference = gs.optim.AdamW(model.parameters(), 1e-2), gs.optim.AdamW(twin.parameters(), 1e-2)
    backward(model, 99)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        return loss

    assert optimizer.step(closure).item() > 0
    train(twin, reference, range(1))
    assert same_bits(values(model), values(twin))


def test_bfloat16_parameters_have_a_float32_copy() -> None:
    model = make_model().to(torch.bfloat16)
    start = values(model)
    optimizer = gs.optim.SGD(model.parameters(), 2.0**-12)
    stochastic = copy.deepcopy(model)
    random = gs.optim.SGD(stochastic.parameters(), 2.0**-12, low_precision="stochastic_rounding", seed=1)
    plain = copy.deepcopy(model)
    rounded = gs.wrap(torch.optim.SGD(plain.parameters(), 2.0**-12))
    for _ in range(300):
        for each, its_optimizer in ((model, optimizer), (stochastic, random), (plain, rounded)):
            backward(each, 0)
            its_optimizer.step()
    moved = [(a - b).double().norm().item() for a, b in zip(values(model), start)]
    by_chance = [(a - b).double().norm().item() for a, b in zip(values(stochastic), start)]
    lost = [(a - b).double().norm().item() for a, b in zip(values(plain), start)]
    # Steps of 2^-12 vanish beside bfloat16's 8 bits unless they are collected.
    assert moved[0] > 2 * lost[0]
    assert by_chance[0] == pytest.approx(moved[0], rel=0.5)


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda named: gs.optim.AdamW(named, -1.0), ValueError, "lr"),
        (lambda named: gs.optim.AdamW(named, betas=(1.0, 0.9)), ValueError, "beta1"),
        (lambda named: gs.optim.AdamW(named, "fast"), (TypeError, ValueError), "fast"),
        (lambda named: gs.optim.SGD(named, 0.1, nesterov=True), ValueError, "nesterov"),
        (lambda named: gs.optim.AdamW(named, transform="stabilize"), TypeError, "'stabilize'"),
        (lambda named: gs.optim.AdamW(named, low_precision="none"), ValueError, "low_precision"),
        (lambda named: gs.optim.AdamMini([tensor for _, tensor in named]), TypeError, "name"),
        (lambda named: gs.optim.AdamMini(named, overrides={"*": "block"}), ValueError, "'block'"),
        (lambda named: gs.optim.AdamW([]), ValueError, "empty"),
    ],
)
def test_wrong_settings_are_refused(make: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        make(list(make_model().named_parameters()))


def test_maximize_of_a_loaded_group_is_refused() -> None:
    model = make_model()
    plain = torch.optim.AdamW(model.parameters(), lr=1e-2, maximize=True)
    with pytest.raises(ValueError, match="maximize"):
        gs.optim.AdamW(model.parameters()).load_state_dict(plain.state_dict())


def test_skip_step_updates_nothing() -> None:
    model = make_model()
    optimizer = gs.optim.AdamW(model.parameters(), nonfinite="skip_step")
    before = values(model)
    backward(model, 0)
    model[2].bias.grad[0] = torch.inf
    optimizer.step()
    assert same_bits(values(model), before) and optimizer.report().skip_step
