"""Who averages the gradients of several processes, and when: the steps during backward must come after that."""

from __future__ import annotations

import sys
import types
import weakref
from typing import Any, Callable, Sequence

import torch

#: What is queued for the end of backward runs in the order of queueing, and may queue more. DistributedDataParallel ends
#: its averages there, and queues that when its last gradient is complete: after what the first gradient has queued. What
#: queues itself anew comes after it. Once is enough for all that the tests have, with three the averages may be queued by
#: what is queued, as in the first iteration of a static graph.
_ROUNDS = 3

#: In a frame of this, backward calls a function written in Python, which may call backward in turn.
_CALLED_BY_BACKWARD = torch.autograd.function.BackwardCFunction.apply.__code__


def processes() -> int:
    """How many processes work together."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def at_end_of_backward(action: Callable[[], None], rounds: int) -> weakref.ref[Any]:
    """Runs `action` when the backward that is under way has ended, after what others queue in so many rounds. The
    reference dies with that backward, also where it ends in an error."""
    ending = _Ending(action, rounds)
    ending.queue()
    return weakref.ref(ending)


class _Ending:
    def __init__(self, action: Callable[[], None], rounds: int) -> None:
        self._action, self._rounds = action, rounds

    def queue(self) -> None:
        torch.autograd.Variable._execution_engine.queue_callback(self._run)

    def _run(self) -> None:
        if self._rounds > 0:
            self._rounds -= 1
            self.queue()
        else:
            self._action()


def _is_nested() -> bool:
    """Whether the backward that is under way was called by another one."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _CALLED_BY_BACKWARD:
            return True
        frame = frame.f_back
    return False


class Averager:
    """One DistributedDataParallel. It averages in the backward that follows a forward outside of `no_sync`."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.takes_part = False  # in the backward that is under way
        self._expected: bool | None = None  # None: no forward was seen since the last average
        self._handle: Any = None

    def watch(self) -> None:
        """Watches forwards from now on."""
        self._handle = self.module.register_forward_pre_hook(_ForwardHook(self))

    def remove(self) -> None:
        if self._handle is not None:
            self._handle.remove()

    def forward_begins(self) -> None:
        if torch.is_grad_enabled():
            # An average that is due stays due, whatever is computed in between.
            self._expected = bool(self._expected) or bool(self.module.require_backward_grad_sync)

    def averages(self) -> bool:
        """In the backward that is under way."""
        return self.module.require_backward_grad_sync if self._expected is None else self._expected

    def ended(self) -> None:
        self.takes_part, self._expected = False, None


class _ForwardHook:
    """Tells an averager of forwards. Copies of the module have hooks that do nothing."""

    def __init__(self, averager: Averager | None = None) -> None:
        self._averager = averager

    def __call__(self, *_: Any) -> None:
        if self._averager is not None:
            self._averager.forward_begins()

    def __reduce__(self) -> Any:
        return _ForwardHook, ()


class Averaging:
    """How gradients of the parameters of `model` become those of all processes.

    Every DistributedDataParallel in `model` is known, and averages the gradients of its parameters. `own`: other
    parameters are to be stepped with what each process has of their gradients.
    """

    def __init__(self, model: torch.nn.Module | None, own: bool) -> None:
        self._own = bool(own)
        self._averagers: list[Averager] = []
        self._of: dict[int, Averager] = {}
        if model is None or not torch.distributed.is_available():
            return
        for module in model.modules():
            if isinstance(module, torch.nn.parallel.DistributedDataParallel):
                averager = Averager(module)
                self._averagers.append(averager)
                self._of.update((id(parameter), averager) for parameter in module.parameters())

    def check(self, tensors: Sequence[torch.Tensor], names: Sequence[str]) -> None:
        """RuntimeError for a parameter if it is not known how its gradient is combined with those of other
        processes."""
        if self._own or processes() == 1:
            return
        for tensor, name in zip(tensors, names):
            if id(tensor) not in self._of:
                raise RuntimeError(
                    f"'{name}' would be stepped with the gradient of one of {processes()} processes, before they are averaged: "
                    "call optimizer_in_backward with the model that DistributedDataParallel(model) returned, or step after "
                    "backward. If each process is to step with its own gradients, pass own_gradients=True"
                )

    def watch(self) -> None:
        """Watches forwards, which decide whether gradients are averaged, until `remove`."""
        for averager in self._averagers:
            averager.watch()

    def of(self, parameter: torch.Tensor) -> Averager | None:
        """The averager of a parameter's gradient after backward; None: the gradient is complete as soon as it is
        there."""
        return self._of.get(id(parameter))

    def rounds(self) -> int:
        """For `at_end_of_backward`. RuntimeError if backward does not end where the averaging ends."""
        if not self._averagers:
            return 0
        if _is_nested():
            raise RuntimeError(
                "backward was called within backward, as activation checkpointing does, and the averages of "
                "DistributedDataParallel end with the outer one: pass use_reentrant=False to torch.utils.checkpoint, or "
                "step after backward"
            )
        return _ROUNDS

    def ended(self) -> None:
        for averager in self._averagers:
            if averager.takes_part:
                averager.ended()

    def remove(self) -> None:
        for averager in self._averagers:
            averager.remove()
