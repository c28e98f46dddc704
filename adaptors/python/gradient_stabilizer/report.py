"""What a step saw and did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Sequence

import torch


class TensorReport(NamedTuple):
    """One parameter's gradient in one step."""

    name: str
    raw_norm: float  #: Euclidean norm as it came in, in the unit of the gradient; NaN or infinite if an element is
    norm: float  #: the same after the step
    factor: float  #: what the gradient was multiplied by
    present: bool  #: there was a gradient
    finite: bool  #: it held neither NaN nor Inf
    spike: bool  #: its norm was far above its recent statistics
    zeroed: bool  #: it was replaced by zeros (non-finite under policy "skip_tensor")


@dataclass(frozen=True)
class StepReport:
    """One step over all parameters, in their order."""

    tensors: tuple[TensorReport, ...]
    step: int  #: updates made, this one included
    raw_global_norm: float  #: over all gradients that are present and finite
    global_norm: float  #: the same after the step
    spikes: int  #: parameters labelled in this step
    nonfinite: int  #: parameters with NaN or Inf in this step
    skip_step: bool  #: policy "skip_step": nothing was changed, and the optimizer should not step

    def __getitem__(self, name: str) -> TensorReport:
        """The report of the parameter of this name. KeyError if there is none."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)


def make_report(
    names: Sequence[str], numbers: torch.Tensor, flags: torch.Tensor, summary: Sequence[float]
) -> StepReport:
    """Makes a report from what the native half returns. Before the first step there is nothing for any parameter."""
    tensors = tuple(
        TensorReport(name, *row, *marks) for name, row, marks in zip(names, numbers.tolist(), flags.tolist())
    )
    step, raw_global_norm, global_norm, spikes, nonfinite, skip_step = summary
    return StepReport(tensors, int(step), raw_global_norm, global_norm, int(spikes), int(nonfinite), skip_step != 0)
