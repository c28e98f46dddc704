"""A transform's statistics of each parameter, stored among the state of an optimizer's parameters: as separate tensors,
which torch's tools find, move, flatten and save as they do with the rest."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import torch

from . import _native

#: What the names of these tensors begin with; also the key of what a checkpoint has beside `state`.
STATE_KEY = "gradient_stabilizer"
_PREFIX = STATE_KEY + "."

#: Among the statistics that a fused optimizer shows: the number of its steps, which is no transform's.
STEPS = "steps"

#: Of one parameter: "0.stabilize.m" and the like, and float64 tensors.
Statistics = dict[str, torch.Tensor]


def shown(native: Any, indices: Sequence[int], parameters: Sequence[torch.Tensor]) -> list[Statistics]:
    """Of the parameters at these indices. Numbers are on the host, as torch's "step" is; what a method has per row or
    element is where the parameter is."""
    result = []
    for names, values, index in zip(*_native.call(native.statistics, list(indices)), indices):
        device = parameters[index].device
        result.append({name: value.to(device) if value.dim() else value for name, value in zip(names, values)})
    return result


def prefixed(statistics: Statistics) -> Statistics:
    """Under names with the prefix."""
    return {_PREFIX + name: value for name, value in statistics.items()}


def split(state: Mapping[str, Any]) -> tuple[dict[str, Any], Statistics]:
    """Splits a parameter's state into the optimizer's part and the statistics. The latter are empty if they have been
    through an optimizer that does not know them: it gives them the parameter's dtype, and they are out of date."""
    plain = {key: value for key, value in state.items() if not is_ours(key)}
    ours = {key[len(_PREFIX) :]: value for key, value in state.items() if is_ours(key)}
    return plain, ours if all(_is_as_shown(value) for value in ours.values()) else {}


def is_ours(key: Any) -> bool:
    """Whether this is the name of a statistic among a parameter's state."""
    return isinstance(key, str) and key.startswith(_PREFIX)


def has_any(state: Mapping[Any, Any]) -> bool:
    """Whether any parameter's state has statistics."""
    return any(isinstance(entry, Mapping) and any(map(is_ours, entry)) for entry in state.values())


def restore(native: Any, of_parameters: Iterable[Statistics]) -> None:
    """Into a native object; of a parameter without statistics nothing is changed."""
    lists = [{name: value for name, value in each.items() if name != STEPS} for each in of_parameters]
    if any(lists):
        names = [list(statistics) for statistics in lists]
        values = [list(statistics.values()) for statistics in lists]
        _native.call(native.set_statistics, names, values)


def completed(of_parameters: Sequence[Statistics], group: Any) -> list[Statistics]:
    """With those that other processes of a group have and this one has not: of a parameter without elements here."""
    gathered: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(gathered, list(of_parameters), group=group)
    return [next((one for one in (mine, *others) if one), {}) for mine, *others in zip(of_parameters, *gathered)]


def nothing_read(count: int) -> str:
    """The message if the state of that many parameters is missing in a checkpoint that claims to have it."""
    return (
        f"the state of {count} parameters is missing: it was saved, and not read into this dictionary, because that was "
        "made by an optimizer that had not stepped; with torch.distributed.checkpoint use get_optimizer_state_dict and "
        "set_optimizer_state_dict, which see to that"
    )


def _is_as_shown(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float64
