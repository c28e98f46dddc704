"""GradientTransform, GradientStabilizer and stabilize_grad_: what they do to gradients, their state and their errors."""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any, Callable

import pytest
import torch
from support import Stabilizer64, backward, make_model, norms, same_bits
from torch import nn

import gradient_stabilizer as gs

EPSILON = torch.finfo(torch.float32).eps


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_norms_follow_the_rule_and_directions_are_kept() -> None:
    model = make_model()
    stabilizer = gs.GradientStabilizer(model.named_parameters())
    rules = [Stabilizer64() for _ in model.parameters()]
    for step in range(30):
        backward(model, step, scale=1000.0 if step == 17 else 1.0)
        raw = gradients(model)
        expected = [rule.norm(grad.double().norm().item()) for rule, grad in zip(rules, raw)]
        assert stabilizer.step()
        # One rounding per element: the norm is off by at most half an epsilon of each.
        assert norms(list(model.parameters())) == pytest.approx(expected, rel=EPSILON)
        for before, parameter, norm in zip(raw, model.parameters(), expected):
            scaled = before.double() * (norm / before.double().norm())
            torch.testing.assert_close(parameter.grad.double(), scaled, rtol=EPSILON, atol=0)
    # Negative control: another gamma gives other norms.
    backward(model, 30)
    other = Stabilizer64(gamma1=0.61)
    other.m, other.v, other.k = rules[0].m, rules[0].v, rules[0].k
    raw_norm = next(model.parameters()).grad.double().norm().item()
    stabilizer.step()
    assert norms(list(model.parameters()))[0] != pytest.approx(other.norm(raw_norm), rel=EPSILON)


def test_the_paper_form_begins_with_the_norm_of_its_first_step() -> None:
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.tensor([1.0, -2.0, 3.0, 4.0])
    gs.GradientStabilizer([parameter], bias_correction=False).step()
    assert parameter.grad.double().norm().item() == pytest.approx(0.4 / math.sqrt(0.001), rel=EPSILON)


@pytest.mark.parametrize(
    "make",
    [
        lambda model: model.parameters(),
        lambda model: list(model.named_parameters()),
        lambda model: [{"params": list(model[0].parameters())}, {"params": model[2].parameters()}],
        lambda model: ({"params": module.named_parameters(prefix=name)} for name, module in model.named_children()),
    ],
    ids=["iterator", "pairs", "groups", "generator of groups of pairs"],
)
def test_parameters_may_come_in_any_of_torchs_forms(make: Callable[[nn.Module], Any]) -> None:
    model, twin = make_model(), make_model()
    stabilizer, reference = gs.GradientStabilizer(make(model)), gs.GradientStabilizer(twin.named_parameters())
    for step in range(3):
        backward(model, step)
        backward(twin, step)
        stabilizer.step()
        reference.step()
    assert same_bits(gradients(model), gradients(twin))
    assert len(stabilizer.names) == 4


def test_names_are_the_given_ones_or_positions() -> None:
    model = make_model()
    assert gs.GradientStabilizer(model.named_parameters()).names == ["0.weight", "0.bias", "2.weight", "2.bias"]
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[2].named_parameters())}]
    assert gs.GradientStabilizer(groups).names == ["group0.parameter0", "group0.parameter1", "weight", "bias"]


def test_report_says_what_was_seen_and_done() -> None:
    model = make_model()
    stabilizer = gs.GradientStabilizer(model.named_parameters())
    for step in range(20):
        backward(model, step)
        stabilizer.step()
    backward(model, 20, scale=1e4)
    model[2].bias.grad = None
    model[0].bias.grad[0] = math.nan
    raw = model[0].weight.grad.double().norm().item()
    stabilizer.step()
    report = stabilizer.report()
    weight = report["0.weight"]
    assert (weight.present, weight.finite, weight.spike, weight.zeroed) == (True, True, True, False)
    assert weight.raw_norm == pytest.approx(raw, rel=1e-12)
    assert weight.norm == pytest.approx(weight.raw_norm * weight.factor, rel=1e-12)
    assert weight.norm == pytest.approx(norms([model[0].weight])[0], rel=EPSILON)
    assert (report["0.bias"].finite, report["0.bias"].zeroed) == (False, True)
    assert not report["2.bias"].present
    assert (report.step, report.spikes, report.nonfinite, report.skip_step) == (21, 2, 1, False)
    assert report.raw_global_norm == pytest.approx(math.hypot(raw, report["2.weight"].raw_norm), rel=1e-12)
    with pytest.raises(KeyError):
        report["no such name"]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 2.0**-52), (torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)])
def test_other_dtypes_are_rounded_once(dtype: torch.dtype, tolerance: float) -> None:
    parameter = nn.Parameter(torch.zeros(64, dtype=dtype))
    stabilizer, rule = gs.GradientStabilizer([parameter]), Stabilizer64()
    for step in range(10):
        torch.manual_seed(step)
        raw = torch.randn(64, dtype=torch.float64).to(dtype)
        parameter.grad = raw.clone()
        stabilizer.step()
        raw_norm = raw.double().norm().item()
        exact = raw.double() * (rule.norm(raw_norm) / raw_norm)
        # Below its normal range float16 rounds to multiples of 2^-24.
        least = 2.0**-25 if dtype == torch.float16 else 0.0
        torch.testing.assert_close(parameter.grad.double(), exact, rtol=tolerance * (1 + 1e-6) + 1e-14, atol=least)


def test_strided_and_channels_last_gradients_are_scaled_in_place() -> None:
    parameter = nn.Parameter(torch.zeros(6, 4))
    base = torch.randn(4, 6)
    parameter.grad = base.clone().t()
    image = nn.Parameter(torch.zeros(2, 3, 4, 5))
    image.grad = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    kept = image.grad.clone()
    gs.GradientStabilizer([parameter, image]).step()
    torch.testing.assert_close(parameter.grad, base.t() / base.double().norm().float(), rtol=4 * EPSILON, atol=0)
    torch.testing.assert_close(image.grad, kept / kept.double().norm().float(), rtol=4 * EPSILON, atol=0)
    assert image.grad.is_contiguous(memory_format=torch.channels_last)


def test_autograd_notices_that_gradients_were_written() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.ones(3)
    version = parameter.grad._version
    gs.GradientStabilizer([parameter]).step()
    assert parameter.grad._version > version


@pytest.mark.parametrize("backend", gs.backends())
def test_every_backend_gives_the_same_numbers(backend: str) -> None:
    model, twin = make_model(), make_model()
    stabilizer = gs.GradientStabilizer(model.parameters(), backend=backend)
    reference = gs.GradientStabilizer(twin.parameters(), backend="reference")
    for step in range(5):
        backward(model, step)
        backward(twin, step)
        stabilizer.step()
        reference.step()
    for a, b in zip(gradients(model), gradients(twin)):
        torch.testing.assert_close(a, b, rtol=EPSILON, atol=0)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    torch.manual_seed(0)
    raw = [torch.randn(300_000), torch.randn(64), torch.randn(1000, 7).t()]
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in raw]
            stabilizer = gs.GradientStabilizer(parameters)
            for scale in (1.0, 30.0):
                for parameter, gradient in zip(parameters, raw):
                    parameter.grad = gradient * scale
                stabilizer.step()
            results.append([parameter.grad for parameter in parameters])
        finally:
            torch.set_num_threads(1)
    assert same_bits(results[0], results[1])


class TestState:
    def test_a_resumed_run_equals_the_uninterrupted_one(self) -> None:
        model = make_model()
        stabilizer = gs.GradientStabilizer(model.named_parameters())
        for step in range(5):
            backward(model, step)
            stabilizer.step()
        buffer = io.BytesIO()
        torch.save(stabilizer.state_dict(), buffer)
        buffer.seek(0)
        # In another order of the parameters: state is kept by name.
        resumed = gs.GradientStabilizer(reversed(list(model.named_parameters())))
        resumed.load_state_dict(torch.load(buffer))
        fresh = gs.GradientStabilizer(model.named_parameters())
        results = []
        for each in (stabilizer, resumed, fresh):
            backward(model, 5)
            each.step()
            results.append(gradients(model))
        assert same_bits(results[0], results[1])
        assert not same_bits(results[0], results[2])  # what was loaded mattered

    def test_copies_and_pickles_keep_parameters_and_statistics_together(self) -> None:
        model = make_model()
        stabilizer = gs.GradientStabilizer(model.named_parameters())
        for step in range(3):
            backward(model, step)
            stabilizer.step()
        pairs = [copy.deepcopy((model, stabilizer)), pickle.loads(pickle.dumps((model, stabilizer)))]
        backward(model, 3)
        stabilizer.step()
        for its_model, its_stabilizer in pairs:
            backward(its_model, 3)
            its_stabilizer.step()
            assert same_bits(gradients(its_model), gradients(model))

    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda model: gs.GradientStabilizer(model.named_parameters(), 0.7), "gamma1"),
            (lambda model: gs.GradientStabilizer(model.named_parameters(prefix="other")), "0.weight"),
            (lambda model: gs.GradientStabilizer(nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 3)).named_parameters()), "0.weight"),
            (lambda model: gs.GradientTransform(model.named_parameters(), gs.clip_by_value()), "clip_by_value"),
        ],
        ids=["setting", "name", "shape", "method"],
    )
    def test_state_of_something_else_is_refused_with_its_name(
        self, change: Callable[[nn.Module], gs.GradientTransform], message: str
    ) -> None:
        model = make_model()
        stabilizer = gs.GradientStabilizer(model.named_parameters())
        backward(model, 0)
        stabilizer.step()
        other = change(model)
        before = other.state_dict()["state"]
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(stabilizer.state_dict())
        assert torch.equal(other.state_dict()["state"], before)

    def test_damaged_state_is_refused(self) -> None:
        stabilizer = gs.GradientStabilizer(make_model().named_parameters())
        state = stabilizer.state_dict()
        flipped = state["state"].clone()
        flipped[40] ^= 1
        for damaged in (
            {**state, "state": state["state"][:-1]},
            {**state, "state": flipped},
            {**state, "state": state["state"].float()},
            {**state, "format": 99},
            {},
        ):
            with pytest.raises(ValueError):
                stabilizer.load_state_dict(damaged)
        stabilizer.load_state_dict(state)

    def test_added_parameters_start_afresh_and_the_others_go_on(self) -> None:
        model, late = make_model(), nn.Parameter(torch.zeros(7))
        stabilizer = gs.GradientStabilizer(model.named_parameters())
        for step in range(3):
            backward(model, step)
            stabilizer.step()
        stabilizer.add_param_group({"params": [("late", late)]})
        backward(model, 3)
        late.grad = torch.full((7,), 5.0)
        stabilizer.step()
        assert stabilizer.statistics()["0.stabilize.k"].tolist() == [4, 4, 4, 4, 1]
        assert late.grad.norm().item() == pytest.approx(1.0, rel=EPSILON)
        with pytest.raises(ValueError, match="late"):
            stabilizer.add_param_group({"params": [late]})
        assert len(stabilizer.names) == 5


class TestStabilizeGrad:
    def test_it_returns_the_norms_before_and_works_as_the_object_does(self) -> None:
        model, twin = make_model(), make_model()
        state, stabilizer = gs.GradientState(), gs.GradientStabilizer(twin.parameters())
        for step in range(4):
            backward(model, step)
            backward(twin, step)
            expected = norms(list(model.parameters()))
            returned = gs.stabilize_grad_(model.parameters(), state)
            assert returned.tolist() == pytest.approx(expected, rel=1e-12)
            stabilizer.step()
            assert same_bits(gradients(model), gradients(twin))
        assert state.report().step == 4

    def test_absent_gradients_have_norm_zero(self) -> None:
        a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
        a.grad = torch.tensor([3.0, 4.0])
        assert gs.stabilize_grad_([a, b], gs.GradientState()).tolist() == [5.0, 0.0]

    def test_any_method_and_its_state_by_name(self) -> None:
        model = make_model()
        state = gs.GradientState(gs.chain(gs.clip_by_global_norm(0.01), gs.stabilize()))
        for step in range(3):
            backward(model, step)
            gs.transform_grad_(model.named_parameters(), state)
        other = gs.GradientState(gs.chain(gs.clip_by_global_norm(0.01), gs.stabilize()))
        other.load_state_dict(state.state_dict(), model.named_parameters())
        assert torch.equal(other.statistics()["1.stabilize.m"], state.statistics()["1.stabilize.m"])
        assert state.names == ["0.weight", "0.bias", "2.weight", "2.bias"]

    def test_wrong_arguments(self) -> None:
        parameter = nn.Parameter(torch.zeros(2))
        with pytest.raises(TypeError, match="GradientState"):
            gs.stabilize_grad_([parameter], 1.0)
        with pytest.raises(TypeError, match="gamma1"):
            gs.GradientState(gs.clip_by_value(), gamma1=0.5)
        with pytest.raises(TypeError, match="str"):
            gs.stabilize_grad_(["weight"], gs.GradientState())


class TestNonFinite:
    @staticmethod
    def pair(value: float) -> list[nn.Parameter]:
        parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
        parameters[0].grad = torch.tensor([value, 1.0])
        parameters[1].grad = torch.tensor([3.0, 4.0])
        return parameters

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_skip_tensor_puts_zeros_in_its_place(self, value: float) -> None:
        bad, good = self.pair(value)
        assert gs.GradientStabilizer([bad, good]).step()
        assert bad.grad.tolist() == [0.0, 0.0]
        assert good.grad.norm().item() == pytest.approx(1.0, rel=EPSILON)

    def test_skip_step_changes_nothing_and_says_so(self) -> None:
        bad, good = self.pair(math.nan)
        stabilizer = gs.GradientStabilizer([bad, good], nonfinite="skip_step")
        assert not stabilizer.step()
        assert good.grad.tolist() == [3.0, 4.0]
        assert stabilizer.report().skip_step

    def test_raise_names_the_tensor(self) -> None:
        bad, good = self.pair(math.inf)
        stabilizer = gs.GradientStabilizer([("bad", bad), ("good", good)], nonfinite="raise")
        with pytest.raises(RuntimeError, match="bad"):
            stabilizer.step()
        assert good.grad.tolist() == [3.0, 4.0]

    def test_pass_through_leaves_it(self) -> None:
        bad, good = self.pair(math.inf)
        gs.GradientStabilizer([bad, good], nonfinite="pass_through").step()
        assert bad.grad.tolist() == [math.inf, 1.0]


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda p: gs.GradientStabilizer([p], 1.0), ValueError, r"gamma1 must be in \[0, 1\), got 1"),
        (lambda p: gs.GradientStabilizer([p], robust_kappa=0.5), ValueError, "robust_kappa"),
        (lambda p: gs.GradientStabilizer([p], gamma3=0.5), TypeError, "gamma3"),
        (lambda p: gs.GradientStabilizer([p], "fast"), TypeError, "gamma1 of stabilize must be a number, got 'fast'"),
        (lambda p: gs.GradientStabilizer([p], nonfinite="stop"), ValueError, "'skip_tensor'.*got 'stop'"),
        (lambda p: gs.GradientStabilizer([p], backend="gpu"), ValueError, "gpu"),
        (lambda p: gs.GradientStabilizer([p, p]), ValueError, "group0.parameter0"),
        (lambda p: gs.GradientStabilizer([("a", p), ("a", nn.Parameter(torch.zeros(1)))]), ValueError, "'a'"),
        (lambda p: gs.GradientStabilizer([3]), TypeError, "int"),
        (lambda p: gs.GradientStabilizer([{"weights": [p]}]), TypeError, "'params'"),
        (lambda p: gs.GradientTransform([p], "stabilize"), TypeError, "'stabilize'"),
        (lambda p: gs.chain(), ValueError, "at least one"),
        (lambda p: gs.chain("zclip"), TypeError, "'zclip'"),
        (lambda p: gs.zclip(warmup_steps=2.5), ValueError, "warmup_steps of zclip must be an integer, got 2.5"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_given(
    make: Callable[[nn.Parameter], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        make(nn.Parameter(torch.zeros(2)))


def test_gradients_of_other_dtypes_are_refused_by_name() -> None:
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.int32), requires_grad=False)
    parameter.grad = torch.ones(2, dtype=torch.int32)
    with pytest.raises(TypeError, match="'odd'.*Int"):
        gs.GradientStabilizer([("odd", parameter)]).step()


def test_groups_of_names_share_their_moments() -> None:
    model = make_model()
    method = gs.stabilize(granularity="group", groups={"biases": ["*.bias"]})
    transform = gs.GradientTransform(model.named_parameters(), method)
    backward(model, 0)
    biases = [model[0].bias, model[2].bias]
    ratio = norms(biases)[0] / norms(biases)[1]
    transform.step()
    after = norms(biases)
    assert math.hypot(*after) == pytest.approx(1.0, rel=EPSILON)
    assert after[0] / after[1] == pytest.approx(ratio, rel=4 * EPSILON)
    assert len(transform.statistics()["0.stabilize.m"]) == 3
