"""Methods through Python against the original code (float32) and independent runs in float64."""

from __future__ import annotations

import math

import golden
import pytest
import torch

import gradient_stabilizer as gs


def stabilizer(hyper: dict, off: float) -> gs.Method:
    return gs.stabilize(
        hyper["gamma1"] / off,
        hyper["gamma2"],
        epsilon=hyper["eps64"],
        bias_correction=hyper["bias_correction"],
    )


def zclip(hyper: dict, off: float) -> gs.Method:
    limit = hyper["max_grad_norm"]
    return gs.zclip(
        alpha=hyper["alpha"] / off,
        z_threshold=hyper["z_thresh"],
        max_norm=math.inf if limit is None else limit,
        epsilon=hyper["eps"],
        warmup_steps=hyper["warmup_steps"],
        mode=hyper["mode"],
        target=hyper["clip_option"] or "adaptive_scaling",
        clip_factor=hyper["clip_factor"],
        skip_update_on_spike=hyper["skip_update_on_spike"],
        compat="released",
    )


def adagc(hyper: dict, off: float) -> gs.Method:
    return gs.adagc(
        relative=hyper["lam_rel"],
        absolute=hyper["lam_abs"],
        beta=hyper["beta"] / off,
        warmup_steps=hyper["T_start"],
        epsilon=hyper["eps"],
        compat="released",
    )


#: For each file the method of a case's settings. `off` above 1 makes one setting a little wrong.
METHODS = {
    "gradient_stabilizer": stabilizer,
    "value_clip": lambda hyper, off: gs.clip_by_value(off * hyper["clip_value"]),
    "norm_clip": lambda hyper, off: gs.clip_by_global_norm(off * hyper["max_norm"], float(hyper["norm_type"])),
    "agc": lambda hyper, off: gs.agc(
        off * hyper["clip_factor"], epsilon=hyper["eps"], norm_floor=hyper["norm_floor"], exclude=[]
    ),
    "zclip": zclip,
    "adagc": adagc,
}

CASES = golden.names(*METHODS)


def first_difference(method: str, name: str, dtype: torch.dtype, off: float = 1.0) -> str:
    case = golden.cases(method)[name]
    exact = dtype == torch.float64 or case.get("dtype") == "bfloat16" or case.get("released_defect")
    tolerance = {torch.float64: golden.FLOAT64, torch.bfloat16: 4e-3}.get(dtype, golden.FLOAT32)
    named = golden.parameters(case, dtype)
    transform = gs.GradientTransform(named, METHODS[method](case["hyper"], off), nonfinite="pass_through")
    for step in case["steps"]:
        golden.set_gradients(case, step, named)
        transform.step()
        out = [parameter.grad for _, parameter in named]
        expected = step["out64" if exact else "out32"]
        differs = golden.difference(out, expected, tolerance)
        if differs:
            return f"step {step['t']} {step['kind']}: {differs}"
        if off == 1.0 and golden.any_number(out):
            assert golden.difference(golden.perturbed(out, tolerance), expected, tolerance) != ""
    return ""


@pytest.mark.parametrize("method, name", CASES)
def test_float64_gradients_match_the_exact_run(method: str, name: str) -> None:
    assert first_difference(method, name, torch.float64) == ""


@pytest.mark.parametrize("method, name", CASES)
def test_narrower_gradients_match_the_original_code(method: str, name: str) -> None:
    narrow = golden.cases(method)[name].get("dtype") == "bfloat16"
    assert first_difference(method, name, torch.bfloat16 if narrow else torch.float32) == ""


@pytest.mark.parametrize("method", METHODS)
def test_a_setting_that_is_one_percent_off_is_noticed(method: str) -> None:
    assert any(first_difference(method, name, torch.float64, off=1.01) for name in golden.cases(method))


@pytest.mark.parametrize("name", golden.cases("gradient_stabilizer"))
def test_moments_match_the_exact_run(name: str) -> None:
    case = golden.cases("gradient_stabilizer")[name]
    named = golden.parameters(case, torch.float64)
    transform = gs.GradientTransform(named, stabilizer(case["hyper"], 1.0), nonfinite="pass_through")
    for step in case["steps"]:
        golden.set_gradients(case, step, named)
        transform.step()
        statistics = transform.statistics()
        for field in ("m", "v", "k", "skipped"):
            expected = torch.tensor([golden.number(value) for value in step["state64"][field]], dtype=torch.float64)
            torch.testing.assert_close(statistics[f"0.stabilize.{field}"], expected, rtol=1e-12, atol=0)
