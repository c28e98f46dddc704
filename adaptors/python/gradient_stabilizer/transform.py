"""Transforms of gradients as objects of their own, to be called between backward and the optimizer's step."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Union

import torch

from ._engine import Engine
from ._names import MapNames
from ._parameters import split_groups, split_names
from .methods import Method, stabilize
from .report import StepReport

Parameters = Union[
    torch.Tensor,
    Iterable[torch.Tensor],
    Iterable[tuple[str, torch.Tensor]],
    Iterable[dict[str, Any]],
]


class GradientTransform:
    """Applies a method to the gradients of parameters, in place.

    params: parameters or groups of them, as torch's optimizers accept them; or pairs (name, parameter), as
        `model.named_parameters()` gives them. State is kept under the names or, without names, under the position.
    method: for example `clip_by_global_norm(1.0)` or `chain(zclip(), stabilize())`.
    nonfinite: what happens to a gradient with NaN or Inf: "skip_tensor" (it becomes zero, its statistics stay),
        "skip_step" (nothing is changed, `step` returns False), "raise" (nothing is changed, RuntimeError), or
        "pass_through" (left in place, as in the authors' code).
    backend: "" for the fastest one for the place of the gradients; one of `backends()` for the host; "cuda" refuses
        gradients that the device code does not support, which are otherwise copied to the host and back; "emulated"
        runs a device's code on the host.
    shard_group: a process group of torch.distributed (True: all processes) in which every process has a part of each
        parameter. Norms are then those over all parts, by one collective per step. Only methods that use Euclidean
        norms are possible (otherwise TypeError). DTensor parameters say themselves how they are divided and need no
        group.
    check_repeats: refuse gradients that are, by identity and version, those that the last call has transformed. Pass
        False if that is intended, or if gradients are written behind autograd's back, as by `p.grad.data.copy_`.

    Gradients are float32, float64, float16 or bfloat16, dense with any strides or sparse COO, in host memory or on CUDA
    devices. There `stabilize` per tensor runs on the device, and the host does not wait (docs/cuda.md). Raises
    ValueError (settings; a parameter given twice) and TypeError (something that is not a parameter).
    """

    def __init__(
        self,
        params: Parameters,
        method: Method,
        *,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        check_repeats: bool = True,
    ) -> None:
        self.param_groups, named = split_groups(params)
        self._engine = Engine(method, named, nonfinite, backend, shard_group, check_repeats)
        self._engine.bind(self.param_groups)

    def step(self) -> bool:
        """Transforms the gradients. Returns False if the optimizer's step must be skipped (policy "skip_step").

        Raises RuntimeError for gradients that the last call has already transformed (unless check_repeats is False), and
        for NaN and Inf under policy "raise"; TypeError for gradients of a dtype, layout or device that is not supported.
        """
        return self._engine.transform(self.param_groups)

    def report(self) -> StepReport:
        """What the last step saw and did."""
        return self._engine.report()

    def backend_name(self) -> str:
        """Where the last step was made: one of `backends()`, "cuda", or a backend of the host and " (copies)"."""
        return self._engine.backend_name()

    def statistics(self) -> dict[str, torch.Tensor]:
        """The state of the methods, as float64 tensors with one number per unit (parameter, row, group): for
        `stabilize`, "0.stabilize.m", ".v" (moments without bias correction), ".k" (norms seen), ".skipped"."""
        return self._engine.statistics()

    @property
    def names(self) -> list[str]:
        """The names that state is kept under, in the order of `report().tensors`."""
        return list(self._engine.binding.names)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Adds parameters, whose statistics start afresh."""
        groups, named = split_groups([dict(group)])
        everything = self.param_groups + groups
        before = list(self._engine.binding.named)
        self._engine.binding.named = before + named
        try:
            self._engine.bind(everything)
        except Exception:
            self._engine.binding.named = before
            raise
        self.param_groups = everything

    def state_dict(self) -> dict[str, Any]:
        """All state, by parameter name: plain numbers, text and one uint8 tensor."""
        return self._engine.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any], *, map_names: MapNames = None) -> None:
        """Restores what `state_dict` returned. ValueError if method, settings, names or shapes differ or the state is
        damaged; everything is then as it was.

        map_names: maps saved names to names here; a dictionary or a function. Without it, prefixes that torch's
            wrappers put into names (`module.`, `_orig_mod.`, `_fsdp_wrapped_module.`, `_checkpoint_wrapped_module.`)
            are ignored, and if one side has no names, parameters are matched by position."""
        self._engine.load_state_dict(state_dict, map_names)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._engine.method}, {len(self._engine.binding.names)} parameters)"


class GradientStabilizer(GradientTransform):
    """GradientStabilizer (arXiv 2502.17055v4) over the gradients of parameters, in place.

        stabilizer = GradientStabilizer(model.named_parameters())
        ...
        loss.backward()
        stabilizer.step()
        optimizer.step()

    `params`, `nonfinite`, `backend`, `shard_group` and `check_repeats` as in `GradientTransform`, everything else as in
    `stabilize`.
    """

    def __init__(
        self,
        params: Parameters,
        gamma1: float = 0.6,
        gamma2: float = 0.999,
        *,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        shard_group: Any = None,
        check_repeats: bool = True,
        **settings: Any,
    ) -> None:
        method = stabilize(gamma1, gamma2, **settings)
        super().__init__(
            params,
            method,
            nonfinite=nonfinite,
            backend=backend,
            shard_group=shard_group,
            check_repeats=check_repeats,
        )


class GradientState:
    """Statistics for `stabilize_grad_` and `transform_grad_`, which get the parameters with each call.

    The statistics of parameters that a call does not name are dropped, and so are those that were kept by position for
    a tensor that another one has replaced. Arguments as in `GradientTransform`; the default method is
    `stabilize(**settings)`.
    """

    def __init__(
        self,
        method: Method | None = None,
        *,
        nonfinite: str = "skip_tensor",
        backend: str = "",
        check_repeats: bool = True,
        **settings: Any,
    ) -> None:
        if method is not None and settings:
            raise TypeError(f"settings {sorted(settings)} are those of stabilize; pass them to the method instead")
        chosen = stabilize(**settings) if method is None else method
        self._engine = Engine(chosen, [], nonfinite, backend, check_repeats=check_repeats)

    report = GradientTransform.report
    backend_name = GradientTransform.backend_name
    statistics = GradientTransform.statistics
    names = GradientTransform.names

    def state_dict(self) -> dict[str, Any]:
        """All state, by parameter name."""
        return self._engine.state_dict()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], parameters: Parameters, *, map_names: MapNames = None
    ) -> None:
        """Restores what `state_dict` returned, for these parameters. `map_names` and ValueError as in
        `GradientTransform`."""
        self._bind(parameters)
        self._engine.load_state_dict(state_dict, map_names)

    def _bind(self, parameters: Any) -> list[dict[str, Any]]:
        tensors, self._engine.binding.named = split_names(parameters)
        groups = [{"params": tensors}]
        self._engine.bind(groups)
        return groups


def transform_grad_(parameters: Parameters, state: GradientState) -> torch.Tensor:
    """Applies the method of `state` to the gradients of `parameters` in place. Returns their norms before: float64,
    one per parameter, 0 where there is no gradient. Under policy "skip_step" look at `state.report().skip_step`."""
    if not isinstance(state, GradientState):
        raise TypeError(f"state must be a GradientState, got {type(state).__name__}")
    state._engine.transform(state._bind(parameters))
    return state._engine.native.norms()


def stabilize_grad_(parameters: Parameters, state: GradientState) -> torch.Tensor:
    """Stabilizes the gradients of `parameters` in place. Call it in place of
    `torch.nn.utils.clip_grad_norm_(parameters, max_norm)`.

    parameters: a parameter, parameters, or pairs (name, parameter). The names key the statistics.
    state: `GradientState()`, made once and kept.
    Returns the norms before: float64, one per parameter, 0 where there is no gradient. Under policy "skip_step" look at
    `state.report().skip_step`. Raises as `GradientTransform.step` does.
    """
    return transform_grad_(parameters, state)
