"""The state of a fused optimizer as torch's optimizers have theirs: by parameter, in tensors with torch's names."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, MutableMapping, Protocol

import torch

Entry = dict[str, Any]


class Owner(Protocol):
    """An optimizer whose state the native half has."""

    def _entries(self, indices: list[int]) -> list[Entry]:
        """What there is of the parameters at these positions."""

    def _position(self, parameter: Any) -> int | None:
        """The position of a parameter with state; None if it has none."""

    def _stepped(self) -> list[torch.Tensor]:
        """The parameters that have state."""


class FusedState(MutableMapping[torch.Tensor, Entry]):
    """The class of `optimizer.state` in the optimizers of `gradient_stabilizer.optim`.

    The state itself is kept by the library. An entry is a copy, made when it is read. The next step continues with what
    the caller makes of the copy, also with entries that are set or deleted.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        # By the id of the parameter: those that somebody has had or has set; an empty one is deleted, or was never there.
        self._had: dict[int, tuple[torch.Tensor, Entry]] = {}

    def __getitem__(self, parameter: torch.Tensor) -> Entry:
        # Without state it is empty, as in torch's own, which is a defaultdict.
        if id(parameter) not in self._had:
            position = self._owner._position(parameter)
            entry = {} if position is None else self._owner._entries([position])[0]
            self._had[id(parameter)] = parameter, entry
        return self._had[id(parameter)][1]

    def get(self, parameter: Any, default: Any = None) -> Any:
        return self[parameter] if parameter in self else default  # noqa: SIM401

    def __setitem__(self, parameter: torch.Tensor, entry: Mapping[str, Any]) -> None:
        self._had[id(parameter)] = parameter, dict(entry)

    def __delitem__(self, parameter: torch.Tensor) -> None:
        if parameter not in self:
            raise KeyError(parameter)
        self._had[id(parameter)] = parameter, {}

    def __contains__(self, parameter: object) -> bool:
        if id(parameter) in self._had:
            return bool(self._had[id(parameter)][1])
        return self._owner._position(parameter) is not None

    def __iter__(self) -> Iterator[torch.Tensor]:
        stepped = {id(parameter): parameter for parameter in self._owner._stepped()}
        for key, (parameter, entry) in self._had.items():
            if entry:
                stepped[key] = parameter
            else:
                stepped.pop(key, None)
        return iter(list(stepped.values()))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def replace(self, entries: Mapping[torch.Tensor, Mapping[str, Any]]) -> None:
        """These, and nothing else."""
        for parameter in list(self):
            del self[parameter]
        for parameter, entry in entries.items():
            self[parameter] = entry

    def take_back(self, parameters: list[torch.Tensor], *, keep: bool) -> list[tuple[int, Entry]]:
        """The positions among `parameters` of those whose entries were read or set, and the present content of these
        entries. Entries that were set for other parameters stay until those are there. `keep`: later changes of the
        entries count as well, because the state does not move on."""
        if not self._had:
            return []
        position = {id(parameter): index for index, parameter in enumerate(parameters)}
        result = [(position[key], entry) for key, (_, entry) in self._had.items() if key in position]
        if not keep:
            self._had = {key: had for key, had in self._had.items() if key not in position and had[1]}
        return result

    def forget(self) -> dict[int, tuple[torch.Tensor, Entry]]:
        """Forgets all entries that were read or set. Returns what `remember` expects."""
        had, self._had = self._had, {}
        return had

    def remember(self, had: dict[int, tuple[torch.Tensor, Entry]]) -> None:
        self._had = had

    def __repr__(self) -> str:
        return f"FusedState({len(self)} parameters)"
