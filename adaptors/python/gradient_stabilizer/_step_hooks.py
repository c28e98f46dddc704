"""What torch's Optimizer does around a step, for steps that are made in another way: hooks, and the mark that learning
rate schedulers look for. Only this module uses these parts of torch, which are not public."""

from __future__ import annotations

import contextlib
import functools
import importlib
import weakref
from typing import Any, Callable, Iterator, Mapping

from torch.optim import Optimizer

# By name, because torch 1.13 takes the module out of torch.optim.
_module = importlib.import_module("torch.optim.optimizer")


def _hooks_of_all(when: str) -> dict[int, Any]:
    """What `register_optimizer_step_pre_hook` ("pre") and `..._post_hook` ("post") have collected."""
    return getattr(_module, f"_global_optimizer_{when}_hooks", {})


def _own_hooks(optimizer: Optimizer, when: str) -> Mapping[int, Any]:
    return getattr(optimizer, f"_optimizer_step_{when}_hooks", {})


def begin_step(optimizer: Optimizer) -> None:
    """Runs the pre-hooks of a step that is not a call of `optimizer.step`. RuntimeError for one that returns other
    arguments: there are none to replace."""
    for hook in [*_hooks_of_all("pre").values(), *_own_hooks(optimizer, "pre").values()]:
        if hook(optimizer, (optimizer,), {}) is not None:
            raise RuntimeError("a step pre-hook returned other arguments, and a step made by backward has none")


def end_step(optimizer: Optimizer) -> None:
    """Runs the post-hooks of such a step, and tells schedulers that there was one."""
    for hook in [*_own_hooks(optimizer, "post").values(), *_hooks_of_all("post").values()]:
        hook(optimizer, (optimizer,), {})
    optimizer._opt_called = True  # type: ignore[attr-defined]
    if hasattr(optimizer, "_step_count"):  # a scheduler of torch 1.13 counts
        optimizer._step_count += 1


#: Optimizers, by id, whose steps are a part of another's: hooks of all optimizers have heard of that one.
_inside: set[int] = set()


class _OncePerStep:
    """A hook of all optimizers that is not called for the optimizers in `_inside`."""

    def __init__(self, hook: Any) -> None:
        self.hook = hook

    def __call__(self, optimizer: Optimizer, *arguments: Any) -> Any:
        return None if id(optimizer) in _inside else self.hook(optimizer, *arguments)


@contextlib.contextmanager
def part_of_a_step(optimizer: Optimizer) -> Iterator[None]:
    """While this is open, the hooks of all optimizers do not run for a step of `optimizer`."""
    for when in ("pre", "post"):
        hooks = _hooks_of_all(when)
        for key, hook in list(hooks.items()):
            if not isinstance(hook, _OncePerStep):
                hooks[key] = _OncePerStep(hook)
    _inside.add(id(optimizer))
    try:
        yield
    finally:
        _inside.discard(id(optimizer))


class StepInPlace:
    """Stands in the place of the bound method `optimizer.step`, and looks like one to torch's schedulers, which put
    themselves around it. Holds the optimizer weakly, as they do. Copies and pickles of torch's optimizers go without.

    around: makes the function that is called from the one that was, both of them with the optimizer in front.
    """

    def __init__(self, optimizer: Optimizer, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self._optimizer = weakref.ref(optimizer)
        step: Any = optimizer.step
        if getattr(step, "__self__", None) is optimizer:
            function = step.__func__
        else:  # a scheduler, or somebody else, has replaced it
            function = functools.wraps(step)(lambda _, *arguments, **settings: step(*arguments, **settings))
        self.__func__ = functools.wraps(function)(around(function))

    @property
    def __self__(self) -> Any:
        return self._optimizer()

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        return self.__func__(self._optimizer(), *arguments, **settings)

    def __getattr__(self, name: str) -> Any:
        if name == "__func__":
            raise AttributeError(name)
        return getattr(self.__func__, name)  # marks that schedulers leave


class _Removed:
    """What torch's handles do, for a hook that is asked each time."""

    def __init__(self) -> None:
        self.is_removed = False

    def remove(self) -> None:
        self.is_removed = True


def before_step(optimizer: Optimizer, hook: Callable[[Any, Any, Any], Any]) -> Any:
    """Calls `hook(optimizer, arguments, settings)` in front of each step, as `register_step_pre_hook` does, which torch
    1.13 lacks. It may return both anew. Returns a handle with `remove`."""
    if hasattr(optimizer, "register_step_pre_hook"):
        return optimizer.register_step_pre_hook(hook)
    handle = _Removed()

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(optimizer: Optimizer, *arguments: Any, **settings: Any) -> Any:
            if not handle.is_removed:
                changed = hook(optimizer, (optimizer, *arguments), settings)
                if changed is not None:
                    (_, *arguments), settings = changed  # type: ignore[assignment]
            return function(optimizer, *arguments, **settings)

        return step

    optimizer.step = StepInPlace(optimizer, around)  # type: ignore[method-assign,assignment]
    return handle
