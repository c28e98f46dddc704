"""Gradients and parameters whose memory does not hold what they are: each entry point does with them what it does with
the same numbers in memory, or refuses them by name and says what to do.

docs/python.md, "What gradients and parameters may be".
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Callable

import pytest
import torch
from torch import nn

import gradient_stabilizer as gs
from gradient_stabilizer import _native
from gradient_stabilizer._hooks import on_gradient

TORCH2 = hasattr(torch, "compile")
ops = torch.ops.gradient_stabilizer


def numbers(shape: tuple[int, ...] = (4, 3), seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def negative(value: torch.Tensor) -> torch.Tensor:
    """The same numbers, with the sign still to be turned."""
    lazy = torch.complex(torch.zeros_like(value), -value).conj().imag
    assert lazy.is_neg() and torch.equal(lazy, value)
    return lazy


def zero(value: torch.Tensor) -> torch.Tensor:
    return torch._efficientzerotensor(value.shape, dtype=value.dtype)


def expanded(value: torch.Tensor) -> torch.Tensor:
    return value[:1].expand(value.shape)


def overlapping(value: torch.Tensor) -> torch.Tensor:
    """Rows that begin one element after each other."""
    return value.flatten().as_strided(value.shape, (1,) * value.dim())


def in_pieces(value: torch.Tensor) -> torch.Tensor:
    """With gaps in memory."""
    wide = torch.zeros(*value.shape[:-1], 2 * value.shape[-1])
    wide[..., ::2] = value
    return wide[..., ::2]


LAZY = {
    "negative": negative,
    "zero": zero,
    "expanded": expanded,
    "overlapping": overlapping,
    "in pieces": in_pieces,
}

Case = Callable[[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]], list[torch.Tensor]]


def parameter_with(lazy: Callable[[torch.Tensor], torch.Tensor], value: torch.Tensor) -> nn.Parameter:
    parameter = nn.Parameter(numbers(tuple(value.shape), 9))
    parameter.grad = lazy(value)
    return parameter


def stepped(make: Callable[[list[nn.Parameter]], Any]) -> Case:
    """Three steps of an optimizer: the parameter, and what is left of the gradient."""

    def run(value: torch.Tensor, lazy: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        parameter = parameter_with(lazy, value)
        optimizer = make([parameter])
        for step in range(3):
            parameter.grad = lazy(value * (step + 1))
            optimizer.step()
        return [parameter.detach()]

    return run


def transformed(transform: Callable[[nn.Parameter], Any]) -> Case:
    """Gradients after they were transformed twice."""

    def run(value: torch.Tensor, lazy: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
        parameter = parameter_with(lazy, value)
        apply = transform(parameter)
        results = []
        for step in range(2):
            parameter.grad = lazy(value * (step + 1))
            apply(parameter)
            results.append(parameter.grad + 0)
        return results

    return run


class InBackward:
    """Three backwards that leave such gradients; what is attached to the parameter afterwards meets them."""

    def __init__(self, value: torch.Tensor, lazy: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.parameter = nn.Parameter(numbers(tuple(value.shape), 9))
        self.step = 0

        def leave() -> None:
            self.step += 1
            self.parameter.grad = lazy(value * self.step)

        on_gradient(self.parameter, leave)

    def backward(self) -> None:
        self.parameter.grad = None
        self.parameter.sum().backward()


def in_backward(value: torch.Tensor, lazy: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    scene = InBackward(value, lazy)
    gs.optimizer_in_backward(nn.ParameterList([scene.parameter]), gs.optim.AdamW, lr=0.1)
    for _ in range(3):
        scene.backward()
        assert scene.parameter.grad is None
    return [scene.parameter.detach()]


def measured(value: torch.Tensor, lazy: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    scene = InBackward(value, lazy)
    optimizer = gs.optim.AdamW([scene.parameter], lr=0.1)
    gs.measure_in_backward(optimizer)
    for _ in range(3):
        scene.backward()
        optimizer.step()
    return [scene.parameter.detach()]


def by_operator(parameter: nn.Parameter) -> Any:
    native = gs.chain(gs.clip_by_value(0.5), gs.stabilize()).make("skip_tensor", "")
    native.bind_shapes(["p"], [list(parameter.shape)], [], [])
    return lambda parameter: ops.update_(native.id(), [0], [parameter.grad], [])


def by_parts(parameter: nn.Parameter) -> Any:
    def apply(parameter: nn.Parameter) -> None:
        squared = ops.squared_norms([parameter.grad])
        ops.scale_([parameter.grad], 1.0 / (1.0 + squared))

    return apply


def by_state(parameter: nn.Parameter) -> Any:
    state = gs.GradientState()
    return lambda parameter: gs.stabilize_grad_([parameter], state)


#: Those that are given a parameter, and may replace its gradient.
ENTRIES: dict[str, Case] = {
    "SGD": stepped(lambda p: gs.optim.SGD(p, lr=0.1, transform=None)),
    "SGD momentum": stepped(lambda p: gs.optim.SGD(p, lr=0.1, momentum=0.9, nonfinite="pass_through", transform=None)),
    "AdamW": stepped(lambda p: gs.optim.AdamW(p, lr=0.1)),
    "Lion chain": stepped(lambda p: gs.optim.Lion(p, lr=0.1, transform=gs.chain(gs.clip_by_value(0.5), gs.stabilize()))),
    "AdamMini": stepped(lambda p: gs.optim.AdamMini([("mlp.weight", p[0])], lr=0.1)),
    "SPAM": stepped(lambda p: gs.optim.SPAM(p, lr=0.1)),
    "Adam agc": stepped(lambda p: gs.optim.Adam(p, lr=0.1, transform=gs.agc(0.01))),
    "AdamW emulated": stepped(lambda p: gs.optim.AdamW(p, lr=0.1, backend="emulated")),
    "wrap": stepped(lambda p: gs.wrap(torch.optim.SGD(p, lr=0.1))),
    "wrap agc": stepped(lambda p: gs.wrap(torch.optim.AdamW(p, lr=0.1), gs.agc(0.01))),
    "wrap rows": stepped(lambda p: gs.wrap(torch.optim.SGD(p, lr=0.1), gs.stabilize(granularity="row"))),
    "compat": stepped(lambda p: gs.compat.GSWrapper(torch.optim.SGD(p, lr=0.1))),
    "in backward": in_backward,
    "measured in backward": measured,
    "GradientStabilizer": transformed(lambda p: (lambda s: lambda _: s.step())(gs.GradientStabilizer([p]))),
    "elements": transformed(lambda p: (lambda s: lambda _: s.step())(gs.GradientTransform([p], gs.clip_by_value(0.3)))),
    "emulated": transformed(
        lambda p: (lambda s: lambda _: s.step())(gs.GradientStabilizer([p], backend="emulated"))
    ),
    "stabilize_grad_": transformed(by_state),
    "compat stabilizer": transformed(lambda p: (lambda s: lambda p: s([p]))(gs.compat.GradientStabilizer())),
}
#: Those that are given gradients, and can only write them.
ON_GRADIENTS = {"update_": transformed(by_operator), "squared_norms and scale_": transformed(by_parts)}


def in_memory(lazy: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same numbers, contiguous."""
    return lambda value: lazy(value).clone().contiguous().resolve_neg() + 0


@pytest.mark.parametrize("kind", LAZY)
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_gradient_counts_as_its_numbers(entry: str, kind: str) -> None:
    run, lazy = ENTRIES[entry], LAZY[kind]
    got, expected = run(numbers(), lazy), run(numbers(), in_memory(lazy))
    # Sums over memory with gaps are in another order.
    tolerance = 2.0**-22 if kind == "in pieces" else 0.0
    for a, b in zip(got, expected):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    if kind == "negative":  # negative control: the numbers in memory have the other sign
        wrong = run(numbers(), lambda value: -value)
        assert any((a - b).abs().max() > 1e-3 for a, b in zip(wrong, expected))


@pytest.mark.parametrize("kind", ["negative", "zero", "in pieces"])
@pytest.mark.parametrize("entry", ON_GRADIENTS)
def test_a_gradient_that_can_be_written_is_written(entry: str, kind: str) -> None:
    run, lazy = ON_GRADIENTS[entry], LAZY[kind]
    for a, b in zip(run(numbers(), lazy), run(numbers(), in_memory(lazy))):
        torch.testing.assert_close(a, b, rtol=2.0**-22, atol=2.0**-22)


def test_a_gradient_whose_elements_share_memory_cannot_be_written_through_operators() -> None:
    native = gs.stabilize().make("skip_tensor", "")
    native.bind_shapes(["weight"], [[4, 3]], [], [])
    with pytest.raises(TypeError, match="'weight' overlaps itself.*contiguous copy"):
        _native.call(ops.update_, native.id(), [0], [expanded(numbers())], [])


def test_torchs_own_optimizers_step_the_same_way() -> None:
    """The shapes in which autograd itself gives negative gradients (scalars), by loss.backward()."""
    for shape in ((), (1,), (1, 1)):
        results = []
        for make in (lambda p: torch.optim.SGD(p, lr=0.1), lambda p: gs.optim.SGD(p, lr=0.1, transform=None)):
            parameter = nn.Parameter(torch.full(shape, 0.3))
            optimizer = make([parameter])
            losses = []
            for _ in range(5):
                optimizer.zero_grad()
                loss = (torch.complex(torch.ones(shape), parameter).conj().imag + 1.0).square().sum()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            results.append(losses)
        assert results[0] == pytest.approx(results[1], rel=1e-6)
        assert results[1][-1] < results[1][0]


@pytest.mark.parametrize(
    "code",
    [
        "gs.optim.SGD([p], lr=1.0).step()",
        "gs.wrap(torch.optim.SGD([p], lr=1.0)).step()",
        "gs.stabilize_grad_([p], gs.GradientState())",
        "gs.GradientStabilizer([p], backend='emulated').step()",
    ],
)
def test_no_memory_is_read_or_written_that_is_not_there(code: str) -> None:
    """In a process of its own, because what is wrong here ends it."""
    program = (
        "import torch, gradient_stabilizer as gs\n"
        "p = torch.nn.Parameter(torch.ones(1000000))\n"
        "p.grad = torch._efficientzerotensor(1000000)\n"
        f"{code}\n"
        "assert (p == 1).all() and (p.grad + 0 == 0).all()\n"
    )
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PARAMETERS = {"negative": negative, "in pieces": in_pieces}


@pytest.mark.parametrize("kind", PARAMETERS)
@pytest.mark.parametrize("backend", ["", "emulated"])
def test_a_parameter_counts_as_its_numbers(kind: str, backend: str) -> None:
    results = []
    for lazy in (PARAMETERS[kind], lambda value: value.clone()):
        parameter = nn.Parameter(lazy(numbers(seed=9)))
        optimizer = gs.optim.AdamW([parameter], lr=0.1, backend=backend)
        for step in range(3):
            parameter.grad = numbers(seed=step)
            optimizer.step()
        entry = optimizer.state[parameter]
        results.append([parameter.detach() + 0, entry["exp_avg"], entry["exp_avg_sq"]])
    for a, b in zip(*results):
        assert torch.equal(a, b)


def test_what_is_compared_with_a_lazy_parameter_is_its_numbers() -> None:
    results = []
    for lazy in (negative, expanded, zero):
        for value in (lazy(numbers(seed=9)), lazy(numbers(seed=9)).clone().resolve_neg() + 0):
            parameter = nn.Parameter(value, requires_grad=True)
            parameter.grad = numbers()
            gs.GradientTransform([parameter], gs.agc(0.01)).step()
            results.append(parameter.grad)
    for a, b in zip(results[::2], results[1::2]):
        torch.testing.assert_close(a, b, rtol=2**-22, atol=0)


class Outside(torch.Tensor):
    """A subclass whose numbers are in another tensor."""

    inside: torch.Tensor

    @staticmethod
    def __new__(cls, inside: torch.Tensor) -> Outside:
        outside = torch.Tensor._make_wrapper_subclass(cls, inside.shape, dtype=inside.dtype)
        outside.inside = inside
        return outside

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), settings: Any = None) -> Any:
        unwrap = lambda value: value.inside if isinstance(value, Outside) else value  # noqa: E731
        result = function(*(unwrap(value) for value in arguments), **(settings or {}))
        return cls(result) if isinstance(result, torch.Tensor) else result


def fake() -> torch.Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.ones(4, 3)


def freed() -> torch.Tensor:
    tensor = torch.ones(4, 3)
    (tensor.untyped_storage() if TORCH2 else tensor.storage()).resize_(0)
    return tensor


def given_to_vmap(use: Callable[[torch.Tensor], Any]) -> None:
    transforms = torch.func if TORCH2 else pytest.importorskip("functorch")
    transforms.vmap(lambda value: (use(value), value)[1])(torch.ones(2, 4, 3))


#: What no entry point can use, and words that say why and what to do.
IMPOSSIBLE: dict[str, tuple[Callable[[], torch.Tensor], str]] = {
    "meta": (lambda: torch.empty(4, 3, device="meta"), "device meta.*to_empty"),
    "compressed rows": (lambda: torch.eye(4, 3).to_sparse_csr(), "layout.*to_dense"),
    "mkldnn": (lambda: torch.ones(4, 3).to_mkldnn(), "mkldnn.*to_dense"),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(4, 3), 0.1, 0, torch.qint8), "quantized.*dequantize"),
    "subclass": (lambda: Outside(torch.ones(4, 3)), "subclass.*plain tensor"),
    "fake": (fake, "subclass.*plain tensor"),
    "integers": (lambda: torch.ones(4, 3, dtype=torch.int64), "dtype Long"),
    "freed": (freed, "no memory.*freed"),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_cannot_be_used_is_refused_by_name_with_a_remedy(kind: str) -> None:
    make, words = IMPOSSIBLE[kind]
    native = gs.stabilize().make("skip_tensor", "")
    native.bind_shapes(["weight"], [[4, 3]], [], [])
    with pytest.raises(TypeError, match=f"gradient of 'weight' .*{words}"):
        _native.call(native.step_at, [0], [make()], [])
    # The optimizer refuses it as well, and goes on with the next gradient.
    parameter = nn.Parameter(torch.ones(4, 3))
    optimizer = gs.optim.AdamW([("weight", parameter)], lr=0.1)
    try:
        parameter.grad = make()
    except (RuntimeError, TypeError):
        return  # torch does not take it for a gradient
    with pytest.raises(TypeError, match=f"gradient of 'weight' .*{words}"):
        optimizer.step()
    assert torch.equal(parameter.detach(), torch.ones(4, 3))
    parameter.grad = torch.ones(4, 3)
    optimizer.step()
    assert not torch.equal(parameter.detach(), torch.ones(4, 3))


@pytest.mark.parametrize("kind", ["meta", "subclass", "fake", "freed"])
def test_parameters_that_cannot_be_updated_are_refused_by_name(kind: str) -> None:
    make, words = IMPOSSIBLE[kind]
    parameter = nn.Parameter(make())
    optimizer = gs.optim.AdamW([("weight", parameter)], lr=0.1)
    parameter.grad = make()
    with pytest.raises(TypeError, match=f"'weight' .*{words}"):
        optimizer.step()


@pytest.mark.parametrize("lazy, words", [(zero, "ZeroTensor.*clone"), (expanded, "overlaps itself.*contiguous copy")])
def test_parameters_that_cannot_be_written_are_refused_as_torch_refuses_them(
    lazy: Callable[[torch.Tensor], torch.Tensor], words: str
) -> None:
    parameter = nn.Parameter(lazy(numbers()))
    parameter.grad = numbers()
    with pytest.raises(RuntimeError):
        torch.optim.SGD([parameter], lr=0.1).step()
    with pytest.raises(TypeError, match=f"parameter 'weight' .*{words}"):
        gs.optim.SGD([("weight", parameter)], lr=0.1).step()


def test_tensors_of_torch_func_are_refused() -> None:
    native = gs.stabilize().make("skip_tensor", "")
    native.bind_shapes(["weight"], [[4, 3]], [], [])

    def use(value: torch.Tensor) -> None:
        with pytest.raises(TypeError, match="gradient of 'weight' .*torch.func.*outside"):
            _native.call(native.step_at, [0], [value], [])

    given_to_vmap(use)


@pytest.mark.parametrize("layout", [torch.strided, getattr(torch, "jagged", None)])
def test_nested_tensors_are_refused(layout: Any) -> None:
    if layout is None or not TORCH2:
        pytest.skip("this torch does not have them")
    value = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)], layout=layout)
    parameter = nn.Parameter(value)
    for make in (
        lambda: gs.optim.SGD([("weight", parameter)], lr=0.1),
        lambda: gs.GradientStabilizer([("weight", parameter)]),
        lambda: gs.compat.GradientStabilizer()([parameter]),
    ):
        with pytest.raises(TypeError, match="nested tensor.*its parts"):
            make()
