"""Defects of the authors' released package, and that this one does not have them.

The rows are those of docs/defects.md. `released_class.py` shows a defect where that is cheap, as negative control.

 row  defect                                                     test
   1  README imports a module that does not exist                test_row_01 (and test_examples.py)
   2  a test passes an argument that does not exist              test_row_02
   3  the wrapper is no Optimizer                                test_row_03
   4  step(closure) uses stale gradients                         test_row_04
   5  two waits for the device and ten kernels per tensor        test_row_05
   6  an fp16 spike beyond the range passes unscaled             test_row_06
   7  the norm is computed in the gradient's dtype               test_row_07
   8  documentation claims a ratio in (0, 1]                     test_row_08
   9  state is found by id(p) and re-used                        test_row_09
  10  dead parameters stay, copies lose the state                test_row_10
  11  a skipped NaN reaches the optimizer                        test_row_11
  12  a skipped Inf reaches the optimizer                        test_row_12
  13  sharded norms turn the direction                           test_row_13 (and test_distributed.py)
  14  sparse gradients pass unscaled                             test_row_14
  15  float64 overflow freezes a tensor for ever                 test_row_15
  16  an absolute epsilon breaks scale invariance                test_row_16
  17  one Parameter, generators, duplicates                      test_row_17
  18  called twice, the state moves twice                        test_row_18
  19  a plain optimizer's checkpoint does not load               test_row_19
  20  other settings are printed, parameters by position         test_row_20
  21  the sum of `skipped` over ranks is thrown away             test_row_21 (and test_distributed.py)
  22  two minimum versions of torch                              test_row_22
  23  half-precision results are rounded three times             test_row_23
"""

from __future__ import annotations

import copy
import gc
import math
import pathlib
import re
from typing import Any

import pytest
import torch
from released_class import ReleasedStabilizer
from support import backward, loss_of, make_model, norms, same_bits, train, values
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import gradient_stabilizer as gs
from gradient_stabilizer.compat import GradientStabilizer, GSWrapper

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs" / "python.md"
EPSILON = torch.finfo(torch.float32).eps


def parameter_with(gradient: torch.Tensor) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(gradient.shape, dtype=gradient.dtype))
    parameter.grad = gradient
    return parameter


def sgd_step(parameters: Any, wrap: Any) -> torch.optim.Optimizer:
    optimizer = wrap(torch.optim.SGD(parameters, lr=1.0))
    optimizer.step()
    return optimizer


def test_row_01_the_page_imports_what_is_installed() -> None:
    programs = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.S)
    assert len(programs) >= 7
    for program in programs:
        for line in re.findall(r"^(?:import|from) .*gradient.*$", program, re.M):
            exec(line, {})
    with pytest.raises(ImportError):
        exec("import GradientStabilizer", {})


def test_row_02_policies_and_arguments_are_those_that_exist() -> None:
    # The programs of the page run in test_examples.py, arguments and all.
    parameter = parameter_with(torch.tensor([math.nan]))
    with pytest.raises(RuntimeError, match="group0.parameter0"):
        gs.GradientStabilizer([parameter], nonfinite="raise").step()
    with pytest.raises(TypeError, match="raise_on_nonfinite"):
        gs.GradientStabilizer([parameter], raise_on_nonfinite=True)


def test_row_03_wrappers_are_optimizers_for_schedulers() -> None:
    for wrap in (gs.wrap, GSWrapper):
        model = make_model()
        optimizer = wrap(torch.optim.SGD(model.parameters(), lr=1.0))
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        backward(model, 0)
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == 0.5


def test_row_04_a_closures_own_gradients_are_stabilized() -> None:
    for wrap in (gs.wrap, GSWrapper):
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([1.0, 0.0])  # stale
        optimizer = wrap(torch.optim.SGD([parameter], lr=1.0))

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = 200.0 * parameter[1]
            loss.backward()
            return loss

        optimizer.step(closure)
        assert parameter.detach().norm().item() == pytest.approx(1.0, rel=EPSILON)  # and not 200
        assert optimizer.report().tensors[0].raw_norm == pytest.approx(200.0)


class CountedOperators(TorchDispatchMode):
    """Counts the operators that are called while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_row_05_no_operator_and_no_wait_per_tensor() -> None:
    counts = {}
    for tensors in (2, 200):
        parameters = [parameter_with(torch.ones(3)) for _ in range(tensors)]
        ours, theirs = gs.GradientStabilizer(parameters), ReleasedStabilizer()
        with CountedOperators() as counted:
            ours.step()
        with CountedOperators() as counted_theirs:
            theirs(parameters)
        counts[tensors] = (counted.count, counted_theirs.count)
    assert counts[2][0] == counts[200][0] == 0
    assert counts[200][1] > 200 * 10  # the released way, which the count would have noticed


@pytest.mark.parametrize("norm", [1e3, 6e5, 1e6])
def test_row_06_a_half_precision_spike_beyond_the_range_is_stabilized(norm: float) -> None:
    count = 4096
    parameter = nn.Parameter(torch.zeros(count, dtype=torch.float16))
    stabilizer = gs.GradientStabilizer([parameter])
    for _ in range(20):
        parameter.grad = torch.full((count,), 1.0 / 64, dtype=torch.float16)
        stabilizer.step()
    parameter.grad = torch.full((count,), norm / 64, dtype=torch.float16)
    stabilizer.step()
    report = stabilizer.report().tensors[0]
    assert report.finite and report.spike
    assert report.raw_norm == pytest.approx(norm, rel=2.0**-11)
    assert parameter.grad.double().norm().item() == pytest.approx(report.norm, rel=2.0**-11)
    assert report.norm < 12.65


def test_row_07_norms_are_summed_in_double() -> None:
    ones = torch.ones(4096, dtype=torch.float16)
    state = gs.GradientState()
    parameter = parameter_with(ones.clone())
    assert gs.stabilize_grad_([parameter], state).tolist() == [64.0]
    # Squares whose sum no float32 holds to 1e-12.
    values_ = torch.linspace(1, 2, 10001, dtype=torch.float32)
    parameter = parameter_with(values_.clone())
    expected = math.sqrt(math.fsum(value * value for value in values_.tolist()))
    assert gs.stabilize_grad_([parameter], gs.GradientState()).item() == pytest.approx(expected, rel=1e-14)


def test_row_08_what_is_said_of_the_ratio_is_true() -> None:
    # Norms that grow by gamma2 / gamma1 per step are the worst: without bias correction the ratio comes within a
    # millionth of its bound, 15.8158, and the page says so.
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    stabilizer = gs.GradientStabilizer([parameter], bias_correction=False)
    largest = 0.0
    for step in range(60):
        parameter.grad = torch.tensor([(0.999 / 0.6) ** step], dtype=torch.float64)
        stabilizer.step()
        largest = max(largest, parameter.grad.item())
    assert 15.8158 < largest < 15.815843
    assert "15.82" in MANUAL.read_text()
    assert "(0, 1]" not in (gs.stabilize.__doc__ or "")


def test_row_09_a_new_model_does_not_get_the_state_of_an_old_one() -> None:
    def first_norms(stabilize: Any) -> list[float]:
        result = []
        for seed in range(40):
            model = nn.Linear(4, 4, bias=False)
            model.weight.grad = torch.full((4, 4), 10.0 ** (seed % 3))
            stabilize(model.parameters())
            result += norms(list(model.parameters()))
            del model
            gc.collect()
        return result

    state, compat = gs.GradientState(), GradientStabilizer()
    for stabilize in (lambda parameters: gs.stabilize_grad_(parameters, state), compat):
        assert first_norms(stabilize) == pytest.approx([1.0] * 40, rel=EPSILON)
    assert first_norms(ReleasedStabilizer()) != pytest.approx([1.0] * 40, rel=1e-2)


def test_row_10_dead_parameters_leave_nothing_and_copies_keep_everything() -> None:
    compat, state = GradientStabilizer(), gs.GradientState()
    for _ in range(20):
        model = make_model()
        backward(model, 0)
        compat(model.parameters())
        backward(model, 0)
        gs.stabilize_grad_(model.parameters(), state)
    gc.collect()
    backward(model, 1)
    compat(model.parameters())
    assert len(compat.state) == 4
    assert len(state.statistics()["0.stabilize.m"]) == 4
    for wrap in (gs.wrap, GSWrapper):
        model = make_model()
        optimizer = wrap(torch.optim.SGD(model.parameters(), lr=0.1))
        train(model, optimizer, range(3))
        its_model, its_optimizer = copy.deepcopy((model, optimizer))
        train(its_model, its_optimizer, range(3, 4))
        assert its_optimizer.statistics()["0.stabilize.k"].tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=["row_11", "row_12"])
@pytest.mark.parametrize("wrap", [gs.wrap, GSWrapper])
def test_row_11_and_12_non_finite_gradients_do_not_reach_the_optimizer(wrap: Any, value: float) -> None:
    parameter = nn.Parameter(torch.zeros(3))
    optimizer = wrap(torch.optim.AdamW([parameter], lr=0.1))
    parameter.grad = torch.tensor([value, 1e30, 1.0])
    optimizer.step()
    assert parameter.tolist() == [0.0, 0.0, 0.0]
    parameter.grad = torch.tensor([3.0, 4.0, 0.0])
    optimizer.step()
    assert torch.isfinite(parameter).all() and parameter[0] != 0
    assert optimizer.statistics()["0.stabilize.skipped"].tolist() == [1.0]


def test_row_13_two_shards_keep_direction_and_norm() -> None:
    """The pieces of the sharded path, in one process: measure the shards, add, decide, scale each shard."""
    torch.manual_seed(0)
    whole = parameter_with(torch.randn(8, 3))
    shards = [whole.grad[:5].clone(), whole.grad[5:].clone()]
    reference = gs.GradientStabilizer([whole])
    native = gs.stabilize().make("skip_tensor", "")
    native.bind_shapes(["whole"], [[8, 3]], [], [])
    for step in range(5):
        scale = 10.0 ** (step % 2)
        whole.grad = torch.cat(shards) * scale
        raw = whole.grad.clone()
        reference.step()
        pieces = [raw[:5].clone(), raw[5:].clone()]
        squared = sum(torch.ops.gradient_stabilizer.squared_norms([piece]) for piece in pieces)
        factors = native.decide(squared)
        for piece in pieces:
            torch.ops.gradient_stabilizer.scale_([piece], factors)
        torch.testing.assert_close(torch.cat(pieces), whole.grad, rtol=2 * EPSILON, atol=0)


def test_row_14_sparse_gradients_are_stabilized() -> None:
    for wrap in (gs.wrap, GSWrapper):
        embedding = nn.Embedding(10, 4, sparse=True)
        optimizer = wrap(torch.optim.SGD(embedding.parameters(), lr=0.0))
        embedding(torch.tensor([1, 1, 3])).sum().backward()  # row 1 twice: not coalesced
        raw = embedding.weight.grad.to_dense()
        optimizer.step()
        assert embedding.weight.grad.is_sparse
        torch.testing.assert_close(embedding.weight.grad.to_dense(), raw / raw.norm(), rtol=4 * EPSILON, atol=0)


def test_row_15_a_float64_tensor_recovers_from_any_norm() -> None:
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    stabilizer = gs.GradientStabilizer([parameter], robust_kappa=3.0)
    for step in range(100):
        parameter.grad = torch.tensor([3.0, 4.0], dtype=torch.float64) * (1e200 if step == 50 else 1.0)
        stabilizer.step()
        norm = parameter.grad.norm().item()
        assert math.isfinite(norm) and norm > 0
    assert norm == pytest.approx(1.0, rel=0.05)
    exact = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    exact.grad = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    gs.GradientStabilizer([exact]).step()
    assert exact.grad.norm().item() == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("scale", [1e-35, 1e-13, 1e-10, 1e10, 1e35])
def test_row_16_scale_does_not_matter(scale: float) -> None:
    parameter = parameter_with(torch.tensor([3.0, 4.0]) * scale)
    gs.GradientStabilizer([parameter]).step()
    assert parameter.grad.norm().item() == pytest.approx(1.0, rel=2 * EPSILON)


def test_row_17_one_parameter_generators_and_duplicates() -> None:
    parameter = parameter_with(torch.tensor([[3.0, 4.0], [6.0, 8.0]]))
    gs.stabilize_grad_(parameter, gs.GradientState())
    assert parameter.grad.norm().item() == pytest.approx(1.0, rel=EPSILON)
    parameter.grad = torch.ones(2, 2)
    gs.GradientStabilizer(parameter).step()
    GradientStabilizer()({"params": [group]} for group in [parameter_with(torch.ones(2))])
    for make in (gs.GradientStabilizer, GradientStabilizer().__call__):
        with pytest.raises(ValueError, match="twice"):
            make([parameter, parameter])
    # Two parameters in the same memory are one as well.
    tied = nn.Parameter(parameter.detach())
    parameter.grad = torch.ones(2, 2)
    tied.grad = parameter.grad
    with pytest.raises((TypeError, ValueError), match="memory"):
        gs.GradientStabilizer([parameter, tied]).step()


def test_row_18_the_same_gradients_are_not_stabilized_twice() -> None:
    model = make_model()
    wrapper = GSWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    backward(model, 0)
    wrapper.scaler(wrapper.optimizer)
    before = values(model)
    with pytest.raises(RuntimeError, match="already transformed"):
        wrapper.step()
    assert same_bits(values(model), before)
    assert wrapper.statistics()["0.stabilize.k"].tolist() == [1, 1, 1, 1]
    stabilizer = gs.GradientStabilizer(model.parameters())
    backward(model, 1)
    stabilizer.step()
    with pytest.raises(RuntimeError, match="already transformed"):
        stabilizer.step()
    # New gradients in the same memory, or more of them, are other gradients.
    for zero in (False, True):
        wrapped = gs.wrap(torch.optim.SGD(model.parameters(), lr=0.1))
        for step in range(3):
            wrapped.zero_grad(set_to_none=zero)
            loss_of(model, step).backward()
            wrapped.step()
        loss_of(model, 3).backward()
        wrapped.step()


def test_row_19_a_plain_optimizers_checkpoint_can_be_loaded() -> None:
    model = make_model()
    plain = torch.optim.AdamW(model.parameters(), lr=1e-2)
    train(model, plain, range(3))
    makers = (
        lambda: gs.wrap(torch.optim.AdamW(model.parameters())),
        lambda: GSWrapper(torch.optim.AdamW(model.parameters())),
        lambda: gs.optim.AdamW(model.parameters()),
    )
    for make in makers:
        optimizer = make()
        optimizer.load_state_dict(copy.deepcopy(plain.state_dict()))
        assert optimizer.param_groups[0]["lr"] == 1e-2
        backward(model, 3)
        optimizer.step()
        assert optimizer.report().tensors[0].norm == pytest.approx(1.0, rel=EPSILON)


def test_row_20_other_settings_are_errors_and_order_does_not_matter() -> None:
    model = make_model()
    for wrap in (gs.wrap, GSWrapper):
        optimizer = wrap(torch.optim.SGD(model.parameters(), lr=0.1))
        backward(model, 0)
        optimizer.step()
        with pytest.raises(ValueError, match="gamma1"):
            wrap(torch.optim.SGD(model.parameters(), lr=0.1), gamma1=0.5).load_state_dict(optimizer.state_dict())
    named = list(model.named_parameters())
    stabilizer, turned = gs.GradientStabilizer(named), gs.GradientStabilizer(named[::-1])
    backward(model, 1)
    stabilizer.step()
    turned.load_state_dict(stabilizer.state_dict())
    assert torch.equal(turned.statistics()["0.stabilize.m"], stabilizer.statistics()["0.stabilize.m"].flip(0))
    # By position, a shape in another place is an error.
    with pytest.raises(ValueError, match="parameter0"):
        tensors = [tensor for _, tensor in named]
        by_position = gs.GradientStabilizer(tensors)
        gs.GradientStabilizer(tensors[::-1]).load_state_dict(by_position.state_dict())


def test_row_21_skipped_gradients_are_counted_where_they_can_be_read() -> None:
    good, bad = parameter_with(torch.ones(2)), parameter_with(torch.tensor([math.nan, 0.0]))
    stabilizer = gs.GradientStabilizer([("good", good), ("bad", bad)])
    stabilizer.step()
    assert stabilizer.statistics()["0.stabilize.skipped"].tolist() == [0.0, 1.0]
    assert stabilizer.report().nonfinite == 1


def test_row_22_there_is_one_minimum_version_of_torch() -> None:
    stated = re.search(r'"torch>=(\d+\.\d+)', (ROOT / "pyproject.toml").read_text())
    assert stated is not None
    assert f"torch {stated[1]} or later" in MANUAL.read_text()
    assert tuple(int(part) for part in torch.__version__.split(".")[:2]) >= tuple(map(int, stated[1].split(".")))


@pytest.mark.parametrize("dtype, unit", [(torch.bfloat16, 2.0**-8), (torch.float16, 2.0**-11)])
def test_row_23_half_precision_results_are_rounded_once(dtype: torch.dtype, unit: float) -> None:
    torch.manual_seed(0)
    raw = torch.rand(512, dtype=torch.float64).add(0.5).to(dtype)
    ours, theirs = parameter_with(raw.clone()), parameter_with(raw.clone())
    gs.GradientStabilizer([ours]).step()
    ReleasedStabilizer()([theirs])
    exact = raw.double() / raw.double().norm()
    error = ((ours.grad.double() - exact) / exact).abs().max().item()
    assert error <= unit
    assert ((theirs.grad.double() - exact) / exact).abs().max().item() > unit
