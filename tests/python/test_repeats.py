"""Gradients that come twice: refused where they are what the last call left, and nowhere else."""

from __future__ import annotations

from typing import Any, Callable

import pytest
import torch
from support import Stabilizer64, backward, make_model, norms
from torch import nn

import gradient_stabilizer as gs

EPSILON = torch.finfo(torch.float32).eps
METHODS = [
    gs.stabilize(),
    gs.stabilize(granularity="row"),
    gs.record_norms(),
    gs.clip_by_global_norm(1e9),
    gs.chain(gs.clip_by_value(0.01), gs.stabilize()),
    gs.normalize(),
]


def repeated_step(make: str, model: nn.Module, check: bool) -> Callable[[], object]:
    parameters = list(model.parameters())
    if make == "compat":
        stabilizer = gs.compat.GradientStabilizer(check_repeats=check)
        return lambda: stabilizer(parameters)
    if make == "wrap":
        return gs.wrap(torch.optim.SGD(parameters, 0.1), check_repeats=check).step
    if make == "stabilize_grad_":
        state = gs.GradientState(check_repeats=check)
        return lambda: gs.stabilize_grad_(parameters, state)
    return gs.GradientStabilizer(parameters, check_repeats=check).step


@pytest.mark.parametrize("make", ["GradientStabilizer", "wrap", "stabilize_grad_", "compat"])
@pytest.mark.parametrize("behind", [False, True])
def test_whoever_means_to_transform_twice_can(make: str, behind: bool) -> None:
    """`behind`: gradients that are new, but were written where no version counter shows it."""
    for check in (True, False):
        model = make_model()
        parameters = list(model.parameters())
        step = repeated_step(make, model, check)
        backward(model, 0)
        rules = [Stabilizer64() for _ in parameters]
        for rule, raw in zip(rules, norms(parameters)):
            rule.norm(raw)
        step()
        if behind:
            for parameter in parameters:
                parameter.grad.data.mul_(3.0)
        expected = [rule.norm(raw) for rule, raw in zip(rules, norms(parameters))]
        if check and not behind:
            with pytest.raises(RuntimeError, match="check_repeats=False"):
                step()
            assert norms(parameters) != pytest.approx(expected, rel=EPSILON)
        else:
            step()
            assert norms(parameters) == pytest.approx(expected, rel=EPSILON)


def scaled(gradient: torch.Tensor) -> None:
    gradient.data.mul_(0.5)


def by_numpy(gradient: torch.Tensor) -> None:
    gradient.numpy()[:] += 1.5


def turned_around(gradient: torch.Tensor) -> None:
    """With the same norms."""
    gradient.data.neg_()


def shuffled(gradient: torch.Tensor) -> None:
    """With the same norms and the same elements in other places."""
    gradient.data.copy_(gradient.flatten().roll(1).reshape(gradient.shape).clone())


@pytest.mark.parametrize("write", [scaled, by_numpy, turned_around, shuffled])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_what_is_written_behind_autograd_is_new(method: gs.Method, write: Any) -> None:
    model = make_model()
    transform = gs.GradientTransform(model.named_parameters(), method)
    backward(model, 0)
    versions = [parameter.grad._version for parameter in model.parameters()]
    for _ in range(3):
        transform.step()
        for parameter in model.parameters():
            write(parameter.grad)
    # Negative control: nothing but our own writes was counted.
    for parameter, version in zip(model.parameters(), versions):
        assert parameter.grad._version == version + 3
    transform.step()
    with pytest.raises(RuntimeError, match="already transformed"):
        transform.step()


def test_a_large_gradient_of_which_a_few_elements_are_not_zero_is_seen_to_change() -> None:
    """Its norm tells, where the elements that are looked at do not."""
    table = nn.Parameter(torch.zeros(1000, 8))
    transform = gs.GradientStabilizer([table])
    table.grad = torch.zeros(1000, 8)
    for row in (333, 334, 335):
        table.grad.data.zero_()
        table.grad.data[row] = float(row)
        transform.step()
    with pytest.raises(RuntimeError, match="already transformed"):
        transform.step()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_what_comes_twice_is_refused_in_every_dtype(method: gs.Method, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(shape, dtype=dtype)) for shape in ((), (3,), (40, 30), (0, 2))]
    transform = gs.GradientTransform(parameters, method)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape).to(dtype)
    parameters[1].grad = None
    if parameters[2].grad is not None:
        parameters[2].grad = parameters[2].grad.t().contiguous().t()  # strides of its own
    transform.step()
    before = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    with pytest.raises(RuntimeError, match="already transformed"):
        transform.step()
    after = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert all(map(torch.equal, before, after))
    for parameter in parameters[2:]:
        parameter.grad.add_(1)
    transform.step()


@pytest.mark.parametrize("policy", ["skip_tensor", "pass_through"])
def test_gradients_with_nan_come_twice_too(policy: str) -> None:
    model = make_model()
    transform = gs.GradientStabilizer(model.named_parameters(), nonfinite=policy)
    backward(model, 0)
    model[0].weight.grad[0, 0] = torch.nan
    transform.step()
    with pytest.raises(RuntimeError, match="already transformed"):
        transform.step()


def test_a_vetoed_step_may_be_made_again() -> None:
    model = make_model()
    transform = gs.GradientStabilizer(model.named_parameters(), nonfinite="skip_step")
    backward(model, 0)
    value = model[0].weight.grad[0, 0].item()
    model[0].weight.grad.data[0, 0] = torch.nan
    assert not transform.step()
    assert not transform.step()
    model[0].weight.grad.data[0, 0] = value
    assert transform.step()


def test_parts_of_what_was_stabilized_are_refused_in_any_order() -> None:
    """compat is shown parameters with each call."""
    model = make_model()
    parameters = list(model.parameters())
    stabilizer = gs.compat.GradientStabilizer()
    backward(model, 0)
    stabilizer(parameters)
    for again in (parameters[::-1], parameters[1:3], parameters[3:]):
        with pytest.raises(RuntimeError, match="already transformed"):
            stabilizer(again)
    parameters[3].grad.data.mul_(2)
    stabilizer(parameters[3:])
