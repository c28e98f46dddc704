"""Methods of your own that are based on norms. The library measures, chains, shards, updates, reports and saves."""

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

    Units without a gradient are left out, and so are those without any finite part, which the non-finite policy
    handles.
    """

    #: Index of each unit, from 0 (int64); for a tensor, its position.
    index: torch.Tensor
    #: Euclidean norm of the gradient, with the factors of the methods in front.
    norms: torch.Tensor
    #: False (bool) if a part of the unit held NaN or Inf, which counts as zero.
    finite: torch.Tensor
    #: Largest absolute value of the gradient, likewise; 0 unless the method asks for it.
    max_abs: torch.Tensor
    #: Euclidean norm of the parameters; 0 unless the method asks for it.
    parameter_norms: torch.Tensor


class NormMethod(Method):
    """Base class for a method that decides by norms. Its instances may stand wherever a method of the library may
    stand.

        class HalfOfAll(gs.NormMethod):
            name = "half_of_all"

            def decide(self, units):
                return 0.5 + 0 * units.norms

        optimizer = gs.wrap(optimizer, gs.chain(HalfOfAll(), gs.stabilize()))

    An instance is a template: each transform or optimizer makes a deep copy of it, which starts in the state of the
    template. An exception in a method ends the step with RuntimeError, whose cause it is; gradients, parameters and the
    state of all methods, this one included, are then as before the step. In processes that share parameters, each has a
    copy, and all must make the same decision. On a CUDA device the host decides, and waits for the norms.
    """

    #: Lower-case letters, digits and "_"; not the name of a method of the library. State is saved under it.
    name: str = ""
    #: Version of what `save` and `save_unit` return. A state of a later version is refused.
    version: int = 1
    #: What has a norm and a factor of its own: "tensor", "row", "group" (with `groups`) or "model".
    granularity: str = "tensor"
    groups: Mapping[str, Iterable[str]] | None = None
    #: Off: the method can decide on some units at a time, as `optimizer_in_backward` needs.
    all_units: bool = True
    #: What to measure beside norms. This needs the gradients themselves, so it works neither for sharded ones nor on a
    #: device.
    max_abs: bool = False
    parameter_norms: bool = False

    def __init__(self) -> None:
        """Subclasses need not call it."""

    def decide(self, units: UnitSteps) -> Any:
        """Returns the factors of these units, finite and at least 0, as a tensor or a list. Or returns a pair: the
        factors, and a flag for each unit that is True where the report is to label a spike."""
        raise NotImplementedError

    def settings(self) -> Mapping[str, Union[float, str]]:
        """Numbers and words that must be the same when a state is saved and when it is loaded."""
        return {}

    def reset(self, units: int) -> None:
        """Called on each new copy, which gets the units 0 to `units` - 1."""

    def save(self) -> Memory:
        """The state that belongs to no unit, under the same names at all times. The library also saves in every step,
        to undo one that fails."""
        return {}

    def load(self, values: Mapping[str, torch.Tensor], version: int) -> None:
        """Restores what `save` returned, now as float64 tensors [n]. `version` is that of the method that saved it."""
        _refuse("load", values)

    def save_unit(self, unit: int) -> Memory:
        """The same for one unit, under names that `save` does not have."""
        return {}

    def load_unit(self, unit: int, values: Mapping[str, torch.Tensor], version: int) -> None:
        """Restores what `save_unit` returned."""
        _refuse("load_unit", values)

    @property
    def links(self) -> tuple[Link, ...]:  # type: ignore[override]
        return (Link(self.name, {}, {}, self),)

    # Methods of the library are equal if their settings are; these are equal only if they are the same object.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]
    __repr__ = object.__repr__


def _refuse(function: str, values: Mapping[str, torch.Tensor]) -> None:
    if values:
        raise NotImplementedError(f"there is a state, but the method has no {function}")
