"""States that earlier versions wrote go on (data/kept_checkpoints.pt; kept_checkpoints.py has made it)."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

import kept_checkpoints
import pytest
import torch
from support import train

FILE = pathlib.Path(__file__).parent / "data" / "kept_checkpoints.pt"


def kept(name: str) -> dict[str, Any]:
    return torch.load(FILE)[name]


def go_on(name: str, state: Any) -> dict[str, torch.Tensor]:
    """The weights after the remaining steps, of an optimizer that has loaded this state."""
    model, optimizer = kept_checkpoints.made(name)
    model.load_state_dict(kept(name)["weights"])
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))
    train(model, optimizer, kept_checkpoints.MORE)
    return model.state_dict()


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max((a[key].double() - b[key].double()).abs().max().item() for key in a)


@pytest.mark.parametrize("name", kept_checkpoints.MAKERS)
def test_a_state_that_an_earlier_version_wrote_goes_on(name: str) -> None:
    expected = kept(name)["after"]
    # The gradients are torch's, whose sums differ by a few units in the last place between its versions; in bfloat16
    # that may be a whole unit of the parameter.
    tolerance = 2.0**-7 if name == "bfloat16" else 1e-5
    assert distance(go_on(name, kept(name)["state"]), expected) <= tolerance
    assert distance(go_on(name, None), expected) > 3 * tolerance, "negative control: without state it goes elsewhere"


@pytest.mark.parametrize("name", [name for name in kept_checkpoints.MAKERS if name not in ("adam_mini", "spam")])
def test_it_does_so_from_todays_state_too(name: str) -> None:
    """Loaded, saved as it is saved today, and loaded again: bit for bit the same."""
    model, optimizer = kept_checkpoints.made(name)
    model.load_state_dict(kept(name)["weights"])
    optimizer.load_state_dict(kept(name)["state"])
    again = go_on(name, optimizer.state_dict())
    train(model, optimizer, kept_checkpoints.MORE)
    assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["adamw", "adam amsgrad by position", "sgd groups", "lion chain"])
def test_plain_states_that_an_earlier_version_wrote_load(name: str) -> None:
    plain = kept(name)["plain"]
    model, optimizer = kept_checkpoints.made(name)
    optimizer.load_state_dict(plain)
    loaded = optimizer.plain_state_dict()
    for index, entry in plain["state"].items():
        for key, value in entry.items():
            assert torch.equal(loaded["state"][index][key], value)
    assert loaded["param_groups"][0]["lr"] == plain["param_groups"][0]["lr"]


@pytest.mark.parametrize("name", ["adamw", "wrap", "wrap groups"])
def test_they_go_into_models_with_other_prefixes(name: str) -> None:
    model, _ = kept_checkpoints.made(name)

    class Prefixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = model

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.module(inputs)

    outer = Prefixed()
    optimizer = kept_checkpoints.MAKERS[name](outer)
    model.load_state_dict(kept(name)["weights"])
    optimizer.load_state_dict(kept(name)["state"])
    train(outer, optimizer, kept_checkpoints.MORE)
    assert distance(model.state_dict(), kept(name)["after"]) <= 1e-5
