"""A method bound to the parameters of groups that may change between steps."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch

from . import _native
from ._parameters import Binding, Named
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
        if self.binding.holds(tensors):
            return
        before = self.binding
        self.binding = Binding(before.named, before)
        try:
            fresh = self.binding.bind(groups)
            check_tensors(tensors, self.binding.names, self.shard_group)
            if self.shard_group is not None or any(map(is_dtensor, tensors)):
                sharding = Sharding(self.method, tensors, self.shard_group)
                parts = [list(part_of(tensor).shape) for tensor in tensors]
                sizes = sharding.global_sizes(tensors)
                _native.call(self.native.bind_shapes, self.binding.names, sizes, parts, fresh)
                self.sharding = sharding
            else:
                _native.call(self.native.bind, self.binding.tensors, self.binding.names, fresh)
                self.sharding = None
        except Exception:
            self.binding = before
            raise

    def transform(self, groups: Sequence[Mapping[str, Any]]) -> bool:
        """Transforms the gradients of the groups' parameters in place. False: the step must be left out."""
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

    def state_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "method": str(self.method), "state": _native.call(self.native.save)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not isinstance(state, Mapping) or "format" not in state or "state" not in state:
            raise ValueError("this is no state of gradient_stabilizer: 'format' or 'state' is missing")
        if state["format"] != FORMAT:
            raise ValueError(f"state has format {state['format']!r}, this version reads {FORMAT}")
        _native.call(self.native.load, state["state"])

    # Copies and pickles carry the parameters, so that a copy of model and object together belongs together.
    def __getstate__(self) -> dict[str, Any]:
        binding = self.binding
        if self.sharding is not None:
            raise TypeError("what is bound to sharded parameters cannot be copied or pickled; use state_dict")
        return {
            "method": self.method,
            "nonfinite": self.nonfinite,
            "backend": self.backend,
            "check_repeats": self.check_repeats,
            "named": binding.named,
            "tensors": binding.tensors,
            "names": binding.names,
            "state": self.native.save() if binding.bound else None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            state["method"], state["named"], state["nonfinite"], state["backend"], None, state["check_repeats"]
        )
        if state["state"] is None:
            return
        self.binding.tensors, self.binding.names, self.binding.bound = state["tensors"], state["names"], True
        _native.call(self.native.bind, state["tensors"], state["names"], [])
        _native.call(self.native.load, state["state"])
