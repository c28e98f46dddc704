"""GradScaler with what it does not know: an optimizer inside of another, and steps in backward."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support import TORCH2, loss_of, make_model, make_scaler, same_bits, same_state, train, values
from torch import nn

import gradient_stabilizer as gs


class TestWhoUnscalesAndWhoSteps:
    """A scaler keeps account by optimizer, and the wrapper and what is inside of it are two."""

    @staticmethod
    def step(unscaled: str, stepped: str, clip: bool, inner: Any = torch.optim.SGD, **settings: Any) -> tuple[Any, Any]:
        """A step of the wrapped optimizer, and what the parameters were before."""
        model, scaler = make_model(), make_scaler()
        plain = inner(model.parameters(), lr=0.5, **settings)
        given = {"wrapper": gs.wrap(plain, named_parameters=model.named_parameters()), "inner": plain}
        before = values(model)
        scaler.scale(loss_of(model, 0)).backward()
        if unscaled:
            scaler.unscale_(given[unscaled])
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(given[stepped])
        scaler.update()
        return model, before

    @pytest.mark.parametrize("clip", [False, True])
    @pytest.mark.parametrize("unscaled", ["", "wrapper"])
    def test_the_wrapper_for_both_is_right(self, unscaled: str, clip: bool) -> None:
        model, before = self.step(unscaled, "wrapper", clip)
        # Of the first gradient the stabilized norm is 1, whatever its raw norm, and SGD moves by lr times that.
        moved = [(after - value).norm().item() for after, value in zip(values(model), before)]
        assert moved == pytest.approx([0.5] * 4, rel=1e-5)

    @pytest.mark.parametrize("clip", [False, True])
    def test_the_inner_one_unscaled_and_the_wrapper_stepped_is_refused(self, clip: bool) -> None:
        with pytest.raises(RuntimeError, match="unscaled twice; give what wrap.. returned to both"):
            self.step("inner", "wrapper", clip)

    @pytest.mark.parametrize("clip", [False, True])
    @pytest.mark.parametrize("unscaled", ["", "wrapper", "inner"])
    def test_the_inner_one_stepped_is_refused(self, unscaled: str, clip: bool) -> None:
        with pytest.raises(RuntimeError, match="stepped past its wrapper"):
            self.step(unscaled, "inner", clip)

    @pytest.mark.skipif(not TORCH2, reason="torch 1.13 has fused optimizers on CUDA only")
    @pytest.mark.parametrize("unscaled, stepped", [("inner", "wrapper"), ("", "inner"), ("wrapper", "inner")])
    def test_also_where_the_inner_one_unscales_by_itself(self, unscaled: str, stepped: str) -> None:
        with pytest.raises(RuntimeError, match="wrapper|what wrap"):
            self.step(unscaled, stepped, False, torch.optim.AdamW, fused=True)
        self.step("wrapper", "wrapper", False, torch.optim.AdamW, fused=True)

    def test_what_is_two_wrappers_deep_is_found(self) -> None:
        model, scaler = make_model(), make_scaler()
        plain = torch.optim.SGD(model.parameters(), lr=0.5)
        optimizer = gs.wrap(gs.wrap(plain, gs.clip_by_value(1e6)))
        scaler.scale(loss_of(model, 0)).backward()
        scaler.unscale_(plain)
        with pytest.raises(RuntimeError, match="unscaled twice"):
            scaler.step(optimizer)


FUSED = {"SGD": gs.optim.SGD, "AdamW": gs.optim.AdamW, "Lion": gs.optim.Lion}


@pytest.mark.parametrize("explicit", [False, True], ids=["by step", "by unscale_"])
@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("name", FUSED)
def test_fused_optimizers_step_with_unscaled_gradients(name: str, measured: bool, explicit: bool) -> None:
    """Also where backward has measured them while they were scaled."""
    model, twin, scaler = make_model(), make_model(), make_scaler()
    optimizer = FUSED[name](model.named_parameters(), lr=1e-2)
    if measured:
        gs.measure_in_backward(optimizer)
    for step in range(5):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, step)).backward()
        if explicit:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        # A power of two changes no digit: the norm is that of the unscaled gradients.
        assert optimizer.report().raw_global_norm < 100
    train(twin, FUSED[name](twin.named_parameters(), lr=1e-2), range(5))
    assert same_bits(values(model), values(twin))


def test_a_step_of_a_fused_optimizer_that_overflowed_is_left_out() -> None:
    model, scaler = make_model(), make_scaler()
    optimizer = gs.optim.AdamW(model.named_parameters())
    before, state = values(model), copy.deepcopy(optimizer.state_dict()["state"])
    scaler.scale(loss_of(model, 0)).backward()
    model[0].bias.grad[0] = torch.inf
    scaler.step(optimizer)
    assert same_bits(values(model), before)
    assert same_state(optimizer.state_dict()["state"], state)


def test_steps_in_backward_and_a_scaler_refuse_each_other() -> None:
    """In backward the gradients are scaled, and an infinity comes after others have been stepped."""
    model, scaler = make_model(), make_scaler()
    stepper = gs.optimizer_in_backward(model, gs.optim.SGD, lr=1e-9)
    scaler.scale(loss_of(model, 0)).backward()
    with pytest.raises(RuntimeError, match="backward has already stepped, with gradients that GradScaler had scaled"):
        scaler.step(stepper.optimizer)
    # Without the hooks the same optimizer is an ordinary one.
    stepper.remove()
    scaler.scale(loss_of(model, 1)).backward()
    scaler.step(stepper.optimizer)
    assert stepper.optimizer.report().raw_global_norm < 100
