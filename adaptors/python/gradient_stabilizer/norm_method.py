"""Methods of one's own that go by norms. The library measures, chains, shards, updates, reports and saves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence, Union

import torch

from .methods import Link, Method

#: What a method may remember: numbers by name.
Memory = Mapping[str, Union[float, Sequence[float], torch.Tensor]]


@dataclass(frozen=True)
class UnitSteps:
    """The units of one step, as float64 tensors with one number per unit, in host memory.

    Not there are units without a gradient, and those of which nothing is finite: the non-finite policy deals with them.
    """

    #: Index of each unit, from 0 (int64): of a tensor, its position.
    index: torch.Tensor
    #: Euclidean norm of the gradient, with the factors of the methods in front.
    norms: torch.Tensor
    #: False (bool) where a part of the unit held NaN or Inf, which counts as zero.
    finite: torch.Tensor
    #: Largest absolute value of the gradient, likewise; 0 unless the method asks for it.
    max_abs: torch.Tensor
    #: Euclidean norm of the parameters; 0 unless the method asks for it.
    parameter_norms: torch.Tensor


class NormMethod(Method):
    """A method that decides by norms: a subclass, whose instances stand wherever a method of the library may stand.

        class HalfOfAll(gs.NormMethod):
            name = "half_of_all"

            def decide(self, units):
                return 0.5 + 0 * units.norms

        optimizer = gs.wrap(optimizer, gs.chain(HalfOfAll(), gs.stabilize()))

    An instance is the pattern: what steps is a deep copy of it, one per transform or optimizer, which starts afresh as
    the pattern is. What a method raises ends the step with RuntimeError, the exception being its cause; gradients,
    parameters and all that methods remember, this one included, are then as they were. In processes that share
    parameters, each has a copy, and all must decide alike. On a CUDA device the host decides, which waits for the norms.
    """

    #: Lower-case letters, digits and "_", none of the library's own. State is saved under it.
    name: str = ""
    #: Of what `save` and `save_unit` give. A state of a later version is refused.
    version: int = 1
    #: What has a norm and a factor of its own: "tensor", "row", "group" (with `groups`) or "model".
    granularity: str = "tensor"
    groups: Mapping[str, Iterable[str]] | None = None
    #: Off: content with some units at a time, as `optimizer_in_backward` needs it.
    all_units: bool = True
    #: What is to be measured beside norms. Needs the gradients themselves: neither sharded nor on a device.
    max_abs: bool = False
    parameter_norms: bool = False

    def __init__(self) -> None:
        """Subclasses need not call it."""

    def decide(self, units: UnitSteps) -> Any:
        """The factors of these units, finite and at least 0: a tensor or a list. Or a pair of them and of spikes, True
        for what the report is to label so."""
        raise NotImplementedError

    def settings(self) -> Mapping[str, Union[float, str]]:
        """Numbers and words that must agree between who saves a state and who loads it."""
        return {}

    def reset(self, units: int) -> None:
        """Called on each new copy: there are units 0 to `units` - 1."""

    def save(self) -> Memory:
        """What it remembers beside what belongs to a unit, under the same names at all times. The library also saves in
        every step, to undo one that fails."""
        return {}

    def load(self, values: Mapping[str, torch.Tensor], version: int) -> None:
        """Restores what `save` gave, now as float64 tensors [n]. `version` is that of the method that has saved it."""
        _refuse("load", values)

    def save_unit(self, unit: int) -> Memory:
        """The same of one unit, under names that `save` does not have."""
        return {}

    def load_unit(self, unit: int, values: Mapping[str, torch.Tensor], version: int) -> None:
        """Restores what `save_unit` gave."""
        _refuse("load_unit", values)

    @property
    def links(self) -> tuple[Link, ...]:  # type: ignore[override]
        return (Link(self.name, {}, {}, self),)

    # As values, methods of the library are equal where their settings are; these are equal where they are one.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]
    __repr__ = object.__repr__


def _refuse(function: str, values: Mapping[str, torch.Tensor]) -> None:
    if values:
        raise NotImplementedError(f"there is a state, but the method has no {function}")
