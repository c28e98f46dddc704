"""wrap around optimizers that are given closures, and those that evaluate them several times."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from support import backward, loss_of, make_model, same_bits, values
from torch import nn

import gradient_stabilizer as gs


class Halving(torch.optim.SGD):
    """Descends by a step that it halves until the loss falls: its step needs a closure, and takes a setting."""

    def step(self, closure: Any = None, *, seen: list[float] | None = None) -> Any:
        loss = closure()
        parameters = self.param_groups[0]["params"]
        start, downwards = [p.detach().clone() for p in parameters], [p.grad.clone() for p in parameters]
        length = self.param_groups[0]["lr"]
        seen.append(torch.stack([part.norm() for part in downwards]).norm().item())
        while True:
            with torch.no_grad():
                for parameter, value, part in zip(parameters, start, downwards):
                    parameter.copy_(value - length * part)
            now = closure()
            seen.append(length)
            if now < loss:
                return now
            length /= 2


def test_an_optimizer_that_takes_a_closure_is_given_it() -> None:
    """With a line search of its own; what it sees is stabilized at every evaluation."""
    model = make_model()
    optimizer = gs.wrap(Halving(model.parameters(), lr=1.0), named_parameters=model.named_parameters())
    seen: list[float] = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        return loss

    loss = optimizer.step(closure, seen=seen)
    assert optimizer.report().step == len(seen) > 1
    assert loss == closure(), "what the inner optimizer returns"
    # Of the first evaluations the rule makes norms near 1, and nothing else does.
    assert seen[0] == pytest.approx(2.0, rel=1e-6), "of four tensors of norm 1"


def test_one_that_takes_none_is_stepped_after_an_evaluation() -> None:
    class NoClosure(torch.optim.SGD):
        def step(self) -> None:  # type: ignore[override]
            super().step()

    model, twin = make_model(), make_model()
    optimizer = gs.wrap(NoClosure(model.parameters(), lr=0.1), named_parameters=model.named_parameters())
    for step in range(3):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            return loss

        assert optimizer.step(closure).item() > 0
    optimizer, stabilizer = torch.optim.SGD(twin.parameters(), lr=0.1), gs.GradientStabilizer(twin.named_parameters())
    for step in range(3):
        backward(twin, step)
        stabilizer.step()
        optimizer.step()
    assert same_bits(values(model), values(twin))


def test_one_that_ignores_the_closure_it_takes_is_an_error() -> None:
    class Deaf(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            super().step()

    optimizer = gs.wrap(Deaf(make_model().parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="did not call the closure"):
        optimizer.step(lambda: torch.zeros(()))


@pytest.mark.parametrize("inner", [torch.optim.AdamW, torch.optim.LBFGS])
def test_a_vetoed_evaluation_moves_nothing(inner: Any) -> None:
    model = make_model()
    settings = {"line_search_fn": "strong_wolfe"} if inner is torch.optim.LBFGS else {}
    optimizer = gs.wrap(inner(model.parameters(), lr=0.1, **settings), nonfinite="skip_step")
    before = values(model)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        model[0].weight.grad[0, 0] = torch.nan
        return loss

    optimizer.step(closure)
    assert optimizer.report().skip_step
    assert same_bits(values(model), before)
    assert torch.isnan(model[0].weight.grad).any(), "gradients are as they were"


@pytest.mark.parametrize(
    "method, search, warns",
    [
        (gs.stabilize(), None, True),
        (gs.chain(gs.record_norms(), gs.normalize()), None, True),
        (gs.stabilize(), "strong_wolfe", False),
        (gs.chain(gs.record_norms(), gs.scale_by(0.5)), None, False),
    ],
)
def test_lbfgs_without_a_line_search_is_warned_of(method: gs.Method, search: Any, warns: bool) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        gs.wrap(torch.optim.LBFGS(make_model().parameters(), line_search_fn=search), method)
    assert [str(one.message) for one in seen if "strong_wolfe" in str(one.message)] != [] or not warns
    assert all(one.filename == __file__ for one in seen)
    assert len(seen) == warns


def test_why_lbfgs_is_warned_of() -> None:
    """At its defaults it diverges behind `stabilize` on a quadratic bowl, which it otherwise solves."""
    last = {}
    for name, method, search in (
        ("plain", gs.record_norms(), None),
        ("stabilized", gs.stabilize(), None),
        ("searched", gs.stabilize(), "strong_wolfe"),
    ):
        torch.manual_seed(0)
        weight, bias, inputs = nn.Parameter(torch.randn(10, 5)), nn.Parameter(torch.randn(10)), torch.randn(5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = gs.wrap(torch.optim.LBFGS([weight, bias], line_search_fn=search), method)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (weight.mv(inputs) + bias).square().sum()
            loss.backward()
            return loss

        first = closure().item()
        for _ in range(20):
            optimizer.step(closure)
        last[name] = closure().item() / first
    assert last["plain"] < 1e-6
    assert not last["stabilized"] < 1.0
    assert last["searched"] < 1e-3
