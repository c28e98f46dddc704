"""Fused and wrapped optimizers through Python against the original optimizers and independent runs in float64."""

from __future__ import annotations

from typing import Any

import golden
import pytest
import torch

import gradient_stabilizer as gs

RELEASED_EPSILON = 1e-12


def front(hyper: dict[str, Any]) -> gs.Method | None:
    """The transform in front of the optimizer of a case."""
    if "gamma1" not in hyper:
        return None
    return gs.stabilize(
        hyper["gamma1"], hyper["gamma2"], epsilon=RELEASED_EPSILON, bias_correction=hyper["bias_correction"]
    )


def adam(named: Any, hyper: dict[str, Any], off: float) -> torch.optim.Optimizer:
    make = gs.optim.AdamW if hyper.get("decoupled", True) else gs.optim.Adam
    return make(
        named,
        hyper["lr"] * off,
        (hyper["beta1"], hyper["beta2"]),
        hyper["eps"],
        hyper["weight_decay"],
        hyper.get("amsgrad", False),
        transform=front(hyper),
    )


def sgd(named: Any, hyper: dict[str, Any], off: float) -> torch.optim.Optimizer:
    return gs.optim.SGD(
        named,
        hyper["lr"] * off,
        hyper["momentum"],
        hyper.get("dampening", 0.0),
        hyper.get("weight_decay", 0.0),
        hyper.get("nesterov", False),
        transform=front(hyper),
    )


def lion(named: Any, hyper: dict[str, Any], off: float) -> torch.optim.Optimizer:
    return gs.optim.Lion(
        named,
        hyper["lr"] * off,
        (hyper["beta1"], hyper["beta2"]),
        hyper["weight_decay"],
        hyper.get("decoupled_weight_decay", False),
        transform=front(hyper),
    )


def adam_mini(named: Any, hyper: dict[str, Any], off: float) -> torch.optim.Optimizer:
    return gs.optim.AdamMini(
        named,
        hyper["lr"] * off,
        (hyper["beta1"], hyper["beta2"]),
        hyper["eps"],
        hyper["weight_decay"],
        dim=hyper["dim"],
        n_heads=hyper["n_heads"],
        transform=None,
    )


def spam(named: Any, hyper: dict[str, Any], off: float) -> torch.optim.Optimizer:
    return gs.optim.SPAM(
        named,
        hyper["lr"] * off,
        (hyper["beta1"], hyper["beta2"]),
        hyper["eps"],
        hyper["weight_decay"],
        threshold=hyper["threshold"],
        reset_interval=hyper["DeltaT"],
        warmup_steps=hyper["warmup_steps"],
        quiet_steps=hyper["grad_accu_steps"],
    )


OPTIMIZERS = {
    "adam": adam,
    "adamw": adam,
    "amsgrad": adam,
    "gs_adamw": adam,
    "sgd_momentum": sgd,
    "gs_sgd_momentum": sgd,
    "lion": lion,
    "gs_lion": lion,
    "adam_mini": adam_mini,
    "spam": spam,
}
CASES = golden.names(*OPTIMIZERS)


def first_difference(method: str, name: str, dtype: torch.dtype, off: float = 1.0) -> str:
    case = golden.cases(method)[name]
    wide = dtype == torch.float64
    tolerance = golden.FLOAT64 if wide else golden.PARAMETERS32
    named = golden.parameters(case, dtype)
    optimizer = OPTIMIZERS[method](named, case["hyper"], off)
    for step in case["steps"]:
        golden.set_gradients(case, step, named)
        optimizer.step()
        differs = golden.difference(
            [parameter for _, parameter in named], step["param64" if wide else "param32"], tolerance
        )
        if differs:
            return f"step {step['t']} {step['kind']}: {differs}"
    return ""


@pytest.mark.parametrize("method, name", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_parameters_follow_the_original_optimizer(method: str, name: str, dtype: torch.dtype) -> None:
    assert first_difference(method, name, dtype) == ""


@pytest.mark.parametrize("method", OPTIMIZERS)
def test_a_learning_rate_that_is_off_by_a_thousandth_is_noticed(method: str) -> None:
    name = next(iter(golden.cases(method)))
    assert first_difference(method, name, torch.float64, off=1.001) != ""


def stable_spam_difference(name: str, reset_interval: int) -> str:
    case = golden.cases("stable_spam")[name]
    hyper, resets = case["hyper"], {"reset_interval": case["hyper"]["update_proj_gap"], "compat": "released"}
    gamma1 = hyper["beta1"] if hyper["gamma1"] < 0 else hyper["gamma1"]
    named = golden.parameters(case, torch.float64)
    optimizer = gs.optim.AdamW(
        named,
        hyper["lr"],
        (hyper["beta1"], hyper["beta2"]),
        hyper["eps"],
        hyper["weight_decay"],
        hyper["amsgrad"],
        reset_interval=reset_interval,
        compat="released",
        transform=gs.chain(
            gs.adaptive_value_clip(hyper["gamma3"], **resets),
            gs.adaptive_norm(gamma1, hyper["gamma2"], epsilon=hyper["eps"], **resets),
        ),
    )
    for step in case["steps"]:
        golden.set_gradients(case, step, named)
        optimizer.step()
        differs = golden.difference([parameter for _, parameter in named], step["param64"], golden.FLOAT64)
        if differs:
            return f"step {step['t']} {step['kind']}: {differs}"
    return ""


@pytest.mark.parametrize(
    "name", [name for name, case in golden.cases("stable_spam").items() if case["hyper"]["total_T"] is None]
)
def test_adam_with_resets_behind_its_transforms_is_stable_spam(name: str) -> None:
    interval = golden.cases("stable_spam")[name]["hyper"]["update_proj_gap"]
    assert stable_spam_difference(name, interval) == ""
    assert stable_spam_difference(name, 7) != ""


@pytest.mark.parametrize("name", golden.cases("gs_quadratic"))
@pytest.mark.parametrize("off", [0.0, 1e-3])
def test_wrapped_torch_optimizers_follow_the_authors_run(name: str, off: float) -> None:
    """The released wrapper in front of torch's own optimizer; `off` is the negative control."""
    case = golden.cases("gs_quadratic")[name]
    hyper = case["hyper"]
    shape = [len(hyper["x0"])]
    curvature, target, start = (golden.tensor(hyper[key], shape, torch.float32) for key in ("curvature", "target", "x0"))
    x = torch.nn.Parameter(start)
    if name == "adamw":
        inner: torch.optim.Optimizer = torch.optim.AdamW([x], lr=hyper["lr"], weight_decay=0.0)
    else:
        inner = torch.optim.SGD([x], lr=hyper["lr"])
    optimizer = gs.wrap(inner, epsilon=RELEASED_EPSILON, gamma1=hyper["gamma1"] - off, gamma2=hyper["gamma2"])
    worst = ""
    for step in case["steps"]:
        multiplier = hyper["multipliers"].get(str(step["t"]), 1.0)
        x.grad = curvature * (x.detach() - target) * multiplier
        optimizer.step()
        tolerance = golden.PARAMETERS32
        worst = worst or golden.difference([x], step["param32"], tolerance)
        assert golden.difference(golden.perturbed([x], tolerance), step["param32"], tolerance) != ""
    assert (worst == "") == (off == 0.0), worst
