"""compat: the authors' classes by signature and checkpoint. `released_class.py` stands for theirs."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import pytest
import torch
from released_class import ReleasedStabilizer
from support import backward, loss_of, make_model, norms, same_bits, train, values
from torch import nn

import gradient_stabilizer as gs
from gradient_stabilizer.compat import GradientStabilizer, GSWrapper

#: Of the released arithmetic in float32: a handful of roundings.
TOLERANCE = 4e-6


def close(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all((x - y).abs().max() <= TOLERANCE * y.abs().max() for x, y in zip(a, b))


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("arguments", [(), (0.85, 0.99), (0.6, 0.999, 1e-8, False)])
@pytest.mark.parametrize(
    "shown",
    [
        lambda model, optimizer: model.parameters(),
        lambda model, optimizer: optimizer,
        lambda model, optimizer: optimizer.param_groups,
    ],
    ids=["parameters", "optimizer", "groups"],
)
def test_gradients_are_those_of_the_released_class(arguments: tuple, shown: Any) -> None:
    model, twin = make_model(), make_model()
    ours, theirs, other = GradientStabilizer(*arguments), ReleasedStabilizer(*arguments), ReleasedStabilizer(0.61)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(10):
        scale = 300.0 if step == 6 else 1.0
        backward(model, step, scale)
        ours(shown(model, optimizer))
        backward(twin, step, scale)
        theirs(twin.parameters())
        assert close(gradients(model), gradients(twin))
        backward(twin, step, scale)
        other(twin.parameters())
    assert not close(gradients(model), gradients(twin))  # negative control: another gamma1


def test_several_calls_may_show_parts_in_turn() -> None:
    model, twin = make_model(), make_model()
    parts, whole = GradientStabilizer(), GradientStabilizer()
    for step in range(4):
        backward(model, step)
        parts(model[0].parameters())
        parts(model[2].parameters())
        backward(twin, step)
        whole(twin.parameters())
        assert same_bits(gradients(model), gradients(twin))


def test_state_is_shown_in_the_authors_form_and_reset() -> None:
    model, twin = make_model(), make_model()
    ours, theirs = GradientStabilizer(), ReleasedStabilizer()
    for step in range(3):
        backward(model, step)
        ours(model.parameters())
        backward(twin, step)
        theirs(twin.parameters())
    for mine, other in zip(model.parameters(), twin.parameters()):
        a, b = ours.state[id(mine)], theirs.state[id(other)]
        torch.testing.assert_close(a["mnorm"], b["mnorm"], rtol=TOLERANCE, atol=0)
        torch.testing.assert_close(a["vnorm"], b["vnorm"], rtol=TOLERANCE, atol=0)
        assert (a["step"], a["skipped"]) == (b["step"], b["skipped"]) == (3, 0)
    ours.reset()
    assert ours.state == {}


def test_wrong_arguments() -> None:
    for arguments, message in (((1.0,), "gamma1"), ((0.6, -0.1), "gamma2"), ((0.6, 0.999, -1.0), "epsilon")):
        with pytest.raises(ValueError, match=message):
            GradientStabilizer(*arguments)
    with pytest.raises(TypeError, match="got Sequential"):
        GSWrapper(make_model())
    with pytest.raises(TypeError, match="gamma3"):
        GSWrapper(torch.optim.SGD(make_model().parameters(), lr=0.1), gamma3=0.5)


class TestWrapper:
    def test_training_follows_the_released_wrapper(self) -> None:
        model, twin = make_model(), make_model()
        optimizer = GSWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2), gamma1=0.7, gamma2=0.99)
        inner, theirs = torch.optim.AdamW(twin.parameters(), lr=1e-2), ReleasedStabilizer(0.7, 0.99)
        train(model, optimizer, range(20))
        for step in range(20):
            backward(twin, step)
            theirs(twin.parameters())
            inner.step()
        for a, b in zip(values(model), values(twin)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)  # roundings of 20 steps of AdamW at lr 1e-2
        assert optimizer.scaler.gamma1 == 0.7

    def test_their_checkpoint_goes_on_here(self) -> None:
        model = make_model()
        inner, theirs = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), ReleasedStabilizer()
        model[2].bias.requires_grad_(False)  # has no state in the checkpoint
        for step in range(5):
            backward(model, step)
            theirs(model.parameters())
            inner.step()
        checkpoint = copy.deepcopy(theirs.checkpoint(inner))
        assert sorted(checkpoint["scaler_state_by_idx"]) == [0, 1, 2]
        twin = copy.deepcopy(model)
        optimizer = GSWrapper(torch.optim.SGD(twin.parameters(), lr=0.5, momentum=0.9))
        optimizer.load_state_dict(checkpoint)
        assert optimizer.param_groups[0]["lr"] == 0.1
        for step in range(5, 8):
            backward(model, step)
            theirs(model.parameters())
            inner.step()
            backward(twin, step)
            optimizer.step()
        assert close(values(twin), values(model))
        assert optimizer.scaler.state[id(twin[0].weight)]["step"] == 8

    def test_our_checkpoint_is_in_their_layout_and_comes_back(self) -> None:
        model = make_model()
        optimizer = GSWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2))
        train(model, optimizer, range(4))
        state = optimizer.state_dict()
        assert sorted(state) == ["optimizer", "scaler_hparams", "scaler_state_by_idx"]
        assert state["scaler_hparams"] == {"gamma1": 0.6, "gamma2": 0.999, "eps": 1e-12, "bias_correction": True}
        entry = state["scaler_state_by_idx"][0]
        assert entry["mnorm"].dtype == torch.float32 and entry["mnorm"].shape == ()
        assert (entry["step"], entry["skipped"]) == (4, 0)
        twin = copy.deepcopy(model)
        resumed = GSWrapper(torch.optim.AdamW(twin.parameters(), lr=1e-2))
        resumed.load_state_dict(copy.deepcopy(state))
        train(model, optimizer, range(4, 8))
        train(twin, resumed, range(4, 8))
        for a, b in zip(values(twin), values(model)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        "copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["deepcopy", "pickle"]
    )
    def test_copies_keep_all_state(self, copied: Any) -> None:
        model = make_model()
        optimizer = GSWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2))
        train(model, optimizer, range(4))
        its_model, its_optimizer = copied((model, optimizer))
        gc.collect()
        train(model, optimizer, range(4, 8))
        train(its_model, its_optimizer, range(4, 8))
        assert same_bits(values(its_model), values(model))
        assert its_optimizer.scaler.state[id(its_model[0].weight)]["step"] == 8

    def test_checkpoints_that_do_not_fit_change_nothing(self) -> None:
        model = make_model()
        optimizer = GSWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2))
        train(model, optimizer, range(3))
        state = copy.deepcopy(optimizer.state_dict())
        wrapped = gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2))
        for wrong, message in (
            ({**state, "scaler_hparams": {**state["scaler_hparams"], "gamma1": 0.5}}, "gamma1 = 0.5"),
            ({**state, "scaler_state_by_idx": {9: state["scaler_state_by_idx"][0]}}, "position 9"),
            ({**state, "optimizer": {**state["optimizer"], "param_groups": []}}, ""),
            (wrapped.state_dict(), "wrap"),
        ):
            with pytest.raises(ValueError, match=message):
                optimizer.load_state_dict(wrong)
            after = optimizer.state_dict()["scaler_state_by_idx"]
            assert [entry["step"] for entry in after.values()] == [3, 3, 3, 3]
            assert torch.equal(after[0]["mnorm"], state["scaler_state_by_idx"][0]["mnorm"])

    def test_it_is_an_optimizer(self) -> None:
        model = make_model()
        optimizer = GSWrapper(torch.optim.AdamW(model.parameters(), lr=1e-2))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, 0)
            loss.backward()
            return loss

        optimizer.step(closure)
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == 5e-3
        assert norms([model[0].weight]) == pytest.approx([1.0], rel=1e-6)
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
        backward(model, 1)
        optimizer.step()
        assert len(optimizer.report().tensors) == 5
