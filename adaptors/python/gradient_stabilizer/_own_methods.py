"""Answers what the native half asks of methods that are written in Python.

The native half calls one C function for all of them, by address, with the number of the method and of the question. No
interface of CPython is involved, so that one build serves every Python.
"""

from __future__ import annotations

import copy
import ctypes
from typing import Any, Callable, Mapping

import torch

from . import _native


class _Alive:
    """A copy of a method that belongs to one native transform."""

    def __init__(self, pattern: Any) -> None:
        self.pattern = pattern
        self.method = pattern
        self.native = _made(pattern)

    def reset(self, count: int) -> None:
        self.method = copy.deepcopy(self.pattern)
        self.method.reset(count)

    def decide(self, _: int) -> None:
        from .norm_method import UnitSteps

        index, norms, finite, max_abs, parameter_norms = self.native.steps().unbind(1)
        steps = UnitSteps(index.long(), norms.clone(), finite.bool(), max_abs.clone(), parameter_norms.clone())
        answer = self.method.decide(steps)
        factors, spikes = answer if isinstance(answer, tuple) else (answer, torch.zeros(len(index), dtype=torch.bool))
        self.native.set_decision(
            _per_unit("factors", factors, torch.float64, len(index)), _per_unit("spikes", spikes, torch.bool, len(index))
        )

    def save(self, _: int) -> None:
        self._remember(self.method.save())

    def save_unit(self, unit: int) -> None:
        self._remember(self.method.save_unit(unit))

    def _remember(self, memory: Mapping[str, Any]) -> None:
        names = [str(name) for name in memory]
        self.native.set_memory(names, [_numbers(values).reshape(-1) for values in memory.values()])

    def load(self, _: int) -> None:
        names, values, version = self.native.saved()
        self.method.load(dict(zip(names, values)), version)

    def load_unit(self, unit: int) -> None:
        names, values, version = self.native.saved()
        self.method.load_unit(unit, dict(zip(names, values)), version)


class _WrongAnswer(ValueError):
    """An invalid answer of a method; the message says everything."""


def _numbers(values: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().to("cpu", dtype).contiguous()
    return torch.tensor(values, dtype=dtype, device="cpu")


def _per_unit(what: str, values: Any, dtype: torch.dtype, count: int) -> torch.Tensor:
    try:
        tensor = _numbers(values, dtype).reshape(-1)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _WrongAnswer(f"decide gave {values!r} as {what}, expected {count} numbers") from error
    if len(tensor) != count:
        raise _WrongAnswer(f"decide gave {len(tensor)} {what} for {count} units")
    return tensor


def _made(pattern: Any) -> Any:
    numbers: dict[str, float] = {}
    words: dict[str, list[str]] = {}
    for setting, value in pattern.settings().items():
        if isinstance(value, str):
            words[setting] = [value]
        else:
            numbers[setting] = float(value)
    units = {"granularity": [pattern.granularity]}
    for group, patterns in (pattern.groups or {}).items():
        units[f"group:{group}"] = [patterns] if isinstance(patterns, str) else list(patterns)
    asks = bool(pattern.all_units), bool(pattern.max_abs), bool(pattern.parameter_norms)
    return _native.call(_native.ops.make_own_method, pattern.name, int(pattern.version), numbers, words, units, *asks)


_alive: dict[int, _Alive] = {}

#: In the order of `Question` of native/own_method.hpp.
_QUESTIONS: tuple[Callable[[_Alive, int], None], ...] = (
    _Alive.reset,
    _Alive.decide,
    _Alive.save,
    _Alive.load,
    _Alive.save_unit,
    _Alive.load_unit,
)


@ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64)
def _ask(number: int, question: int, unit: int) -> int:
    alive = _alive[number]
    try:
        with torch.no_grad():
            _QUESTIONS[question](alive, unit)
    except _WrongAnswer as error:
        _native.raised.error = error.__cause__
        alive.native.set_error("invalid_argument", str(error))
    except BaseException as error:
        _native.raised.error = error
        what = f"{_QUESTIONS[question].__name__} raised {type(error).__name__}"
        alive.native.set_error("failed_precondition", f"{what}: {error}" if str(error) else what)
    else:
        return 0
    return 1


_native.ops.set_ask(ctypes.cast(_ask, ctypes.c_void_p).value)


def copied(pattern: Any) -> str:
    """The name under which the native half finds a copy of this method that belongs to nobody yet."""
    for number, alive in list(_alive.items()):
        if alive.native.is_left():
            _alive.pop(number, None)
    alive = _Alive(pattern)
    number = alive.native.id()
    _alive[number] = alive
    return f"own:{number}"
