"""The behaviour of the authors' released class, written anew in plain PyTorch from its description: what the tests of
`compat` and the benchmark compare with. Per tensor: norm in the gradient's dtype; m and v in float32; skipped, and left
as it is, where the norm is not finite or 0.

As a thing to be timed it does per tensor the work of the class as released (commit d77016f of its repository), no more
and no less: one norm by `Tensor.norm`; two conditions on it, each of which reads a number back; two moments as float32
tensors of one element, updated in place by two operators each; every further number an operator and a new tensor, but
for the root, to which epsilon is added in place; one multiplication in place; autograd switched off once per tensor and
once around them; the state looked up by id, and made once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class ReleasedStabilizer:
    def __init__(
        self, gamma1: float = 0.6, gamma2: float = 0.999, eps: float = 1e-12, bias_correction: bool = True
    ) -> None:
        self.gammas, self.eps, self.bias_correction = (gamma1, gamma2), eps, bias_correction
        self.state: dict[int, dict[str, Any]] = {}

    @torch.no_grad()
    def __call__(self, parameters: Iterable[torch.Tensor]) -> None:
        for parameter in parameters:
            self._scale(parameter)

    @torch.no_grad()
    def _scale(self, parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        if gradient is None or gradient.is_sparse:
            return
        state = self._state_of(parameter)
        norm = gradient.norm(p=2).to(torch.float32)
        if not torch.isfinite(norm) or norm <= 0:
            state["skipped"] += 1
            return
        state["step"] += 1
        mean = self._average(state, "mnorm", self.gammas[0], norm)
        square = self._average(state, "vnorm", self.gammas[1], norm * norm)
        target = (mean / square.sqrt().add_(self.eps)).to(gradient.dtype)
        gradient.mul_(target / norm.clamp(min=self.eps).to(gradient.dtype))

    def _state_of(self, parameter: torch.Tensor) -> dict[str, Any]:
        state = self.state.get(id(parameter))
        if state is None:
            state = {"mnorm": torch.zeros(()), "vnorm": torch.zeros(()), "step": 0, "skipped": 0}
            self.state[id(parameter)] = state
        return state

    def _average(self, state: dict[str, Any], key: str, gamma: float, value: torch.Tensor) -> torch.Tensor:
        """Takes the value in, and returns the average with its bias corrected."""
        state[key].mul_(gamma).add_(value, alpha=1 - gamma)
        return state[key] / (1 - gamma ** state["step"]) if self.bias_correction else state[key]

    def checkpoint(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """In the layout of the authors' wrapper."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return {
            "optimizer": optimizer.state_dict(),
            "scaler_state_by_idx": {
                index: {**self.state[id(parameter)]}
                for index, parameter in enumerate(parameters)
                if id(parameter) in self.state
            },
            "scaler_hparams": {
                "gamma1": self.gammas[0],
                "gamma2": self.gammas[1],
                "eps": self.eps,
                "bias_correction": self.bias_correction,
            },
        }
