"""What the kept states (data/kept_states.pt) are states of, and how they go on: `python kept_states.py FILE` writes them.

A subject never changes: what older versions wrote of it is in the file. The file is not written again for it.
"""

from __future__ import annotations

import copy
import pathlib
import sys
from typing import Any, Callable

import torch
from torch import nn

import gradient_stabilizer as gs

#: Steps before a state is kept, and after it.
BEFORE, AFTER = 4, 3


def model() -> nn.Sequential:
    """Small, with weights and gradients that need no random numbers."""
    built = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.linspace(-1.0, 1.0, parameter.numel(), dtype=torch.float64).reshape(parameter.shape))
    return built


def set_gradients(parameters: list[torch.Tensor], step: int) -> None:
    for i, parameter in enumerate(parameters):
        count = parameter.numel()
        values = torch.tensor([float((7 * step + 3 * i + j) % 11 - 5) / 4 for j in range(count)], dtype=torch.float64)
        parameter.grad = (values * (16.0 if (step + i) % 4 == 3 else 1.0)).reshape(parameter.shape)


# Words of the version that wrote the file: they stay understood.
METHODS: dict[str, Callable[[], gs.Method]] = {
    "stabilize": lambda: gs.stabilize(0.5, robust_kappa=3.0, granularity="group", groups={"first": ["0.*"]}),
    "clip_by_value": lambda: gs.clip_by_value(0.5),
    "clip_by_global_norm": lambda: gs.clip_by_global_norm(0.5, norm_type=3.0),
    "agc": lambda: gs.agc(0.25, exclude=["1.*"]),
    "zclip": lambda: gs.zclip(warmup_steps=2, mode="percentile"),
    "adagc": lambda: gs.adagc(warmup_steps=2, compat="released"),
    "spike_aware_clip": lambda: gs.spike_aware_clip(threshold=2.0, quiet_steps=1),
    "adaptive_value_clip": lambda: gs.adaptive_value_clip(0.9),
    "adaptive_norm": lambda: gs.adaptive_norm(total_steps=9),
    "normalize": lambda: gs.normalize(granularity="row"),
    "scale_by": lambda: gs.scale_by(0.5),
    "record_norms": lambda: gs.record_norms(3.0),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda named: gs.optim.SGD(named, 0.1, momentum=0.9),
    "Adam": lambda named: gs.optim.Adam(named, 0.01, amsgrad=True, reset_interval=3, compat="released"),
    "AdamW": lambda named: gs.optim.AdamW(named, 0.01),
    "Lion": lambda named: gs.optim.Lion(named, 0.01, decoupled_weight_decay=True, weight_decay=0.1),
    "AdamMini": lambda named: gs.optim.AdamMini(named, 0.01, overrides={"*": "row"}),
    "SPAM": lambda named: gs.optim.SPAM(named, 0.01, reset_interval=3, warmup_steps=2, quiet_steps=1),
    "wrapped": lambda named: gs.wrap(
        torch.optim.Adam([parameter for _, parameter in named], lr=0.01), named_parameters=named
    ),
}


class Run:
    """One subject over a model of its own."""

    def __init__(self, name: str) -> None:
        self.model = model()
        named = list(self.model.named_parameters())
        self.parameters: list[torch.Tensor] = [parameter for _, parameter in named]
        self.subject = OPTIMIZERS[name](named) if name in OPTIMIZERS else gs.GradientTransform(named, METHODS[name]())

    def steps(self, first: int, last: int) -> None:
        for step in range(first, last):
            set_gradients(self.parameters, step)
            self.subject.step()

    def left(self) -> list[torch.Tensor]:
        return [tensor.detach().clone() for parameter in self.parameters for tensor in (parameter, parameter.grad)]


def keep(name: str) -> dict[str, Any]:
    run = Run(name)
    run.steps(0, BEFORE)
    weights = [parameter.detach().clone() for parameter in run.parameters]
    state = copy.deepcopy(run.subject.state_dict())  # those of torch are views of what goes on
    run.steps(BEFORE, BEFORE + AFTER)
    return {"state": state, "weights": weights, "left": run.left()}


if __name__ == "__main__":
    file = pathlib.Path(sys.argv[1])
    kept = torch.load(file) if file.exists() else {}
    torch.save({name: kept.get(name) or keep(name) for name in [*METHODS, *OPTIMIZERS]}, file)
