"""What can be done while backward runs: update parameters, so that the model's gradients never exist all at once, or
measure gradients, so that a later step reads each only once."""

from __future__ import annotations

import functools
import weakref
from typing import Any

import torch

from . import _native
from ._averaging import Averaging, at_end_of_backward, processes
from ._fused import FusedOptimizer
from ._hooks import on_gradient
from ._model_watch import ModelWatch
from ._sharding import is_in_parts
from ._step_hooks import begin_step, end_step
from .optim import AdamW
from .report import StepReport, TensorReport

_WHEN_SHARDED = (
    "Parameters that FullyShardedDataParallel(use_orig_params=True) or fully_shard has divided are stepped by "
    "optimizer.step() of an optimizer that is made afterwards"
)


class OptimizerInBackward:
    """What `optimizer_in_backward` returns. Until `remove`, `backward` updates the parameters."""

    def __init__(
        self, optimizer: FusedOptimizer, model: torch.nn.Module | None = None, *, own_gradients: bool = False
    ) -> None:
        self.optimizer = optimizer  #: for schedulers and checkpoints
        optimizer._bind()
        if optimizer._sharding is not None:
            raise TypeError(
                "the parameters are sharded, and backward does not yet give the gradients over all "
                "processes; use optimizer.step()"
            )
        _native.call(optimizer._native.check_can_step_one)
        self._averaging = Averaging(model, own_gradients)
        self._averaging.check(optimizer._binding.tensors, optimizer._binding.names)
        self._averaging.watch()
        self._held = False
        self._steps = 0
        self._seen: set[int] = set()
        self._accumulated: dict[int, torch.Tensor] = {}  # gradients that backward has left, by the id of the parameter
        self._ending: weakref.ref[Any] | None = None  # of the backward that is under way
        self._begun = False  # that backward has begun to step
        self._index: dict[int, int] = {}
        self._hooks: dict[int, tuple[torch.Tensor, list[Any]]] = {}
        self._follow()
        optimizer._in_backward = self
        self._model = model
        self._watch: ModelWatch | None = None
        if model is not None:
            bound = {id(parameter) for parameter in optimizer._binding.tensors}
            # Held, so that their ids are theirs.
            self._left_out = {id(one): one for one in model.parameters() if id(one) not in bound}
            self._watch = ModelWatch(model, self._check_model)

    def _follow(self) -> None:
        """Puts hooks on the parameters that the optimizer has now: on frozen ones as well, which may be trained later."""
        tensors = self.optimizer._binding.tensors
        self._index = {id(parameter): index for index, parameter in enumerate(tensors)}
        for key in [key for key in self._hooks if key not in self._index]:
            for hook in self._hooks.pop(key)[1]:
                hook.remove()
        for parameter in tensors:
            if id(parameter) not in self._hooks:
                hooks = on_gradient(parameter, functools.partial(self._complete, parameter))
                self._hooks[id(parameter)] = parameter, hooks

    def _check_model(self) -> None:
        assert self._model is not None
        binding = self.optimizer._binding
        for name, parameter in zip(binding.names, binding.tensors):
            if is_in_parts(parameter):
                raise RuntimeError(f"parameter '{name}' was sharded after optimizer_in_backward. {_WHEN_SHARDED}")
        self.optimizer._bind()
        for name, parameter in self._model.named_parameters():
            known = id(parameter) in self._index or id(parameter) in self._left_out
            if parameter.requires_grad and not known:
                raise RuntimeError(
                    f"parameter '{name}' of the model was added or exchanged after optimizer_in_backward, and backward would "
                    "not update it: add it to stepper.optimizer by add_param_group, or call optimizer_in_backward when the "
                    f"model has its final parameters. {_WHEN_SHARDED}"
                )

    def _complete(self, parameter: torch.Tensor) -> None:
        """Backward has added to the gradient of a parameter."""
        averager = self._averaging.of(parameter)
        if averager is not None and not averager.averages():
            return  # under no_sync() gradients only accumulate
        if self._ending is None or self._ending() is None:
            self._begun = False
            self._ending = at_end_of_backward(self._end, self._averaging.rounds())
        if averager is not None:
            averager.takes_part = True
        if self._held:
            self._accumulated[id(parameter)] = parameter
            return
        if not self._begun:
            self._begin()
        if averager is None:
            self._step(parameter)

    def _begin(self) -> None:
        optimizer = self.optimizer
        begin_step(optimizer)
        optimizer._bind()  # schedulers and hooks write into the groups between one backward and the next
        self._averaging.check(optimizer._binding.tensors, optimizer._binding.names)
        self._begun = True

    def _step(self, parameter: torch.Tensor) -> None:
        index = self._index.get(id(parameter))
        self._accumulated.pop(id(parameter), None)
        if index is None or parameter.grad is None:
            return
        _native.call(self.optimizer._native.step_one, index)
        self._seen.add(index)
        parameter.grad = None

    def _end(self) -> None:
        self._ending = None
        begun, self._begun = self._begun, False
        if begun:
            # Also of parameters that took no part in this backward: other processes may have used them, or a backward
            # before, and `optimizer.step` would step them as well.
            for parameter in list(self.optimizer._binding.tensors):
                averager = self._averaging.of(parameter)
                if id(parameter) in self._accumulated or (averager is not None and averager.takes_part):
                    self._step(parameter)
        self._averaging.ended()
        if begun:
            end_step(self.optimizer)

    def hold(self, held: bool = True) -> None:
        """While held, backward only accumulates gradients: for all but the last micro-step of an accumulation. Under
        `no_sync` of DistributedDataParallel backward does so without being told."""
        self._held = held

    def report(self) -> StepReport:
        """What happened since the last call, with an entry for every parameter. Waits if they are on a device."""
        names = self.optimizer._binding.names
        seen, self._seen = self._seen, set()
        self._steps += 1
        tensors = []
        for index, name in enumerate(names):
            absent = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
            numbers = _native.call(self.optimizer._native.report_of_one, index) if index in seen else absent
            raw_norm, norm, factor, *marks = numbers
            tensors.append(TensorReport(name, raw_norm, norm, factor, *(mark != 0 for mark in marks)))
        finite = [tensor for tensor in tensors if tensor.present and tensor.finite]
        return StepReport(
            tuple(tensors),
            self._steps,
            torch.tensor([tensor.raw_norm for tensor in finite], dtype=torch.float64).norm().item(),
            torch.tensor([tensor.norm for tensor in finite], dtype=torch.float64).norm().item(),
            sum(tensor.spike for tensor in tensors),
            sum(not tensor.finite for tensor in tensors),
            False,
        )

    def remove(self) -> None:
        """Makes backward an ordinary one again."""
        for _, hooks in self._hooks.values():
            for hook in hooks:
                hook.remove()
        self._hooks.clear()
        self._averaging.remove()
        if self._watch is not None:
            self._watch.remove()
        if self.optimizer._in_backward is self:
            self.optimizer._in_backward = None


def optimizer_in_backward(
    model: torch.nn.Module,
    optimizer: type[FusedOptimizer] | FusedOptimizer = AdamW,
    *,
    own_gradients: bool = False,
    **settings: Any,
) -> OptimizerInBackward:
    """Makes `loss.backward()` update the parameters of `model`, each as soon as its gradient is complete, and free the
    gradient. There is no `optimizer.step()` and no `zero_grad()` in such a loop. Step hooks run once per backward, and
    learning rate schedulers are told.

    optimizer: a class of `gradient_stabilizer.optim`, of which an optimizer is made over model.named_parameters() with
        `settings`; or an existing optimizer of such a class.
    own_gradients: with several processes, update parameters that belong to no DistributedDataParallel with the
        gradients that each process computes. Otherwise such parameters are a RuntimeError.
    A parameter that is used several times is updated once, after all its uses. A frozen parameter is updated once it is
    trained. A parameter that is added to the model or exchanged later is a RuntimeError in the next forward. If
    DistributedDataParallel averages the gradients, all parameters are updated at the end of backward, after the
    averages; under its `no_sync` gradients accumulate. ValueError or TypeError, with the reason, for transforms that
    need all gradients at once (clipping by global norm, ZClip, ...), for policy "skip_step" and for sharded parameters;
    RuntimeError for GradScaler, because the gradients are still multiplied by its factor during backward.
    """
    if isinstance(optimizer, FusedOptimizer):
        if settings:
            raise TypeError(f"settings {sorted(settings)} are for an optimizer that is made here; this one exists already")
        return OptimizerInBackward(optimizer, model, own_gradients=own_gradients)  # type: ignore[arg-type]
    if not (isinstance(optimizer, type) and issubclass(optimizer, FusedOptimizer)):
        raise TypeError(f"optimizer must be one of gradient_stabilizer.optim, got {optimizer!r}")
    return OptimizerInBackward(optimizer(model.named_parameters(), **settings), model, own_gradients=own_gradients)


class MeasurementInBackward:
    """What `measure_in_backward` returns. Until `remove`, `backward` measures gradients."""

    def __init__(self, optimizer: FusedOptimizer) -> None:
        self.optimizer = optimizer
        self._refuse_processes()
        optimizer._bind()
        self._hooks: list[Any] = []
        for index, parameter in enumerate(optimizer._binding.tensors):
            self._hooks += on_gradient(parameter, functools.partial(self._measure, index, parameter))

    @staticmethod
    def _refuse_processes() -> None:
        # DistributedDataParallel averages after these hooks, and autograd does not see it write.
        if processes() > 1:
            raise RuntimeError(
                f"gradients cannot be measured in backward by one of {processes()} processes: the step uses their "
                "average, which comes later"
            )

    def _measure(self, index: int, parameter: torch.Tensor) -> None:
        self._refuse_processes()
        # A parameter that has moved or gone since is measured by the step, if at all.
        if self.optimizer._binding.holds_at(index, parameter):
            _native.call(self.optimizer._native.measure_one, index)

    def remove(self) -> None:
        """Makes backward an ordinary one again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def measure_in_backward(optimizer: FusedOptimizer) -> MeasurementInBackward:
    """Makes `backward` measure each gradient as soon as it is complete, while it is still in cache; `optimizer.step()` then
    reads gradients once instead of twice, and gives the same bits.

    A gradient that has been written to since (accumulation, unscaling, clipping) is measured again. This is noticed by
    its version, which does not change if it is written behind autograd's back, as by `p.grad.data.mul_`. TypeError for
    anything but an optimizer of `gradient_stabilizer.optim`; RuntimeError if several processes share the work.
    """
    if not isinstance(optimizer, FusedOptimizer):
        raise TypeError(f"optimizer must be one of gradient_stabilizer.optim, got {optimizer!r}")
    return MeasurementInBackward(optimizer)
