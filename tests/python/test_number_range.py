"""Gradients near the ends of float32's range: what a step makes of them is finite, and what torch's own optimizer makes
of the transformed gradients in double."""

from __future__ import annotations

import copy
from typing import Any, Callable

import pytest
import torch
from support import norms
from torch import nn

import gradient_stabilizer as gs

FUSED: dict[str, Callable[..., Any]] = {
    "SGD": lambda parameters: gs.optim.SGD(parameters, 0.05),
    "SGD momentum": lambda parameters: gs.optim.SGD(parameters, 0.05, momentum=0.9),
    "Adam": lambda parameters: gs.optim.Adam(parameters, 1e-2),
    "AdamW amsgrad": lambda parameters: gs.optim.AdamW(parameters, 1e-2, amsgrad=True, weight_decay=0),
    "Lion": lambda parameters: gs.optim.Lion(parameters, 1e-3),
    "AdamMini": lambda parameters: gs.optim.AdamMini(parameters, 1e-2),
    "SPAM": lambda parameters: gs.optim.SPAM(parameters, 1e-2, transform=gs.stabilize()),
}


def saturated_logit(bias: torch.Tensor) -> torch.Tensor:
    """A loss whose gradient by the bias is about 3e-40."""
    logits = torch.cat([torch.zeros(8, 1), bias.expand(8, 1)], 1)
    return nn.functional.cross_entropy(logits, torch.zeros(8, dtype=torch.long))


@pytest.mark.parametrize("name", FUSED)
def test_a_saturated_logit_moves_by_an_ordinary_step(name: str) -> None:
    bias = nn.Parameter(torch.tensor([-91.0]))
    optimizer = FUSED[name]([("bias", bias)])
    saturated_logit(bias).backward()
    assert 0 < bias.grad.item() < 2.0**-128, "its inverse is beyond float32"
    optimizer.step()
    # The stabilized norm of a first step is 1, so the step is the learning rate; SPAM begins at its full rate too.
    lr = optimizer.param_groups[0]["lr"]
    assert bias.item() == pytest.approx(-91.0 - lr, abs=2 * 91 * 2.0**-24)
    report = optimizer.report()
    assert report.nonfinite == 0
    assert report.tensors[0].factor * bias.grad.item() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("depth", [10, 30, 60])
def test_deep_sigmoid_networks_train_as_with_the_wrapped_optimizer(depth: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(8, 8), nn.Sigmoid())])
    twin = copy.deepcopy(model)
    inputs = torch.randn(4, 8)
    fused = gs.optim.AdamW(model.parameters(), 1e-3)
    wrapped = gs.wrap(torch.optim.AdamW(twin.parameters(), 1e-3))
    smallest = float("inf")
    for _ in range(3):
        for each, optimizer in ((model, fused), (twin, wrapped)):
            optimizer.zero_grad()
            each(inputs).sum().backward()
            smallest = min([smallest, *(norm for norm in norms(list(each.parameters())) if norm > 0)])
            optimizer.step()
    assert depth < 60 or smallest < 2.0**-128
    assert fused.report().nonfinite == 0
    for ours, theirs in zip(model.parameters(), twin.parameters()):
        assert torch.isfinite(ours).all()
        # Three steps of 1e-3, each rounded a few times; epsilon is 1e-8 of them at the least.
        assert (ours - theirs).abs().max() <= 3 * (16 * 2.0**-24 * theirs.abs().max() + 1e-3 * 1e-3)
    # The control: a network that was not stepped is told apart.
    torch.manual_seed(0)
    fresh = nn.Sequential(*[layer for _ in range(depth) for layer in (nn.Linear(8, 8), nn.Sigmoid())])
    assert max((a - b).abs().max() for a, b in zip(fresh.parameters(), model.parameters())) > 1e-3


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("size", [1e-44, 1e-39, 1.0, 1e38])
def test_the_size_of_a_gradient_does_not_matter(name: str, size: float) -> None:
    weight, twin = (nn.Parameter(torch.linspace(-1, 1, 24).reshape(4, 6)) for _ in range(2))
    direction = torch.linspace(-1.2, 2.1, 24, dtype=torch.float64).reshape(4, 6)
    optimizer, reference = FUSED[name]([("w", weight)]), FUSED[name]([("w", twin)])
    for _ in range(4):
        weight.grad = (direction * size).float()
        # The same digits, as ordinary numbers.
        twin.grad = (weight.grad.double() / size).float()
        optimizer.step()
        reference.step()
    assert torch.isfinite(weight).all()
    # A float32 rounding per operation and step, of steps up to 0.05.
    assert (weight - twin).abs().max() <= 4 * 64 * 2.0**-24
    assert (weight - torch.linspace(-1, 1, 24).reshape(4, 6)).abs().max() > 1e-3


@pytest.mark.parametrize("name", FUSED)
def test_threads_that_flush_subnormals_to_zero_stay_finite(name: str) -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("torch cannot flush subnormal numbers here")
    try:
        weight = nn.Parameter(torch.linspace(-1, 1, 24).reshape(4, 6))
        optimizer = FUSED[name]([("w", weight)])
        for exponent in (-149, -140, -130, -126, -100, 0):
            # Made of bits, because arithmetic would flush them.
            bits = 1 << (exponent + 149) if exponent < -126 else (exponent + 127) << 23
            weight.grad = torch.full((4, 6), bits, dtype=torch.int32).view(torch.float32)
            optimizer.step()
            assert torch.isfinite(weight).all()
    finally:
        torch.set_flush_denormal(False)
