"""The optimizer inside of a wrapper: nobody steps past the wrapper, and hooks hear of one step."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from support import backward, make_model, norms, same_bits, values
from torch import nn
from torch.optim import lr_scheduler

import gradient_stabilizer as gs


class TestStepsPastTheWrapper:
    def test_they_are_refused_as_long_as_the_wrapper_is_there(self) -> None:
        model = make_model()
        inner = torch.optim.SGD(model.parameters(), lr=0.1)
        optimizer = gs.wrap(inner)
        backward(model, 0)
        before = values(model)
        with pytest.raises(RuntimeError, match="SGD was stepped past its wrapper"):
            inner.step()
        assert same_bits(values(model), before)
        optimizer.step()
        assert not same_bits(values(model), before)
        del optimizer
        gc.collect()
        before = values(model)
        inner.step()
        assert not same_bits(values(model), before)

    def test_a_second_wrapper_takes_the_place_of_the_first(self) -> None:
        model = make_model()
        inner = torch.optim.SGD(model.parameters(), lr=0.1)
        first, second = gs.wrap(inner), gs.wrap(inner)
        backward(model, 0)
        second.step()
        with pytest.raises(RuntimeError, match="stepped past"):
            backward(model, 1)
            first.step()

    def test_copies_are_guarded_too_and_a_copy_of_the_inner_one_is_free(self) -> None:
        model = make_model()
        optimizer = gs.wrap(torch.optim.SGD(model.parameters(), lr=0.1))
        copied = copy.deepcopy(optimizer)
        with pytest.raises(RuntimeError, match="stepped past"):
            copied.optimizer.step()
        copy.deepcopy(optimizer.optimizer).step()

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.filterwarnings("error:Detected call of:UserWarning")
    @pytest.mark.filterwarnings("error:Seems like:UserWarning")
    def test_schedulers_of_the_inner_optimizer_work(self, when: str) -> None:
        model = make_model()
        inner = torch.optim.SGD(model.parameters(), lr=1.0)
        schedule = lr_scheduler.StepLR(inner, 1, 0.5) if when == "before" else None
        optimizer = gs.wrap(inner)
        schedule = schedule or lr_scheduler.StepLR(inner, 1, 0.5)
        backward(model, 0)
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == 0.5
        with pytest.raises(RuntimeError, match="stepped past"):
            inner.step()

    def test_a_wrapped_optimizer_is_freed_without_the_garbage_collector(self) -> None:
        inner = torch.optim.SGD(make_model().parameters(), lr=0.1)
        optimizer = gs.wrap(inner)
        reference = weakref.ref(inner)
        gc.disable()
        try:
            del inner, optimizer
            assert reference() is None
        finally:
            gc.enable()


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimization (arXiv 2010.01412) in its usual form: two gradients per step."""

    def __init__(self, params: Any, rho: float, **settings: Any) -> None:
        super().__init__(params, {"rho": rho})
        self.base_optimizer: Any = torch.optim.SGD(self.param_groups, **settings)

    @torch.no_grad()
    def first_step(self) -> None:
        norm = torch.stack([p.grad.norm() for group in self.param_groups for p in group["params"]]).norm()
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["before"] = parameter.detach().clone()
                parameter.add_(parameter.grad * (group["rho"] / norm))

    @torch.no_grad()
    def second_step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.copy_(self.state[parameter]["before"])
        self.base_optimizer.step()


class TestOptimizersThatCannotBeWrapped:
    def test_of_sam_the_optimizer_inside_is_wrapped(self) -> None:
        model, twin = make_model(), make_model()
        with pytest.raises(TypeError, match="SAM also steps by first_step and second_step.*sam.base_optimizer = wrap"):
            gs.wrap(SAM(model.parameters(), 0.05, lr=0.1))
        sam = SAM(model.parameters(), 0.05, lr=0.1)
        sam.base_optimizer = gs.wrap(sam.base_optimizer, named_parameters=model.named_parameters())
        by_hand, stabilizer = SAM(twin.parameters(), 0.05, lr=0.1), gs.GradientStabilizer(twin.named_parameters())
        for step in range(5):
            for each, optimizer in ((model, sam), (twin, by_hand)):
                backward(each, step)
                optimizer.first_step()
                backward(each, step)
                if each is twin:
                    stabilizer.step()
                optimizer.second_step()
        assert same_bits(values(model), values(twin))
        assert sam.base_optimizer.report().step == 5

    @pytest.mark.parametrize("module", ["accelerate.optimizer", "lightning.pytorch.core.optimizer"])
    def test_what_a_trainer_made_of_an_optimizer_is_refused(self, module: str) -> None:
        theirs = type("Theirs", (torch.optim.SGD,), {"__module__": module})
        with pytest.raises(TypeError, match=f"before it is given to {module.split('.')[0]}"):
            gs.wrap(theirs(make_model().parameters(), lr=0.1))


@pytest.mark.skipif(not hasattr(torch.optim.Optimizer, "register_step_pre_hook"), reason="hooks came with torch 2.0")
@pytest.mark.parametrize("depth", [1, 2])
def test_hooks_of_all_optimizers_run_once_per_step(depth: int) -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    model = make_model()
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = inner
    for _ in range(depth):
        optimizer = gs.wrap(optimizer)
    seen: list[tuple[str, Any, float]] = []
    note = lambda name: lambda which, *_: seen.append((name, which, norms([model[0].weight])[0]))  # noqa: E731
    inner.register_step_post_hook(note("inner"))
    handles = [register_optimizer_step_pre_hook(note("before")), register_optimizer_step_post_hook(note("after"))]
    try:
        backward(model, 0)
        raw = norms([model[0].weight])[0]
        optimizer.step()
        assert [(name, which) for name, which, _ in seen] == [
            ("before", optimizer), ("inner", inner), ("after", optimizer)
        ]  # fmt: skip
        assert [norm for *_, norm in seen] == [raw, pytest.approx(1.0, rel=1e-6), pytest.approx(1.0, rel=1e-6)]
        # Other optimizers are heard of as before, and a hook that is removed is gone.
        other = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        other.step()
        assert [which for _, which, _ in seen[3:]] == [other, other]
    finally:
        for handle in handles:
            handle.remove()
    backward(model, 1)
    optimizer.step()
    assert [name for name, *_ in seen[5:]] == ["inner"]
