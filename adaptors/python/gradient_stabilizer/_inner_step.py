"""The optimizer inside of a wrapper: what cannot be wrapped, and who may step it."""

from __future__ import annotations

import inspect
import sys
import warnings
import weakref
from typing import Any, Callable

from torch.optim import LBFGS, Optimizer

from ._step_hooks import StepInPlace
from .methods import Method

#: Ways past `step` in which sharpness-aware optimizers are driven.
_OTHER_STEPS = ("first_step", "second_step", "third_step", "ascent_step", "descent_step")
#: Whose optimizers unscale and accumulate gradients in their own `step`, after anything in front of them.
_TRAINERS = {"accelerate", "lightning", "lightning_fabric", "pytorch_lightning"}
#: Methods that multiply all gradients of a run by the same number.
_KEEP_PROPORTIONS = {"record_norms", "scale_by"}


def check_can_be_wrapped(optimizer: Optimizer) -> None:
    """TypeError, with what to wrap instead, for optimizers whose updates would go past the wrapper or whose gradients
    are not yet what they update with when the wrapper sees them."""
    steps = [name for name in _OTHER_STEPS if callable(getattr(type(optimizer), name, None))]
    if steps:
        raise TypeError(
            f"{type(optimizer).__name__} also steps by {' and '.join(steps)}, where a wrapper does not see the gradients; "
            "wrap the optimizer that it updates with: for example sam.base_optimizer = wrap(sam.base_optimizer)"
        )
    for kind in type(optimizer).__mro__:
        trainer = kind.__module__.split(".")[0]
        if trainer in _TRAINERS:
            raise TypeError(
                f"{type(optimizer).__name__} is what {trainer} makes of an optimizer, and unscales or accumulates gradients "
                f"after a wrapper would have transformed them; wrap the optimizer before it is given to {trainer}"
            )


def warn_of_line_search(optimizer: Optimizer, method: Method) -> None:
    """UserWarning for LBFGS without a line search behind a method that changes norms from one evaluation to the next."""
    if not isinstance(optimizer, LBFGS) or all(link.method in _KEEP_PROPORTIONS for link in method.links):
        return
    if any(group["line_search_fn"] is None for group in optimizer.param_groups):
        warnings.warn(
            f"LBFGS computes the curvature from differences of gradients, whose norms {method} changes from one evaluation to "
            'the next: without a line search it may diverge. Make it with line_search_fn="strong_wolfe"',
            UserWarning,
            stacklevel=4,
        )


def takes_closure(optimizer: Optimizer) -> bool:
    """Whether `step` can be given a closure."""
    parameters = inspect.signature(type(optimizer).step).parameters.values()
    return any("closure" in one.name or one.kind is inspect.Parameter.VAR_POSITIONAL for one in parameters)


#: The wrapper of each optimizer that has one.
_wrappers: weakref.WeakKeyDictionary[Optimizer, weakref.ref[Any]] = weakref.WeakKeyDictionary()


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step that is for a wrapper alone."""

    def step(optimizer: Optimizer, *arguments: Any, **settings: Any) -> Any:
        reference = _wrappers.get(optimizer)
        wrapper = None if reference is None else reference()
        if wrapper is not None and not wrapper._steps_inner:
            raise RuntimeError(
                f"{type(optimizer).__name__} was stepped past its wrapper, so that its gradients would not have been "
                "transformed; call step() of what wrap() returned, and give GradScaler that one too"
            )
        return function(optimizer, *arguments, **settings)

    return step


def guard(optimizer: Optimizer, wrapper: Any) -> None:
    """From now on only `wrapper` may call `optimizer.step`, as long as the wrapper exists."""
    known = optimizer in _wrappers
    _wrappers[optimizer] = weakref.ref(wrapper)
    if not known:
        optimizer.step = StepInPlace(optimizer, _guarded)  # type: ignore[method-assign,assignment]


def refuse_scaler_that_unscaled(optimizer: Any) -> None:
    """To be called when GradScaler.step asks a wrapper of `optimizer` something: RuntimeError if that scaler was told
    to unscale the gradients of `optimizer` itself. The scaler keeps account by optimizer, and would unscale them
    again."""
    scaler = sys._getframe(2).f_locals.get("self")
    states = getattr(scaler, "_per_optimizer_states", {})
    while isinstance(optimizer, Optimizer):
        state = states.get(id(optimizer))
        if state is not None and state["stage"].name != "READY":
            raise RuntimeError(
                f"scaler.unscale_() was given the inner {type(optimizer).__name__} and scaler.step() its wrapper, so that the "
                "gradients would be unscaled twice; give what wrap() returned to both"
            )
        optimizer = optimizer.__dict__.get("optimizer")
