"""The classes of the authors' package with their signatures and checkpoints, and without their defects.

    from gradient_stabilizer.compat import GSWrapper

Numbers are those of the released code, unless something is non-finite, out of float32's range or in half precision:
there that code is wrong (docs/defects.md). For new code use `wrap` and `GradientStabilizer`, whose state is kept by
name.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import torch
from torch.optim import Optimizer

from ._parameters import split_groups
from ._statistics import STATE_KEY
from ._weak_engine import Moments, WeakEngine
from .methods import stabilize
from .report import StepReport
from .wrapped import WrappedOptimizer

_HYPERPARAMETERS = ("gamma1", "gamma2", "eps", "bias_correction")


class GradientStabilizer:
    """Stabilizes the gradients of what it is called with: an optimizer, parameter groups, or parameters.

    gamma1, gamma2: decays of the mean of the norm and of the squared norm, in [0, 1).
    eps: added to the root of the mean squared norm and a floor of the norm, at least 0, in the unit of the gradients.
    bias_correction: divide both by one minus their decay to the number of norms seen.
    nonfinite, check_repeats: as in `gradient_stabilizer.GradientTransform`.

    State is kept for parameters that are alive; the state of those that are gone is dropped at the next call. Raises
    ValueError (settings, a parameter twice), TypeError (not a parameter) and RuntimeError (gradients that the last call
    has already stabilized).
    """

    def __init__(
        self,
        gamma1: float = 0.6,
        gamma2: float = 0.999,
        eps: float = 1e-12,
        bias_correction: bool = True,
        *,
        nonfinite: str = "skip_tensor",
        check_repeats: bool = True,
    ) -> None:
        method = stabilize(gamma1, gamma2, epsilon=eps, bias_correction=bias_correction)
        self.gamma1, self.gamma2, self.eps = float(gamma1), float(gamma2), float(eps)
        self.bias_correction = bool(bias_correction)
        self._engine = WeakEngine(method, nonfinite, check_repeats)

    def __call__(self, obj: Optimizer | torch.Tensor | Iterable[Any]) -> None:
        """Stabilizes the gradients in place."""
        groups = obj.param_groups if isinstance(obj, Optimizer) else split_groups(obj)[0]
        self._engine.transform(groups)

    def reset(self) -> None:
        """Drops all state."""
        self._engine.reset()

    def report(self) -> StepReport:
        """What the last call saw and did."""
        return self._engine.report()

    @property
    def state(self) -> dict[int, dict[str, Any]]:
        """A copy of the state, by the id of the parameter: float32 tensors "mnorm" and "vnorm", "step", "skipped"."""
        return {key: _entry(moments) for key, moments in self._engine.moments().items()}


def _entry(moments: Moments) -> dict[str, Any]:
    return {
        "mnorm": torch.tensor(moments.m, dtype=torch.float32),
        "vnorm": torch.tensor(moments.v, dtype=torch.float32),
        "step": moments.k,
        "skipped": moments.skipped,
    }


def _moments(entry: Mapping[str, Any]) -> Moments:
    return Moments(float(entry["mnorm"]), float(entry["vnorm"]), int(entry["step"]), int(entry.get("skipped", 0)))


class GSWrapper(WrappedOptimizer):
    """An optimizer that stabilizes gradients before each step of `optimizer`, with the constructor of the authors'
    class: GSWrapper(optimizer, gamma1=0.6, gamma2=0.999, eps=1e-12, bias_correction=True).

    Like the result of `wrap`, it is a torch.optim.Optimizer. Its checkpoints are in the authors' layout, with moments
    in float32 and by position; those of `wrap` are exact, and by name.
    """

    scaler: GradientStabilizer

    def __init__(self, optimizer: Optimizer, *scaler_arguments: Any, **scaler_settings: Any) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"GSWrapper expects a torch.optim.Optimizer, got {type(optimizer).__name__}")
        self.__dict__["scaler"] = GradientStabilizer(*scaler_arguments, **scaler_settings)
        super().__init__(optimizer, self.scaler._engine)

    def _parameters(self) -> list[torch.Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """The authors' layout: "optimizer", "scaler_state_by_idx" (by position over all groups) and "scaler_hparams"."""
        moments = self._engine.moments()
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler_state_by_idx": {
                index: _entry(moments[id(parameter)])
                for index, parameter in enumerate(self._parameters())
                if id(parameter) in moments
            },
            "scaler_hparams": {name: getattr(self.scaler, name) for name in _HYPERPARAMETERS},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # type: ignore[override]  # no names here
        """Restores a checkpoint of this class or of the authors' class. With that of a plain optimizer the statistics
        start afresh. ValueError if hyper-parameters differ or a position has no parameter; nothing is then changed."""
        if STATE_KEY in state_dict:
            raise ValueError("this is a checkpoint of wrap(), which keeps state by name; load it there")
        if "optimizer" not in state_dict:
            self.optimizer.load_state_dict(dict(state_dict))
            self.scaler.reset()
            return
        self._check_hyperparameters(state_dict.get("scaler_hparams") or {})
        parameters = self._parameters()
        entries = {int(index): _moments(entry) for index, entry in state_dict.get("scaler_state_by_idx", {}).items()}
        _check_positions(entries, parameters)
        before = self._engine.moments()
        self._set(parameters, entries)
        try:
            self.optimizer.load_state_dict(state_dict["optimizer"])
        except Exception:
            self._set(parameters, {i: before[id(p)] for i, p in enumerate(parameters) if id(p) in before})
            raise

    def _show(self) -> None:
        """Nothing to show: the authors' layout has a separate place for statistics."""

    def _set(self, parameters: Sequence[torch.Tensor], entries: Mapping[int, Moments]) -> None:
        none = Moments(0.0, 0.0, 0, 0)
        self._engine.set_moments(parameters, [entries.get(index, none) for index in range(len(parameters))])

    def _check_hyperparameters(self, saved: Mapping[str, Any]) -> None:
        for name, value in saved.items():
            if name in _HYPERPARAMETERS and value != getattr(self.scaler, name):
                raise ValueError(f"the checkpoint has {name} = {value}, this wrapper {getattr(self.scaler, name)}")

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "scaler": self.scaler}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__["scaler"] = state["scaler"]
        super().__setstate__(state)


def _check_positions(entries: Mapping[int, Moments], parameters: Sequence[torch.Tensor]) -> None:
    beyond = [index for index in entries if not 0 <= index < len(parameters)]
    if beyond:
        raise ValueError(f"the checkpoint has state for position {beyond[0]}, this optimizer {len(parameters)} parameters")


__all__ = ["GSWrapper", "GradientStabilizer"]
