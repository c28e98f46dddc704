"""A stabilizer that gets the parameters with each call, and keeps state for those that are alive."""

from __future__ import annotations

import weakref
from typing import Any, Mapping, NamedTuple, Sequence

import torch

from . import _native, _statistics
from ._engine import Engine
from ._parameters import check_has_shape, shape_of
from .methods import Method


class Moments(NamedTuple):
    """What the authors' code keeps of one parameter."""

    m: float  #: first moment of the norm, not bias-corrected
    v: float  #: second moment of the norm, not bias-corrected
    k: int  #: norms that entered
    skipped: int  #: gradients that were zero, NaN or infinite


class WeakEngine(Engine):
    """The engine of `compat`: several calls may show parts of the parameters in turn, which it does not keep alive.

    A parameter is named by a number that is never used again, so that state cannot go to another one.
    """

    def __init__(self, method: Method, nonfinite: str, check_repeats: bool) -> None:
        super().__init__(method, [], nonfinite, "", check_repeats=check_repeats)
        self._forget()

    def _forget(self) -> None:
        self._known: list[weakref.ref[torch.Tensor]] = []
        self._shapes: list[list[int]] = []
        self._made = 0
        self._left = _native.ops.make_left_gradients()

    def reset(self) -> None:
        """Forgets everything."""
        super().reset()
        self._forget()

    def bind(self, groups: Sequence[Mapping[str, Any]]) -> list[int]:  # type: ignore[override]
        """Registers what is new, forgets what is gone, and returns the positions of the groups' parameters."""
        parameters = [parameter for group in groups for parameter in group["params"]]
        alive = [(name, reference()) for name, reference in zip(self.binding.names, self._known)]
        kept = [(name, tensor) for name, tensor in alive if tensor is not None]
        position = {id(tensor): index for index, (_, tensor) in enumerate(kept)}
        positions: list[int] = []
        for parameter in parameters:
            if id(parameter) not in position:
                check_has_shape(parameter, f"parameter{self._made}")
                position[id(parameter)] = len(kept)
                kept.append((f"parameter{self._made}", parameter))
                self._made += 1
            positions.append(position[id(parameter)])
        if len(set(positions)) < len(positions):
            raise ValueError("a parameter is there twice; its gradient would be transformed twice")
        names = [name for name, _ in kept]
        shapes = [shape_of(tensor) for _, tensor in kept]
        if names != self.binding.names or shapes != self._shapes:
            _native.call(self.native.bind_shapes, names, shapes, [], [])
            self.binding.names, self._known = names, [weakref.ref(tensor) for _, tensor in kept]
            self._shapes = shapes
            self._left.remember([])
        return positions

    def transform(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Transforms the gradients of the groups' parameters in place. False: the step must be skipped."""
        positions = self.bind(groups)
        parameters = [parameter for group in groups for parameter in group["params"]]
        present = [index for index, parameter in zip(positions, parameters) if parameter.grad is not None]
        with_gradients = [parameter for parameter in parameters if parameter.grad is not None]
        gradients = _native.call(self.native.writable_gradients, with_gradients)
        if self.check_repeats and self._come_again(present, gradients):
            raise _native.repeated()
        if not _native.call(self.native.step_at, present, gradients, []):
            self._left.remember([])
            return False
        self._left.remember(gradients)
        return True

    def _come_again(self, present: Sequence[int], gradients: Sequence[torch.Tensor]) -> bool:
        """Whether these are, with unchanged content, gradients that the last call has left."""
        if not self._left.are(gradients):
            return False
        numbers, _, _ = _native.call(self.native.report)
        return _native.call(_native.ops.have_norms, gradients, numbers[torch.tensor(present), 1])

    def moments(self) -> dict[int, Moments]:
        """By the id of the parameter, of those that have been seen with a gradient."""
        fields = [values.tolist() for values in self.statistics().values()]
        result: dict[int, Moments] = {}
        for reference, m, v, k, skipped in zip(self._known, *fields):
            tensor = reference()
            if tensor is not None and k + skipped > 0:
                result[id(tensor)] = Moments(m, v, int(k), int(skipped))
        return result

    def set_moments(self, parameters: Sequence[torch.Tensor], moments: Sequence[Moments]) -> None:
        """Starts afresh with these moments of these parameters."""
        fresh = WeakEngine(self.method, self.nonfinite, self.check_repeats)
        indices = fresh.bind([{"params": list(parameters)}])
        updates = max((each.k + each.skipped for each in moments), default=0)
        lists = _statistics.shown(fresh.native, indices, parameters)
        for statistics, each in zip(lists, moments):
            given = {"m": each.m, "v": each.v, "k": each.k, "nonfinite": each.skipped}
            numbers = {"updates": updates, **{f"0.stabilize.{name}": number for name, number in given.items()}}
            statistics.update({name: torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()})
        _statistics.restore(fresh.native, lists)
        self.__dict__.update(fresh.__dict__)

    def __getstate__(self) -> dict[str, Any]:
        alive = [reference() for reference in self._known]
        self.bind([{"params": [tensor for tensor in alive if tensor is not None]}])
        return {
            "method": self.method,
            "nonfinite": self.nonfinite,
            "check_repeats": self.check_repeats,
            "names": self.binding.names,
            "made": self._made,
            "parameters": [tensor for tensor in alive if tensor is not None],
            "saved": self.native.save(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["method"], state["nonfinite"], state["check_repeats"])  # type: ignore[misc]
        # copy and pickle hold the parameters until the other objects that have them are made as well.
        parameters = state["parameters"]
        self._shapes = [shape_of(tensor) for tensor in parameters]
        _native.call(self.native.bind_shapes, state["names"], self._shapes, [], [])
        _native.call(self.native.load, state["saved"], [])
        self.binding.names, self._made = state["names"], state["made"]
        self._known = [weakref.ref(tensor) for tensor in parameters]
