"""Checkpoints that older versions wrote: they load, and what follows is what followed then."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from kept_states import AFTER, BEFORE, METHODS, OPTIMIZERS, Run

KEPT: dict[str, Any] = torch.load(pathlib.Path(__file__).parent / "data" / "kept_states.pt")
#: Subjects whose steps are the same without a state: they remember nothing, or, as zclip here, its fixed limit is below
#: every one of these norms.
FORGETFUL = {"clip_by_value", "clip_by_global_norm", "agc", "normalize", "scale_by", "record_norms", "zclip"}


def continued(name: str, load: bool) -> list[torch.Tensor]:
    run = Run(name)
    with torch.no_grad():
        for parameter, weight in zip(run.parameters, KEPT[name]["weights"]):
            parameter.copy_(weight)
    if load:
        run.subject.load_state_dict(KEPT[name]["state"])
    run.steps(BEFORE, BEFORE + AFTER)
    return run.left()


def distance(name: str, load: bool) -> float:
    pairs = zip(continued(name, load), KEPT[name]["left"])
    return max(((now - then).abs().max() / then.abs().max().clamp(min=1e-12)).item() for now, then in pairs)


@pytest.mark.parametrize("name", [*METHODS, *OPTIMIZERS])
def test_a_checkpoint_of_an_older_version_continues_with_the_same_numbers(name: str) -> None:
    # A few dozen operations on doubles, in the same order; processors may round fused ones otherwise.
    assert distance(name, load=True) < 1e-13
    assert (distance(name, load=False) < 1e-13) is (name in FORGETFUL)
