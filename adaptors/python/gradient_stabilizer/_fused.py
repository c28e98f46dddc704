"""The part that the fused optimizers share."""

from __future__ import annotations

import collections
import contextlib
from typing import Any, Callable, Iterator, Mapping, Sequence

import torch
from torch.optim import Optimizer

from . import _native, _statistics
from ._fused_state import Entry, FusedState
from ._names import MapNames, match_names
from ._parameters import Binding, put_names, split_groups, with_memory
from ._sharding import Sharding, check_tensors, is_dtensor, label_of, part_like, part_of, place_of, whole_of
from ._statistics import STATE_KEY
from ._torch_arguments import check_names, check_parameters, check_settings
from .methods import Method, stabilize
from .report import StepReport, make_report

Settings = tuple[dict[str, float], dict[str, list[str]]]

#: What goes in front where nothing else is asked for.
STABILIZE = stabilize()

#: Versions of what a checkpoint has under STATE_KEY: all state as bytes; settings beside state by parameter.
_AS_BYTES, _BY_PARAMETER = 1, 2

# In the state of a parameter, beside what torch's own optimizers have there.
_COPY = "master_copy"  # of a bfloat16 parameter, in float32

_OTHER_PARTS = (
    "this is the state of other parts of the parameters than this process has; each process loads what it saved, and "
    "get_optimizer_state_dict of torch.distributed.checkpoint is what moves to another number of processes"
)


class FusedOptimizer(Optimizer):
    """An optimizer of the library behind a gradient transform whose factors are folded into the update: gradients are
    read and not written, except by methods that work element by element.

    Users take one of `gradient_stabilizer.optim`. A subclass says what its groups' settings are called here, and what
    its state is called.
    """

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

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Asked for by GradScaler.step, which unscales gradients before it calls `step`."""
        if self._in_backward is not None:
            raise RuntimeError(
                "backward has already stepped, with gradients that GradScaler had scaled, and an overflow could not be taken "
                "back: scaled gradients need optimizer.step() after backward; bfloat16 needs no scaling"
            )
        # Newer torch unscales without telling autograd, so that norms measured in backward would still count.
        increment = getattr(torch.autograd.graph, "increment_version", None)
        if increment is not None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        increment(parameter.grad)
        return False

    def _shard(self, tensors: Sequence[torch.Tensor]) -> Sharding:
        return Sharding(self._how[0], tensors, self._shard_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Updates every parameter that has a gradient. With a closure, the gradients that it computes are used;
        returns its loss. Raises as `GradientTransform.step` does, without noticing gradients that come twice: they are
        not changed here."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._bind()
        if self._sharding is not None:
            self._sharding.update(self._native, self._binding.names, self._binding.tensors)
        else:
            _native.call(self._native.step)
        return loss

    def report(self) -> StepReport:
        """What the last step saw of the gradients, and the factors that it folded into the update."""
        return make_report(self._binding.names, *self._native.report())

    def backend_name(self) -> str:
        """Where the last step was made: one of `backends()`, "cuda", or a backend of the host and " (copies)"."""
        return self._native.backend()

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
        """By parameter, as of torch's own optimizer and under its names: a copy, which the next step goes on with."""
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
        """False of a parameter of which this process has no element, and its neighbours know the state."""
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
            raise ValueError(_OTHER_PARTS)
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

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
        """Settings of the groups and all state, by parameter and under torch's names; a run that loads it goes on bit for
        bit. `plain_state_dict` leaves out what torch's own optimizer does not have.

        State of DTensors is in DTensors, and that of `shard_group` is that of this process's parts; under
        FullyShardedDataParallel its `optim_state_dict` makes of it that of whole parameters."""
        self._bind(stays=True)
        stepped = self._stepped_positions()
        packed = self._pack(stepped, self._labelled(stepped, self._entries(stepped)))
        packed[STATE_KEY] = {
            "format": _BY_PARAMETER,
            "optimizer": self.kind,
            "method": "" if self._how[0] is None else str(self._how[0]),
            "settings": self._transform_settings(),
            "names": self.names,
            "parameters": len(stepped),
        }
        places = self._places()
        if places is not None:
            packed[STATE_KEY]["parts"] = places
        return packed

    def _pack(self, indices: Sequence[int], entries: Sequence[Entry]) -> dict[str, Any]:
        """What torch's Optimizer.state_dict gives, if this is all there is."""
        self._packed = {self._binding.tensors[index]: entry for index, entry in zip(indices, entries)}
        try:
            return super().state_dict()
        finally:
            self._packed = None

    def _labelled(self, indices: Sequence[int], entries: Sequence[Entry]) -> list[Entry]:
        """With the name of the part around what only this process has."""
        labels = [self._label(self._binding.tensors[index]) for index in indices]
        return [entry if label is None else {label: entry} for label, entry in zip(labels, entries)]

    def _transform_settings(self) -> torch.Tensor:
        """The settings of the transform, in the bytes of a state without parameters."""
        native = self._transform_alone()
        return torch.empty(0, dtype=torch.uint8) if native is None else _native.call(native.save)

    def _transform_alone(self) -> Any:
        transform, nonfinite, *_ = self._how
        if transform is None:
            return None
        native = transform.make(nonfinite, "")
        _native.call(native.bind, [], [], [])
        return native

    def _check_transform(self, settings: torch.Tensor, method: str) -> None:
        native = self._transform_alone()
        if native is not None and settings.numel() > 0:
            _native.call(native.load, settings, [])
        elif (native is None) != (settings.numel() == 0):
            here = "no transform" if native is None else f"'{self._how[0]}'"
            raise ValueError(f"saved state is of {method or 'no transform'!r}, this optimizer has {here}")

    def _places(self) -> list[Any] | None:
        """Which parts of the parameters are here, of those that FullyShardedDataParallel divides by itself; else None."""
        if self._sharding is None or not any(getattr(tensor, "_fsdp_flattened", False) for tensor in self._binding.tensors):
            return None
        return [place_of(tensor, self._shard_group) for tensor in self._binding.tensors]

    def load_state_dict(self, state_dict: Mapping[str, Any], *, map_names: MapNames = None) -> None:  # type: ignore[override]
        """Restores what `state_dict` gave, or the state of torch's own optimizer of this kind, which starts the
        statistics of the transform afresh. ValueError where it does not fit; the state is then as it was.

        map_names: as of `GradientTransform.load_state_dict`; torch's own checkpoints go by position."""
        loaded = dict(state_dict)
        for hook in list(getattr(self, "_optimizer_load_state_dict_pre_hooks", {}).values()):
            loaded = hook(self, loaded) or loaded
        self._bind(stays=True)
        before = {key: self.__dict__[key] for key in _PARTS_OF_STATE}
        had = self._fused_state.forget()
        try:
            with _without_hooks(self):
                super().load_state_dict({"state": {}, "param_groups": self._merged(loaded["param_groups"])})
            self._start(self._binding.named)
            self._bind()
            self._load(loaded, map_names)
        except Exception:
            self.__dict__.update(before)
            self._fused_state.remember(had)
            raise
        for hook in list(getattr(self, "_optimizer_load_state_dict_post_hooks", {}).values()):
            hook(self)

    def _merged(self, saved: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The saved groups, with the settings that they do not have as they are here."""
        own = [{key: group[key] for key in (*self.defaults, "param_names") if key in group} for group in self.param_groups]
        if len(own) != len(saved):
            own = [{} for _ in saved]  # which is refused
        return [{**mine, **group} for mine, group in zip(own, saved)]

    def _load(self, loaded: Mapping[str, Any], map_names: MapNames) -> None:
        own = loaded.get(STATE_KEY) or {}
        version = own.get("format", _BY_PARAMETER)
        if version not in (_AS_BYTES, _BY_PARAMETER):
            raise ValueError(f"state has format {version!r}, this version reads {_AS_BYTES} and {_BY_PARAMETER}")
        if own.get("optimizer", self.kind) != self.kind:
            raise ValueError(f"this is the state of {own['optimizer']!r}, expected {self.kind!r}")
        if version == _AS_BYTES and "optimizer" in own:
            self._load_bytes(own, map_names)
            return
        if "settings" in own:
            self._check_transform(own["settings"], own["method"])
            if own.get("parts") != self._places():
                raise ValueError(_OTHER_PARTS)
        keys = [key for group in loaded["param_groups"] for key in group["params"]]
        state = loaded.get("state", {})
        missing = own.get("parameters", 0) - sum(1 for key in keys if state.get(key))
        if missing > 0:
            raise ValueError(_statistics.nothing_read(missing))
        positions = range(len(keys)) if "names" not in own else self._positions_of(own["names"], map_names)
        self._restore({index: state[key] for index, key in zip(positions, keys) if state.get(key)}, complete=True)

    def _positions_of(self, saved: Sequence[str], map_names: MapNames) -> list[int]:
        # Shapes are compared with what there is of each parameter.
        matched = match_names([(name, ()) for name in saved], [(name, ()) for name in self.names], map_names)
        position = {name: index for index, name in enumerate(self.names)}
        return [position[name] for name in matched]

    def _load_bytes(self, own: Mapping[str, Any], map_names: MapNames) -> None:
        """What versions before 2 of this package saved."""
        if "parts" in own and own["parts"] != [place_of(tensor, self._shard_group) for tensor in self._binding.tensors]:
            raise ValueError(_OTHER_PARTS)
        if ("parts" in own) != (self._sharding is not None):
            raise ValueError(_OTHER_PARTS)
        saved = list(zip(*_native.call(_native.ops.saved_parameters, own["state"])))
        here = self._binding.named_shapes([list(part_of(tensor).shape) for tensor in self._binding.tensors])
        _native.call(self._native.load, own["state"], match_names(saved, here, map_names))

    def plain_state_dict(self) -> dict[str, Any]:
        """The state in the layout of torch's own optimizer of this kind, for going back to it. The statistics of the
        transform, and float32 copies of bfloat16 parameters, have no place in it. That of DTensors is in DTensors, as
        torch.distributed.checkpoint takes them."""
        self._bind(stays=True)
        stepped = self._stepped_positions()
        entries = [self._plain(entry) for entry in self._entries(stepped)]
        packed = self._pack(stepped, self._labelled(stepped, entries))
        packed["state"] = {key: entry for key, entry in packed["state"].items() if entry or not self.has_plain}
        # Noticed where torch.distributed.checkpoint reads it into the dictionary of an optimizer without state.
        packed[STATE_KEY] = {"format": _BY_PARAMETER, "parameters": sum(1 for entry in packed["state"].values() if entry)}
        return packed

    def _plain(self, entry: Entry) -> Entry:
        names = [*self.state_names] if self.has_plain else []
        return {key: entry[key] for key in (*names, *(["step"] if "exp_avg_sq" in names else [])) if key in entry}

    def __getstate__(self) -> dict[str, Any]:
        if self._sharding is not None:
            raise TypeError("an optimizer of sharded parameters cannot be copied or pickled; use state_dict")
        self._bind(stays=True)
        return {
            "defaults": self.defaults,
            "param_groups": self.param_groups,
            "how": self._how,
            "shard_group": self._shard_group,
            "named": self._binding.named,
            "saved": self._native.save(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "how" not in state:  # from Optimizer.load_state_dict: groups and state alone
            super().__setstate__({key: value for key, value in state.items() if key != "state"})
            return
        self._how = state.pop("how")
        self._shard_group = state.pop("shard_group")
        self._fused_state = FusedState(self)
        self._start(state.pop("named"))
        saved = state.pop("saved")
        super().__setstate__(state)
        self._bind()
        _native.call(self._native.load, saved, self.names)


def _count(step: int) -> torch.Tensor:
    """As torch's optimizers count: float32, as long as that is exact."""
    return torch.tensor(float(step), dtype=torch.float32 if step < 2**24 else torch.float64)


def _has_elements(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() > 0


@contextlib.contextmanager
def _without_hooks(optimizer: Optimizer) -> Iterator[None]:
    """load_state_dict calls them itself, around all that it does."""
    names = ("_optimizer_load_state_dict_pre_hooks", "_optimizer_load_state_dict_post_hooks")
    before = {name: optimizer.__dict__[name] for name in names if name in optimizer.__dict__}
    optimizer.__dict__.update({name: collections.OrderedDict() for name in before})
    try:
        yield
    finally:
        optimizer.__dict__.update(before)


#: What load_state_dict replaces, and puts back where it fails.
_PARTS_OF_STATE = (
    "param_groups",
    "_native",
    "_binding",
    "_known",
    "_sharding",
    "_positions",
    "_packed",
)
