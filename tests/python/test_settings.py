"""Names, defaults and ranges of all settings: what the package has is what the library has."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any, Callable, NamedTuple

import pytest
import torch

import gradient_stabilizer as gs
from gradient_stabilizer import _native


class Row(NamedTuple):
    """One setting as the library describes it."""

    method: str
    setting: str
    kind: str
    default: str
    range: str


ROWS = [Row(*row) for row in _native.ops.describe_settings(True)]
#: AdamMini is "adam_mini", AdamW "adamw", SGD "sgd".
OPTIMIZERS: dict[str, Any] = {
    re.sub("(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower(): getattr(gs.optim, name) for name in gs.optim.__all__
}
#: Parameters of the optimizers that belong to all of them, or that torch has under other names.
COMMON = {"self", "params", "named_parameters", "transform", "nonfinite", "backend", "shard_group", "low_precision", "seed"}
#: What torch's optimizers take beside the settings of the update.
TORCHS = {"maximize", "foreach", "fused", "capturable", "differentiable"}
#: Keywords of before, and what torch's words stand for.
OLDER = {"norm_type"}
#: The class says whether weight decay is decoupled; None stands for the library's patterns, groups and overrides.
BY_CLASS = {"decoupled"}


def defaults_of(name: str) -> dict[str, Any]:
    """Settings with their defaults, by the names of the library."""
    callable_: Callable[..., Any] = OPTIMIZERS[name].__init__ if name in OPTIMIZERS else getattr(gs, name)
    result: dict[str, Any] = {}
    for parameter in inspect.signature(callable_).parameters.values():
        if parameter.name in COMMON | TORCHS | OLDER:
            continue
        if parameter.name == "betas":
            result["beta1"], result["beta2"] = parameter.default
        elif parameter.name == "eps":
            result["epsilon"] = parameter.default
        elif parameter.name == "decoupled_weight_decay":
            if name != "lion":  # of Adam it is `decoupled`, torch's other word for AdamW
                continue
            result["decay_over_lr"] = 0.0 if parameter.default is False else math.nan
        else:
            result[parameter.name] = parameter.default
    return result


def as_text(value: Any, row: Row) -> str:
    """A default of Python's as the library's texts have it."""
    if row.kind in ("number", "count"):
        return row.default if float(value) == float(row.default) else repr(value)
    if row.kind == "flag":
        return "true" if value else "false"
    if row.kind in ("patterns", "groups", "overrides"):
        return row.default if value is None else repr(value)
    return str(value)


def differences(rows: list[Row]) -> list[str]:
    found = []
    for name in dict.fromkeys(row.method for row in rows):
        defaults = defaults_of(name)
        settings = {row.setting: row for row in rows if row.method == name and row.setting not in BY_CLASS}
        found += [f"{name} {setting}" for setting in settings.keys() ^ defaults.keys()]
        found += [
            f"{name} {setting}"
            for setting, row in settings.items()
            if setting in defaults and as_text(defaults[setting], row) != row.default
        ]
    return found


def test_every_setting_is_there_under_its_name_with_its_default() -> None:
    assert len({row.method for row in ROWS}) >= 18
    assert differences(ROWS) == []


def test_a_default_or_a_name_that_is_another_is_noticed() -> None:
    place = next(i for i, row in enumerate(ROWS) if row[:2] == ("zclip", "z_threshold"))
    changed = list(ROWS)
    changed[place] = ROWS[place]._replace(default="2.6")
    assert differences(changed) == ["zclip z_threshold"]
    changed[place] = ROWS[place]._replace(setting="threshold")
    assert sorted(differences(changed)) == ["zclip threshold", "zclip z_threshold"]


def make(row: Row, value: float) -> None:
    if row.method not in OPTIMIZERS:
        getattr(gs, row.method)(**{row.setting: value})
        return
    arguments: dict[str, Any] = {row.setting: value}
    if row.setting in ("beta1", "beta2"):
        betas = [0.9, 0.99]
        betas[row.setting == "beta2"] = value
        arguments = {"betas": tuple(betas)}
    elif row.setting == "epsilon":
        arguments = {"eps": value}
    OPTIMIZERS[row.method]([("weight", torch.nn.Parameter(torch.zeros(2, 2)))], **arguments)


@pytest.mark.parametrize("row", [row for row in ROWS if row.range], ids=lambda row: f"{row.method}.{row.setting}")
def test_every_range_is_the_library_s(row: Row) -> None:
    if row.setting == "decay_over_lr":
        pytest.skip("a flag here")
    value = -1 if row.kind == "count" else math.nan
    with pytest.raises(ValueError, match=re.escape(f"{row.setting} must be {row.range}, got {value}")):
        make(row, value)


def test_methods_come_from_texts() -> None:
    assert str(gs.method("clip_by_global_norm(max_norm=0.5)+stabilize")) == "chain(clip_by_global_norm, stabilize)"
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    outcomes = []
    for method in (gs.method("zclip(z_threshold=3, mode=percentile)"), gs.zclip(z_threshold=3, mode="percentile")):
        transform = gs.GradientTransform([("weight", parameter)], method)
        parameter.grad = torch.full((2, 2), 3.0)
        transform.step()
        outcomes.append(transform.state_dict())
    state = gs.GradientTransform([("weight", parameter)], gs.zclip(z_threshold=3, mode="percentile"))
    state.load_state_dict(outcomes[0])
    other = gs.GradientTransform([("weight", parameter)], gs.zclip(z_threshold=2))
    with pytest.raises(ValueError, match="z_threshold = 2 here but z_threshold = 3"):
        other.load_state_dict(outcomes[0])
    with pytest.raises(ValueError, match=re.escape("'z_tresh' is no setting of zclip; did you mean z_threshold, which")):
        gs.method("zclip(z_tresh=3)")
    with pytest.raises(ValueError, match="did you mean zclip"):
        gs.method("zclipp")
    assert gs.method("adaptive_clip(exclude=[a.*, b])").make("skip_tensor", "").name() == "adaptive_clip"


def test_older_words_are_understood() -> None:
    assert gs.agc is gs.adaptive_clip
    assert gs.clip_by_global_norm(1.0, norm_type=math.inf) == gs.clip_by_global_norm(1.0, math.inf)
    assert gs.clip_by_global_norm(1.0, p=3.0) == gs.clip_by_global_norm(1.0, norm_type=3.0)


def test_norms_alone_are_asked_of_the_library() -> None:
    for method, alone in [
        (gs.stabilize(), True),
        (gs.stabilize(granularity="row"), False),
        (gs.clip_by_global_norm(1.0), True),
        (gs.clip_by_global_norm(1.0, 3.0), False),
        (gs.zclip(), True),
        (gs.adaptive_clip(), False),
        (gs.clip_by_value(), False),
        (gs.chain(gs.stabilize(), gs.adaptive_value_clip()), False),
    ]:
        assert method.sees_norms_alone() is alone, str(method)
