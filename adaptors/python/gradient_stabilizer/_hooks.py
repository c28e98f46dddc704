"""What runs when backward has completed the gradient of a parameter."""

from __future__ import annotations

from typing import Any, Callable

import torch


def on_gradient(parameter: torch.Tensor, complete: Callable[[], None]) -> list[Any]:
    """Calls `complete` each time that backward has added to `parameter.grad`, also for a parameter that is frozen now
    and trained later. Returns handles with `remove`, none for a tensor that cannot have a gradient.

    The hooks belong to the parameter and keep what `complete` holds alive, whether or not the caller does.
    """
    if not parameter.requires_grad:
        if not (parameter.is_floating_point() or parameter.is_complex()):
            return []
        # torch accepts hooks only on tensors that are trained, and keeps them.
        parameter.requires_grad_(True)
        try:
            return on_gradient(parameter, complete)
        finally:
            parameter.requires_grad_(False)

    def run(*_: Any) -> None:
        complete()

    if hasattr(parameter, "register_post_accumulate_grad_hook"):
        return [parameter.register_post_accumulate_grad_hook(run)]
    with torch.enable_grad():
        node = parameter.expand_as(parameter).grad_fn.next_functions[0][0]

    def hold_node(_: torch.Tensor, node: Any = node) -> None:
        """The parameter itself holds the node that accumulates its gradient only weakly."""

    return [node.register_hook(run), parameter.register_hook(hold_node)]
