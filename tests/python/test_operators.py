"""The operators that a compiled function may contain."""

from __future__ import annotations

import pytest
import torch

import gradient_stabilizer as gs
from gradient_stabilizer import _native

ops = torch.ops.gradient_stabilizer


def make(count: int = 2) -> tuple[object, list[torch.Tensor]]:
    native = gs.stabilize().make("skip_tensor", "")
    native.bind_shapes([f"p{i}" for i in range(count)], [[3]] * count, [], [])
    return native, [torch.tensor([3.0, 4.0, 0.0]) * (i + 1) for i in range(count)]


def test_update_scales_in_place_and_returns_the_norms_before() -> None:
    native, gradients = make()
    versions = [gradient._version for gradient in gradients]
    norms = ops.update_(native.id(), [0, 1], gradients, [])
    assert norms.tolist() == [5.0, 10.0] and norms.dtype == torch.float64
    for gradient, version in zip(gradients, versions):
        assert gradient.norm().item() == pytest.approx(1.0, rel=1e-6)
        assert gradient._version > version


def test_wrong_calls_are_refused() -> None:
    native, gradients = make()
    number = native.id()
    for arguments, kind, message in (
        ((number, [0], gradients, []), ValueError, "1 positions, 2 gradients"),
        ((number, [0, 7], gradients, []), ValueError, "position 7"),
        ((number, [0, 1], [torch.zeros(3), torch.zeros(4)], []), ValueError, r"\[4\], expected \[3\]"),
        ((10**6, [0, 1], gradients, []), RuntimeError, "no transform of id 1000000"),
    ):
        with pytest.raises(kind, match=message):
            _native.call(ops.update_, *arguments)
    del native
    with pytest.raises(RuntimeError, match="as long as the object"):
        _native.call(ops.update_, number, [0, 1], gradients, [])


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch 1.13 does not trace operators of others")
def test_tracing_sees_shapes_without_running() -> None:
    native, _ = make()
    meta = [torch.empty(3, device="meta") for _ in range(2)]
    norms = ops.update_(native.id(), [0, 1], meta, [])
    assert (norms.device.type, norms.shape, norms.dtype) == ("meta", (2,), torch.float64)
    assert ops.squared_norms(meta).shape == (2,)
    ops.scale_(meta, torch.empty(2, device="meta"))


def skip_where_unusable(backend: str) -> None:
    """inductor needs a C++ compiler and the headers of Python."""
    try:
        torch.compile(lambda x: x * 2 + 1, backend=backend)(torch.ones(3))
    except Exception as error:  # torch's own, of several kinds
        pytest.skip(f"{backend} does not work here: {error}")


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch.compile came with torch 2.0")
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_function_may_contain_it(backend: str) -> None:
    skip_where_unusable(backend)
    native, gradients = make()
    twin, expected = make()
    number = native.id()

    def halve_and_stabilize(gradients: list[torch.Tensor]) -> torch.Tensor:
        for gradient in gradients:
            gradient.mul_(0.5)
        return ops.update_(number, [0, 1], gradients, []) * 2

    compiled = torch.compile(halve_and_stabilize, backend=backend, fullgraph=True)
    norms = compiled(gradients)
    for gradient in expected:
        gradient.mul_(0.5)
    assert torch.equal(norms, ops.update_(twin.id(), [0, 1], expected, []) * 2)
    assert all(torch.equal(a, b) for a, b in zip(gradients, expected))


@pytest.mark.skipif(not hasattr(torch.library, "opcheck"), reason="opcheck came with torch 2.4")
def test_torchs_own_check_of_operators_passes() -> None:
    gradients = [torch.tensor([3.0, 4.0, 0.0]), torch.tensor([1.0, 0.0, 0.0])]
    torch.library.opcheck(ops.squared_norms.default, (gradients,))
    torch.library.opcheck(ops.scale_.default, (gradients, torch.tensor([2.0, 0.5], dtype=torch.float64)))


def test_squared_norms_and_scale_take_any_layout_and_dtype() -> None:
    torch.manual_seed(0)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        tensors = [torch.randn(4, 5).to(dtype), torch.randn(5, 6).to(dtype).t()[::2], torch.randn(0, 3).to(dtype)]
        expected = [tensor.double().square().sum().item() for tensor in tensors]
        # Of 16-bit types two neighbouring squares are first added in float32.
        tolerance = 2.0**-23 if torch.finfo(dtype).bits == 16 else 1e-13
        assert ops.squared_norms(tensors).tolist() == pytest.approx(expected, rel=tolerance)
        before = [tensor.double().clone() for tensor in tensors]
        ops.scale_(tensors, torch.tensor([0.5, 4.0, 1.0], dtype=torch.float64))
        for tensor, old, factor in zip(tensors, before, (0.5, 4.0, 1.0)):
            assert torch.equal(tensor.double(), old * factor)
    broken = [torch.tensor([float("nan"), 1.0])]
    ops.scale_(broken, torch.zeros(1, dtype=torch.float64))
    assert broken[0].tolist() == [0.0, 0.0]
