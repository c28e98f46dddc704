"""Puts another backend in the place of the one that is chosen by itself, here and in processes that are started."""

from __future__ import annotations

import os
from typing import Any

_VARIABLE = "GRADIENT_STABILIZER_TEST_BACKEND"


def choose(backend: str) -> None:
    os.environ[_VARIABLE] = backend
    take_chosen()


def take_chosen() -> None:
    """What a started process calls."""
    chosen = os.environ.get(_VARIABLE)
    if not chosen:
        return
    from gradient_stabilizer import _native

    ops = _native.ops

    class Ops:
        """The operators; those that make objects take the chosen backend."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ops, name)

        def make_transform(self, *arguments: Any) -> Any:
            *others, backend = arguments
            return ops.make_transform(*others, backend or chosen)

        def make_optimizer(self, *arguments: Any) -> Any:
            *others, backend, low_precision, seed = arguments
            return ops.make_optimizer(*others, backend or chosen, low_precision, seed)

    _native.ops = Ops()
