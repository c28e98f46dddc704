"""wrap: an optimizer that torch's own tools take for one."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from support import TORCH2, Stabilizer64, backward, loss_of, make_model, make_scaler, norms, same_bits, train, values
from torch import nn
from torch.optim import lr_scheduler

import gradient_stabilizer as gs


def wrapped_adamw(model: nn.Module, **settings: Any) -> gs.WrappedOptimizer:
    return gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2), named_parameters=model.named_parameters(), **settings)


def by_hand(model: nn.Module, make: Any, steps: range) -> None:
    """The same training with the transform called by hand in front of a plain optimizer."""
    optimizer, stabilizer = make(model.parameters()), gs.GradientStabilizer(model.named_parameters())
    for step in steps:
        backward(model, step)
        stabilizer.step()
        optimizer.step()


INNER = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "AdamW": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2),
    "AdamW foreach": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, foreach=True),
    "Adagrad": lambda parameters: torch.optim.Adagrad(parameters, lr=1e-2),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=1e-3),
}


@pytest.mark.parametrize("name", INNER)
def test_training_equals_a_transform_by_hand_bit_for_bit(name: str) -> None:
    model, twin, plain = make_model(), make_model(), make_model()
    optimizer = gs.wrap(INNER[name](model.parameters()), named_parameters=model.named_parameters())
    train(model, optimizer, range(10))
    by_hand(twin, INNER[name], range(10))
    train(plain, INNER[name](plain.parameters()), range(10))
    assert same_bits(values(model), values(twin))
    assert not same_bits(values(model), values(plain))


def test_it_is_an_optimizer_over_the_inner_ones_groups_state_and_defaults() -> None:
    model = make_model()
    inner = torch.optim.AdamW(model.parameters(), lr=1e-2)
    optimizer = gs.wrap(inner)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups is inner.param_groups
    assert optimizer.state is inner.state
    assert optimizer.defaults is inner.defaults
    backward(model, 0)
    optimizer.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(AttributeError):
        _ = optimizer.no_such_attribute
    assert "AdamW" in repr(optimizer) and "stabilize" in repr(optimizer)


def test_it_refuses_what_is_no_optimizer_and_ambiguous_settings() -> None:
    model = make_model()
    with pytest.raises(TypeError, match="got Sequential"):
        gs.wrap(model)
    with pytest.raises(TypeError, match="gamma1"):
        gs.wrap(torch.optim.SGD(model.parameters(), lr=1.0), gs.clip_by_value(), gamma1=0.5)


SCHEDULERS = {
    "StepLR": lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5),
    "LambdaLR": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1)),
    "MultiStepLR": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [1, 3]),
    "LinearLR": lambda optimizer: lr_scheduler.LinearLR(optimizer, total_iters=4),
    "ExponentialLR": lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.9),
    "CosineAnnealingLR": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 5),
    "CosineAnnealingWarmRestarts": lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2),
    "OneCycleLR": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10),
    "CyclicLR": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 1e-3, 1e-2, 2, cycle_momentum=False),
    "SequentialLR": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.ConstantLR(optimizer, 0.1, 2), lr_scheduler.ExponentialLR(optimizer, 0.9)],
        milestones=[2],
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.filterwarnings("error:Detected call of:UserWarning")
def test_schedulers_drive_the_learning_rate_as_on_a_plain_optimizer(name: str) -> None:
    rates = []
    for wrap in (lambda optimizer: optimizer, gs.wrap):
        model = make_model()
        optimizer = wrap(torch.optim.AdamW(model.parameters(), lr=1e-2))
        schedule = SCHEDULERS[name](optimizer)
        seen = []
        for step in range(6):
            backward(model, step)
            optimizer.step()
            schedule.step()
            seen.append(optimizer.param_groups[0]["lr"])
        rates.append(seen)
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1


def test_a_plateau_scheduler_and_one_made_before_wrapping_work() -> None:
    model = make_model()
    inner = torch.optim.SGD(model.parameters(), lr=1.0)
    early = lr_scheduler.StepLR(inner, 1, 0.5)
    optimizer = gs.wrap(inner)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.1)
    backward(model, 0)
    optimizer.step()
    early.step()
    assert optimizer.param_groups[0]["lr"] == 0.5
    for _ in range(2):
        plateau.step(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)
    assert optimizer.report().step == 1


class TestClosures:
    def test_the_closures_own_gradients_are_transformed(self) -> None:
        model, twin = make_model(), make_model()
        optimizer = wrapped_adamw(model)
        backward(model, 99)  # stale gradients, which must not matter
        for step in range(5):

            def closure() -> torch.Tensor:
                optimizer.zero_grad()
                loss = loss_of(model, step)
                loss.backward()
                return loss

            assert optimizer.step(closure).item() > 0
        by_hand(twin, lambda parameters: torch.optim.AdamW(parameters, lr=1e-2), range(5))
        assert same_bits(values(model), values(twin))
        assert optimizer.statistics()["0.stabilize.k"].tolist() == [5, 5, 5, 5]

    def test_the_closure_may_be_called_where_gradients_are_off(self) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, 0)
            loss.backward()
            return loss

        with torch.no_grad():
            optimizer.step(closure)
        assert optimizer.report().step == 1

    def test_lbfgs_transforms_at_every_evaluation(self) -> None:
        model = make_model()
        optimizer = gs.wrap(torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5))
        evaluations = 0

        def closure() -> torch.Tensor:
            nonlocal evaluations
            evaluations += 1
            optimizer.zero_grad()
            loss = loss_of(model, 0)
            loss.backward()
            return loss

        optimizer.step(closure)
        assert evaluations > 1
        assert optimizer.report().step == evaluations


class TestGradScaler:
    @pytest.mark.parametrize("explicit", [False, True], ids=["by step", "by unscale_"])
    def test_gradients_are_unscaled_before_they_are_transformed(self, explicit: bool) -> None:
        model, twin = make_model(), make_model()
        optimizer, scaler = wrapped_adamw(model), make_scaler()
        for step in range(5):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, step)).backward()
            if explicit:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        # A power of two changes no digit on the way, so that the trajectory is the one without scaling.
        by_hand(twin, lambda parameters: torch.optim.AdamW(parameters, lr=1e-2), range(5))
        assert same_bits(values(model), values(twin))

    def test_a_step_with_found_inf_changes_neither_parameters_nor_statistics(self) -> None:
        model = make_model()
        optimizer, scaler = wrapped_adamw(model), make_scaler()
        backward(model, 0)
        optimizer.step()
        before, statistics = values(model), optimizer.statistics()
        optimizer.zero_grad()
        scaler.scale(loss_of(model, 1)).backward()
        model[0].bias.grad[0] = torch.inf
        scaler.step(optimizer)
        scaler.update()
        assert same_bits(values(model), before)
        for name, value in optimizer.statistics().items():
            assert torch.equal(value, statistics[name])
        # Negative control: without the infinity the step is done.
        optimizer.zero_grad()
        scaler.scale(loss_of(model, 1)).backward()
        scaler.step(optimizer)
        assert not same_bits(values(model), before)

    @pytest.mark.skipif(not TORCH2, reason="torch 1.13 has fused optimizers on CUDA only")
    def test_inner_optimizers_that_unscale_by_themselves_get_unscaled_gradients(self) -> None:
        model, twin = make_model(), make_model()
        scaler = make_scaler()
        optimizer = gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True))
        reference = gs.wrap(torch.optim.AdamW(twin.parameters(), lr=1e-2, fused=True))
        for step in range(3):
            optimizer.zero_grad()
            scaler.scale(loss_of(model, step)).backward()
            scaler.step(optimizer)
            scaler.update()
        train(twin, reference, range(3))
        assert same_bits(values(model), values(twin))


def test_nonfinite_policies_decide_over_the_step() -> None:
    for policy, moves in (("skip_tensor", True), ("skip_step", False)):
        model = make_model()
        optimizer = gs.wrap(torch.optim.SGD(model.parameters(), lr=0.1), nonfinite=policy)
        before = values(model)
        backward(model, 0)
        model[0].weight.grad[0, 0] = torch.nan
        optimizer.step()
        after = values(model)
        assert torch.equal(after[0], before[0])
        assert torch.equal(after[3], before[3]) != moves
        assert all(torch.isfinite(value).all() for value in after)


class TestGroups:
    def test_a_group_added_later_is_stabilized_from_its_first_step(self) -> None:
        model = make_model()
        optimizer = gs.wrap(torch.optim.SGD(model[0].parameters(), lr=0.0), named_parameters=model.named_parameters())
        for step in range(3):
            backward(model, step)
            optimizer.step()
        optimizer.add_param_group({"params": list(model[2].parameters()), "lr": 0.5})
        backward(model, 3)
        optimizer.step()
        assert [tensor.name for tensor in optimizer.report().tensors] == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert optimizer.statistics()["0.stabilize.k"].tolist() == [4, 4, 1, 1]
        assert norms(list(model[2].parameters())) == pytest.approx([1.0, 1.0], rel=1e-6)

    def test_groups_added_to_the_inner_optimizer_are_found(self) -> None:
        model = make_model()
        inner = torch.optim.SGD(model[0].parameters(), lr=0.1)
        optimizer = gs.wrap(inner)
        inner.add_param_group({"params": list(model[2].parameters())})
        backward(model, 0)
        optimizer.step()
        assert len(optimizer.report().tensors) == 4


class TestCheckpoints:
    @staticmethod
    def through_a_file(state: Any) -> Any:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        buffer.seek(0)
        return torch.load(buffer)

    def test_a_resumed_run_equals_the_uninterrupted_one(self) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)
        train(model, optimizer, range(5))
        weights, state = copy.deepcopy(model.state_dict()), self.through_a_file(optimizer.state_dict())
        train(model, optimizer, range(5, 10))
        resumed = make_model(seed=7)
        resumed.load_state_dict(weights)
        its_optimizer = wrapped_adamw(resumed)
        its_optimizer.load_state_dict(state)
        train(resumed, its_optimizer, range(5, 10))
        assert same_bits(values(resumed), values(model))

    def test_a_plain_optimizers_checkpoint_starts_the_statistics_afresh(self) -> None:
        model = make_model()
        plain = torch.optim.AdamW(model.parameters(), lr=1e-2)
        train(model, plain, range(5))
        optimizer = wrapped_adamw(model)
        train(model, optimizer, range(5, 7))
        optimizer.load_state_dict(self.through_a_file(plain.state_dict()))
        assert optimizer.statistics()["0.stabilize.k"].tolist() == [0, 0, 0, 0]
        step = optimizer.state[model[0].weight]["step"]
        assert int(step) == 5
        backward(model, 7)
        optimizer.step()
        assert norms([model[0].weight]) == pytest.approx([1.0], rel=1e-6)

    def test_its_checkpoint_loads_into_a_plain_optimizer(self) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)
        train(model, optimizer, range(3))
        plain = torch.optim.AdamW(model.parameters(), lr=1e-2)
        plain.load_state_dict(optimizer.state_dict())
        assert int(plain.state[model[0].weight]["step"]) == 3

    def test_one_that_does_not_fit_changes_nothing(self) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)
        train(model, optimizer, range(3))
        state = optimizer.state_dict()
        statistics = optimizer.statistics()
        broken = {**state, "param_groups": state["param_groups"] * 2}
        with pytest.raises(ValueError):
            optimizer.load_state_dict(broken)
        with pytest.raises(ValueError, match="gamma1"):
            wrapped_adamw(model, gamma1=0.5).load_state_dict(state)
        for name, value in optimizer.statistics().items():
            assert torch.equal(value, statistics[name])


class TestCopies:
    @pytest.mark.parametrize("scheduled", [False, True])
    @pytest.mark.parametrize(
        "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"]
    )
    def test_a_copy_goes_on_like_the_original(self, copied: Any, scheduled: bool) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)
        if scheduled:
            lr_scheduler.StepLR(optimizer, 10)
        train(model, optimizer, range(4))
        its_model, its_optimizer = copied((model, optimizer))
        assert its_optimizer.param_groups[0]["params"][0] is its_model[0].weight
        train(model, optimizer, range(4, 8))
        train(its_model, its_optimizer, range(4, 8))
        assert same_bits(values(model), values(its_model))
        assert its_optimizer.statistics()["0.stabilize.k"].tolist() == [8, 8, 8, 8]


@pytest.mark.skipif(not hasattr(torch.optim.Optimizer, "register_step_pre_hook"), reason="hooks came with torch 2.0")
class TestHooks:
    def test_step_hooks_run_around_the_whole_step(self) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)
        seen: list[tuple[str, float]] = []
        optimizer.register_step_pre_hook(lambda *_: seen.append(("before", norms([model[0].weight])[0])))
        optimizer.register_step_post_hook(lambda *_: seen.append(("after", norms([model[0].weight])[0])))
        backward(model, 0)
        raw = norms([model[0].weight])[0]
        optimizer.step()
        assert [name for name, _ in seen] == ["before", "after"]
        assert [norm for _, norm in seen] == [raw, pytest.approx(1.0, rel=1e-6)]

    @pytest.mark.skipif(
        not hasattr(torch.optim.Optimizer, "register_state_dict_post_hook"), reason="came with torch 2.2"
    )
    def test_state_dict_hooks_run(self) -> None:
        model = make_model()
        optimizer = wrapped_adamw(model)
        seen: list[str] = []
        optimizer.register_state_dict_post_hook(lambda *_: seen.append("saved"))
        optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("loading"))
        optimizer.load_state_dict(optimizer.state_dict())
        assert seen == ["saved", "loading"]


def test_rule_of_the_first_tensor_through_a_whole_run() -> None:
    """wrap against the formula, not against itself."""
    model = make_model()
    optimizer = wrapped_adamw(model)
    rule = Stabilizer64()
    for step in range(8):
        backward(model, step)
        expected = rule.norm(norms([model[0].weight])[0])
        optimizer.step()
        assert norms([model[0].weight]) == pytest.approx([expected], rel=1e-6)
