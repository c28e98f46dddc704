"""States as earlier versions wrote them: data/kept_checkpoints.pt, made by `python kept_checkpoints.py FILE` with the version of
its name's time, before state was kept parameter by parameter. test_kept_checkpoints.py loads them.

Each entry: the weights after five steps, the state then, and the weights after three steps more.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

import torch
from support import train
from torch import nn

import gradient_stabilizer as gs

STEPS, MORE = range(5), range(5, 8)


def small_model(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 3)).to(dtype)


def groups(model: nn.Module) -> list[dict[str, Any]]:
    # When the states were made, the first group had names, a mixture that is refused by now as torch refuses it.
    return [{"params": list(model[0].parameters())}, {"params": list(model[2].parameters()), "lr": 0.02}]


#: What makes each optimizer, of a model.
MAKERS: dict[str, Callable[[nn.Module], Any]] = {
    "adamw": lambda model: gs.optim.AdamW(model.named_parameters(), 1e-2),
    "adam amsgrad by position": lambda model: gs.optim.Adam(model.parameters(), 1e-2, amsgrad=True, reset_interval=4),
    "sgd groups": lambda model: gs.optim.SGD(groups(model), 0.05, momentum=0.9, transform=gs.zclip(warmup_steps=3)),
    "lion chain": lambda model: gs.optim.Lion(
        model.named_parameters(), 1e-3, transform=gs.chain(gs.adaptive_value_clip(), gs.adaptive_norm())
    ),
    "adam_mini": lambda model: gs.optim.AdamMini(model.named_parameters(), 1e-2, dim=2, n_heads=1),
    "spam": lambda model: gs.optim.SPAM(model.parameters(), 1e-2, reset_interval=3, quiet_steps=1),
    "bfloat16": lambda model: gs.optim.AdamW(model.named_parameters(), 1e-2),
    "wrap": lambda model: gs.wrap(torch.optim.AdamW(model.parameters(), lr=1e-2), named_parameters=model.named_parameters()),
    "wrap by position": lambda model: gs.wrap(torch.optim.SGD(model.parameters(), lr=0.05), gs.spike_aware_clip(quiet_steps=1)),
    "wrap rows": lambda model: gs.wrap(
        torch.optim.SGD(model.parameters(), lr=0.05),
        gs.stabilize(granularity="row"),
        named_parameters=model.named_parameters(),
    ),
    "wrap groups": lambda model: gs.wrap(
        torch.optim.SGD(model.parameters(), lr=0.05),
        gs.chain(gs.adagc(), gs.stabilize(granularity="group", groups={"biases": ["*.bias"]})),
        named_parameters=model.named_parameters(),
    ),
    "compat": lambda model: gs.compat.GSWrapper(torch.optim.SGD(model.parameters(), lr=0.05)),
}


def made(name: str) -> tuple[nn.Module, Any]:
    model = small_model(torch.bfloat16 if name == "bfloat16" else torch.float32)
    return model, MAKERS[name](model)


def plain_of(optimizer: Any) -> Any:
    return optimizer.plain_state_dict() if hasattr(optimizer, "plain_state_dict") else None


def copied(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: copied(value) for key, value in state.items()}
    return [copied(value) for value in state] if isinstance(state, list) else state


def entry(name: str) -> dict[str, Any]:
    model, optimizer = made(name)
    train(model, optimizer, STEPS)
    result = {"weights": copied(dict(model.state_dict())), "state": copied(optimizer.state_dict()), "plain": copied(plain_of(optimizer))}
    train(model, optimizer, MORE)
    return {**result, "after": copied(dict(model.state_dict()))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save({name: entry(name) for name in MAKERS}, sys.argv[1])
