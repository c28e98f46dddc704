"""The methods as values: what is done to gradients, with which settings.

A `Method` is immutable and not bound to parameters. `GradientTransform`, `wrap` and the optimizers of
`gradient_stabilizer.optim` accept one and apply it. The native library checks settings when a method is made, with a
ValueError that names the setting, its value and its range.

R is the Euclidean norm of one tensor's gradient, N that of all gradients as one vector.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from . import _native, _own_methods


class Link(NamedTuple):
    """One method of a chain: its name and its settings, flags as 0 and 1, words as lists; or a `NormMethod`."""

    method: str
    numbers: dict[str, float]
    words: dict[str, list[str]]
    own: Any = None


@dataclass(frozen=True)
class Method:
    """What is done to gradients: one method, or several in a row. Made by the functions of this module."""

    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        self.make("skip_tensor", "")

    def lists(self) -> tuple[list[str], list[dict[str, float]], list[dict[str, list[str]]]]:
        """The three lists that the native half expects."""
        return (
            [link.method if link.own is None else _own_methods.copied(link.own) for link in self.links],
            [link.numbers for link in self.links],
            [link.words for link in self.links],
        )

    def make(self, nonfinite: str, backend: str) -> Any:
        """A native transform of this description."""
        return _native.call(_native.ops.make_transform, *self.lists(), nonfinite, backend)

    def sees_norms_alone(self) -> bool:
        """Whether the methods look at nothing but the Euclidean norms of whole gradients, so that each process can
        scale its part by a factor that all agree on."""
        return bool(_native.call(_native.ops.sees_norms_alone, *self.lists()))

    def __str__(self) -> str:
        names = [link.method for link in self.links]
        return names[0] if len(names) == 1 else f"chain({', '.join(names)})"


def _method(name: str, numbers: Mapping[str, Any], words: Mapping[str, Any] | None = None) -> Method:
    checked: dict[str, float] = {}
    for setting, value in numbers.items():
        try:
            checked[setting] = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{setting} of {name} must be a number, got {value!r}") from None
    lists = {setting: [value] if isinstance(value, str) else list(value) for setting, value in (words or {}).items()}
    return Method((Link(name, checked, lists),))


def _units(granularity: str, groups: Mapping[str, Iterable[str]] | None) -> dict[str, Any]:
    words: dict[str, Any] = {"granularity": granularity}
    for name, patterns in (groups or {}).items():
        words[f"group:{name}"] = [patterns] if isinstance(patterns, str) else list(patterns)
    return words


def stabilize(
    gamma1: float = 0.6,
    gamma2: float = 0.999,
    *,
    epsilon: float = 0.0,
    bias_correction: bool = True,
    spike_ratio: float = 4.0,
    robust_kappa: float = 0.0,
    granularity: str = "tensor",
    groups: Mapping[str, Iterable[str]] | None = None,
) -> Method:
    """GradientStabilizer (arXiv 2502.17055v4, Algorithm 1): keeps each unit's gradient direction and gives it the
    norm m / sqrt(v), where m <- gamma1 m + (1 - gamma1) R and v <- gamma2 v + (1 - gamma2) R^2.

    gamma1, gamma2: decays, in [0, 1).
    epsilon: added to sqrt(v) and a floor of R, in the unit of the gradients. 0 keeps scale invariance; the authors'
        code has 1e-12.
    bias_correction: divide m and v by one minus their decay to the number of norms seen, as the authors' code does.
        False is the paper's algorithm, whose first step has norm (1 - gamma1) / sqrt(1 - gamma2) = 12.65.
    spike_ratio: a norm above this many times sqrt(v) is labelled a spike in the report. Changes nothing else.
    robust_kappa: 0, or above 1: a norm enters m and v as at most this many times their running mean, so that one spike
        does not suppress the tensor for thousands of steps. Not in the paper.
    granularity: what has moments of its own: "tensor" (the paper), "row" (each index of axis 0), "group" or "model".
    groups: with granularity "group", patterns of parameter names by group name; `*` stands for any characters.
    """
    return _method(
        "stabilize",
        {
            "gamma1": gamma1,
            "gamma2": gamma2,
            "epsilon": epsilon,
            "bias_correction": bias_correction,
            "spike_ratio": spike_ratio,
            "robust_kappa": robust_kappa,
        },
        _units(granularity, groups),
    )


def clip_by_value(max_abs: float = 0.1) -> Method:
    """Clips every element to [-max_abs, max_abs]; changes the direction. As torch.nn.utils.clip_grad_value_."""
    return _method("clip_by_value", {"max_abs": max_abs})


def clip_by_global_norm(max_norm: float = 1.0, p: float = 2.0, *, norm_type: float | None = None) -> Method:
    """Scales all gradients by min(1, max_norm / (N + 1e-6)), as torch.nn.utils.clip_grad_norm_.

    p: which norm N is, at least 1; infinity for the largest absolute entry.
    norm_type: older name of p.
    """
    return _method("clip_by_global_norm", {"max_norm": max_norm, "p": p if norm_type is None else norm_type})


def adaptive_clip(
    clip_factor: float = 0.01,
    *,
    epsilon: float = 1e-3,
    norm_floor: float = 1e-6,
    exclude: Sequence[str] | None = None,
) -> Method:
    """AGC, adaptive gradient clipping (arXiv 2102.06171): limits each row's gradient norm to clip_factor times
    max(norm of the row of the parameter, epsilon).

    exclude: patterns of names of parameters that are not clipped; by default the usual names of a final layer, as in
        the paper.
    """
    words = {} if exclude is None else {"exclude": list(exclude)}
    numbers = {"clip_factor": clip_factor, "epsilon": epsilon, "norm_floor": norm_floor}
    return _method("adaptive_clip", numbers, words)


#: Older name of adaptive_clip.
agc = adaptive_clip


def zclip(
    *,
    alpha: float = 0.97,
    z_threshold: float = 2.5,
    max_norm: float = 1.0,
    epsilon: float = 1e-6,
    warmup_steps: int = 25,
    mode: str = "zscore",
    target: str = "adaptive_scaling",
    clip_factor: float = 1.0,
    skip_update_on_spike: bool = False,
    compat: str = "robust",
) -> Method:
    """ZClip (arXiv 2504.02507): clips all gradients by N if the z-score of N against its running mean and variance is
    above z_threshold.

    max_norm: an additional fixed limit; infinity: none. mode: "zscore" or "percentile". target: what a spike is clipped
    to, "adaptive_scaling" or "mean". compat: "released" for the authors' behaviour with NaN and zeros.
    """
    return _method(
        "zclip",
        {
            "alpha": alpha,
            "z_threshold": z_threshold,
            "max_norm": max_norm,
            "epsilon": epsilon,
            "warmup_steps": warmup_steps,
            "clip_factor": clip_factor,
            "skip_update_on_spike": skip_update_on_spike,
        },
        {"mode": mode, "target": target, "compat": compat},
    )


def adagc(
    *,
    relative: float = 1.04,
    absolute: float = 1.0,
    beta: float = 0.99,
    warmup_steps: int = 100,
    epsilon: float = 1e-6,
    global_warmup: bool = True,
    whole_model: bool = False,
    compat: str = "robust",
) -> Method:
    """AdaGC (arXiv 2502.11034): limits each R to `relative` times its running average, whose decay is `beta`.

    absolute: limit of N during the first warmup_steps steps, or of each R with global_warmup=False. whole_model: one
    average, that of N. compat: "released" for the authors' behaviour with NaN and zeros.
    """
    return _method(
        "adagc",
        {
            "relative": relative,
            "absolute": absolute,
            "beta": beta,
            "warmup_steps": warmup_steps,
            "epsilon": epsilon,
            "global_warmup": global_warmup,
            "whole_model": whole_model,
        },
        {"compat": compat},
    )


def spike_aware_clip(
    *,
    threshold: float = 5000.0,
    beta2: float = 0.999,
    reset_interval: int = 500,
    quiet_steps: int = 20,
    compat: str = "robust",
) -> Method:
    """SPAM's clipping alone (arXiv 2501.06842): an element whose square is above `threshold` times its second moment is
    cut to the root of that moment. Needs 8 bytes per element."""
    numbers = {
        "threshold": threshold,
        "beta2": beta2,
        "reset_interval": reset_interval,
        "quiet_steps": quiet_steps,
    }
    return _method("spike_aware_clip", numbers, {"compat": compat})


def adaptive_value_clip(theta: float = 0.999, *, reset_interval: int = 0, compat: str = "robust") -> Method:
    """AdaClip, the first part of Stable-SPAM (arXiv 2502.17055v1): elements above the running average of a tensor's
    largest one, whose decay is `theta`, are scaled down."""
    return _method("adaptive_value_clip", {"theta": theta, "reset_interval": reset_interval}, {"compat": compat})


def adaptive_norm(
    gamma1: float = 0.7,
    gamma2: float = 0.9,
    *,
    epsilon: float = 1e-8,
    total_steps: int = 0,
    least_scale: float = 0.5,
    reset_interval: int = 0,
    compat: str = "robust",
    granularity: str = "tensor",
    groups: Mapping[str, Iterable[str]] | None = None,
) -> Method:
    """AdaGN, the second part of Stable-SPAM (arXiv 2502.17055v1): the rule of `stabilize` with other decays.

    total_steps: above 0, gamma1 falls along a cosine to least_scale times its value within that many steps.
    """
    numbers = {
        "gamma1": gamma1,
        "gamma2": gamma2,
        "epsilon": epsilon,
        "total_steps": total_steps,
        "least_scale": least_scale,
        "reset_interval": reset_interval,
    }
    return _method("adaptive_norm", numbers, {"compat": compat, **_units(granularity, groups)})


def normalize(*, granularity: str = "tensor", groups: Mapping[str, Iterable[str]] | None = None) -> Method:
    """Gives each unit a gradient of norm 1: the control that shows what the statistics of `stabilize` add."""
    return _method("normalize", {}, _units(granularity, groups))


def scale_by(factor: float = 1.0) -> Method:
    """Multiplies every gradient by a finite number."""
    return _method("scale_by", {"factor": factor})


def record_norms(
    spike_ratio: float = 4.0,
    *,
    granularity: str = "tensor",
    groups: Mapping[str, Iterable[str]] | None = None,
) -> Method:
    """Changes nothing: measures norms and labels spikes, for the report."""
    return _method("record_norms", {"spike_ratio": spike_ratio}, _units(granularity, groups))


def method(text: str) -> Method:
    """A method, or several in a row, from a text: method("clip_by_global_norm(max_norm=0.5)+stabilize(gamma1=0.7)").

    Every setting of every method can be named; one that is not named has its default. ValueError for an unknown method
    or setting, with the nearest name.
    """
    links = _native.call(_native.ops.parse_transform, text)
    return Method(tuple(Link(name, {}, dict(zip(names, ([each] for each in texts)))) for name, names, texts in links))


def chain(*methods: Method) -> Method:
    """The methods in this order. If all of them are based on norms, they share one reading and one writing of the
    gradients. A chain inside a chain becomes its links."""
    for method in methods:
        if not isinstance(method, Method):
            raise TypeError(f"chain expects methods such as stabilize(), got {method!r}")
    if not methods:
        raise ValueError("chain expects at least one method, got none")
    return Method(tuple(link for method in methods for link in method.links))


def _default(kind: str, text: str) -> Any:
    """A default of the library as a Python value. None for lists, whose defaults the library keeps."""
    if kind == "flag":
        return text == "true"
    if kind == "choice":
        return text
    if kind in ("number", "count"):
        return float(text) if kind == "number" else int(text)
    return None


def _made(name: str, settings: Sequence[tuple[str, str, str]]) -> Callable[..., Method]:
    """A function for a method that this module does not define one for, with its settings as keywords."""
    kinds = {setting: kind for setting, kind, _ in settings}

    def function(**given: Any) -> Method:
        numbers: dict[str, Any] = {}
        words: dict[str, Any] = {}
        for setting, value in given.items():
            kind = kinds.get(setting)
            if kind == "groups":
                words.update({f"group:{group}": patterns for group, patterns in (value or {}).items()})
            elif kind in ("choice", "patterns"):
                words.update({} if value is None else {setting: value})
            else:
                numbers[setting] = value
        return _method(name, numbers, words)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`{name}` of docs/methods.md, which has its settings."
    parameters = [
        inspect.Parameter(setting, inspect.Parameter.KEYWORD_ONLY, default=_default(kind, text))
        for setting, kind, text in settings
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _others() -> dict[str, Callable[..., Method]]:
    settings: dict[str, list[tuple[str, str, str]]] = {}
    for name, setting, kind, default, _ in _native.ops.describe_settings(False):
        settings.setdefault(name, []).append((setting, kind, default))
    return {name: _made(name, known) for name, known in settings.items() if name not in globals()}


#: Functions for the methods that this module does not define one for.
OTHERS = _others()
