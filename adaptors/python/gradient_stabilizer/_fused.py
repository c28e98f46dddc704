"""The part that the fused optimizers share."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

import torch
from torch.optim import Optimizer

from . import _native
from ._engine import FORMAT
from ._parameters import Binding, split_groups
from ._sharding import Sharding, check_tensors, is_dtensor, part_like, part_of, place_of, whole_of
from ._torch_arguments import check_names, check_parameters, check_settings
from .methods import Method, stabilize
from .report import StepReport, make_report
from .wrapped import STATE_KEY

Settings = tuple[dict[str, float], dict[str, list[str]]]

#: What goes in front where nothing else is asked for.
STABILIZE = stabilize()

# In the place of torch's own state. Without any, torch.distributed.checkpoint.state_dict would make a step with zero
# gradients to have some, and then find nothing to save; with this, it raises a KeyError that says what to do.
_ELSEWHERE = "gradient_stabilizer keeps the state of this optimizer: save its state_dict() or plain_state_dict() yourself"


class FusedOptimizer(Optimizer):
    """An optimizer of the library behind a gradient transform whose factors are folded into the update: gradients are
    read and not written, except by methods that work element by element.

    Users take one of `gradient_stabilizer.optim`. A subclass says what its groups' settings are called here, and what
    a plain optimizer of its kind keeps.
    """

    #: The library's name of the optimizer.
    kind = ""
    #: torch's names of the element-wise state, in the library's order.
    state_names: tuple[str, ...] = ()
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
        self._how = (transform, nonfinite, backend, low_precision, int(seed))
        self._binding = Binding(named)
        self._known: list[Settings] = []
        self._shard_group = shard_group
        self._sharding: Sharding | None = None
        self._make()
        super().__init__(groups, defaults)
        self.state[_ELSEWHERE] = {}
        self._bind()

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

    def _bind(self) -> None:
        """Tells the native half which parameters and settings the groups have now, where that has changed."""
        settings = [self._checked(group) for group in self.param_groups]
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        if self._binding.holds(tensors) and len(settings) == len(self._known):
            for index, group_settings in enumerate(settings):
                if group_settings != self._known[index]:
                    _native.call(self._native.set_group, index, *group_settings)
                    self._known[index] = group_settings
            return
        before = self._binding
        self._binding = Binding(before.named, before)
        group_of = [index for index, group in enumerate(self.param_groups) for _ in group["params"]]
        try:
            fresh = self._binding.bind(self.param_groups)
            check_tensors(tensors, self._binding.names, self._shard_group)
            sharding = None
            if self._shard_group is not None or any(map(is_dtensor, tensors)):
                sharding = self._shard(tensors)
            _native.call(
                self._native.bind,
                [part_of(tensor) for tensor in tensors],
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
        super().add_param_group(groups[0])
        if not self._binding.bound:
            return  # while Optimizer.__init__ adds the first groups
        before = list(self._binding.named)
        self._binding.named += named
        try:
            self._bind()
        except Exception:
            self._binding.named = before
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
        """Settings of the groups and all state, by parameter name, as one uint8 tensor; a run that loads it goes on
        bit for bit. `plain_state_dict` is what torch's own optimizer can load.

        Of sharded parameters it is the state of this process's parts, which each process saves and loads for itself;
        `plain_state_dict` is what moves to another number of processes."""
        self._bind()
        packed = super().state_dict()
        packed[STATE_KEY] = {"format": FORMAT, "optimizer": self.kind, "state": _native.call(self._native.save)}
        if self._sharding is not None:
            packed[STATE_KEY]["parts"] = self._places()
        return packed

    def _places(self) -> list[Any] | None:
        """Which parts of the parameters are here; None if all of them are whole."""
        if self._sharding is None:
            return None
        return [place_of(tensor, self._shard_group) for tensor in self._binding.tensors]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Restores what `state_dict` gave, or the state of torch's own optimizer of this kind, which starts the
        statistics of the transform afresh. ValueError where it does not fit; the state is then as it was."""
        plain = {key: value for key, value in state_dict.items() if key != STATE_KEY}
        self._bind()
        groups_before = [{**group, "params": list(group["params"])} for group in self.param_groups]
        before = self._native.save()
        state = plain.get("state", {})
        try:
            super().load_state_dict({**plain, "state": {_ELSEWHERE: {}}})
            self._bind()
            if STATE_KEY in state_dict:
                self._load_own(state_dict[STATE_KEY])
            else:
                self._load_plain(state, plain["param_groups"])
        except Exception:
            self.param_groups = groups_before
            self._bind()
            self._native.load(before)
            raise

    def _load_own(self, own: Mapping[str, Any]) -> None:
        if own.get("format") != FORMAT:
            raise ValueError(f"state has format {own.get('format')!r}, this version reads {FORMAT}")
        if own.get("optimizer") != self.kind:
            raise ValueError(f"this is the state of {own.get('optimizer')!r}, expected {self.kind!r}")
        if own.get("parts") != self._places():
            raise ValueError(
                "this is the state of other parts of the parameters than this process has; each process loads what it "
                "saved, and plain_state_dict is what moves to another number of processes"
            )
        _native.call(self._native.load, own["state"])

    def _load_plain(self, state: Mapping[Any, Any], groups: Sequence[Mapping[str, Any]]) -> None:
        self._make()
        self._binding = Binding(self._binding.named)
        self._bind()
        keys = [key for group in groups for key in group["params"]]
        for index, key in enumerate(keys):
            if key in state:
                step, values = self._from_plain(state[key], self._binding.names[index])
                values = [part_like(value, self._binding.tensors[index]) for value in values]
                if values:
                    _native.call(self._native.set_parameter_state, index, step, values)

    def _from_plain(self, state: Mapping[str, Any], name: str) -> tuple[int, list[torch.Tensor]]:
        """Step and element-wise state out of what torch's own optimizer keeps of one parameter."""
        values = [state[key] for key in self.state_names if state.get(key) is not None]
        if not values:
            foreign = sorted(state)
            if foreign and any(isinstance(value, torch.Tensor) and value.dim() for value in state.values()):
                raise ValueError(f"state of '{name}' has {foreign}, expected {list(self.state_names)}")
            return 0, []
        # SGD and Lion do not count; what matters is that there is a momentum.
        return int(state.get("step", 1)), values

    def plain_state_dict(self) -> dict[str, Any]:
        """The state in the layout of torch's own optimizer of this kind, for going back to it. The statistics of the
        transform, and float32 copies of bfloat16 parameters, have no place in it. That of DTensors is in DTensors, as
        torch.distributed.checkpoint takes them."""
        self._bind()
        packed = super().state_dict()
        packed["state"] = {}
        for index, tensor in enumerate(self._binding.tensors):
            step, values = _native.call(self._native.parameter_state, index)
            if values:
                packed["state"][index] = dict(zip(self.state_names, (whole_of(value, tensor) for value in values)))
                if "exp_avg_sq" in self.state_names:
                    packed["state"][index]["step"] = torch.tensor(float(step))
        return packed

    def __getstate__(self) -> dict[str, Any]:
        if self._sharding is not None:
            raise TypeError("an optimizer of sharded parameters cannot be copied or pickled; use state_dict")
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
            "how": self._how,
            "shard_group": self._shard_group,
            "named": self._binding.named,
            "saved": self._native.save() if self._binding.bound else None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "how" not in state:  # from Optimizer.load_state_dict: groups and state alone
            super().__setstate__(state)
            return
        self._how = state.pop("how")
        self._binding = Binding(state.pop("named"))
        self._known = []
        self._sharding = None
        self._shard_group = state.pop("shard_group")
        saved = state.pop("saved")
        self._make()
        super().__setstate__(state)
        if saved is not None:
            self._bind()
            _native.call(self._native.load, saved)
