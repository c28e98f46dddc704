"""Optimizers with a gradient transform folded into the update.

All accept what torch's optimizers accept, and `params` also as pairs (name, parameter). Common arguments:

transform: a `Method`; `stabilize()` unless another is given, None for the plain optimizer.
nonfinite, backend, shard_group: as in `GradientTransform`. Under "skip_step" nothing is updated.
low_precision: how bfloat16 parameters are updated: "master_copy" (a float32 copy is updated and rounded) or
    "stochastic_rounding" (no copy).
seed: seed of stochastic rounding.
fused, foreach, capturable: arguments of torch's optimizers, accepted without effect: every step is fused, and a step
    that runs on a device can be captured in a CUDA graph. maximize, differentiable: ValueError if they are True.

Parameters are float32, float64 (with float64 gradients) or bfloat16, in host memory or on CUDA devices. With
`stabilize` per tensor, or without a transform, the device updates float32 and bfloat16 parameters, and the host does
not wait (docs/cuda.md). Updates are those of torch's own optimizers, and their checkpoints can be loaded. ValueError
for settings outside their range.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import torch

from ._fused import STABILIZE, FusedOptimizer
from ._fused_binding import Settings
from ._parameters import names_of_groups
from ._sharding import Sharding
from .methods import Method


class SGD(FusedOptimizer):
    """torch.optim.SGD: d = g + weight_decay p; b <- momentum b + (1 - dampening) d, first b = d; p <- p - lr b, with
    Nesterov p <- p - lr (d + momentum b)."""

    kind = "sgd"
    state_names = ("momentum_buffer",)

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        transform: Method | None = STABILIZE,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        low_precision: str = "master_copy",
        seed: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(
            params,
            defaults,
            transform=transform,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            low_precision=low_precision,
            seed=seed,
        )

    def _settings(self, group: Mapping[str, Any]) -> Settings:
        names = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        return {name: float(group[name]) for name in names}, {}


class Adam(FusedOptimizer):
    """torch.optim.Adam, weight decay as L2: m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2;
    p <- p - lr mh / (sqrt(vh) + eps), mh and vh bias-corrected. amsgrad: the largest v so far in the root.

    decoupled_weight_decay: weight decay as in AdamW.

    reset_interval: above 0, the moments of a parameter and their bias correction start afresh at every step whose
        number is a multiple of this: the momentum reset of Stable-SPAM (arXiv 2502.17055v1), which has
        `chain(adaptive_value_clip(), adaptive_norm())` as the transform, weight_decay=0.0 and reset_interval=1000.
    compat: "robust", or "released" for resets as in the authors' code: the step of a reset still uses the old moments.
    """

    kind = "adam"
    state_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        reset_interval: int = 0,
        compat: str = "robust",
        transform: Method | None = STABILIZE,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        low_precision: str = "master_copy",
        seed: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay or self._decoupled,
            "reset_interval": reset_interval,
            "compat": compat,
        }
        super().__init__(
            params,
            defaults,
            transform=transform,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            low_precision=low_precision,
            seed=seed,
        )

    def _settings(self, group: Mapping[str, Any]) -> Settings:
        beta1, beta2 = group["betas"]
        return {
            "lr": float(group["lr"]),
            "beta1": float(beta1),
            "beta2": float(beta2),
            "epsilon": float(group["eps"]),
            "weight_decay": float(group["weight_decay"]),
            "amsgrad": float(group["amsgrad"]),
            # As in torch: Adam that loads a checkpoint of AdamW continues as AdamW, but not the other way round.
            "decoupled": float(self._decoupled or group.get("decoupled_weight_decay", False)),
            # Groups of checkpoints of torch's own have no resets.
            "reset_interval": float(group.get("reset_interval", 0)),
        }, {"compat": [str(group.get("compat", "robust"))]}


class AdamW(Adam):
    """torch.optim.AdamW: Adam whose weight decay shrinks the parameter, p <- p (1 - lr weight_decay) before the update,
    instead of joining the gradient."""

    _decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        reset_interval: int = 0,
        compat: str = "robust",
        transform: Method | None = STABILIZE,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        low_precision: str = "master_copy",
        seed: int = 0,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            reset_interval=reset_interval,
            compat=compat,
            transform=transform,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            low_precision=low_precision,
            seed=seed,
        )


class Lion(FusedOptimizer):
    """Lion (arXiv 2302.06675): p <- p (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g), then
    m <- beta2 m + (1 - beta2) g.

    decoupled_weight_decay: divide weight_decay by the learning rate at construction, so that its strength does not
        depend on it.
    """

    kind = "lion"
    state_names = ("exp_avg",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        transform: Method | None = STABILIZE,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        low_precision: str = "master_copy",
        seed: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "decay_over_lr": float(lr) if decoupled_weight_decay else 0.0,
        }
        super().__init__(
            params,
            defaults,
            transform=transform,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            low_precision=low_precision,
            seed=seed,
        )

    def _settings(self, group: Mapping[str, Any]) -> Settings:
        beta1, beta2 = group["betas"]
        return {
            "lr": float(group["lr"]),
            "beta1": float(beta1),
            "beta2": float(beta2),
            "weight_decay": float(group["weight_decay"]),
            "decay_over_lr": float(group["decay_over_lr"]),
        }, {}


class AdamMini(FusedOptimizer):
    """Adam-mini (arXiv 2406.16793): Adam with one second moment per head, row or tensor, by the parameter's name
    (docs/optimizers.md has the rules), and decoupled weight decay, none where the name has "norm", "ln" or "bias".

    named_parameters: pairs (name, parameter), or groups of them; names are required (TypeError).
    dim, n_heads: width of the model and attention heads, for query and key weights.
    overrides: maps patterns of names to "element", "head", "row" or "tensor"; these come before the rules by name.
    """

    kind = "adam_mini"
    state_names = ("exp_avg", "unit_exp_avg_sq")
    # The authors keep one second moment per unit in a layout of their own.
    has_plain = False

    def __init__(
        self,
        named_parameters: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        dim: int = 0,
        n_heads: int = 0,
        overrides: Mapping[str, str] | None = None,
        transform: Method | None = STABILIZE,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        low_precision: str = "master_copy",
        seed: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "dim": dim,
            "n_heads": n_heads,
            "overrides": dict(overrides or {}),
        }
        super().__init__(
            named_parameters,
            defaults,
            transform=transform,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            low_precision=low_precision,
            seed=seed,
        )

    def _rebind(self, settings: list[Settings], tensors: list[torch.Tensor], forget: Sequence[int] = ()) -> None:
        _, positional = names_of_groups(self.param_groups, self._binding.named)
        for tensor, unnamed in zip(tensors, positional):
            if unnamed:
                raise TypeError(
                    f"AdamMini needs pairs (name, parameter); a parameter of shape {list(tensor.shape)} has no name"
                )
        super()._rebind(settings, tensors, forget)

    def _shard(self, tensors: Sequence[torch.Tensor]) -> Sharding:
        raise TypeError(
            "Adam-mini has one second moment per unit, and those of sharded parameters are in parts; use another optimizer"
        )

    def _settings(self, group: Mapping[str, Any]) -> Settings:
        beta1, beta2 = group["betas"]
        numbers = {
            "lr": float(group["lr"]),
            "beta1": float(beta1),
            "beta2": float(beta2),
            "epsilon": float(group["eps"]),
            "weight_decay": float(group["weight_decay"]),
            "dim": float(group["dim"]),
            "n_heads": float(group["n_heads"]),
        }
        return numbers, {f"override:{pattern}": [unit] for pattern, unit in group["overrides"].items()}


class SPAM(FusedOptimizer):
    """SPAM (arXiv 2501.06842): Adam that clips spikes element by element, and whose moments start afresh at intervals.

    Where g^2 > threshold v, with v the second moment so far, g becomes sign(g) sqrt(threshold v); then Adam, times a
    learning rate that rises along a cosine after a reset; then p <- p (1 - lr weight_decay).

    reset_interval: steps of the whole model between resets; 0 for never.
    warmup_steps: steps in which the learning rate rises after a reset, from a hundredth.
    quiet_steps: steps without clipping, at the beginning and after each reset.
    transform: None unless one is given: the clipping is this optimizer's own.

    All parameters have the same interval, and `optimizer_in_backward` refuses it (TypeError).
    """

    kind = "spam"
    state_names = ("exp_avg", "exp_avg_sq")
    # Resets go by the steps of the whole model, which the state of a plain Adam does not tell.
    has_plain = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        threshold: float = 5000.0,
        reset_interval: int = 500,
        warmup_steps: int = 150,
        quiet_steps: int = 20,
        transform: Method | None = None,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        low_precision: str = "master_copy",
        seed: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "threshold": threshold,
            "reset_interval": reset_interval,
            "warmup_steps": warmup_steps,
            "quiet_steps": quiet_steps,
        }
        super().__init__(
            params,
            defaults,
            transform=transform,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            low_precision=low_precision,
            seed=seed,
        )

    def _settings(self, group: Mapping[str, Any]) -> Settings:
        beta1, beta2 = group["betas"]
        names = ("lr", "weight_decay", "threshold", "reset_interval", "warmup_steps", "quiet_steps")
        numbers = {name: float(group[name]) for name in names}
        return {**numbers, "beta1": float(beta1), "beta2": float(beta2), "epsilon": float(group["eps"])}, {}


__all__ = ["SGD", "SPAM", "Adam", "AdamMini", "AdamW", "Lion"]
