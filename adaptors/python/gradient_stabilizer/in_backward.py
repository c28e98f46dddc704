"""What can be done while backward runs: step parameters, so that the model's gradients never exist all at once, or
measure gradients, so that a step later reads each only once."""

from __future__ import annotations

import functools
from typing import Any

import torch

from . import _native
from ._fused import FusedOptimizer
from ._hooks import on_gradient
from .optim import AdamW
from .report import StepReport, TensorReport


class OptimizerInBackward:
    """What `optimizer_in_backward` returns. Until `remove`, `backward` updates the parameters."""

    def __init__(self, optimizer: FusedOptimizer) -> None:
        self.optimizer = optimizer  #: for schedulers and checkpoints
        optimizer._bind()
        if optimizer._sharding is not None:
            raise TypeError(
                "the parameters are sharded, and what backward gives each of them is not yet its gradient over all "
                "processes; use optimizer.step()"
            )
        _native.call(optimizer._native.check_can_step_one)
        self._held = False
        self._steps = 0
        self._seen: set[int] = set()
        self._begun = False  # this backward has updated a parameter
        self._hooks: list[Any] = []
        for index, parameter in enumerate(optimizer._binding.tensors):
            if parameter.requires_grad:
                self._hooks += on_gradient(parameter, functools.partial(self._complete, index, parameter))

    def _complete(self, index: int, parameter: torch.Tensor) -> None:
        if not self._held:
            self._step(index, parameter)

    def _step(self, index: int, parameter: torch.Tensor) -> None:
        optimizer = self.optimizer
        if not self._begun:
            optimizer._bind()  # schedulers write into the groups between one backward and the next
            self._begun = True
            torch.autograd.Variable._execution_engine.queue_callback(self._end)
        if parameter.grad is None or not optimizer._binding.holds_at(index, parameter):
            return
        _native.call(optimizer._native.step_one, index)
        self._seen.add(index)
        parameter.grad = None

    def _end(self) -> None:
        self._begun = False

    def hold(self, held: bool = True) -> None:
        """While held, backward only accumulates gradients: for all but the last micro-step of an accumulation."""
        self._held = held

    def report(self) -> StepReport:
        """What happened since the last call, with an entry for every parameter. Waits where they are on a device."""
        names = self.optimizer._binding.names
        seen, self._seen, self._begun = self._seen, set(), False
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
        """Backward is an ordinary one again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def optimizer_in_backward(
    model: torch.nn.Module, optimizer: type[FusedOptimizer] | FusedOptimizer = AdamW, **settings: Any
) -> OptimizerInBackward:
    """Makes `loss.backward()` update the parameters of `model`, each as soon as its gradient is complete, and free the
    gradient. There is no `optimizer.step()` and no `zero_grad()` in such a loop.

    optimizer: a class of `gradient_stabilizer.optim`, made over model.named_parameters() with `settings`; or an
        optimizer that is there.
    A parameter that is used several times is updated once, after all its uses. ValueError or TypeError, which say why,
    for transforms that need all gradients at once (clipping by global norm, ZClip, ...) and for policy "skip_step".
    """
    if isinstance(optimizer, FusedOptimizer):
        if settings:
            raise TypeError(f"settings {sorted(settings)} belong to an optimizer that is made here; this one is there")
        return OptimizerInBackward(optimizer)
    if not (isinstance(optimizer, type) and issubclass(optimizer, FusedOptimizer)):
        raise TypeError(f"optimizer must be one of gradient_stabilizer.optim, got {optimizer!r}")
    return OptimizerInBackward(optimizer(model.named_parameters(), **settings))


class MeasurementInBackward:
    """What `measure_in_backward` returns. Until `remove`, `backward` measures gradients."""

    def __init__(self, optimizer: FusedOptimizer) -> None:
        self.optimizer = optimizer
        self._refuse_processes()
        optimizer._bind()
        self._hooks: list[Any] = []
        for index, parameter in enumerate(optimizer._binding.tensors):
            if parameter.requires_grad:
                self._hooks += on_gradient(parameter, functools.partial(self._measure, index, parameter))

    @staticmethod
    def _refuse_processes() -> None:
        # DistributedDataParallel averages after these hooks, and autograd does not see it write.
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
            raise RuntimeError(
                f"gradients cannot be measured in backward by one of {distributed.get_world_size()} processes: what "
                "counts is their average, which comes later"
            )

    def _measure(self, index: int, parameter: torch.Tensor) -> None:
        self._refuse_processes()
        # A parameter that has moved or gone since is measured by the step, if at all.
        if self.optimizer._binding.holds_at(index, parameter):
            _native.call(self.optimizer._native.measure_one, index)

    def remove(self) -> None:
        """Backward is an ordinary one again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


def measure_in_backward(optimizer: FusedOptimizer) -> MeasurementInBackward:
    """Makes `backward` measure each gradient as soon as it is complete, while it is still in cache; `optimizer.step()` then
    reads gradients once instead of twice, and gives the same bits.

    A gradient that has been written to since (accumulation, unscaling, clipping) is measured again, which is noticed by
    its version: not where it is written behind autograd's back, as by `p.grad.data.mul_`. TypeError for what is no
    optimizer of `gradient_stabilizer.optim`; RuntimeError where several processes share the work.
    """
    if not isinstance(optimizer, FusedOptimizer):
        raise TypeError(f"optimizer must be one of gradient_stabilizer.optim, got {optimizer!r}")
    return MeasurementInBackward(optimizer)
