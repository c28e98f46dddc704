"""optimizer_in_backward where models, optimizers and loops change while it is at work."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from support import backward, loss_of, make_model, same_bits, values
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.checkpoint import checkpoint

import gradient_stabilizer as gs

HOOKS = pytest.mark.skipif(not hasattr(torch.optim.Optimizer, "register_step_pre_hook"), reason="hooks came with torch 2.0")


def pair(kind: Any = gs.optim.AdamW, lr: float = 1e-2) -> tuple[nn.Sequential, Any, nn.Sequential, Any]:
    """A model that is stepped in backward, and its twin with the same optimizer after backward."""
    model, twin = make_model(), make_model()
    return model, gs.optimizer_in_backward(model, kind, lr=lr), twin, kind(twin.named_parameters(), lr=lr)


def step_both(model: nn.Module, twin: nn.Module, optimizer: Any, step: int) -> None:
    loss_of(model, step).backward()
    backward(twin, step)
    optimizer.step()


def test_layers_that_are_unfrozen_later_are_trained() -> None:
    model, twin = make_model(), make_model()
    for each in (model, twin):
        each[0].requires_grad_(False)
    gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)
    optimizer = gs.optim.AdamW(twin.named_parameters(), lr=1e-2)
    for step in range(6):
        if step == 2:
            for each in (model, twin):
                each[0].requires_grad_(True)
        if step == 4:
            for each in (model, twin):
                each[0].bias.requires_grad_(False)
        step_both(model, twin, optimizer, step)
        assert same_bits(values(model), values(twin))
        assert all(parameter.grad is None for parameter in model.parameters())
    assert not same_bits(values(model)[:1], values(make_model())[:1])


def test_hooks_leave_frozen_parameters_frozen() -> None:
    model = make_model()
    model[0].requires_grad_(False)
    model.register_parameter("count", nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False))
    optimizer = gs.optim.AdamW([p for name, p in model.named_parameters() if name != "count"])
    gs.optimizer_in_backward(model, optimizer)
    assert [p.requires_grad for p in model.parameters()] == [False, False, False, True, True]


def test_a_group_that_is_added_later_is_trained() -> None:
    model, twin = make_model(), make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.AdamW(model[0].named_parameters(prefix="0"), lr=1e-2))
    optimizer = gs.optim.AdamW(twin[0].named_parameters(prefix="0"), lr=1e-2)
    for step in range(4):
        if step == 2:
            for each, its_optimizer in ((model, stepper.optimizer), (twin, optimizer)):
                its_optimizer.add_param_group({"params": list(each[2].named_parameters(prefix="2")), "lr": 0.1})
            model.zero_grad(set_to_none=True)
        step_both(model, twin, optimizer, step)
        assert same_bits(values(model), values(twin))
    assert not same_bits(values(model)[2:], values(make_model())[2:])


def test_layers_that_the_optimizer_never_had_are_left_alone() -> None:
    model = make_model()
    gs.optimizer_in_backward(model, gs.optim.AdamW(model[0].named_parameters(), lr=1e-2))
    before = values(model)
    loss_of(model, 0).backward()
    assert same_bits(values(model)[2:], before[2:]) and model[2].weight.grad is not None
    assert not same_bits(values(model)[:2], before[:2])


def grow(model: nn.Sequential) -> None:
    model[2].weight = nn.Parameter(torch.zeros(3, 16))


def add_layer(model: nn.Sequential) -> None:
    model.add_module("3", nn.Linear(3, 3))


def swap_layer(model: nn.Sequential) -> None:
    model[2] = nn.Linear(16, 3)


@pytest.mark.parametrize("change", [grow, add_layer, swap_layer])
def test_parameters_that_are_added_or_exchanged_are_noticed(change: Any) -> None:
    model = make_model()
    stepper = gs.optimizer_in_backward(model, gs.optim.AdamW, lr=1e-2)
    loss_of(model, 0).backward()
    change(model)
    with torch.no_grad():
        loss_of(model, 0)  # nothing is trained
    for _ in range(2):
        with pytest.raises(RuntimeError, match="parameter '[23].weight' of the model was added or exchanged"):
            loss_of(model, 0)
    new = [(f"new {name}", p) for name, p in model.named_parameters() if id(p) not in stepper._index]
    stepper.optimizer.add_param_group({"params": new})
    before = values(model)
    loss_of(model, 1).backward()
    assert not any(map(torch.equal, values(model), before))


def test_a_removed_stepper_does_not_look_at_the_model() -> None:
    model = make_model()
    gs.optimizer_in_backward(model).remove()
    grow(model)
    loss_of(model, 0).backward()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deepcopy", "pickle"])
def test_copies_of_the_model_are_ordinary(copied: Any) -> None:
    model = make_model()
    gs.optimizer_in_backward(model, lr=1e-2)
    other = copied(model)
    grow(other)
    before = values(other)
    loss_of(other, 0).backward()
    assert same_bits(values(other), before) and other[0].weight.grad is not None


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch.compile came with torch 2.0")
def test_the_model_can_be_compiled_as_one_graph() -> None:
    model, _, twin, optimizer = pair()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for step in range(3):
        loss_of_compiled = (compiled(torch.ones(4, 6)) * (step + 1)).square().mean()
        loss_of_compiled.backward()
        optimizer.zero_grad()
        (twin(torch.ones(4, 6)) * (step + 1)).square().mean().backward()
        optimizer.step()
    assert same_bits(values(model), values(twin))


def test_a_parameter_of_held_backwards_alone_is_stepped_at_the_end_of_the_last() -> None:
    model, stepper, twin, optimizer = pair()
    inputs = torch.randn(4, 6)
    for _ in range(2):
        stepper.hold()
        model(inputs).square().sum().backward()
        stepper.hold(False)
        model[2](inputs.new_ones(4, 16)).sum().backward()
        optimizer.zero_grad()
        twin(inputs).square().sum().backward()
        twin[2](inputs.new_ones(4, 16)).sum().backward()
        optimizer.step()
        assert same_bits(values(model), values(twin))
        assert all(parameter.grad is None for parameter in model.parameters())
    assert all(tensor.present for tensor in stepper.report().tensors)


def test_a_backward_that_failed_does_no_harm_to_the_next() -> None:
    model, stepper, twin, optimizer = pair(gs.optim.SGD, 0.1)
    broken = model[0].weight.register_hook(lambda _: (_ for _ in ()).throw(KeyError("on purpose")))
    with pytest.raises(KeyError, match="on purpose"):
        loss_of(model, 0).backward()
    broken.remove()
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), make_model().parameters()):
            parameter.copy_(value)
    stepper.optimizer.load_state_dict(optimizer.state_dict())
    for step in range(1, 4):
        for each in (stepper.optimizer, optimizer):
            each.param_groups[0]["lr"] *= 0.5
        step_both(model, twin, optimizer, step)
        assert same_bits(values(model), values(twin))


def test_a_checkpoint_that_is_no_nested_backward_is_right() -> None:
    model, _, twin, optimizer = pair()
    inputs = torch.randn(4, 6)
    for _ in range(3):
        checkpoint(model, inputs, use_reentrant=False).square().sum().backward()
        optimizer.zero_grad()
        twin(inputs).square().sum().backward()
        optimizer.step()
    assert same_bits(values(model), values(twin))


@HOOKS
def test_step_hooks_run_once_per_backward() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    model, stepper, twin, optimizer = pair()
    start = values(model)
    seen: list[tuple[str, bool]] = []

    def note(name: str) -> Any:
        def hook(which: Any, arguments: Any, settings: Any) -> None:
            assert which is stepper.optimizer and arguments == (which,) and settings == {}
            seen.append((name, same_bits(values(model), start)))

        return hook

    stepper.optimizer.register_step_pre_hook(note("pre"))
    stepper.optimizer.register_step_post_hook(note("post"))
    of_all = [register_optimizer_step_pre_hook(note("all pre")), register_optimizer_step_post_hook(note("all post"))]
    try:
        stepper.hold()
        loss_of(model, 0).backward()
        assert seen == [], "a held backward makes no step"
        stepper.hold(False)
        loss_of(model, 0).backward()
    finally:
        for handle in of_all:
            handle.remove()
    # Before anything is updated, and after everything: in the order of torch.
    assert seen == [("all pre", True), ("pre", True), ("post", False), ("all post", False)]
    backward(twin, 0)
    loss_of(twin, 0).backward()
    optimizer.step()
    assert same_bits(values(model), values(twin))
    del seen[:]
    loss_of(model, 1).backward()
    assert [name for name, _ in seen] == ["pre", "post"]


@HOOKS
def test_a_hook_sets_what_the_step_then_uses() -> None:
    model, stepper, twin, optimizer = pair(gs.optim.SGD, 0.1)
    for each in (stepper.optimizer, optimizer):
        each.register_step_pre_hook(lambda which, *_: which.param_groups[0].update(lr=which.param_groups[0]["lr"] / 2))
    for step in range(3):
        step_both(model, twin, optimizer, step)
    assert same_bits(values(model), values(twin))
    assert stepper.optimizer.param_groups[0]["lr"] == 0.1 / 8


@HOOKS
def test_a_hook_that_returns_other_arguments_is_an_error() -> None:
    model, stepper, _, _ = pair()
    stepper.optimizer.register_step_pre_hook(lambda *_: ((), {}))
    with pytest.raises(RuntimeError, match="pre-hook returned other arguments"):
        loss_of(model, 0).backward()


def test_schedulers_do_not_miss_the_step() -> None:
    model, stepper, _, _ = pair()
    schedule = lr_scheduler.StepLR(stepper.optimizer, 1, 0.5)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loss_of(model, 0).backward()
        schedule.step()
    assert [str(one.message) for one in seen] == []
    assert stepper.optimizer.param_groups[0]["lr"] == 0.5e-2
    # Negative control: without a backward torch says so.
    _, idle, _, _ = pair()
    schedule = lr_scheduler.StepLR(idle.optimizer, 1, 0.5)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()
