"""One thread: what is compared bit for bit is torch's own work as well, and that depends on threads.

`--backend emulated` makes everything that names no backend take that one: the tests of the host, on a device.
"""

from __future__ import annotations

import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent))
torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--backend", default="", help="what takes the place of the backend that is chosen by itself")


def pytest_configure(config: pytest.Config) -> None:
    if chosen := config.getoption("--backend"):
        import backend_choice

        backend_choice.choose(chosen)
