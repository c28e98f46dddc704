"""Gradient norms of a run in a file, for `gradstab inspect`."""

from __future__ import annotations

import contextlib
import os
import warnings
import weakref
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import torch
from torch.optim import Optimizer

from . import _native
from ._device_copies import Copies, Queue
from ._fused import FusedOptimizer
from ._parameters import Binding, shape_of, split_names, with_memory
from ._sharding import is_dtensor, is_in_parts, local_part, part_of
from ._step_hooks import before_step
from .wrapped import WrappedOptimizer

#: What the file says of the place where gradients are measured.
_AT_THE_STEP = "in front of the optimizer's step, and so behind any clipping in the loop"
_BY_HAND = "where record() was called"


class _Measured(NamedTuple):
    """A step whose numbers may still be on their way."""

    step: int
    parts: list[tuple[list[int], torch.Tensor]]  # positions and their norms, on the host or soon there
    loss: Any  # a number, a tensor of one that is on its way, or None


class NormRecorder:
    """Appends the norm of every gradient to a file, step by step. Nothing of the training changes.

        with gs.NormRecorder("run.gsnorms", model) as recorder:
            recorder.attach(optimizer)
            ...  # the training loop, as it is

    and then `gradstab inspect run.gsnorms`. docs/inspect.md is the manual, docs/recording-format.md has the bytes.

    path: the file. One that is there is continued, behind its last whole step; whatever else it is, it is refused and
        left alone. Every step is in the file when it has been recorded (on a device, a few steps later): a killed job
        loses at most the last ones, and leaves a file that can be read.
    parameters: a module, or what `model.named_parameters()` gives, or an iterable of tensors; without it, the
        parameters of the first optimizer that is attached. A parameter without a gradient is recorded as absent, so
        that frozen layers may be among them.
    every: only steps whose number is a multiple of it are recorded, and the others cost nothing.
    facts: what is known of the run beside what `attach` finds: {"clip": 1.0, "clipping": "before clipping"}.

    Raises OSError where the file cannot be opened, ValueError for one that is no recording. After that nothing here ends a training: what goes
    wrong while a step is recorded is a RuntimeWarning, once, and recording stops.

    Gradients on a CUDA device are measured there, and the host waits for nothing until `close`. Of a sharded parameter
    (DTensor, FullyShardedDataParallel) the norm is that of the part in this process, and the file says so; each process
    needs a file of its own. A process that was forked off does not record.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        parameters: Any = None,
        every: int = 1,
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = os.fsdecode(path)
        self.every = every
        #: The loss of the next step that is recorded: a number, or a tensor of one. It is used once.
        self.loss: Any = None
        self._given = {key: _text(value) for key, value in (facts or {}).items()}
        self._found: dict[str, str] = {}
        self._groups: list[Mapping[str, Any]] | None = None
        self._binding = Binding([])
        if parameters is not None:
            tensors, named = _tensors_of(parameters)
            self._groups = [{"params": tensors}]
            self._binding = Binding(named)
            self._binding.bind(self._groups)
        self._process = os.getpid()
        self._handles: list[Any] = []
        self._optimizer: weakref.ref[Optimizer] | None = None
        self._copies = Copies()
        self._queue: Queue[_Measured] = Queue(self._write)
        self._step = 0
        self._registered = False
        keys, values = self._facts()
        try:
            self._native = _native.ops.make_recorder(self.path, keys, values, every)
        except RuntimeError as error:
            raise _opening_error(error) from None
        self._step = self._native.next_step() - 1
        self._open = True

    # ---- What is recorded ----

    def attach(self, optimizer: Optimizer) -> NormRecorder:
        """From now on records in front of each `optimizer.step()`, and adds the optimizer, its learning rate and betas to
        the facts. Returns the recorder.

        With GradScaler gradients are recorded unscaled, as the optimizer sees them, and a step that the scaler leaves out
        is not recorded. A loop that clips has clipped before: there, call `record` in front of the clipping instead. Of
        what `gs.wrap` returns, and of `gs.optim`, gradients are those before the transform. A closure is recorded when it
        is first evaluated in a step, with the loss that it returns. Copies and pickles of the optimizer are not attached.
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"attach expects a torch.optim.Optimizer, got {type(optimizer).__name__}")
        if self._optimizer is not None:
            raise RuntimeError("an optimizer is attached already; a recorder has the steps of one")
        _check_steps_at_once(optimizer)
        if self._groups is None:
            self._binding.bind(optimizer.param_groups)
        self._optimizer = weakref.ref(optimizer)
        self._found = {**_facts_of(optimizer), "measured": _AT_THE_STEP}
        self._native.set_facts(*self._facts())
        self._handles.append(before_step(optimizer, self._before_step))
        return self

    def record(self, step: int | None = None, loss: Any = None, scaler: Any = None) -> None:
        """Records the gradients as they are now.

        step: its number, at least 0; without it, one more than the last one.
        loss: a number or a tensor of one; without it, `recorder.loss`. On a device nobody waits for it.
        scaler: the GradScaler whose factor is still in the gradients. Do not give it behind `scaler.unscale_`.
        """
        if step is not None and (not isinstance(step, int) or step < 0):
            raise ValueError(f"step must be a whole number of at least 0, got {step!r}")
        if self._groups is None and self._optimizer is None:
            raise RuntimeError("there are no parameters to record: give them to NormRecorder, or attach an optimizer")
        if "measured" not in self._found and "measured" not in self._given:
            self._found["measured"] = _BY_HAND
            self._registered = False
        self._record(step, loss, None if scaler is None else _scale_of(scaler))

    def close(self) -> None:
        """Waits for what is on its way and for the disk, and closes the file. A second call does nothing."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if not self._is_here():
            return
        self._guarded(self._queue.finish_all)
        if self._open:
            self._guarded(lambda: _native.call(self._native.close))
        self._open = False

    def __enter__(self) -> NormRecorder:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        # What is on its way is lost, but nothing waits in a destructor.
        for handle in getattr(self, "_handles", ()):
            handle.remove()

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a NormRecorder has an open file, which can be neither copied nor pickled")

    def __repr__(self) -> str:
        state = "recording" if self._open else "closed"
        return f"NormRecorder({self.path!r}, {len(self._binding.tensors)} tensors, every={self.every}, {state})"

    # ---- How ----

    def _is_here(self) -> bool:
        return self._open and os.getpid() == self._process

    def _facts(self) -> tuple[list[str], list[str]]:
        facts = {"torch": torch.__version__, **self._found, **self._given}
        place = _place_of_parts(self._binding.tensors)
        if place is not None:
            facts.setdefault("parts", place)
        return list(facts), list(facts.values())

    def _guarded(self, work: Any) -> None:
        """Does it, or says once why nothing more is recorded."""
        try:
            work()
        except Exception as error:
            self._open = False
            with contextlib.suppress(RuntimeError):
                self._native.close()
            warnings.warn(
                f"no more norms are recorded to {self.path!r}; training goes on: {error}", RuntimeWarning, stacklevel=4
            )

    def _before_step(self, optimizer: Any, arguments: Any, settings: Any) -> Any:
        """The hook in front of `optimizer.step`."""
        if not self._is_here():
            return None
        self._guarded(lambda: _check_steps_at_once(optimizer))
        closure = arguments[1] if len(arguments) > 1 else settings.get("closure")
        if not callable(closure):
            self._record(None, None, _scale_left(optimizer, settings))
            return None
        if len(arguments) > 1:
            return (arguments[0], self._recorded(closure), *arguments[2:]), settings
        return arguments, {**settings, "closure": self._recorded(closure)}

    def _recorded(self, closure: Any) -> Any:
        """The closure, recorded when it is first evaluated."""
        is_first = True

        def evaluate(*arguments: Any, **settings: Any) -> Any:
            nonlocal is_first
            loss = closure(*arguments, **settings)
            if is_first:
                is_first = False
                known = self.loss is not None or not (isinstance(loss, (int, float)) or _is_number(loss))
                self._record(None, None if known else loss, None)
            return loss

        return evaluate

    def _record(self, step: int | None, loss: Any, scale: Any) -> None:
        if not self._is_here():
            return
        loss, self.loss = (self.loss if loss is None else loss), None
        # Counted here: on a device the file is behind.
        self._step = self._step + 1 if step is None else step
        number = self._step
        if self._native.records(number):
            self._guarded(lambda: self._measure(number, loss, scale))
        if self._open and len(self._queue):
            self._guarded(self._queue.finish_ready)

    def _register(self) -> None:
        """Tells the native half which parameters there are, where that is new."""
        groups = self._groups
        if groups is None:
            optimizer = None if self._optimizer is None else self._optimizer()
            groups = [] if optimizer is None else optimizer.param_groups
        tensors = [tensor for group in groups for tensor in group["params"]]
        if not self._binding.holds(tensors):
            # What is on its way belongs to those that were.
            self._queue.finish_all()
            self._binding.bind(groups)
            self._registered = False
        if self._registered:
            return
        whole = [with_memory(tensor) for tensor in self._binding.tensors]
        shapes = [shape_of(part_of(tensor).reshape(-1) if is_dtensor(tensor) else tensor) for tensor in whole]
        dtypes = [str(tensor.dtype).replace("torch.", "") for tensor in whole]
        _native.call(self._native.set_parameters, self._binding.names, shapes, dtypes)
        self._native.set_facts(*self._facts())
        self._registered = True

    @torch.no_grad()
    def _measure(self, step: int, loss: Any, scale: Any) -> None:
        self._register()
        tensors = self._binding.tensors
        present = [index for index, tensor in enumerate(tensors) if tensor.grad is not None]
        if not present:
            return
        gradients = [_measurable(tensors[index].grad, self._binding.names[index]) for index in present]
        if scale is None and len(self._queue) == 0 and all(map(_is_on_host, gradients)) and not _is_away(loss):
            number = None if loss is None else float(loss)
            _native.call(self._native.record, present, gradients, step, number is not None, number or 0.0)
            return
        events: list[Any] = []
        parts = []
        places: dict[Any, list[int]] = {}
        for at, gradient in enumerate(gradients):
            places.setdefault(gradient.device, []).append(at)
        for here in places.values():
            norms = _native.call(_native.ops.squared_norms, [gradients[at] for at in here]).sqrt()
            if scale is not None:
                norms = norms / (scale.to(norms.device, torch.float64) if isinstance(scale, torch.Tensor) else scale)
            there, event = self._copies.start(norms)
            events.append(event)
            parts.append(([present[at] for at in here], there))
        if _is_away(loss):
            loss, event = self._copies.start(loss.detach().to(torch.float64).reshape(1).clone())
            events.append(event)
        elif loss is not None:
            loss = float(loss)
        self._queue.add(events, _Measured(step, parts, loss))

    def _write(self, measured: _Measured) -> None:
        """Of a step whose numbers have arrived."""
        norms = torch.full((len(self._binding.tensors),), -1.0, dtype=torch.float64)
        for positions, there in measured.parts:
            norms[positions] = there
            self._copies.give_back(there)
        loss = measured.loss
        if isinstance(loss, torch.Tensor):
            there, loss = loss, loss.item()
            self._copies.give_back(there)
        _native.call(self._native.write, norms, measured.step, loss is not None, loss or 0.0)


def _tensors_of(parameters: Any) -> tuple[list[torch.Tensor], list[tuple[str, torch.Tensor]]]:
    if isinstance(parameters, torch.nn.Module):
        parameters = parameters.named_parameters()
    elif isinstance(parameters, Mapping):
        parameters = parameters.items()
    elif not isinstance(parameters, Iterable):
        raise TypeError(f"expected a module or its named parameters, got {type(parameters).__name__}")
    return split_names(parameters)


def _check_steps_at_once(optimizer: Any) -> None:
    """RuntimeError for an optimizer that backward steps, parameter by parameter: its gradients are never all there."""
    if getattr(optimizer, "_in_backward", None) is not None:
        raise RuntimeError(
            "backward steps this optimizer parameter by parameter and frees each gradient, so that there is no moment at "
            "which all of them could be recorded; the norms of a step are in its report()"
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _facts_of(optimizer: Any) -> dict[str, str]:
    """What an optimizer says of itself."""
    facts: dict[str, str] = {}
    inner = optimizer
    if isinstance(optimizer, WrappedOptimizer):
        inner = optimizer.optimizer
        facts["transform"] = str(optimizer._engine.method)
    elif isinstance(optimizer, FusedOptimizer):
        facts["transform"] = "none" if optimizer._how[0] is None else str(optimizer._how[0])
    facts["optimizer"] = type(inner).__name__
    group = inner.param_groups[0] if inner.param_groups else {}
    betas = group.get("betas")
    if isinstance(betas, (tuple, list)) and len(betas) == 2:
        facts["betas"] = f"{float(betas[0])}, {float(betas[1])}"
        facts["beta2"] = repr(float(betas[1]))
    for key in ("lr", "weight_decay", "momentum"):
        if isinstance(group.get(key), (int, float, torch.Tensor)):
            facts[key] = repr(float(group[key]))
    return facts


def _place_of_parts(tensors: Sequence[torch.Tensor]) -> str | None:
    """Which process this is, where parameters are in parts."""
    if not any(
        is_dtensor(tensor) or is_in_parts(tensor) or getattr(tensor, "_is_flat_param", False) or type(tensor).__name__ == "FlatParameter"
        for tensor in tensors
    ):
        return None
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return "of one process"
    return f"{torch.distributed.get_rank() + 1} of {torch.distributed.get_world_size()}"


def _measurable(gradient: torch.Tensor, name: str) -> torch.Tensor:
    """Of a DTensor the part that is here, as a vector, because parts may have any shape; of a sparse tensor one with each
    element once. The gradient itself stays as it is."""
    if is_dtensor(gradient):
        return local_part(gradient, name).reshape(-1)
    return gradient.coalesce() if gradient.layout == torch.sparse_coo else gradient


def _is_on_host(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu"


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1


def _is_away(loss: Any) -> bool:
    """Whether a loss is a tensor on a device, so that looking at it would wait."""
    return isinstance(loss, torch.Tensor) and not _is_on_host(loss)


def _scale_of(scaler: Any) -> Any:
    """The factor of a GradScaler, as a tensor where it has one, so that nobody waits."""
    if hasattr(scaler, "is_enabled") and not scaler.is_enabled():
        return None
    scale = getattr(scaler, "_scale", None)
    return scale if isinstance(scale, torch.Tensor) else scaler.get_scale()


def _scale_left(optimizer: Any, settings: Mapping[str, Any]) -> Any:
    """The factor that is in the gradients of a step that unscales them itself, as torch's fused optimizers do: from
    torch 2 on an attribute, in torch 1.13 an argument."""
    scale = getattr(optimizer, "grad_scale", None)
    if isinstance(scale, torch.Tensor):
        return scale
    scaler = settings.get("grad_scaler")
    state = getattr(scaler, "_per_optimizer_states", {}).get(id(optimizer))
    return _scale_of(scaler) if state is not None and state["stage"].name == "READY" else None


def _opening_error(error: RuntimeError) -> Exception:
    """OSError for what the operating system refuses."""
    if str(error).startswith("gradient_stabilizer:io_error"):
        return OSError(str(_native.translated(error)))
    return _native.translated(error)
