"""Sparse gradients and complex parameters: as torch's own optimizers take them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import gradient_stabilizer as gs

TORCH2 = hasattr(torch, "compile")


def embedding(sparse: bool) -> nn.Embedding:
    torch.manual_seed(0)
    return nn.Embedding(12, 4, sparse=sparse).double()


def train(model: nn.Embedding, optimizer: Any, steps: int = 6) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.tensor([1, 2, 2, 7 + step % 3])).sin().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}], ids=str)
@pytest.mark.parametrize("backend", ["", "emulated"])
def test_sgd_takes_sparse_gradients_as_torchs_does(settings: dict[str, Any], backend: str) -> None:
    model, twin, dense = embedding(True), embedding(True), embedding(False)
    train(model, gs.optim.SGD(model.parameters(), lr=0.1, transform=None, backend=backend, **settings))
    train(twin, torch.optim.SGD(twin.parameters(), lr=0.1, **settings))
    torch.testing.assert_close(model.weight, twin.weight, rtol=1e-12, atol=1e-14)
    # With a transform in front, it is what it is of the same gradient, dense.
    for each in (model, dense):
        each.load_state_dict(embedding(False).state_dict())
        optimizer = gs.optim.SGD(each.parameters(), lr=0.1, **settings)
        train(each, optimizer)
        assert optimizer.report().tensors[0].norm == pytest.approx(1.0, rel=0.5)
    torch.testing.assert_close(model.weight, dense.weight, rtol=1e-12, atol=1e-14)
    assert not torch.equal(model.weight, twin.weight)


def test_coalesced_or_not_is_the_same() -> None:
    models = [embedding(True) for _ in range(2)]
    for model, coalesced in zip(models, (False, True)):
        optimizer = gs.optim.SGD(model.parameters(), lr=0.1)
        model(torch.tensor([1, 1, 3])).square().sum().backward()
        if coalesced:
            model.weight.grad = model.weight.grad.coalesce()
        optimizer.step()
    assert torch.equal(models[0].weight, models[1].weight)


@pytest.mark.parametrize("make", [gs.optim.Adam, gs.optim.AdamW, gs.optim.Lion, gs.optim.SPAM])
def test_the_others_say_what_to_use_instead(make: Any) -> None:
    model = embedding(True)
    optimizer = make(model.named_parameters(), lr=0.1)
    model(torch.tensor([1, 1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        torch.optim.AdamW(model.parameters()).step()
    before = model.weight.detach().clone()
    for _ in range(2):
        with pytest.raises(TypeError, match=r"gradient of 'weight' is sparse.*SGD is the only.*SparseAdam.*sparse=False"):
            optimizer.step()
        model.weight.grad = model.weight.grad.coalesce()
    assert torch.equal(model.weight, before)


def test_what_is_said_there_works() -> None:
    model = embedding(True)
    optimizer = gs.wrap(torch.optim.SparseAdam(list(model.parameters()), lr=0.1), named_parameters=model.named_parameters())
    before = model.weight.detach().clone()
    train(model, optimizer)
    moved = (model.weight != before).any(1).nonzero().flatten().tolist()
    assert moved == [1, 2, 7, 8, 9]
    assert optimizer.report()["weight"].norm == pytest.approx(1.0, rel=0.5)


# ---- Complex parameters ----


def complex_model(dtype: torch.dtype = torch.complex128) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), ()]
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in shapes]


def real_model(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    return [nn.Parameter(torch.view_as_real(parameter.detach()).clone()) for parameter in parameters]


def gradients(parameters: list[nn.Parameter], step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(10 + step)
    scale = 50.0 if step == 3 else 1.0
    return [scale * torch.randn(p.shape, generator=generator, dtype=torch.complex128).to(p.dtype) for p in parameters]


MAKERS = {
    "SGD": (gs.optim.SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    # torch 1.13 has no amsgrad for complex parameters.
    "Adam": (gs.optim.Adam, torch.optim.Adam, {"lr": 0.1, "amsgrad": TORCH2}),
    "AdamW": (gs.optim.AdamW, torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("lazily", [False, True], ids=["", "conjugated"])
def test_complex_parameters_are_updated_as_torchs_own_update_them(name: str, lazily: bool) -> None:
    ours, own, settings = MAKERS[name]
    parameters, twins = complex_model(), complex_model()
    optimizer, reference = ours(parameters, **settings, transform=None), own(twins, **settings)
    for step in range(6):
        for parameter, twin, gradient in zip(parameters, twins, gradients(parameters, step)):
            parameter.grad = gradient.conj().resolve_conj().conj() if lazily else gradient
            assert parameter.grad.is_conj() == lazily
            twin.grad = gradient.clone()
        optimizer.step()
        reference.step()
    for parameter, twin in zip(parameters, twins):
        torch.testing.assert_close(parameter, twin, rtol=1e-12, atol=1e-13)
        for key, value in reference.state[twin].items():
            if key != "step":
                torch.testing.assert_close(optimizer.state[parameter][key], value, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64])
@pytest.mark.parametrize(
    "method", [gs.stabilize(), gs.agc(0.01), gs.chain(gs.clip_by_value(0.5), gs.zclip(warmup_steps=2))], ids=str
)
def test_complex_gradients_are_transformed_as_pairs_of_reals(method: gs.Method, dtype: torch.dtype) -> None:
    parameters = complex_model(dtype)
    reals = real_model(parameters)
    reals[1] = nn.Parameter(reals[1].detach()[None])  # a vector has no rows, complex or not
    transform, reference = gs.GradientTransform(parameters, method), gs.GradientTransform(reals, method)
    for step in range(4):
        for parameter, real, gradient in zip(parameters, reals, gradients(parameters, step)):
            parameter.grad = gradient.clone().conj().resolve_conj().conj()
            real.grad = torch.view_as_real(gradient).clone().reshape(real.shape)
        transform.step()
        reference.step()
        for parameter, real in zip(parameters, reals):
            assert torch.equal(torch.view_as_real(parameter.grad.resolve_conj()), real.grad.reshape(*parameter.shape, 2))
    # The norm of a complex tensor is that of its absolute values.
    last = gradients(parameters, 3)
    norms = [tensor.raw_norm for tensor in transform.report().tensors]
    if str(method) != "chain(clip_by_value, zclip)":
        assert norms == pytest.approx([gradient.abs().norm().item() for gradient in last], rel=1e-6)


def test_a_lazily_conjugated_parameter_is_written() -> None:
    results = []
    for lazily in (False, True):
        value = torch.randn(4, generator=torch.Generator().manual_seed(0), dtype=torch.complex64)
        parameter = nn.Parameter(value.conj().resolve_conj().conj() if lazily else value)
        assert parameter.is_conj() == lazily
        optimizer = gs.optim.AdamW([parameter], lr=0.1)
        for step in range(3):
            parameter.grad = gradients([parameter], step)[0]
            optimizer.step()
        results.append(parameter.detach().resolve_conj())
    assert torch.equal(*results)


def test_state_of_complex_parameters_is_complex_and_goes_on() -> None:
    parameters = complex_model()
    optimizer = gs.optim.AdamW(parameters, lr=0.1)
    step_of = lambda which, its, step: (  # noqa: E731
        [setattr(p, "grad", g) for p, g in zip(its, gradients(its, step))],
        which.step(),
    )
    for step in range(3):
        step_of(optimizer, parameters, step)
    state = copy.deepcopy(optimizer.state_dict())
    assert state["state"][0]["exp_avg"].dtype == torch.complex128 and state["state"][0]["exp_avg"].shape == (3, 4)
    others = [nn.Parameter(parameter.detach().clone()) for parameter in parameters]
    restored = gs.optim.AdamW(others, lr=0.1)
    restored.load_state_dict(state)
    wrapped = gs.compat.GSWrapper(torch.optim.SGD(complex_model(), lr=0.1))
    for step in range(3, 6):
        step_of(optimizer, parameters, step)
        step_of(restored, others, step)
        step_of(wrapped, [p for group in wrapped.param_groups for p in group["params"]], step)
    for parameter, other in zip(parameters, others):
        assert torch.equal(parameter, other)
