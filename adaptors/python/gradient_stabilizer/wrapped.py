"""Any torch optimizer with a gradient transform in front."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Mapping

import torch
from torch.optim import Optimizer

from . import _inner_step, _statistics
from ._engine import Engine
from ._fused import FusedOptimizer
from ._names import MapNames
from ._statistics import STATE_KEY
from ._step_hooks import part_of_a_step
from .methods import Method, stabilize
from .report import StepReport


class WrappedOptimizer(Optimizer):
    """What `wrap` returns: an optimizer that transforms the gradients and then steps the inner optimizer that it was
    made from.

    Parameter groups, state and defaults are those of the inner optimizer, `optimizer`, and remain so whichever of the
    two is changed. Attributes that torch's Optimizer does not have are also looked up in the inner optimizer.
    """

    optimizer: Optimizer

    def __init__(self, optimizer: Optimizer, engine: Engine) -> None:
        _inner_step.check_can_be_wrapped(optimizer)
        # Not Optimizer.__init__, which would register parameters of its own.
        self._hold(optimizer, engine)
        engine.bind(optimizer.param_groups)
        _inner_step.guard(optimizer, self)
        _inner_step.warn_of_line_search(optimizer, engine.method)

    def _hold(self, optimizer: Optimizer, engine: Engine) -> None:
        self.__dict__["optimizer"] = optimizer
        self.__dict__["_engine"] = engine
        self.__dict__["_steps_inner"] = False
        self.__dict__["_shown"] = False
        Optimizer.__setstate__(self, {})

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """GradScaler.step reads this. The answer must not be that of an inner optimizer that unscales by itself:
        unscaling would then come after the transform."""
        _inner_step.refuse_scaler_that_unscaled(self.optimizer)
        return False

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.optimizer.param_groups = groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The inner optimizer's, in which the statistics are then shown until the next step."""
        self._show()
        return self.optimizer.state

    @state.setter
    def state(self, state: Any) -> None:
        self.optimizer.state = state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        return self.optimizer.defaults

    @defaults.setter
    def defaults(self, defaults: dict[str, Any]) -> None:
        self.optimizer.defaults = defaults

    def __getattr__(self, name: str) -> Any:
        # While an object is being unpickled or copied there is no inner optimizer yet.
        if name.startswith("__") or "optimizer" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def step(self, closure: Callable[..., Any] | None = None, **settings: Any) -> Any:  # type: ignore[override]
        """Transforms the gradients and steps. `settings` are handed to the inner optimizer's step.

        closure: passed on to an inner optimizer that accepts one; the gradients of each evaluation are transformed. Any
            other inner optimizer is stepped after one evaluation. Returns the loss; without a closure, what the inner
            optimizer returns.
        """
        self._hide()
        if closure is None:
            return self._step_inner(**settings) if self._engine.transform(self.param_groups) else None
        if _inner_step.takes_closure(self.optimizer):
            return self._step_with(closure, settings)
        with torch.enable_grad():
            loss = closure()
        if self._engine.transform(self.param_groups):
            self._step_inner(**settings)
        return loss

    def _step_inner(self, *arguments: Any, **settings: Any) -> Any:
        self.__dict__["_steps_inner"] = True
        try:
            with part_of_a_step(self.optimizer):
                return self.optimizer.step(*arguments, **settings)
        finally:
            self.__dict__["_steps_inner"] = False

    def _step_with(self, closure: Callable[..., Any], settings: dict[str, Any]) -> Any:
        losses: list[Any] = []
        hidden: list[tuple[torch.Tensor, torch.Tensor]] = []

        def put_back() -> None:
            for parameter, gradient in hidden:
                if parameter.grad is None:
                    parameter.grad = gradient
            hidden.clear()

        def evaluate(*arguments: Any, **its_settings: Any) -> Any:
            put_back()
            with torch.enable_grad():
                losses.append(closure(*arguments, **its_settings))
            if not self._engine.transform(self.param_groups):
                # The inner optimizer is at work and cannot be told to stop, but it has nothing to do without gradients.
                for group in self.param_groups:
                    for parameter in group["params"]:
                        if parameter.grad is not None:
                            hidden.append((parameter, parameter.grad))
                            parameter.grad = None
            return losses[-1]

        result = self._step_inner(evaluate, **settings)
        put_back()
        if not losses:
            raise RuntimeError(
                f"{type(self.optimizer).__name__} did not call the closure, so that the gradients it stepped with were not "
                "transformed; call backward first and step() without a closure"
            )
        return losses[-1] if result is None else result

    def zero_grad(self, *arguments: Any, **settings: Any) -> None:  # type: ignore[override]
        """As the inner optimizer's."""
        self.optimizer.zero_grad(*arguments, **settings)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters to the inner optimizer; their statistics start afresh."""
        self.optimizer.add_param_group(param_group)
        try:
            self._engine.bind(self.param_groups)
        except Exception:
            self.param_groups.pop()
            raise

    def report(self) -> StepReport:
        """What the last step saw and did to the gradients."""
        return self._engine.report()

    def backend_name(self) -> str:
        """Where the last step was made: one of `backends()`, "cuda", or a backend of the host and " (copies)"."""
        return self._engine.backend_name()

    def statistics(self) -> dict[str, torch.Tensor]:
        """The state of the methods: see `GradientTransform.statistics`."""
        return self._engine.statistics()

    def state_dict(self) -> dict[str, Any]:  # type: ignore[override]
        """The state of the inner optimizer, which a plain optimizer can load, with the statistics of each parameter
        among its state, and one more key."""
        self._hide()
        self._engine.bind(self.param_groups)
        packed = {**self.optimizer.state_dict(), STATE_KEY: self._engine.state_dict()}
        if isinstance(packed.get("state"), Mapping):
            state = packed["state"]
            packed[STATE_KEY]["parameters"] = sum(1 for entry in state.values() if entry)
            packed["state"] = {**state, **{index: {**state.get(index, {}), **own} for index, own in self._to_show(state)}}
        return packed

    def _to_show(self, state: Mapping[Any, Any]) -> Iterator[tuple[int, _statistics.Statistics]]:
        """By position, the statistics of the parameters that are trained, or have state."""
        shown = self._engine.shown()
        if not state and not any(own["updates"] for own in shown[:1]):
            return
        for index, (tensor, own) in enumerate(zip(self._engine.binding.tensors, shown)):
            if self._engine.has_part(tensor) and (tensor.requires_grad or state.get(index)):
                yield index, _statistics.prefixed(own)

    def _show(self) -> None:
        """Puts the statistics into the inner optimizer's state, for tools that look there."""
        if self._shown:
            return
        self.__dict__["_shown"] = True
        self._engine.bind(self.param_groups)
        state, tensors = self.optimizer.state, self._engine.binding.tensors
        known = {index: state[tensor] for index, tensor in enumerate(tensors) if state.get(tensor)}
        for index, own in self._to_show(known):
            state.setdefault(tensors[index], {}).update(own)

    def _hide(self) -> None:
        """Removes them again, so that the inner optimizer finds nothing there that it does not know."""
        if not self._shown:
            return
        self.__dict__["_shown"] = False
        state = self.optimizer.state
        for tensor in list(state):
            if isinstance(state[tensor], dict) and _statistics.has_any({tensor: state[tensor]}):
                for key in [key for key in state[tensor] if _statistics.is_ours(key)]:
                    del state[tensor][key]
                if not state[tensor]:
                    del state[tensor]

    def load_state_dict(self, state_dict: Mapping[str, Any], *, map_names: MapNames = None) -> None:  # type: ignore[override]
        """Restores what `state_dict` returned. With the state of a plain optimizer, the statistics start afresh.

        map_names: as in `GradientTransform.load_state_dict`; the inner optimizer's state is matched by position, as in
            torch. ValueError, or the inner optimizer's exception, if the state does not fit; the statistics are then as
            they were.
        """
        self._hide()
        plain = {key: value for key, value in state_dict.items() if key != STATE_KEY}
        state = plain.get("state")
        split = {}
        if isinstance(state, Mapping):
            split = {key: _statistics.split(entry) for key, entry in state.items() if isinstance(entry, Mapping)}
            plain["state"] = {key: split[key][0] if key in split else entry for key, entry in state.items()}
            # If there was nothing but statistics, the inner optimizer has no state.
            bare = {key for key, (rest, statistics) in split.items() if statistics and not rest}
            plain["state"] = {key: entry for key, entry in plain["state"].items() if key not in bare}
        own = state_dict.get(STATE_KEY) or {}
        if own.get("parameters", 0) > 0 and not any(plain["state"].values()):
            raise ValueError(_statistics.nothing_read(own["parameters"]))
        self._engine.bind(self.param_groups)
        before = self._engine.state_dict()
        if "state" in own:
            self._engine.load_state_dict(own, map_names)
        elif isinstance(state, Mapping) and _statistics.has_any(state):
            keys = [key for group in plain["param_groups"] for key in group["params"]]
            self._engine.restore([split[key][1] if key in split else {} for key in keys])
        else:
            self._engine.restart()
        try:
            self.optimizer.load_state_dict(plain)
        except Exception:
            self._engine.load_state_dict(before)
            raise

    # Hooks around state_dict belong to the optimizer that makes it.
    def register_state_dict_pre_hook(self, *arguments: Any, **settings: Any) -> Any:
        return self.optimizer.register_state_dict_pre_hook(*arguments, **settings)

    def register_state_dict_post_hook(self, *arguments: Any, **settings: Any) -> Any:
        return self.optimizer.register_state_dict_post_hook(*arguments, **settings)

    def register_load_state_dict_pre_hook(self, *arguments: Any, **settings: Any) -> Any:
        return self.optimizer.register_load_state_dict_pre_hook(*arguments, **settings)

    def register_load_state_dict_post_hook(self, *arguments: Any, **settings: Any) -> Any:
        return self.optimizer.register_load_state_dict_post_hook(*arguments, **settings)

    # Only attributes of this class: torch's schedulers put functions into an optimizer that cannot be pickled, and its own
    # optimizers leave them out in the same way.
    def __getstate__(self) -> dict[str, Any]:
        self._hide()
        return {"optimizer": self.optimizer, "engine": self._engine}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._hold(state["optimizer"], state["engine"])
        _inner_step.guard(self.optimizer, self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._engine.method}, {self.optimizer!r})"


def wrap(
    optimizer: Optimizer,
    method: Method | None = None,
    *,
    named_parameters: Iterable[tuple[str, torch.Tensor]] | None = None,
    nonfinite: str = "skip_tensor",
    backend: str = "",
    shard_group: Any = None,
    check_repeats: bool = True,
    **settings: Any,
) -> WrappedOptimizer:
    """An optimizer that stabilizes the gradients, or applies another method to them, before each step of `optimizer`.

    method: what is done to the gradients; without one, `stabilize(**settings)`.
    named_parameters: `model.named_parameters()`, whose names then key the statistics. Without it, statistics are kept
        by position, or by the names that the optimizer itself was given (torch 2.6 and later).
    nonfinite, backend, shard_group, check_repeats: as in `GradientTransform`. Under "skip_step" the inner optimizer does not step.

    The result is a torch.optim.Optimizer: schedulers, GradScaler, closures, hooks, copies and pickles work, and
    checkpoints of the plain optimizer can be loaded. With GradScaler, the unscaled gradients are transformed, and a
    step that it skips leaves the statistics unchanged. From now on only the wrapper may call `optimizer.step`: a call
    by anyone else, GradScaler included, is a RuntimeError, because nothing would be transformed.

    Raises TypeError for something that is not an optimizer, for one that updates in other ways than by `step` (SAM:
    wrap its base_optimizer), and for one that accelerate or Lightning has wrapped already (use `wrap` before that).
    LBFGS without a line search is a UserWarning behind methods that change norms.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"wrap expects a torch.optim.Optimizer, got {type(optimizer).__name__}")
    if isinstance(optimizer, FusedOptimizer):
        raise TypeError(f"{type(optimizer).__name__} has a transform of its own; give it the method as transform=")
    if method is not None and settings:
        raise TypeError(f"settings {sorted(settings)} are those of stabilize; pass them to the method instead")
    named = [] if named_parameters is None else list(named_parameters)
    chosen = stabilize(**settings) if method is None else method
    return WrappedOptimizer(optimizer, Engine(chosen, named, nonfinite, backend, shard_group, check_repeats))
