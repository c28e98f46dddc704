"""Arguments that torch's own SGD, Adam and AdamW have: the optimizers of gradient_stabilizer.optim take them all, and
refuse what torch refuses by the same kinds of errors."""

from __future__ import annotations

import inspect
from typing import Any, Callable

import pytest
import torch
from support import backward, make_model, same_bits, train, values
from torch import nn

import gradient_stabilizer as gs

TORCHS_OWN = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}


@pytest.mark.parametrize("name", TORCHS_OWN)
def test_every_argument_of_torchs_own_is_an_argument_here(name: str) -> None:
    own = inspect.signature(TORCHS_OWN[name].__init__).parameters
    here = inspect.signature(getattr(gs.optim, name).__init__).parameters
    assert [argument for argument in own if argument not in here] == []
    positional = lambda parameters: [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]  # noqa: E731
    shared = positional(here)
    assert positional(own)[: len(shared)] == shared, "in the same order"


@pytest.mark.parametrize(
    "name, settings",
    [
        ("SGD", {"fused": True}),
        ("SGD", {"foreach": True, "maximize": False, "differentiable": False}),
        ("SGD", {"lr": torch.tensor(1e-2)}),
        ("Adam", {"fused": True, "capturable": True}),
        ("AdamW", {"foreach": True, "capturable": True, "lr": torch.tensor(1e-2)}),
        ("AdamW", {"fused": False, "betas": (torch.tensor(0.9), torch.tensor(0.999))}),
    ],
)
def test_what_has_no_effect_has_none(name: str, settings: dict[str, Any]) -> None:
    model, twin = make_model(), make_model()
    optimizer = getattr(gs.optim, name)(model.named_parameters(), **{"lr": 1e-2, **settings})
    train(model, optimizer, range(3))
    train(twin, getattr(gs.optim, name)(twin.named_parameters(), lr=1e-2), range(3))
    for a, b in zip(values(model), values(twin)):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)  # of float32 numbers in the place of Python's
    # They stand in the groups, where torch has them.
    for key, value in settings.items():
        assert optimizer.param_groups[0][key] is value


def test_adam_with_decoupled_weight_decay_is_adamw() -> None:
    model, twin, other = make_model(), make_model(), make_model()
    train(model, gs.optim.Adam(model.parameters(), 1e-2, weight_decay=0.1, decoupled_weight_decay=True), range(3))
    train(twin, gs.optim.AdamW(twin.parameters(), 1e-2, weight_decay=0.1), range(3))
    train(other, gs.optim.Adam(other.parameters(), 1e-2, weight_decay=0.1), range(3))
    assert same_bits(values(model), values(twin)) and not same_bits(values(model), values(other))


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.ones(2, 2))


#: What is wrong, and what torch raises for it.
WRONG: list[tuple[str, Callable[[Any], Any], type[Exception], str]] = [
    ("maximize", lambda kind: kind([parameter()], maximize=True), ValueError, "negate the loss"),
    ("differentiable", lambda kind: kind([parameter()], differentiable=True), ValueError, "autograd"),
    ("fused and foreach", lambda kind: kind([parameter()], fused=True, foreach=True), RuntimeError, "foreach"),
    ("fused and differentiable", lambda kind: kind([parameter()], fused=True, differentiable=True), RuntimeError, "autograd"),
    ("lr of two", lambda kind: kind([parameter()], lr=torch.tensor([0.1, 0.1])), ValueError, r"lr must .*\[2\]"),
    ("a single tensor", lambda kind: kind(parameter()), TypeError, "iterable"),
    ("some names", lambda kind: kind([("weight", parameter()), parameter()]), ValueError, "'weight' has a name"),
    ("names of a group", lambda kind: kind([{"params": [parameter()]}, {"params": [("weight", parameter())]}]), ValueError, "names"),
    ("a set in a group", lambda kind: kind([{"params": {parameter()}}]), TypeError, "set"),
    ("a wrong name", lambda kind: kind([parameter()], learning_rate=0.1), TypeError, "learning_rate"),
]
WRONG_FOR_ADAM: list[tuple[str, Callable[[Any], Any], type[Exception], str]] = [
    ("lr and foreach", lambda kind: kind([parameter()], lr=torch.tensor(0.1), foreach=True), ValueError, "lr is a tensor"),
    ("one beta", lambda kind: kind([parameter()], betas=(0.9, torch.tensor(0.99))), ValueError, "two numbers or two tensors"),
    (
        "betas and foreach",
        lambda kind: kind([parameter()], betas=(torch.tensor(0.9), torch.tensor(0.99)), foreach=True),
        ValueError,
        r"betas\[0\] is a tensor",
    ),
    ("betas of two", lambda kind: kind([parameter()], betas=(torch.ones(2) / 2, torch.ones(2) / 2)), ValueError, r"betas\[0\]"),
]


@pytest.mark.parametrize("kind", [gs.optim.SGD, gs.optim.Adam, gs.optim.AdamW])
@pytest.mark.parametrize("wrong, make, error, message", WRONG, ids=[row[0] for row in WRONG])
def test_wrong_arguments_raise_what_torch_raises(kind: Any, wrong: str, make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(kind)


@pytest.mark.parametrize("kind", [gs.optim.Adam, gs.optim.AdamW])
@pytest.mark.parametrize("wrong, make, error, message", WRONG_FOR_ADAM, ids=[row[0] for row in WRONG_FOR_ADAM])
def test_wrong_arguments_of_adam_do_too(kind: Any, wrong: str, make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(kind)


def test_a_set_of_parameters_is_warned_of() -> None:
    with pytest.warns(FutureWarning, match="order"):
        gs.optim.AdamW({parameter(), parameter()})


def test_a_setting_that_is_put_into_a_group_later_is_checked_too() -> None:
    model = make_model()
    optimizer = gs.optim.AdamW(model.parameters())
    backward(model, 0)
    before = values(model)
    optimizer.param_groups[0]["maximize"] = True
    with pytest.raises(ValueError, match="maximize"):
        optimizer.step()
    assert same_bits(values(model), before)


#: Where torch warns of what it will refuse, and here it is refused.
STRICTER = {"a param group cannot have duplicate parameters"}


@pytest.mark.parametrize("name", TORCHS_OWN)
@pytest.mark.parametrize("wrapped", [False, True])
def test_torchs_own_list_of_wrong_arguments(name: str, wrapped: bool) -> None:
    """The table that torch's tests of its optimizers go by: every entry is refused or warned of in the same way."""
    common = pytest.importorskip("torch.testing._internal.common_optimizers", reason="this torch has no such list")
    (info,) = [one for one in common.optim_db if one.optim_cls is TORCHS_OWN[name]]
    kind = (lambda params, **settings: gs.wrap(info.optim_cls(params, **settings))) if wrapped else getattr(gs.optim, name)
    entries = info.optim_error_inputs_func(device="cpu", dtype=torch.float32)
    assert len(entries) > 5
    for entry in entries:
        given = entry.optimizer_error_input
        params = [parameter()] if given.params is None else given.params
        error = ValueError if given.desc in STRICTER else entry.error_type
        expect = pytest.warns if issubclass(error, Warning) else pytest.raises
        with expect(error):
            kind(params, **given.kwargs)
