"""A fused optimizer's parameters, settings and state, which its native half has."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch
from torch.optim import Optimizer

from . import _native, _statistics
from ._fused_state import Entry, FusedState
from ._parameters import Binding, put_names, split_groups, with_memory
from ._sharding import OTHER_PARTS, Sharding, check_tensors, is_dtensor, label_of, part_like, part_of, whole_of
from ._torch_arguments import check_names, check_parameters, check_settings
from .methods import Method

Settings = tuple[dict[str, float], dict[str, list[str]]]

# In the state of a parameter, beside what torch's own optimizers have there.
_COPY = "master_copy"  # of a bfloat16 parameter, in float32


class BoundOptimizer(Optimizer):
    """A torch optimizer that tells the native half its parameters, settings and state, and tells it again if they have
    changed. Optimizers are derived from `FusedOptimizer`."""

    #: The library's name of the optimizer.
    kind = ""
    #: Names of the element-wise state, in the library's order; torch's, where it has this optimizer.
    state_names: tuple[str, ...] = ()
    #: Whether state goes to and from an optimizer of torch's, or of the authors.
    has_plain = True
    # The OptimizerInBackward that backward steps this by, if there is one.
    _in_backward: Any = None

    def __init__(
        self,
        params: Any,
        defaults: dict[str, Any],
        *,
        transform: Method | None,
        nonfinite: str,
        backend: str,
        shard_group: Any,
        low_precision: str,
        seed: int,
    ) -> None:
        if transform is not None and not isinstance(transform, Method):
            raise TypeError(f"transform must be a method such as stabilize(), or None, got {transform!r}")
        check_parameters(params)
        groups, named = split_groups(params)
        check_names(groups, named)
        if len(groups) == 1 and not groups[0]["params"]:
            raise ValueError("the optimizer got an empty list of parameters")
        put_names(groups, named)
        self._how = (transform, nonfinite, backend, low_precision, int(seed))
        self._shard_group = shard_group
        self._fused_state = FusedState(self)
        self._start(named)
        super().__init__(groups, defaults)
        self._bind()

    def _start(self, named: Any) -> None:
        """Without parameters and state."""
        self._binding = Binding(named)
        self._known: list[Settings] = []
        self._sharding: Sharding | None = None
        self._positions: dict[int, int] = {}
        self._packed: dict[torch.Tensor, Entry] | None = None
        self._make()

    def _make(self) -> None:
        transform, *how = self._how
        lists = ([], [], []) if transform is None else transform.lists()
        self._native = _native.call(_native.ops.make_optimizer, self.kind, *lists, *how)

    def _settings(self, group: Mapping[str, Any]) -> Settings:
        """The settings of a group under the library's names."""
        raise NotImplementedError

    def _checked(self, group: Mapping[str, Any]) -> Settings:
        check_settings(group)
        try:
            return self._settings(group)
        except (TypeError, KeyError) as error:
            raise TypeError(f"a setting of this group is missing or of a wrong type: {error}") from None

    def _bind(self, *, stays: bool = False) -> None:
        """Tells the native half which parameters, settings and state there are now, where that has changed. `stays`: the
        state does not move on from there."""
        settings = [self._checked(group) for group in self.param_groups]
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        holds = self._binding.holds(tensors) and (self._sharding is not None or self._native.shapes_hold())
        if not holds or len(settings) != len(self._known):
            self._rebind(settings, tensors)
        else:
            for index, group_settings in enumerate(settings):
                if group_settings != self._known[index]:
                    _native.call(self._native.set_group, index, *group_settings)
                    self._known[index] = group_settings
        had = self._fused_state.take_back(tensors, keep=stays)
        if had:
            deleted = [index for index, entry in had if not entry]
            if deleted:
                self._rebind(settings, tensors, deleted)
            self._restore({index: entry for index, entry in had if entry})

    def _rebind(self, settings: list[Settings], tensors: list[torch.Tensor], forget: Sequence[int] = ()) -> None:
        before = self._binding
        self._binding = Binding(before.named, before)
        group_of = [index for index, group in enumerate(self.param_groups) for _ in group["params"]]
        try:
            fresh = [*self._binding.bind(self.param_groups), *forget]
            check_tensors(tensors, self._binding.names, self._shard_group)
            sharding = None
            if self._shard_group is not None or any(map(is_dtensor, tensors)):
                sharding = self._shard(tensors)
            _native.call(
                self._native.bind,
                [part_of(with_memory(tensor)) for tensor in tensors],
                self._binding.names,
                group_of,
                [numbers for numbers, _ in settings],
                [words for _, words in settings],
                fresh,
                sharding is not None,
            )
        except Exception:
            self._binding = before
            raise
        self._sharding = sharding
        self._known = settings
        self._positions = {id(tensor): index for index, tensor in enumerate(tensors)}
        if self._in_backward is not None:
            self._in_backward._follow()

    def _shard(self, tensors: Sequence[torch.Tensor]) -> Sharding:
        return Sharding(self._how[0], tensors, self._shard_group)

    @property
    def names(self) -> list[str]:
        """The names that state is kept under, in the order of `report().tensors`."""
        return list(self._binding.names)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters, whose state starts afresh."""
        groups, named = split_groups([param_group])
        if not self._binding.bound:  # while Optimizer.__init__ adds the first groups, which have their names
            super().add_param_group(groups[0])
            return
        check_names(groups, named)
        if named:
            put_names(groups, named)
        if ("param_names" in groups[0]) != ("param_names" in self.param_groups[0]):
            raise ValueError("give names to the parameters of all groups or of none")
        super().add_param_group(groups[0])
        before = list(self._binding.named)
        self._binding.named += named
        try:
            self._bind()
        except Exception:
            self._binding.named = before
            self.param_groups.pop()
            raise

    # ---- State, which the native half has ----

    @property
    def state(self) -> Any:  # type: ignore[override]
        """By parameter, as in torch's own optimizer and under its names: a copy, which the next step continues with."""
        return self._fused_state if self._packed is None else self._packed

    @state.setter
    def state(self, entries: Mapping[torch.Tensor, Mapping[str, Any]]) -> None:
        if entries is not self._fused_state:
            self._fused_state.replace(entries)

    def _stepped_positions(self) -> list[int]:
        if not self._binding.bound:
            return []
        return [index for index in _native.call(self._native.stepped) if self._has_part(index)]

    def _has_part(self, index: int) -> bool:
        """False for a parameter of which this process has no element; other processes of its group know the state."""
        tensor = self._binding.tensors[index]
        return self._shard_group is None or is_dtensor(tensor) or tensor.numel() > 0

    def _stepped(self) -> list[torch.Tensor]:
        return [self._binding.tensors[index] for index in self._stepped_positions()]

    def _position(self, parameter: Any) -> int | None:
        index = self._positions.get(id(parameter))
        if index is None or not self._binding.holds_at(index, parameter) or not self._has_part(index):
            return None
        return index if _native.call(self._native.step_of, index) > 0 else None

    def _entries(self, indices: list[int]) -> list[Entry]:
        entries = []
        for index, statistics in zip(indices, _statistics.shown(self._native, indices, self._binding.tensors)):
            tensor = self._binding.tensors[index]
            step, values, copy, steps = _native.call(self._native.parameter_state, index)
            entry: Entry = {"step": _count(step)}
            entry.update(zip(self.state_names, (whole_of(value, tensor) for value in values)))
            if copy:
                entry[_COPY] = whole_of(copy[0], tensor)
            statistics[_statistics.STEPS] = torch.tensor(float(steps), dtype=torch.float64)
            entries.append({**entry, **_statistics.prefixed(statistics)})
        return entries

    def _restore(self, entries: Mapping[int, Mapping[str, Any]], *, complete: bool = False) -> None:
        """Sets the state of the parameters at these positions. `complete`: there is none of others in any process."""
        statistics: list[_statistics.Statistics] = [{} for _ in self._binding.names]
        for index, entry in entries.items():
            rest, statistics[index] = _statistics.split(self._own_part(entry, index))
            steps = statistics[index].get(_statistics.STEPS)
            step, values = self._from_entry(rest, self._binding.names[index], steps is not None)
            copy = [rest[_COPY]] if step > 0 and rest.get(_COPY) is not None and self._copies(index) else []
            values, copy = ([part_like(value, self._binding.tensors[index]) for value in each] for each in (values, copy))
            count = 0 if steps is None else int(steps)
            _native.call(self._native.set_parameter_state, index, step, values, copy, count)
        if complete and self._sharding is not None and self._sharding.group is not None:
            statistics = _statistics.completed(statistics, self._sharding.group)
        _statistics.restore(self._native, statistics)

    def _copies(self, index: int) -> bool:
        """Whether the optimizer has a float32 copy of this parameter."""
        return self._how[3] == "master_copy" and self._binding.tensors[index].dtype == torch.bfloat16

    def _own_part(self, entry: Mapping[str, Any], index: int) -> Mapping[str, Any]:
        label = self._label(self._binding.tensors[index])
        labels = [key for key in entry if isinstance(entry[key], Mapping)]
        if labels and labels != [label]:
            raise ValueError(OTHER_PARTS)
        return entry[labels[0]] if labels else entry

    def _label(self, tensor: torch.Tensor) -> str | None:
        return None if self._sharding is None else label_of(tensor, self._sharding.group)

    def _from_entry(
        self, entry: Mapping[str, Any], name: str, of_this_kind: bool
    ) -> tuple[int, list[torch.Tensor]]:
        """Step and element-wise state out of what this optimizer, or torch's own, keeps of one parameter."""
        values = [entry[key] for key in self.state_names if entry.get(key) is not None]
        foreign = not values and any(_has_elements(value) for key, value in entry.items() if key != _COPY)
        if foreign or (values and not self.has_plain and not of_this_kind):
            expected = list(self.state_names) if self.has_plain else f"that of {type(self).__name__} itself"
            raise ValueError(f"state of '{name}' has {sorted(entry)}, expected {expected}")
        # torch's SGD does not count; what matters is that there is a momentum.
        step = int(entry.get("step", 1 if values else 0))
        return (step, values) if step > 0 else (0, [])


def _count(step: int) -> torch.Tensor:
    """As torch's optimizers count: float32, as long as that is exact."""
    return torch.tensor(float(step), dtype=torch.float32 if step < 2**24 else torch.float64)


def _has_elements(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0
