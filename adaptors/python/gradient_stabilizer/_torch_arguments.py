"""Arguments that torch's own optimizers have beside those of the update, and the values that torch refuses. Errors are
of the kinds that torch raises."""

from __future__ import annotations

import warnings
from typing import Any, Mapping, Sequence

import torch


def check_parameters(parameters: Any) -> None:
    """TypeError for a single tensor and for groups without an order, FutureWarning for parameters without one."""
    if isinstance(parameters, torch.Tensor):
        raise TypeError(f"params must be an iterable of parameters or of groups, got a single {type(parameters).__name__}")
    if isinstance(parameters, (set, frozenset)):
        warnings.warn(
            "params is a set, whose order changes from run to run, and state is kept by position: pass a list",
            FutureWarning,
            stacklevel=4,
        )


def check_names(groups: Sequence[Mapping[str, Any]], named: Sequence[tuple[str, torch.Tensor]]) -> None:
    """ValueError where some parameters have names and others do not."""
    known = {id(tensor) for _, tensor in named}
    for group in groups:
        for tensor in group["params"]:
            if known and id(tensor) not in known:
                raise ValueError(
                    f"'{named[0][0]}' has a name and a parameter of shape {list(tensor.shape)} has none; give names to all "
                    "parameters of an optimizer or to none"
                )


def check_settings(group: Mapping[str, Any]) -> None:
    """What is wrong with the settings of a group apart from the numbers of the update.

    `fused` and `foreach` may have any value, because every step is fused; so may `capturable`, because a device's step
    can be captured.
    """
    if group.get("maximize"):
        raise ValueError(
            "maximize must be False: the fused optimizers minimize; negate the loss, or wrap torch's own optimizer"
        )
    fused, foreach = group.get("fused"), group.get("foreach")
    if fused and foreach:
        raise RuntimeError("fused and foreach cannot both be True")
    if group.get("differentiable"):
        message = "differentiable must be False: autograd does not see the update; wrap torch's own optimizer"
        raise RuntimeError(f"{message}, without fused") if fused else ValueError(message)
    betas = group.get("betas", ())
    if len({isinstance(beta, torch.Tensor) for beta in betas}) > 1:
        raise ValueError(f"betas must be two numbers or two tensors, got {betas!r}")
    for name, value in (("lr", group.get("lr")), *((f"betas[{i}]", beta) for i, beta in enumerate(betas))):
        if not isinstance(value, torch.Tensor):
            continue
        if value.numel() != 1:
            raise ValueError(f"{name} must be a number or a tensor of one element, got shape {list(value.shape)}")
        # torch's SGD takes it and its Adam does not.
        if betas and foreach and not group.get("capturable"):
            raise ValueError(f"{name} is a tensor, which foreach=True takes with capturable=True alone")
