"""Small models and training loops that the tests share."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch import nn

TORCH2 = int(torch.__version__.split(".")[0]) >= 2


def make_model(seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).to(dtype)


def batch(step: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """The inputs and targets of a step, the same every time."""
    generator = torch.Generator().manual_seed(1000 + step)
    inputs = torch.randn(32, 6, generator=generator, dtype=torch.float64).to(dtype)
    return inputs, torch.stack([inputs.sum(1).sin(), inputs[:, 0], inputs[:, 1] * inputs[:, 2]], 1)


def loss_of(model: nn.Module, step: int) -> torch.Tensor:
    dtype = next(model.parameters()).dtype
    inputs, targets = batch(step, dtype)
    return (model(inputs) - targets).square().mean()


def backward(model: nn.Module, step: int, scale: float = 1.0) -> torch.Tensor:
    """Fresh gradients of a step."""
    for parameter in model.parameters():
        parameter.grad = None
    loss = loss_of(model, step)
    (loss * scale).backward()
    return loss


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        optimizer.zero_grad()
        loss = loss_of(model, step)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def values(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def same_bits(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def same_state(a: Any, b: Any) -> bool:
    """Of dictionaries, lists, numbers and tensors, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same_state(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def norms(parameters: list[torch.Tensor]) -> list[float]:
    """Norms of the gradients, in double."""
    return [parameter.grad.to(torch.float64).norm().item() for parameter in parameters]


class Stabilizer64:
    """The rule of the released form in plain Python doubles, for one tensor: what norms are compared with."""

    def __init__(self, gamma1: float = 0.6, gamma2: float = 0.999) -> None:
        self.gammas, self.m, self.v, self.k = (gamma1, gamma2), 0.0, 0.0, 0

    def norm(self, raw: float) -> float:
        gamma1, gamma2 = self.gammas
        self.k += 1
        self.m = gamma1 * self.m + (1 - gamma1) * raw
        self.v = gamma2 * self.v + (1 - gamma2) * raw * raw
        return (self.m / (1 - gamma1**self.k)) / (self.v / (1 - gamma2**self.k)) ** 0.5


if TORCH2:

    def make_scaler() -> Any:
        return torch.amp.GradScaler("cpu", init_scale=2.0**16)

else:

    class CpuScaler(torch.cuda.amp.GradScaler):
        """torch 1.13's GradScaler with the three things replaced that it only does on CUDA. When it unscales, and how
        it asks for or leaves out an optimizer's step, is its own."""

        def scale(self, loss: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            if self._scale is None:
                self._lazy_init_scale_growth_tracker(loss.device)
            return loss * self._scale

        def _unscale_grads_(self, optimizer: Any, inv_scale: Any, found_inf: Any, allow_fp16: bool) -> Any:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.grad.mul_(inv_scale)
                        found_inf += (~torch.isfinite(parameter.grad)).any()
            return {found_inf.device: found_inf}

        def update(self, new_scale: Any = None) -> None:
            self._per_optimizer_states.clear()

    def make_scaler() -> Any:
        with mock.patch("torch.cuda.is_available", return_value=True):
            return CpuScaler(init_scale=2.0**16)
