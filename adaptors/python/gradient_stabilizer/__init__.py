"""GradientStabilizer (arXiv 2502.17055) for PyTorch, computed by the gradstab library.

    import gradient_stabilizer as gs
    optimizer = gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-3))

is the one line that changes in a training loop. docs/python.md is the manual.
"""

from . import _native, compat, optim
from ._native import backends
from .in_backward import (
    MeasurementInBackward,
    OptimizerInBackward,
    measure_in_backward,
    optimizer_in_backward,
)
from .methods import (
    OTHERS,
    Method,
    adagc,
    adaptive_clip,
    adaptive_norm,
    adaptive_value_clip,
    agc,
    chain,
    clip_by_global_norm,
    clip_by_value,
    method,
    normalize,
    record_norms,
    scale_by,
    spike_aware_clip,
    stabilize,
    zclip,
)
from .norm_method import NormMethod, UnitSteps
from .recorder import NormRecorder
from .report import StepReport, TensorReport
from .transform import GradientStabilizer, GradientState, GradientTransform, stabilize_grad_, transform_grad_
from .wrapped import WrappedOptimizer, wrap

globals().update(OTHERS)

__version__: str = _native.ops.version()

__all__ = [
    "GradientState",
    "GradientStabilizer",
    "GradientTransform",
    "MeasurementInBackward",
    "Method",
    "NormMethod",
    "NormRecorder",
    "OptimizerInBackward",
    "StepReport",
    "TensorReport",
    "UnitSteps",
    "WrappedOptimizer",
    "adagc",
    "adaptive_clip",
    "adaptive_norm",
    "adaptive_value_clip",
    "agc",
    "backends",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "compat",
    "measure_in_backward",
    "method",
    "normalize",
    "optim",
    "optimizer_in_backward",
    "record_norms",
    "scale_by",
    "spike_aware_clip",
    "stabilize",
    "stabilize_grad_",
    "transform_grad_",
    "wrap",
    "zclip",
]
__all__ += list(OTHERS)
