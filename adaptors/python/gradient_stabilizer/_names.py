"""Which parameter of a saved state is which parameter here."""

from __future__ import annotations

import re
from typing import Callable, Mapping, Sequence, Union

#: A parameter's name and its shape.
Named = tuple[str, Sequence[int]]

#: How a caller says which is which: saved names to names here, as a dictionary or a function.
MapNames = Union[Mapping[str, str], Callable[[str], str], None]

# What torch.compile and the wrappers of FullyShardedDataParallel and of activation checkpointing put into names, and
# what DataParallel and DistributedDataParallel put in front of them.
_INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_IN_FRONT = "module."
_POSITION = re.compile(r"group\d+\.parameter\d+")


def by_position(group: int, index: int) -> str:
    """The name of a parameter that was given none."""
    return f"group{group}.parameter{index}"


def is_position(name: str) -> bool:
    return _POSITION.fullmatch(name) is not None


def _without_wrappers(name: str) -> str:
    for part in _INSIDE:
        name = name.replace(part, "")
    return name


def _without_parallel(name: str) -> str:
    name = _without_wrappers(name)
    while name.startswith(_IN_FRONT):
        name = name[len(_IN_FRONT) :]
    return name


def _matched(saved: Sequence[str], here: Sequence[str], canonical: Callable[[str], str]) -> list[str] | None:
    """The names here, in the order of the saved ones, if both are the same ones after `canonical`."""
    position = {canonical(name): name for name in here}
    names = [position.get(canonical(name)) for name in saved]
    if len(position) < len(here) or None in names or len(set(names)) < len(names):
        return None
    return names  # type: ignore[return-value]


def match_names(saved: Sequence[Named], here: Sequence[Named], map_names: MapNames = None) -> list[str]:
    """The names here of saved parameters, in the saved order.

    They are the saved names after `map_names`; else the names that are equal except for the prefixes of torch's
    wrappers; else, if one side has no names, those in the same position. ValueError names what differs.
    """
    names = [name for name, _ in saved]
    if callable(map_names):
        names = [map_names(name) for name in names]
    elif map_names is not None:
        unknown = sorted(set(map_names) - set(names))
        if unknown:
            raise ValueError(f"map_names names {unknown[0]!r}, which the saved state does not have")
        names = [map_names.get(name, name) for name in names]
    ours = [name for name, _ in here]
    for canonical in (str, _without_wrappers, _without_parallel):
        matched = _matched(names, ours, canonical)
        if matched is not None and len(matched) == len(ours):
            return matched
    unnamed = [bool(side) and all(map(is_position, side)) for side in (names, ours)]
    if unnamed[0] != unnamed[1] and len(names) == len(ours):
        return _in_order(saved, names, here)
    raise ValueError(_difference(names, ours))


def _in_order(saved: Sequence[Named], names: Sequence[str], here: Sequence[Named]) -> list[str]:
    for name, (_, saved_shape), (ours, shape) in zip(names, saved, here):
        if list(saved_shape) != list(shape):
            raise ValueError(
                f"parameters are matched by position, because one side has no names, and {ours!r} has shape "
                f"{list(shape)} here but {list(saved_shape)} in the saved state ({name!r})"
            )
    return [name for name, _ in here]


def _difference(saved: Sequence[str], here: Sequence[str]) -> str:
    known, wanted = {_without_parallel(name) for name in here}, {_without_parallel(name) for name in saved}
    texts = []
    for what, names, others in (
        ("saved state has a parameter {!r} that is not registered here", saved, known),
        ("saved state has no parameter {!r}", here, wanted),
    ):
        odd = [name for name in names if _without_parallel(name) not in others]
        if odd:
            texts.append(what.format(odd[0]) + (f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""))
    if not texts:
        texts = [f"saved state has {len(saved)} parameters, {len(here)} are registered here"]
    return "; ".join(texts) + "; map_names= says which of them are the same"
