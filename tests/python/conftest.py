"""One thread: what is compared bit for bit is torch's own work as well, and that depends on threads.

`--backend emulated` makes everything that names no backend take that one: the tests of the host, on a device.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", default="", help="what takes the place of the backend that is chosen by itself")


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("--backend")
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
