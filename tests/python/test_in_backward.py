"""optimizer_in_backward: parameters are updated while backward runs, and gradients are freed at once; and
measure_in_backward: gradients are measured while backward runs."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from support import backward, loss_of, make_model, norms, same_bits, train, values
from torch import nn

import gradient_stabilizer as gs


@pytest.mark.parametrize("optimizer", [gs.optim.AdamW, gs.optim.SGD, gs.optim.Lion])
def test_it_equals_a_step_after_backward_bit_for_bit(optimizer: type) -> None:
    model, twin = make_model(), make_model()
    stepper = gs.optimizer_in_backward(model, optimizer, lr=1e-2)
    for step in range(6):
        loss_of(model, step).backward()
        assert all(parameter.grad is None for parameter in model.parameters())
    train(twin, optimizer(twin.named_parameters(), lr=1e-2), range(6))
    assert same_bits(values(model), values(twin))
    assert stepper.optimizer.names == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_schedulers_act_without_anybody_asking_for_reports() -> None:
    model, twin = make_model(), make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.SGD, lr=0.1)
    reference = gs.optim.SGD(twin.named_parameters(), 0.1)
    for step in range(4):
        loss_of(model, step).backward()
        backward(twin, step)
        reference.step()
        for optimizer in (stepper.optimizer, reference):
            optimizer.param_groups[0]["lr"] *= 0.5
    assert same_bits(values(model), values(twin))


def test_few_gradients_exist_at_a_time() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(10)))
    gs.optimizer_in_backward(model, lr=1e-3)  # nobody keeps what it returns
    gc.collect()
    most = 0

    def count(*_: object) -> None:
        nonlocal most
        most = max(most, sum(parameter.grad is not None for parameter in model.parameters()))

    for layer in model:
        layer.register_full_backward_hook(count)
    model(torch.randn(4, 8, requires_grad=True)).sum().backward()
    assert most <= 1
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_parameter_that_is_used_twice_is_updated_once_after_both() -> None:
    torch.manual_seed(0)
    layer, twin = nn.Linear(5, 5), nn.Linear(5, 5)
    twin.load_state_dict(layer.state_dict())
    inputs = torch.randn(3, 5)
    stepper = gs.optimizer_in_backward(layer, gs.optim.SGD, lr=0.1)
    layer(layer(inputs)).square().sum().backward()
    optimizer = gs.optim.SGD(twin.named_parameters(), 0.1)
    twin(twin(inputs)).square().sum().backward()
    optimizer.step()
    assert same_bits(values(layer), values(twin))
    assert stepper.report().tensors[0].present


def test_held_backwards_accumulate() -> None:
    model, twin = make_model(), make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.SGD, lr=0.1)
    stepper.hold()
    loss_of(model, 0).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    stepper.hold(False)
    loss_of(model, 1).backward()
    optimizer = gs.optim.SGD(twin.named_parameters(), 0.1)
    (loss_of(twin, 0)).backward()
    (loss_of(twin, 1)).backward()
    optimizer.step()
    assert same_bits(values(model), values(twin))


def test_report_covers_what_happened_since_the_last_one() -> None:
    model, twin = make_model(), make_model()
    stepper = gs.optimizer_in_backward(model, lr=1e-2)
    reference = gs.optim.AdamW(twin.named_parameters(), lr=1e-2)
    loss_of(model, 0).backward()
    train(twin, reference, range(1))
    ours, expected = stepper.report(), reference.report()
    assert ours.tensors == expected.tensors
    assert ours.raw_global_norm == pytest.approx(expected.raw_global_norm, rel=1e-14)
    assert ours.global_norm == pytest.approx(expected.global_norm, rel=1e-14)
    assert not any(tensor.present for tensor in stepper.report().tensors)


def test_removed_backward_is_an_ordinary_one() -> None:
    model = make_model()
    stepper = gs.optimizer_in_backward(model)
    stepper.remove()
    before = values(model)
    loss_of(model, 0).backward()
    assert same_bits(values(model), before)
    assert model[0].weight.grad is not None


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"transform": gs.clip_by_global_norm()}, "clip_by_global_norm"),
        ({"transform": gs.zclip()}, "zclip"),
        ({"nonfinite": "skip_step"}, "skip_step"),
    ],
)
def test_what_needs_all_gradients_is_refused_with_the_reason(settings: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        gs.optimizer_in_backward(make_model(), **settings)


def test_an_optimizer_that_is_there_and_wrong_ones() -> None:
    model = make_model()
    optimizer = gs.optim.AdamW(model.named_parameters())
    assert gs.optimizer_in_backward(model, optimizer).optimizer is optimizer
    with pytest.raises(TypeError, match="lr"):
        gs.optimizer_in_backward(model, optimizer, lr=1.0)
    with pytest.raises(TypeError, match="AdamW"):
        gs.optimizer_in_backward(model, torch.optim.AdamW)


def halve_last_weight(model: nn.Sequential) -> None:
    model[2].weight.grad.mul_(0.5)


def clip(model: nn.Sequential) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1e-2)


def replace_first_bias(model: nn.Sequential) -> None:
    model[0].bias.grad = torch.full_like(model[0].bias, 3.0)


def drop_first_weight(model: nn.Sequential) -> None:
    model[0].weight.grad = None


def accumulate(model: nn.Sequential) -> None:
    loss_of(model, 100).backward()


@pytest.mark.parametrize("between", [halve_last_weight, clip, replace_first_bias, drop_first_weight, accumulate, None])
@pytest.mark.parametrize("method", [gs.stabilize(), gs.chain(gs.clip_by_value(0.05), gs.stabilize())], ids=str)
def test_gradients_measured_in_backward_give_the_same_bits(method: gs.Method, between: Any) -> None:
    """Also where gradients are changed between backward and step."""
    model, twin = make_model(), make_model()
    measured = gs.optim.AdamW(model.named_parameters(), lr=1e-2, transform=method)
    reference = gs.optim.AdamW(twin.named_parameters(), lr=1e-2, transform=method)
    handle = gs.measure_in_backward(measured)
    for step in range(6):
        for one, optimizer in ((model, measured), (twin, reference)):
            optimizer.zero_grad()
            loss_of(one, step).backward()
            if between is not None and step % 2 == 1:
                between(one)
            optimizer.step()
        assert same_bits(values(model), values(twin))
        assert measured.report() == reference.report()
    handle.remove()
    train(model, measured, range(6, 8))
    train(twin, reference, range(6, 8))
    assert same_bits(values(model), values(twin))


@pytest.mark.parametrize("measured", [True, False])
def test_a_step_does_not_measure_again_what_backward_has_measured(measured: bool) -> None:
    """A change that no version counter shows is seen by whoever measures afterwards only."""
    model = make_model()
    optimizer = gs.optim.SGD(model.named_parameters(), 0.1, backend=gs.backends()[-1])  # devices measure in the step
    if measured:
        gs.measure_in_backward(optimizer)
    backward(model, 0)
    before = norms([model[0].weight])[0]
    model[0].weight.grad.numpy()[:] *= 2
    optimizer.step()
    expected = before if measured else 2 * before
    assert optimizer.report()["0.weight"].raw_norm == pytest.approx(expected, rel=1e-12)


def test_measuring_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    with pytest.raises(TypeError, match="gradient_stabilizer.optim, got SGD"):
        gs.measure_in_backward(torch.optim.SGD(model.parameters(), 0.1))
    optimizer = gs.optim.SGD(model.named_parameters(), 0.1)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="one of 2 processes"):
        gs.measure_in_backward(optimizer)
    monkeypatch.undo()
    gs.measure_in_backward(optimizer)
