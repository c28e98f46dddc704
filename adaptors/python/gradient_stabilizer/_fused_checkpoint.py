"""What a fused optimizer is saved as: checkpoints in torch's layout or in that of torch's own optimizer, copies, pickles."""

from __future__ import annotations

import collections
import contextlib
from typing import Any, Iterator, Mapping, Sequence

import torch
from torch.optim import Optimizer

from . import _native, _statistics
from ._fused_binding import BoundOptimizer
from ._fused_state import Entry, FusedState
from ._names import MapNames, match_names
from ._sharding import OTHER_PARTS, is_in_parts, part_of, place_of
from ._statistics import STATE_KEY

#: Versions of what a checkpoint has under STATE_KEY: all state as bytes; settings beside state by parameter.
_AS_BYTES, _BY_PARAMETER = 1, 2

# Where torch's Optimizer keeps them; torch 1.13 has none.
_PRE_HOOKS = "_optimizer_load_state_dict_pre_hooks"
_POST_HOOKS = "_optimizer_load_state_dict_post_hooks"


class CheckpointedOptimizer(BoundOptimizer):
    """One whose state can be saved and loaded, moved to and from torch's own optimizer of its kind, copied and pickled."""

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
        """Settings of the groups and all state, by parameter and under torch's names; a run that loads it continues bit
        for bit. `plain_state_dict` leaves out what torch's own optimizer does not have.

        State of DTensors is in DTensors, and with `shard_group` it is the state of this process's parts; under
        FullyShardedDataParallel, `optim_state_dict` turns it into the state of whole parameters."""
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
        if self._sharding is None or not any(map(is_in_parts, self._binding.tensors)):
            return None
        return [place_of(tensor, self._shard_group) for tensor in self._binding.tensors]

    def load_state_dict(self, state_dict: Mapping[str, Any], *, map_names: MapNames = None) -> None:  # type: ignore[override]
        """Restores what `state_dict` returned, or the state of torch's own optimizer of this kind, with which the
        statistics of the transform start afresh. ValueError if it does not fit; the state is then as it was.

        map_names: as in `GradientTransform.load_state_dict`; torch's own checkpoints are matched by position."""
        loaded = dict(state_dict)
        for hook in list(getattr(self, _PRE_HOOKS, {}).values()):
            loaded = hook(self, loaded) or loaded
        self._bind(stays=True)
        before = dict(self.__dict__)
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
        for hook in list(getattr(self, _POST_HOOKS, {}).values()):
            hook(self)

    def _merged(self, saved: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The saved groups; settings that they do not have are as they are here."""
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
                raise ValueError(OTHER_PARTS)
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
            raise ValueError(OTHER_PARTS)
        if ("parts" in own) != (self._sharding is not None):
            raise ValueError(OTHER_PARTS)
        saved = list(zip(*_native.call(_native.ops.saved_parameters, own["state"])))
        here = self._binding.named_shapes([list(part_of(tensor).shape) for tensor in self._binding.tensors])
        _native.call(self._native.load, own["state"], match_names(saved, here, map_names))

    def plain_state_dict(self) -> dict[str, Any]:
        """The state in the layout of torch's own optimizer of this kind, for going back to it. The statistics of the
        transform, and float32 copies of bfloat16 parameters, have no place in it. The state of DTensors is in DTensors,
        as torch.distributed.checkpoint expects it."""
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


@contextlib.contextmanager
def _without_hooks(optimizer: Optimizer) -> Iterator[None]:
    """load_state_dict calls them itself, around all that it does."""
    before = {name: optimizer.__dict__[name] for name in (_PRE_HOOKS, _POST_HOOKS) if name in optimizer.__dict__}
    optimizer.__dict__.update({name: collections.OrderedDict() for name in before})
    try:
        yield
    finally:
        optimizer.__dict__.update(before)
