"""Small models and training loops that the tests share."""

from __future__ import annotations

import torch
from torch import nn


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
