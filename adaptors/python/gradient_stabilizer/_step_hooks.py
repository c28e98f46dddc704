"""What torch's Optimizer does around a step, for steps that are made in another way: hooks, and the mark that learning
rate schedulers look for. Only this module uses these parts of torch, which are not public."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any, Iterator, Mapping

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
