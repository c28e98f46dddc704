"""Names of parameters: with and without, with the prefixes of torch's wrappers, mapped, and there twice."""

from __future__ import annotations

import copy
from typing import Any, Callable

import pytest
import torch
from support import backward, make_model, same_bits, train, values
from torch import nn

import gradient_stabilizer as gs

Named = list[tuple[str, nn.Parameter]]


def pairs(model: nn.Module, prefix: str = "") -> Named:
    return [(prefix + name, parameter) for name, parameter in model.named_parameters()]


def wrapped(named: Any) -> gs.WrappedOptimizer:
    tensors = [item[1] if isinstance(item, tuple) else item for item in named]
    return gs.wrap(
        torch.optim.AdamW(tensors, lr=1e-2), named_parameters=named if isinstance(named[0], tuple) else None
    )


class TransformOnly:
    """A GradientTransform with a plain optimizer behind it, so that it can be trained like the others."""

    def __init__(self, named: Any) -> None:
        tensors = [item[1] if isinstance(item, tuple) else item for item in named]
        self.transform, self.optimizer = gs.GradientStabilizer(named), torch.optim.SGD(tensors, lr=0.05)
        self.zero_grad = self.optimizer.zero_grad
        self.state_dict, self.load_state_dict = self.transform.state_dict, self.transform.load_state_dict
        self.report = self.transform.report

    def step(self) -> None:
        self.transform.step()
        self.optimizer.step()


OWNERS: dict[str, Callable[[Any], Any]] = {
    "gs.optim": lambda named: gs.optim.AdamW(named, lr=1e-2),
    "gs.wrap": wrapped,
    "transform": TransformOnly,
}
FORMS: dict[str, Callable[[nn.Module], Any]] = {
    "names": pairs,
    "no names": lambda model: list(model.parameters()),
    "compiled": lambda model: pairs(model, "_orig_mod."),
    "parallel": lambda model: pairs(model, "module."),
    "compiled parallel": lambda model: pairs(model, "_orig_mod.module."),
    "parallel compiled": lambda model: pairs(model, "module._orig_mod."),
    "fsdp": lambda model: [(f"_fsdp_wrapped_module.{name[0]}._checkpoint_wrapped_module.{name[2:]}", p) for name, p in pairs(model)],
}


@pytest.mark.parametrize("into", FORMS)
@pytest.mark.parametrize("saved", FORMS)
@pytest.mark.parametrize("owner", OWNERS)
def test_a_checkpoint_goes_on_whatever_the_names_are_wrapped_in(owner: str, saved: str, into: str) -> None:
    model = make_model()
    optimizer = OWNERS[owner](FORMS[saved](model))
    train(model, optimizer, range(4))
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    train(model, optimizer, range(4, 7))
    twin = make_model()
    twin.load_state_dict(weights)
    fresh = OWNERS[owner](FORMS[into](twin))
    fresh.load_state_dict(state)
    train(twin, fresh, range(4, 7))
    assert same_bits(values(model), values(twin))
    assert fresh.report().step == 7


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="torch.compile came with torch 2.0")
def test_the_names_are_those_of_torchs_own_wrappers() -> None:
    compiled = torch.compile(make_model())
    assert [name for name, _ in compiled.named_parameters()] == [name for name, _ in FORMS["compiled"](make_model())]


@pytest.mark.parametrize("owner", OWNERS)
def test_order_does_not_matter_where_there_are_names(owner: str) -> None:
    model = make_model()
    optimizer = OWNERS[owner](pairs(model))
    train(model, optimizer, range(4))
    if owner == "gs.wrap":  # the inner optimizer's state goes by position, as torch has it
        return
    twin = make_model()
    fresh = OWNERS[owner](pairs(twin, "module.")[::-1])
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    twin.load_state_dict(model.state_dict())
    for each, its in ((model, optimizer), (twin, fresh)):
        backward(each, 4)
        its.step()
    assert [tensor.raw_norm for tensor in fresh.report().tensors][::-1] == [
        tensor.raw_norm for tensor in optimizer.report().tensors
    ]
    assert [tensor.factor for tensor in fresh.report().tensors][::-1] == [
        tensor.factor for tensor in optimizer.report().tensors
    ]


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("form", [dict, None], ids=["dictionary", "function"])
def test_map_names_says_which_is_which(owner: str, form: Any) -> None:
    model, twin = make_model(), make_model()
    optimizer = OWNERS[owner](pairs(model, "encoder."))
    train(model, optimizer, range(4))
    state = copy.deepcopy(optimizer.state_dict())
    fresh = OWNERS[owner](pairs(twin, "backbone."))
    before = copy.deepcopy(fresh.state_dict())
    with pytest.raises(ValueError, match=r"'encoder.0.weight'.*\(and 3 more\).*'backbone.0.weight'.*map_names="):
        fresh.load_state_dict(state)
    assert str(fresh.state_dict()) == str(before)
    rename = lambda name: name.replace("encoder.", "backbone.")  # noqa: E731
    mapping = {name: rename(name) for name, _ in pairs(model, "encoder.")}
    fresh.load_state_dict(state, map_names=mapping if form is dict else rename)
    twin.load_state_dict(model.state_dict())
    train(model, optimizer, range(4, 6))
    if owner == "transform":
        fresh.optimizer.load_state_dict(optimizer.optimizer.state_dict())
    train(twin, fresh, range(4, 6))
    assert same_bits(values(model), values(twin))
    with pytest.raises(ValueError, match="'decoder.0.weight'.*does not have"):
        fresh.load_state_dict(state, map_names={"decoder.0.weight": "backbone.0.weight"})


@pytest.mark.parametrize("owner", OWNERS)
def test_a_real_mismatch_names_what_differs(owner: str) -> None:
    model = make_model()
    optimizer = OWNERS[owner](pairs(model))
    train(model, optimizer, range(2))
    state = copy.deepcopy(optimizer.state_dict())
    other = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    renamed = [*pairs(other)[:3], ("2.offset", other[2].bias)]
    with pytest.raises(ValueError, match="'2.bias' that is not registered here.*no parameter '2.offset'"):
        OWNERS[owner](renamed).load_state_dict(state)
    wider = nn.Sequential(nn.Linear(6, 17), nn.Tanh(), nn.Linear(17, 3))
    with pytest.raises(ValueError, match="0.weight"):
        OWNERS[owner](pairs(wider)).load_state_dict(state)
    with pytest.raises(ValueError):  # by position, of another shape
        OWNERS[owner](list(wider.parameters())).load_state_dict(state)


GROUPS: Callable[[nn.Module], list[dict[str, Any]]] = lambda model: [  # noqa: E731
    {"params": list(model[0].named_parameters())},
    {"params": list(model[2].named_parameters()), "lr": 0.02},
]


@pytest.mark.parametrize("inner", [False, True], ids=["gs.optim", "gs.wrap"])
def test_the_same_name_in_two_groups_is_accepted(inner: bool) -> None:
    def make(model: nn.Module) -> Any:
        if not inner:
            return gs.optim.AdamW(GROUPS(model), lr=1e-2)
        named = [pair for group in GROUPS(model) for pair in group["params"]]
        groups = [{**group, "params": [tensor for _, tensor in group["params"]]} for group in GROUPS(model)]
        return gs.wrap(torch.optim.AdamW(groups, lr=1e-2), named_parameters=named)

    model = make_model()
    optimizer = make(model)
    train(model, optimizer, range(3))
    assert [tensor.name for tensor in optimizer.report().tensors] == ["weight", "bias", "group1.weight", "group1.bias"]
    twin = make_model()
    twin.load_state_dict(model.state_dict())
    fresh = make(twin)
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, range(3, 6))
    train(twin, fresh, range(3, 6))
    assert same_bits(values(model), values(twin))


def test_the_same_parameter_twice_is_still_refused() -> None:
    model = make_model()
    with pytest.raises(ValueError):
        gs.optim.AdamW([{"params": pairs(model)}, {"params": [("again", model[0].weight)]}])
    with pytest.raises(ValueError, match="'again' is also"):
        gs.GradientStabilizer([*pairs(model), ("again", model[0].weight)])


class TestParamNames:
    """"param_names" of the groups, as torch's optimizers have them since 2.6."""

    def test_they_are_in_the_state_and_stay_there(self) -> None:
        model = make_model()
        optimizer = gs.optim.AdamW(model.named_parameters())
        names = [name for name, _ in model.named_parameters()]
        assert optimizer.state_dict()["param_groups"][0]["param_names"] == names
        unnamed = gs.optim.AdamW(make_model().parameters())
        assert "param_names" not in unnamed.state_dict()["param_groups"][0]
        unnamed.load_state_dict(optimizer.state_dict())
        assert unnamed.state_dict()["param_groups"][0]["param_names"] == names
        optimizer.load_state_dict(gs.optim.AdamW(make_model().parameters()).state_dict())
        assert optimizer.state_dict()["param_groups"][0]["param_names"] == names

    def test_a_group_added_later_has_them_too(self) -> None:
        model = make_model()
        optimizer = gs.optim.AdamW(model[0].named_parameters())
        optimizer.add_param_group({"params": list(model[2].named_parameters())})
        assert optimizer.state_dict()["param_groups"][1]["param_names"] == ["weight", "bias"]
        assert optimizer.names == ["weight", "bias", "group1.weight", "group1.bias"]
        train(model, optimizer, range(2))

    def test_some_groups_with_names_and_some_without_are_refused_as_by_torch(self) -> None:
        model = make_model()
        for first, second in (
            (model[0].named_parameters(), model[2].parameters()),
            (model[0].parameters(), model[2].named_parameters()),
        ):
            optimizer = gs.optim.AdamW(list(first))
            with pytest.raises(ValueError, match="names"):
                optimizer.add_param_group({"params": list(second)})
            assert len(optimizer.param_groups) == 1
            train(model, optimizer, range(1))

    def test_a_parameter_keeps_the_name_that_it_has(self) -> None:
        """Loading may bring names into the groups of an optimizer without; state stays with its parameter."""
        model = make_model()
        named = gs.wrap(torch.optim.AdamW(list(model[0].parameters()), lr=1e-2), named_parameters=pairs(model[0]))
        train(model, named, range(3))
        named.param_groups[0]["param_names"] = ["a", "b"]
        named.add_param_group({"params": [model[2].weight], **({"param_names": ["c"]} if "param_names" in named.param_groups[0] else {})})
        backward(model, 3)
        named.step()
        assert [tensor.name for tensor in named.report().tensors][:2] == ["weight", "bias"]
        assert named.statistics()["0.stabilize.k"].tolist() == [4, 4, 1]
