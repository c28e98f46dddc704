"""The behaviour of the authors' released class, written anew in plain PyTorch from its description: what the tests of
`compat` and the benchmark compare with. Per tensor: norm in the gradient's dtype; m and v in float32; skipped, and left
as it is, where the norm is not finite or 0."""

from __future__ import annotations

from typing import Any, Iterable

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
            if parameter.grad is not None:
                self._scale(parameter)

    def _scale(self, parameter: torch.Tensor) -> None:
        gradient = parameter.grad
        new = {"mnorm": torch.zeros(()), "vnorm": torch.zeros(()), "step": 0, "skipped": 0}
        state = self.state.setdefault(id(parameter), new)
        norm = gradient.norm().float()
        if not torch.isfinite(norm) or norm <= 0:
            state["skipped"] += 1
            return
        state["step"] += 1
        averages = []
        for key, gamma, value in (("mnorm", self.gammas[0], norm), ("vnorm", self.gammas[1], norm * norm)):
            state[key].mul_(gamma).add_(value, alpha=1 - gamma)
            correction = 1 - gamma ** state["step"] if self.bias_correction else 1.0
            averages.append(state[key] / correction)
        target = (averages[0] / (averages[1].sqrt() + self.eps)).to(gradient.dtype)
        gradient.mul_(target / norm.clamp(min=self.eps).to(gradient.dtype))

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
