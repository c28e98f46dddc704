"""GradientStabilizer and the fused optimizers on CUDA tensors, by the C interface of `libgradstab.so`.

Nothing in a step waits for the device, and a step can be captured in a CUDA graph. Needs torch and the shared library
alone: GRADSTAB_LIBRARY names it, otherwise it is looked for beside this file and by the loader. docs/cuda.md is the manual.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
from typing import Any, Iterable, Optional, Sequence, Tuple, Union

import torch

_DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
_POLICIES = {"skip_tensor": 0, "skip_step": 1, "raise": 2, "pass_through": 3}
_NOT_NULL = 8  # what a tensor without elements has for an address; never read

_Handle = ctypes.c_void_p
_Int64s = ctypes.POINTER(ctypes.c_int64)


def _struct(name: str, *fields: Tuple[str, Any]) -> Any:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


def _doubles(*names: str) -> Tuple[Tuple[str, Any], ...]:
    return tuple((name, ctypes.c_double) for name in names)


_SIZE = ("struct_size", ctypes.c_size_t)
_Stabilizer = _struct(
    "_Stabilizer", _SIZE, *_doubles("gamma1", "gamma2", "epsilon", "spike_ratio", "robust_kappa"),
    ("bias_correction", ctypes.c_int32), ("reserved", ctypes.c_int32))
_Parameter = _struct("_Parameter", ("name", ctypes.c_char_p), ("rank", ctypes.c_size_t), ("sizes", _Int64s))
_Tensor = _struct(
    "_Tensor", ("data", ctypes.c_void_p), ("dtype", ctypes.c_int32), ("device", ctypes.c_int32),
    ("rank", ctypes.c_size_t), ("sizes", _Int64s), ("strides", _Int64s), ("sparse_values", ctypes.c_int32),
    ("reserved", ctypes.c_int32))
_Options = _struct(
    "_Options", _SIZE, ("nonfinite", ctypes.c_int32), ("device", ctypes.c_int32), ("emulate", ctypes.c_int32),
    ("low_precision", ctypes.c_int32), ("seed", ctypes.c_uint64))
_Base = _struct("_Base", _SIZE, ("kind", ctypes.c_int32), ("reserved", ctypes.c_int32))
_Adam = _struct(
    "_Adam", ("base", _Base), *_doubles("lr", "beta1", "beta2", "epsilon", "weight_decay"),
    ("decoupled", ctypes.c_int32), ("amsgrad", ctypes.c_int32))
_Sgd = _struct(
    "_Sgd", ("base", _Base), *_doubles("lr", "momentum", "dampening", "weight_decay"), ("nesterov", ctypes.c_int32),
    ("reserved", ctypes.c_int32))
_Lion = _struct("_Lion", ("base", _Base), *_doubles("lr", "beta1", "beta2", "weight_decay", "decay_over_lr"))
_Group = _struct(
    "_Group", ("options", ctypes.c_void_p), ("parameters", ctypes.POINTER(ctypes.c_size_t)),
    ("parameter_count", ctypes.c_size_t))
_TensorReport = _struct(
    "_TensorReport", *_doubles("raw_norm", "norm", "factor"), ("present", ctypes.c_uint8), ("finite", ctypes.c_uint8),
    ("spike", ctypes.c_uint8), ("zeroed", ctypes.c_uint8), ("reserved", ctypes.c_uint32))
_StepReport = _struct(
    "_StepReport", _SIZE, ("step", ctypes.c_int64), *_doubles("raw_global_norm", "global_norm"),
    ("spikes", ctypes.c_size_t), ("nonfinite", ctypes.c_size_t), ("skip_step", ctypes.c_int32),
    ("reserved", ctypes.c_int32), ("tensor_count", ctypes.c_size_t), ("tensors", ctypes.POINTER(_TensorReport)),
    ("row_count", ctypes.c_size_t), ("rows", ctypes.POINTER(_TensorReport)),
    ("first_row", ctypes.POINTER(ctypes.c_size_t)))


class CudaError(RuntimeError):
    """What the library says was wrong."""


_library: Optional[ctypes.CDLL] = None


def library() -> ctypes.CDLL:
    """The shared library, opened once. Raises OSError where it is not found."""
    global _library
    if _library is None:
        beside = pathlib.Path(__file__).resolve().parent / "libgradstab.so"
        name = os.environ.get("GRADSTAB_LIBRARY") or (str(beside) if beside.exists() else "libgradstab.so")
        opened = ctypes.CDLL(name)
        opened.gradstab_cuda_last_error.restype = ctypes.c_char_p
        opened.gradstab_last_error.restype = ctypes.c_char_p
        opened.gradstab_free.argtypes = [ctypes.c_void_p]
        opened.gradstab_free.restype = None
        opened.gradstab_cuda_destroy.argtypes = [_Handle]
        opened.gradstab_cuda_destroy.restype = None
        _library = opened
    return _library


def available() -> Optional[str]:
    """None if there is a device to run on, else why there is none."""
    if library().gradstab_cuda_available() == 0:
        return None
    return library().gradstab_cuda_last_error(None).decode()


def _check(code: int, handle: Optional[_Handle] = None) -> None:
    if code != 0:
        raise CudaError(library().gradstab_cuda_last_error(handle).decode())


def _integers(values: Sequence[int]) -> Any:
    return (ctypes.c_int64 * len(values))(*values)


def _make_stabilizer(settings: dict) -> _Handle:
    options = _Stabilizer()
    _check(library().gradstab_stabilizer_options_init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)), 0))
    for name, value in settings.items():
        if name not in dict(_Stabilizer._fields_) or name in ("struct_size", "reserved"):
            raise TypeError(f"stabilizer has no setting '{name}'")
        setattr(options, name, value)
    made = _Handle()
    _check(library().gradstab_stabilize(ctypes.byref(options), None, ctypes.byref(made)))
    return made


class _Tensors:
    """The C structs of a list of tensors, kept from step to step; only addresses and dtypes are looked at again."""

    def __init__(self, count: int) -> None:
        self.array = (_Tensor * count)()
        self._kept: list = [None] * count
        self._seen: list = [None] * count

    def set(self, index: int, tensor: Optional[torch.Tensor], emulate: bool) -> None:
        entry = self.array[index]
        if tensor is None:
            entry.data = None
            self._seen[index] = None
            return
        entry.data = tensor.data_ptr() or _NOT_NULL
        seen = (tensor.dtype, tensor.shape, tensor.stride(), tensor.device)
        if seen == self._seen[index]:
            return
        if tensor.layout != torch.strided or tensor.dtype not in _DTYPES:
            raise TypeError(f"tensor {index} is {tensor.layout} {tensor.dtype}; expected strided floating-point numbers")
        entry.dtype = _DTYPES[tensor.dtype]
        entry.device = 1 if tensor.is_cuda or emulate else 0
        entry.rank = tensor.dim()
        sizes, strides = _integers(tensor.shape), _integers(tensor.stride())
        entry.sizes, entry.strides = sizes, strides
        self._kept[index], self._seen[index] = (sizes, strides), seen


class _OnDevice:
    """What both classes below have: a handle, parameters, reports and state."""

    def _bind(self, handle: _Handle, parameters: Sequence[torch.Tensor], names: Sequence[str], groups: Sequence[Any],
              nonfinite: str, emulate: bool, low_precision: str, seed: int) -> None:
        self._handle, self._parameters, self._emulate = handle, list(parameters), emulate
        if nonfinite not in _POLICIES:
            raise ValueError(f"nonfinite is '{nonfinite}', expected one of {', '.join(_POLICIES)}")
        if low_precision not in ("master_copy", "stochastic_rounding"):
            raise ValueError(f"low_precision is '{low_precision}', expected master_copy or stochastic_rounding")
        options = _Options()
        _check(library().gradstab_cuda_options_init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options))))
        options.nonfinite, options.emulate = _POLICIES[nonfinite], int(emulate)
        options.low_precision, options.seed = int(low_precision != "master_copy"), seed
        if not emulate and self._parameters:
            options.device = self._parameters[0].get_device()
        registered, sizes = (_Parameter * len(names))(), []
        for entry, name, parameter in zip(registered, names, self._parameters):
            sizes.append(_integers(parameter.shape))
            entry.name, entry.rank, entry.sizes = name.encode(), parameter.dim(), sizes[-1]
        listed = (_Group * len(groups))(*groups)
        self._call("init", registered, ctypes.c_size_t(len(names)), ctypes.byref(options), listed,
                   ctypes.c_size_t(len(groups)))
        self._gradients, self._values = _Tensors(len(names)), _Tensors(len(names))

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None and _library is not None:
            with contextlib.suppress(Exception):  # at the end of the interpreter torch may be gone already
                if not self._emulate and self._parameters:
                    torch.cuda.synchronize(self._parameters[0].device)
            _library.gradstab_cuda_destroy(handle)

    def _call(self, name: str, *arguments: Any) -> None:
        _check(getattr(library(), "gradstab_cuda_" + name)(self._handle, *arguments), self._handle)

    def _stream(self) -> ctypes.c_void_p:
        if self._emulate or not self._parameters:
            return ctypes.c_void_p(None)
        return ctypes.c_void_p(torch.cuda.current_stream(self._parameters[0].device).cuda_stream)

    def _pass(self, name: str, updates: bool) -> None:
        """One of the calls that take tensors: those of the parameters and their `grad` as they are now."""
        for index, parameter in enumerate(self._parameters):
            self._gradients.set(index, parameter.grad, self._emulate)
            if updates:
                self._values.set(index, parameter, self._emulate)
        self._call(name, self._values.array if updates else None, self._gradients.array,
                   ctypes.c_size_t(len(self._parameters)), self._stream())

    def squared_norms(self) -> torch.Tensor:
        """The device's own squared norms, one float64 per parameter: valid between `measure` and `finish`."""
        pointer = ctypes.POINTER(ctypes.c_double)()
        self._call("squared_norms", ctypes.byref(pointer))
        count = len(self._parameters)
        if self._emulate:
            memory = (ctypes.c_double * count).from_address(ctypes.addressof(pointer.contents))
            return torch.frombuffer(memory, dtype=torch.float64)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        view = type("_View", (), {"__cuda_array_interface__": {
            "shape": (count,), "typestr": "<f8", "data": (address, False), "version": 2}})
        return torch.as_tensor(view(), device=self._parameters[0].device)

    def request_report(self) -> None:
        """Starts to copy the report of the last step to the host."""
        self._call("request_report", self._stream())

    def report(self) -> dict:
        """The report that was requested last, or of the last step; waits for it."""
        report = _StepReport(struct_size=ctypes.sizeof(_StepReport))
        self._call("report", ctypes.byref(report))
        tensors = [{name: getattr(report.tensors[i], name) for name, _ in _TensorReport._fields_ if name != "reserved"}
                   for i in range(report.tensor_count)]
        names = ("step", "raw_global_norm", "global_norm", "spikes", "nonfinite", "skip_step")
        return {**{name: getattr(report, name) for name in names}, "tensors": tensors}

    def counts(self) -> dict:
        """Kernels, copies and waits that the host has asked the device for since the object was made."""
        numbers = [ctypes.c_uint64() for _ in range(3)]
        self._call("counts", *(ctypes.byref(number) for number in numbers))
        return dict(zip(("launches", "copies", "waits"), (number.value for number in numbers)))

    def save(self) -> bytes:
        """All state, in the format that the CPU has too. Waits."""
        memory, size = ctypes.c_void_p(), ctypes.c_size_t()
        self._call("save", self._stream(), ctypes.byref(memory), ctypes.byref(size))
        state = ctypes.string_at(memory, size.value)
        library().gradstab_free(memory)
        return state

    def load(self, state: bytes) -> None:
        self._call("load", state, ctypes.c_size_t(len(state)), self._stream())

    def _reduced(self, updates: bool, process_group: Any) -> None:
        if process_group is None:
            return self._pass("step", updates)
        self._pass("measure", updates)
        torch.distributed.all_reduce(self.squared_norms(), group=process_group)
        self._call("finish", self._stream())


Named = Iterable[Union[torch.Tensor, Tuple[str, torch.Tensor]]]


def _named(parameters: Named) -> Tuple[list, list]:
    pairs = [(f"parameter{i}", p) if isinstance(p, torch.Tensor) else p for i, p in enumerate(parameters)]
    pairs = [(name, parameter) for name, parameter in pairs if parameter.requires_grad]
    return [name for name, _ in pairs], [parameter for _, parameter in pairs]


class CudaStabilizer(_OnDevice):
    """Stabilizes `grad` of CUDA parameters in place, between backward and the optimizer's step.

    `parameters` are tensors or `named_parameters()`. Settings are those of the library: gamma1, gamma2, epsilon,
    bias_correction, spike_ratio, robust_kappa. With a process group, every process has a part of each tensor and their
    squared norms are summed over the group.
    """

    def __init__(self, parameters: Named, *, nonfinite: str = "skip_tensor", process_group: Any = None,
                 emulate: bool = False, **settings: Any) -> None:
        names, tensors = _named(parameters)
        self._group = process_group
        made, handle = _make_stabilizer(settings), _Handle()
        _check(library().gradstab_cuda_transform(made, ctypes.byref(handle)))
        self._bind(handle, tensors, names, (), nonfinite, emulate, "master_copy", 0)

    def step(self) -> None:
        self._reduced(False, self._group)


_KINDS = {"adam": _Adam, "adamw": _Adam, "sgd": _Sgd, "lion": _Lion}


class CudaOptimizer(_OnDevice, torch.optim.Optimizer):
    """A fused optimizer over CUDA parameters: `kind` is adamw, adam, sgd or lion.

    `parameters` as torch optimizers take them, groups included, or `named_parameters()`. Options are those of the kind:
    lr, betas, eps, weight_decay, momentum, dampening, nesterov, amsgrad. `stabilize` is False, True, or a dict of settings
    of the stabilizer. Learning-rate schedulers work as ever; other options are settled here.
    """

    def __init__(self, parameters: Any, kind: str = "adamw", *, stabilize: Union[bool, dict] = True,
                 nonfinite: str = "skip_tensor", low_precision: str = "master_copy", seed: int = 0,
                 process_group: Any = None, emulate: bool = False, **options: Any) -> None:
        if kind not in _KINDS:
            raise ValueError(f"kind is '{kind}', expected one of {', '.join(_KINDS)}")
        parameters, names = list(parameters), None
        if parameters and not isinstance(parameters[0], dict):
            names, parameters = _named(parameters)
        self._kind, self._group = kind, process_group
        defaults = self._defaults(kind)
        unknown = set(options) - set(defaults)
        if unknown:
            raise TypeError(f"'{kind}' has no option {', '.join(sorted(unknown))}")
        torch.optim.Optimizer.__init__(self, parameters, {**defaults, **options})
        tensors = [p for group in self.param_groups for p in group["params"]]
        settings = [self._settings(group) for group in self.param_groups]
        groups, first = [], 0
        for group, setting in zip(self.param_groups, settings):
            indices = (ctypes.c_size_t * len(group["params"]))(*range(first, first + len(group["params"])))
            groups.append(_Group(ctypes.addressof(setting), indices, len(group["params"])))
            first += len(group["params"])
        front = _make_stabilizer(stabilize if isinstance(stabilize, dict) else {}) if stabilize else None
        made, handle = _Handle(), _Handle()
        maker = getattr(library(), "gradstab_" + ("adam" if kind == "adamw" else kind))
        _check(maker(ctypes.byref(settings[0]), front, ctypes.byref(made)))
        _check(library().gradstab_cuda_optimizer(made, ctypes.byref(handle)))
        self._bind(handle, tensors, names or [f"parameter{i}" for i in range(len(tensors))], groups, nonfinite, emulate,
                   low_precision, seed)
        self._rates = [group["lr"] for group in self.param_groups]

    @staticmethod
    def _defaults(kind: str) -> dict:
        if kind == "sgd":
            return dict(lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
        if kind == "lion":
            return dict(lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
        return dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01 if kind == "adamw" else 0.0, amsgrad=False)

    def _settings(self, group: dict) -> Any:
        options = _KINDS[self._kind]()
        init = getattr(library(), f"gradstab_{'adam' if self._kind == 'adamw' else self._kind}_options_init")
        extra = (int(self._kind == "adamw"),) if isinstance(options, _Adam) else ()
        _check(init(ctypes.byref(options), ctypes.c_size_t(ctypes.sizeof(options)), *extra))
        for name, value in group.items():
            if name == "betas":
                options.beta1, options.beta2 = value
            elif name == "eps":
                options.epsilon = value
            elif name != "params" and name in dict(type(options)._fields_):
                setattr(options, name, int(value) if isinstance(value, bool) else value)
        return options

    def _send_rates(self) -> None:
        for index, group in enumerate(self.param_groups):
            if group["lr"] != self._rates[index]:
                self._call("set_group_lr", ctypes.c_size_t(index), ctypes.c_double(group["lr"]), self._stream())
                self._rates[index] = group["lr"]

    def prepare(self) -> None:
        """Allocates state for the parameters that have a `grad` now; needed where the first step is captured."""
        self._send_rates()
        self._pass("prepare", True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._send_rates()
        self._reduced(True, self._group)
        return loss

    def state_dict(self) -> dict:
        """Groups and, as a tensor of bytes, the state in the library's format."""
        groups = [{**{k: v for k, v in group.items() if k != "params"}} for group in self.param_groups]
        return {"gradstab": torch.frombuffer(bytearray(self.save()), dtype=torch.uint8), "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        self.load(bytes(state_dict["gradstab"].cpu().numpy().tobytes()))
        for group, saved in zip(self.param_groups, state_dict["param_groups"]):
            group["lr"] = saved["lr"]
