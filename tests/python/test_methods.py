"""The methods beside `stabilize`, against torch's own where it has them, and chains."""

from __future__ import annotations

import math

import pytest
import torch
from support import backward, make_model, same_bits
from torch import nn

import gradient_stabilizer as gs

EPSILON = torch.finfo(torch.float32).eps


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [1e-3, 1e3])
def test_clip_by_global_norm_is_torchs_clip_grad_norm(norm_type: float, max_norm: float) -> None:
    model, twin = make_model(dtype=torch.float64), make_model(dtype=torch.float64)
    transform = gs.GradientTransform(model.parameters(), gs.clip_by_global_norm(max_norm, norm_type))
    backward(model, 0)
    backward(twin, 0)
    transform.step()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), max_norm, norm_type)
    for a, b in zip(gradients(model), gradients(twin)):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=0)


def test_clip_by_value_is_torchs_clip_grad_value() -> None:
    model, twin = make_model(), make_model()
    backward(model, 0)
    backward(twin, 0)
    gs.GradientTransform(model.parameters(), gs.clip_by_value(0.01)).step()
    torch.nn.utils.clip_grad_value_(twin.parameters(), 0.01)
    assert same_bits(gradients(model), gradients(twin))
    assert max(grad.abs().max().item() for grad in gradients(model)) == pytest.approx(0.01, rel=EPSILON)


def test_agc_reads_the_parameters_and_leaves_the_final_layer_out() -> None:
    model = nn.Sequential()
    model.add_module("body", nn.Linear(4, 3))
    model.add_module("head", nn.Linear(3, 2))
    transform = gs.GradientTransform(model.named_parameters(), gs.agc(0.01))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    transform.step()
    limit = 0.01 * model.body.weight.detach().double().norm(dim=1)
    torch.testing.assert_close(model.body.weight.grad.double().norm(dim=1), limit, rtol=4 * EPSILON, atol=0)
    assert torch.equal(model.head.weight.grad, torch.ones(2, 3))


@pytest.mark.parametrize(
    "method",
    [
        gs.spike_aware_clip(threshold=1.0, quiet_steps=0),
        gs.adaptive_value_clip(),
        gs.adaptive_norm(),
        gs.normalize(),
        gs.scale_by(0.5),
        gs.adagc(warmup_steps=1),
        gs.zclip(warmup_steps=2),
    ],
    ids=str,
)
def test_every_method_runs_and_its_state_continues(method: gs.Method) -> None:
    model = make_model()
    transform = gs.GradientTransform(model.named_parameters(), method)
    for step in range(4):
        backward(model, step)
        raw = [grad.clone() for grad in gradients(model)]
        transform.step()
    assert not same_bits(raw, gradients(model))
    other = gs.GradientTransform(model.named_parameters(), method)
    other.load_state_dict(transform.state_dict())
    results = []
    for each in (transform, other):
        backward(model, 4, scale=50.0)
        each.step()
        results.append([grad.clone() for grad in gradients(model)])
    assert same_bits(results[0], results[1])


def test_record_norms_changes_nothing() -> None:
    model = make_model()
    transform = gs.GradientTransform(model.named_parameters(), gs.record_norms(3.0))
    for step in range(20):
        backward(model, step, scale=100.0 if step == 19 else 1.0)
        raw = [grad.clone() for grad in gradients(model)]
        transform.step()
        assert same_bits(raw, gradients(model))
    assert transform.report().spikes == 4


def test_a_chain_does_one_method_after_the_other() -> None:
    model, twin = make_model(), make_model()
    chained = gs.GradientTransform(model.parameters(), gs.chain(gs.clip_by_value(0.05), gs.chain(gs.stabilize(), gs.scale_by(2.0))))
    single = [gs.GradientTransform(twin.parameters(), m) for m in (gs.clip_by_value(0.05), gs.stabilize(), gs.scale_by(2.0))]
    for step in range(3):
        backward(model, step)
        backward(twin, step)
        chained.step()
        for each in single:
            each.step()
        for a, b in zip(gradients(model), gradients(twin)):
            torch.testing.assert_close(a, b, rtol=4 * EPSILON, atol=0)
    assert str(chained._engine.method) == "chain(clip_by_value, stabilize, scale_by)"
    assert list(chained.statistics())[0].startswith("1.stabilize")
