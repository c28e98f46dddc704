"""Reads tests/golden/data and compares with it; tests/golden/README.md describes the files."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import torch

DATA = pathlib.Path(__file__).resolve().parents[1] / "golden" / "data"

#: Relative to the largest value of a tensor: float32 results, and float64 results against the float64 run.
FLOAT32, FLOAT64 = 4e-6, 1e-12
#: Parameters after as many as 50 steps of a float32 optimizer.
PARAMETERS32 = 8e-6


def cases(method: str) -> dict[str, dict[str, Any]]:
    """The cases of a file by name."""
    return {case["name"]: case for case in json.loads((DATA / f"{method}.json").read_text())["cases"]}


def names(*methods: str) -> list[tuple[str, str]]:
    """All (file, case) of these files."""
    return [(method, name) for method in methods for name in cases(method)]


def number(value: Any) -> float:
    """Non-finite numbers are written as text."""
    return float(value)


def tensor(values: list[Any], shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    flat = torch.tensor([number(value) for value in values], dtype=torch.float64)
    # Inputs are float32 numbers, written with the shortest decimal that rounds to them.
    return flat.to(torch.float32).to(dtype).reshape(shape)


def parameters(case: dict[str, Any], dtype: torch.dtype) -> list[tuple[str, torch.nn.Parameter]]:
    """The case's parameters with their starting values, or zeros."""
    result = []
    for item in case["tensors"]:
        count = math.prod(item["shape"])
        start = tensor(item.get("init") or [0.0] * count, item["shape"], dtype)
        result.append((item["name"], torch.nn.Parameter(start)))
    return result


def set_gradients(case: dict[str, Any], step: dict[str, Any], named: list[tuple[str, torch.nn.Parameter]]) -> None:
    for values, item, (_, parameter) in zip(step["grad"], case["tensors"], named):
        parameter.grad = tensor(values, item["shape"], parameter.dtype)


def difference(got: list[torch.Tensor], expected: list[list[Any]], tolerance: float) -> str:
    """Where and how two lists of tensors differ; empty if nowhere by more than `tolerance` times the largest finite
    value of the expected tensor. NaN and infinities must be at the same places."""
    assert len(got) == len(expected)
    for index, (one, flat) in enumerate(zip(got, expected)):
        a = one.detach().to(torch.float64).flatten()
        b = torch.tensor([number(value) for value in flat], dtype=torch.float64)
        assert a.shape == b.shape
        finite = torch.isfinite(b)
        allowed = tolerance * (b[finite].abs().max().item() if finite.any() else 0.0)
        same = (a == b) | (torch.isnan(a) & torch.isnan(b))
        error = torch.where(same, torch.zeros_like(a), (a - b).abs())
        if not bool((error <= allowed).all()):  # also where the error is NaN
            return f"tensor {index}: {a.tolist()} is not {b.tolist()}; allowed are {allowed}"
    return ""


def perturbed(tensors: list[torch.Tensor], tolerance: float) -> list[torch.Tensor]:
    """The same with the largest finite value off by twice the tolerance: what a comparison must notice."""
    copies = [one.detach().to(torch.float64).clone() for one in tensors]
    for copy in copies:
        flat = copy.view(-1)
        finite = torch.where(torch.isfinite(flat), flat.abs(), torch.zeros_like(flat))
        if finite.max() > 0:
            flat[finite.argmax()] *= 1 + 2 * tolerance + 2 * torch.finfo(torch.float32).eps
    return copies


def any_number(tensors: list[torch.Tensor]) -> bool:
    """Whether there is a finite value other than 0, for `perturbed` to change."""
    return any(bool((torch.isfinite(one) & (one != 0)).any()) for one in tensors)
