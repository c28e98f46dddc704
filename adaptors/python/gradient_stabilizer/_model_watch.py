"""Notices that the parameters of a model have changed."""

from __future__ import annotations

import operator
from typing import Any, Callable

import torch

# What runs in a model that is compiled is compiled with it; looking for changes is left out there.
_is_compiling: Callable[[], bool] = getattr(getattr(torch, "compiler", None), "is_compiling", lambda: False)


class ModelWatch:
    """Calls `changed` before a forward of the model that computes gradients, once after each exchange, addition or
    removal of parameters or modules."""

    def __init__(self, model: torch.nn.Module, changed: Callable[[], None]) -> None:
        self._model = model
        self._changed = changed
        self._look()
        self._handle = model.register_forward_pre_hook(_ForwardHook(self))

    def _look(self) -> None:
        parts = [part for module in self._model.modules() for part in (module._parameters, module._modules)]
        self._seen = [(part, tuple(part.values())) for part in parts]

    def _is_as_seen(self) -> bool:
        return all(len(now) == len(seen) and all(map(operator.is_, now.values(), seen)) for now, seen in self._seen)

    def forward_begins(self, model: torch.nn.Module) -> None:
        # A copy of the model has this hook as well, but is not watched.
        if model is self._model and torch.is_grad_enabled() and not self._is_as_seen():
            self._changed()
            self._look()

    def remove(self) -> None:
        self._handle.remove()


class _ForwardHook:
    """Copies and pickles of the model have hooks that do nothing."""

    def __init__(self, watch: ModelWatch | None = None) -> None:
        self._watch = watch

    def __call__(self, model: torch.nn.Module, *_: Any) -> None:
        if self._watch is not None and not _is_compiling():
            self._watch.forward_begins(model)

    def __reduce__(self) -> Any:
        return _ForwardHook, ()
