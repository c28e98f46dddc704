"""The part that the fused optimizers share."""

from __future__ import annotations

from typing import Any, Callable

import torch

from . import _native
from ._fused_checkpoint import CheckpointedOptimizer
from .methods import stabilize
from .report import StepReport, make_report

#: What goes in front where nothing else is asked for.
STABILIZE = stabilize()


class FusedOptimizer(CheckpointedOptimizer):
    """An optimizer of the library behind a gradient transform whose factors are folded into the update: gradients are
    read and not written, except by methods that work element by element.

    Users choose a class of `gradient_stabilizer.optim`. A subclass gives the names here of its groups' settings and of
    its state.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Updates every parameter that has a gradient. With a closure, the gradients that it computes are used, and its
        loss is returned. Raises as `GradientTransform.step` does, except for gradients that come twice, because they
        are not changed here."""
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
    def _step_supports_amp_scaling(self) -> bool:
        """GradScaler.step reads this; it unscales gradients before it calls `step`."""
        if self._in_backward is not None:
            raise RuntimeError(
                "backward has already stepped, with gradients that GradScaler had scaled, and an overflow could not be "
                "undone: scaled gradients need optimizer.step() after backward; bfloat16 needs no scaling"
            )
        self._outdate_measured_norms()
        return False

    def _outdate_measured_norms(self) -> None:
        """Makes the next step measure all gradients again."""
        # Newer torch changes gradients when it unscales them and does not raise their version, so norms that backward
        # measured before that would be taken for current.
        increment = getattr(torch.autograd.graph, "increment_version", None)
        if increment is not None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        increment(parameter.grad)
