"""Methods of one's own: the example of examples/python against numpy, wherever the package takes it; and that a method
which fails leaves no trace."""

from __future__ import annotations

import copy
import pathlib
import pickle
import sys
from typing import Any, Callable

import numpy
import pytest
import torch
from support import backward, loss_of, make_model, same_bits, same_state, values
from torch import nn

import gradient_stabilizer as gs
from gradient_stabilizer import _own_methods

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "examples" / "python"))
from percentile_clip import PercentileClip  # noqa: E402

STEPS = 40
TOLERANCE = 1e-12  # some roundings of doubles


def parameters_of(dtype: torch.dtype = torch.float64) -> list[tuple[str, nn.Parameter]]:
    generator = torch.Generator().manual_seed(7)
    shapes = {"matrix": (3, 4), "vector": (6,)}
    return [(name, nn.Parameter(torch.randn(shape, generator=generator).to(dtype))) for name, shape in shapes.items()]


def gradients_of(step: int) -> list[torch.Tensor]:
    """Of changing size, with a spike now and then."""
    generator = torch.Generator().manual_seed(step)
    size = 100.0 if step % 13 == 0 else 1.0 + step % 3
    return [size * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (6,))]


def put(named: list[tuple[str, nn.Parameter]], step: int) -> None:
    for (_, parameter), gradient in zip(named, gradients_of(step)):
        parameter.grad = gradient.to(parameter.dtype)


def norm_of(tensors: list[torch.Tensor]) -> float:
    return float(numpy.linalg.norm(numpy.concatenate([tensor.numpy().ravel() for tensor in tensors])))


def factors_by_numpy(norms: list[float], percentile: float = 10.0) -> list[float]:
    limits = [numpy.percentile(norms[: i + 1], percentile) for i in range(len(norms))]
    return [min(1.0, limit / (norm + 1e-6)) for limit, norm in zip(limits, norms)]


RECORDED = [norm_of(gradients_of(step)) for step in range(1, STEPS + 1)]


def run(method: gs.Method, backend: str) -> list[list[float]]:
    """The factors of every step, over a checkpoint in the middle."""
    named = parameters_of(torch.float32 if backend == "emulated" else torch.float64)
    transform = gs.GradientTransform(named, method, backend=backend)
    factors = []
    for step in range(1, STEPS + 1):
        put(named, step)
        transform.step()
        factors.append([tensor.factor for tensor in transform.report().tensors])
        if step == STEPS // 2:
            state = copy.deepcopy(transform.state_dict())
            transform = gs.GradientTransform(named, method, backend=backend)
            transform.load_state_dict(state)
    return factors


@pytest.mark.parametrize("backend", ["", "reference", "emulated"])
def test_it_clips_to_the_percentile_of_numpy(backend: str) -> None:
    expected = factors_by_numpy(RECORDED)
    tolerance = 1e-6 if backend == "emulated" else TOLERANCE  # norms of gradients that are rounded to float32
    for found, factor in zip(run(PercentileClip(), backend), expected):
        assert found == pytest.approx([factor, factor], abs=tolerance)
    assert sum(factor < 0.5 for factor in expected) >= 3  # the spikes, at least
    other = factors_by_numpy(RECORDED, 11.0)
    assert any(abs(a - b) > 1e-3 for a, b in zip(other, expected))  # negative control: another percentile


def test_behind_stabilize_it_sees_stabilized_norms() -> None:
    named = parameters_of()
    alone = gs.GradientTransform(named, gs.stabilize())
    norms, stabilized = [], []
    for step in range(1, STEPS + 1):
        put(named, step)
        alone.step()
        norms.append(alone.report().global_norm)
        stabilized.append([tensor.factor for tensor in alone.report().tensors])
    clips = factors_by_numpy(norms)
    for found, before, clip in zip(run(gs.chain(gs.stabilize(), PercentileClip()), ""), stabilized, clips):
        assert found == pytest.approx([factor * clip for factor in before], abs=TOLERANCE)


def steps_of(make: Callable[[list], Any], factors: list[float] | None, named: list[tuple[str, nn.Parameter]]) -> None:
    optimizer = make(named)
    for step in range(1, STEPS + 1):
        put(named, step)
        if factors is not None:
            for _, parameter in named:
                parameter.grad *= factors[step - 1]
        optimizer.step()


@pytest.mark.parametrize(
    "make",
    [
        lambda named: gs.optim.AdamW(named, lr=0.01, transform=PercentileClip()),
        lambda named: gs.wrap(torch.optim.AdamW([p for _, p in named], lr=0.01), PercentileClip(), named_parameters=named),
    ],
    ids=["fused", "wrapped"],
)
def test_in_front_of_an_optimizer(make: Callable[[list], Any]) -> None:
    ours, plain = parameters_of(), parameters_of()
    steps_of(make, None, ours)
    steps_of(lambda named: torch.optim.AdamW([p for _, p in named], lr=0.01), factors_by_numpy(RECORDED), plain)
    for (_, found), (_, expected), (_, start) in zip(ours, plain, parameters_of()):
        torch.testing.assert_close(found.data, expected.data, rtol=0, atol=1e-10)
        assert not torch.allclose(found, start)


def test_a_checkpoint_of_a_fused_optimizer_has_it() -> None:
    def made(named: list) -> Any:
        return gs.optim.AdamW(named, lr=0.01, transform=gs.chain(PercentileClip(), gs.stabilize()))

    whole, parts = parameters_of(), parameters_of()
    steps_of(made, None, whole)
    optimizer = made(parts)
    for step in range(1, STEPS + 1):
        put(parts, step)
        optimizer.step()
        if step == STEPS // 2:
            state = pickle.loads(pickle.dumps(optimizer.state_dict()))
            optimizer = made(parts)
            optimizer.load_state_dict(state)
    assert same_bits([p.data for _, p in whole], [p.data for _, p in parts])


def test_two_shards_decide_as_the_whole() -> None:
    """The operators that shards are made of: sums of the squares of parts, and the decision on them."""
    expected = factors_by_numpy(RECORDED)
    natives = [PercentileClip().make("skip_tensor", "") for _ in range(2)]
    for native in natives:
        native.bind_shapes(["matrix", "vector"], [[12], [6]], [[6], [3]], [])
    for step in range(1, STEPS + 1):
        parts = [[gradient.reshape(2, -1)[shard].clone() for gradient in gradients_of(step)] for shard in range(2)]
        squares = sum(torch.ops.gradient_stabilizer.squared_norms(part) for part in parts)
        for native in natives:
            assert native.decide(squares).tolist() == pytest.approx([expected[step - 1]] * 2, abs=TOLERANCE)


class Counting(gs.NormMethod):
    """Halves everything, and counts."""

    name = "counting"
    all_units = False

    def __init__(self, answer: Callable[[gs.UnitSteps], Any] | None = None) -> None:
        self.answer = answer
        self.steps = 0
        self.sums: list[float] = []

    def reset(self, units: int) -> None:
        self.sums = [0.0] * units

    def decide(self, units: gs.UnitSteps) -> Any:
        self.steps += 1
        for index, norm in zip(units.index.tolist(), units.norms.tolist()):
            self.sums[index] += norm
        return [0.5] * len(units.index) if self.answer is None else self.answer(units)

    def save(self) -> Any:
        return {"steps": self.steps}

    def load(self, values: Any, version: int) -> None:
        self.steps = int(values["steps"])

    def save_unit(self, unit: int) -> Any:
        return {"sum": self.sums[unit]}

    def load_unit(self, unit: int, values: Any, version: int) -> None:
        self.sums[unit] = values["sum"].item()


def raises(error: BaseException) -> Callable[[Any], Any]:
    def answer(units: gs.UnitSteps) -> Any:
        raise error

    return answer


FAILURES = [
    (raises(ZeroDivisionError("too small")), RuntimeError, "'counting': decide raised ZeroDivisionError: too small"),
    (raises(KeyError("a")), RuntimeError, "'counting': decide raised KeyError: 'a'"),
    (lambda units: [0.5], ValueError, "'counting': decide gave 1 factors for 2 units"),
    (lambda units: [0.5] * 3, ValueError, "'counting': decide gave 3 factors for 2 units"),
    (lambda units: None, ValueError, "'counting': decide gave None as factors, expected 2 numbers"),
    (lambda units: ([0.5, 0.5], [True]), ValueError, "'counting': decide gave 1 spikes for 2 units"),
    (
        lambda units: [0.5, float("nan")],
        ValueError,
        "'counting': the factor of unit 1 is nan, expected a finite number of at least 0",
    ),
    (lambda units: [-1, 1], ValueError, "'counting': the factor of unit 0 is -1, expected a finite number of at least 0"),
]


@pytest.mark.parametrize(("answer", "error", "message"), FAILURES, ids=range(len(FAILURES)))
@pytest.mark.parametrize("optimizes", [False, True], ids=["transform", "optimizer"])
def test_a_failure_leaves_everything_as_it_was(answer: Any, error: type, message: str, optimizes: bool) -> None:
    calls: list[int] = []

    def at_third(units: gs.UnitSteps) -> Any:
        calls.append(1)
        return answer(units) if len(calls) == 3 else [0.5] * len(units.index)

    method = gs.chain(gs.stabilize(), Counting(at_third))
    named = parameters_of()
    if optimizes:
        ours: Any = gs.optim.AdamW(named, transform=method)
    else:
        ours = gs.GradientTransform(named, method)
    for step in (1, 2):
        put(named, step)
        ours.step()
    put(named, 3)
    state = copy.deepcopy(ours.state_dict())
    before = [parameter.detach().clone() for _, parameter in named]
    with pytest.raises(error) as raised:
        ours.step()
    assert str(raised.value) == message
    assert isinstance(raised.value.__cause__, (Exception, type(None)))
    assert same_bits(before, [parameter.data for _, parameter in named])
    assert same_bits(gradients_of(3), [parameter.grad for _, parameter in named])
    assert same_state(ours.state_dict(), state)
    ours.step()
    assert not same_bits(gradients_of(3) + before, [p.grad for _, p in named] + [p.data for _, p in named])


def test_the_cause_is_what_the_method_has_raised() -> None:
    named = parameters_of()
    cause = ZeroDivisionError("too small")
    transform = gs.GradientTransform(named, Counting(raises(cause)))
    put(named, 1)
    with pytest.raises(RuntimeError) as raised:
        transform.step()
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    stopped = gs.GradientTransform(named, Counting(raises(KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        stopped.step()


def test_units_spikes_and_what_is_measured() -> None:
    seen: list[gs.UnitSteps] = []

    class Looking(gs.NormMethod):
        name = "looking"
        granularity = "row"
        max_abs = True
        parameter_norms = True

        def decide(self, units: gs.UnitSteps) -> Any:
            seen.append(units)
            return torch.full_like(units.norms, 0.5), units.norms > 4

    named = parameters_of()
    transform = gs.GradientTransform(named, gs.chain(gs.scale_by(2.0), Looking()))
    put(named, 1)
    matrix, vector = gradients_of(1)
    transform.step()
    rows = [*matrix, vector]
    values_of_rows = [*named[0][1].detach(), named[1][1].detach()]
    assert seen[0].index.tolist() == [0, 1, 2, 3]
    assert seen[0].norms.tolist() == pytest.approx([2 * row.norm().item() for row in rows])
    assert seen[0].max_abs.tolist() == pytest.approx([2 * row.abs().max().item() for row in rows])
    assert seen[0].parameter_norms.tolist() == pytest.approx([row.norm().item() for row in values_of_rows])
    assert seen[0].finite.all()
    assert same_bits([matrix, vector], [parameter.grad for _, parameter in named])  # 2 times 0.5
    assert transform.report().tensors[1].spike == (2 * vector.norm().item() > 4)


def test_each_transform_has_a_copy_and_none_is_left_behind() -> None:
    pattern = Counting()
    named = parameters_of()
    first, second = gs.GradientTransform(named, pattern), gs.GradientTransform(named, pattern, check_repeats=False)
    put(named, 1)
    first.step()
    second.step()
    second.step()
    assert first.statistics()["0.counting.steps"].tolist() == [1.0]
    assert second.statistics()["0.counting.steps"].tolist() == [2.0]
    assert first.statistics()["0.counting.sum"].tolist() == pytest.approx([g.norm().item() for g in gradients_of(1)])
    assert pattern.steps == 0
    restored = pickle.loads(pickle.dumps(first))
    assert restored.statistics()["0.counting.steps"].tolist() == [1.0]
    del first, second, restored
    before = len(_own_methods._alive)
    for _ in range(10):
        gs.GradientTransform(parameters_of(), pattern)
    assert len(_own_methods._alive) <= before + 3


def test_in_backward_where_it_is_content_with_some_units() -> None:
    model, twin = make_model(), make_model()
    gs.optimizer_in_backward(model, gs.optim.SGD, lr=0.1, transform=Counting())
    plain = torch.optim.SGD(twin.parameters(), lr=0.05)
    for step in range(3):
        loss_of(model, step).backward()
        backward(twin, step)
        plain.step()
    for found, expected in zip(values(model), values(twin)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises((TypeError, RuntimeError), match="'percentile_clip' needs the norms of all"):
        gs.optimizer_in_backward(make_model(), gs.optim.SGD, lr=0.1, transform=PercentileClip())


def test_what_cannot_hold_is_refused_in_words() -> None:
    class Renamed(Counting):
        name = "zclip"

    named = parameters_of()
    with pytest.raises(ValueError, match="a method is called 'zclip', which is one of the library's own"):
        gs.GradientTransform(named, Renamed())
    with pytest.raises(TypeError, match="'counting' stands behind 'clip_by_value', which has already changed"):
        gs.chain(gs.clip_by_value(1.0), Counting())

    class Largest(Counting):
        max_abs = True

    with pytest.raises(TypeError, match="counting with these settings needs whole gradients"):
        from gradient_stabilizer._sharding import check_method

        check_method(Largest())

    class Later(Counting):
        version = 2

    saved = gs.GradientTransform(named, Later()).state_dict()
    with pytest.raises(ValueError, match="has version 2, which this one, of version 1, does not read"):
        gs.GradientTransform(named, Counting()).load_state_dict(saved)
    with pytest.raises(ValueError, match="percentile = 10 here but percentile = 20 in the saved state"):
        other = gs.GradientTransform(named, PercentileClip(20)).state_dict()
        gs.GradientTransform(named, PercentileClip(10)).load_state_dict(other)
