"""A method bound to the parameters of groups that may change between steps."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch

from . import _native, _statistics
from ._names import MapNames, match_names
from ._parameters import Binding, Named, shape_of, with_memory
from ._sharding import Sharding, check_tensors, is_dtensor, part_of
from .methods import Method
from .report import StepReport, make_report

#: Version of the dictionary that `Engine.state_dict` makes; what is inside `state` has a version of its own.
FORMAT = 1


class Engine:
    """The part that `GradientTransform`, `wrap` and `compat` share."""

    def __init__(
        self,
        method: Method,
        named: Named,
        nonfinite: str,
        backend: str,
        shard_group: Any = None,
        check_repeats: bool = True,
    ) -> None:
        if not isinstance(method, Method):
            raise TypeError(f"expected a method such as stabilize(), got {method!r}")
        self.method = method
        self.nonfinite = nonfinite
        self.backend = backend
        self.native = method.make(nonfinite, backend)
        self.binding = Binding(named)
        self.shard_group = shard_group
        self.check_repeats = bool(check_repeats)
        self.sharding: Sharding | None = None

    def bind(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Registers the parameters of the groups, if they are not those that are registered."""
        tensors = [tensor for group in groups for tensor in group["params"]]
        if self.binding.holds(tensors) and (self.sharding is not None or self.native.shapes_hold()):
            return
        before = self.binding
        self.binding = Binding(before.named, before)
        try:
            fresh = self.binding.bind(groups)
            check_tensors(tensors, self.binding.names, self.shard_group)
            if self.shard_group is not None or any(map(is_dtensor, tensors)):
                sharding = Sharding(self.method, tensors, self.shard_group)
                parts = [shape_of(part_of(tensor)) for tensor in tensors]
                sizes = sharding.global_sizes(tensors)
                _native.call(self.native.bind_shapes, self.binding.names, sizes, parts, fresh)
                self.sharding = sharding
            else:
                _native.call(self.native.bind, list(map(with_memory, tensors)), self.binding.names, fresh)
                self.sharding = None
        except Exception:
            self.binding = before
            raise

    def transform(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Transforms the gradients of the groups' parameters in place. False: the step must be skipped."""
        self.bind(groups)
        if self.sharding is not None:
            return self.sharding.transform(
                self.native, self.binding.names, self.binding.tensors, self.check_repeats
            )
        return _native.call(self.native.step, self.check_repeats)

    def report(self) -> StepReport:
        return make_report(self.binding.names, *self.native.report())

    def backend_name(self) -> str:
        return self.native.backend()

    def statistics(self) -> dict[str, torch.Tensor]:
        return dict(zip(*self.native.state()))

    def reset(self) -> None:
        """Starts the statistics afresh."""
        self.native = self.method.make(self.nonfinite, self.backend)
        self.binding = Binding(self.binding.named)

    def restart(self) -> None:
        """Starts the statistics of the parameters that are bound afresh."""
        self.restore([{} for _ in self.binding.tensors])

    def has_part(self, tensor: torch.Tensor) -> bool:
        """False for a parameter of which this process has no element; other processes of its group know the
        statistics."""
        return self.shard_group is None or is_dtensor(tensor) or tensor.numel() > 0

    def shown(self) -> list[_statistics.Statistics]:
        """The statistics of each parameter, complete, as tensors that an optimizer's state can have."""
        return _statistics.shown(self.native, range(len(self.binding.names)), self.binding.tensors)

    def restore(self, of_parameters: Sequence[_statistics.Statistics]) -> None:
        """Starts afresh with these, one entry per parameter in their order; an empty entry is a parameter without
        statistics."""
        groups = [{"params": self.binding.tensors}]
        before = self.native, self.binding, self.sharding
        named = list(zip(self.binding.names, self.binding.tensors))
        try:
            self.native = self.method.make(self.nonfinite, self.backend)
            self.binding = Binding(named)
            self.bind(groups)
            self.binding.named, self.binding.positional = before[1].named, before[1].positional
            if self.sharding is not None and self.sharding.group is not None:
                of_parameters = _statistics.completed(of_parameters, self.sharding.group)
            _statistics.restore(self.native, of_parameters)
        except Exception:
            self.native, self.binding, self.sharding = before
            raise

    def state_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "method": str(self.method), "state": _native.call(self.native.save)}

    def load_state_dict(self, state: Mapping[str, Any], map_names: MapNames = None) -> None:
        if not isinstance(state, Mapping) or "format" not in state or "state" not in state:
            raise ValueError("this is not a state of gradient_stabilizer: 'format' or 'state' is missing")
        if state["format"] != FORMAT:
            raise ValueError(f"state has format {state['format']!r}, this version reads {FORMAT}")
        saved = list(zip(*_native.call(_native.ops.saved_parameters, state["state"])))
        _native.call(self.native.load, state["state"], match_names(saved, self._named_shapes(), map_names))

    def _named_shapes(self) -> list[tuple[str, list[int]]]:
        if self.sharding is None:
            return self.binding.named_shapes()
        return self.binding.named_shapes(self.sharding.global_sizes(self.binding.tensors))

    # Copies and pickles carry the parameters, so that a copy of model and object together belongs together.
    def __getstate__(self) -> dict[str, Any]:
        binding = self.binding
        if self.sharding is not None:
            raise TypeError("an object that is bound to sharded parameters cannot be copied or pickled; use state_dict")
        return {
            "method": self.method,
            "nonfinite": self.nonfinite,
            "backend": self.backend,
            "check_repeats": self.check_repeats,
            "named": binding.named,
            "tensors": binding.tensors,
            "names": binding.names,
            "positional": binding.positional,
            "state": self.native.save() if binding.bound else None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            state["method"], state["named"], state["nonfinite"], state["backend"], None, state["check_repeats"]
        )
        if state["state"] is None:
            return
        self.binding.tensors, self.binding.names, self.binding.bound = state["tensors"], state["names"], True
        self.binding.positional = state["positional"]
        _native.call(self.native.bind, state["tensors"], state["names"], [])
        _native.call(self.native.load, state["state"], [])
