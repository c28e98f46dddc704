"""Parameters as users give them (tensors, groups, or pairs of name and tensor), and the names under which state is
kept."""

from __future__ import annotations

import operator
from typing import Any, Iterable, Mapping

import torch

from . import _native
from ._names import by_position

Named = list[tuple[str, torch.Tensor]]


def split_names(parameters: Any) -> tuple[list[torch.Tensor], Named]:
    """Tensors, and the names of those that came as pairs (name, tensor). A single tensor is one parameter."""
    if isinstance(parameters, torch.Tensor):
        return [parameters], []
    tensors: list[torch.Tensor] = []
    named: Named = []
    for item in parameters:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            named.append(item)
            item = item[1]
        if not isinstance(item, torch.Tensor):
            raise TypeError(f"expected a parameter or a pair of its name and itself, got {type(item).__name__}")
        tensors.append(item)
    return tensors, named


def split_groups(parameters: Any) -> tuple[list[dict[str, Any]], Named]:
    """Parameter groups as torch's optimizers have them, and the names that were given.

    Takes a tensor, an iterable of tensors or of pairs (name, tensor), or an iterable of groups: dictionaries whose
    "params" is any of the former.
    """
    if isinstance(parameters, torch.Tensor):
        parameters = [parameters]
    if isinstance(parameters, Mapping):
        parameters = [parameters]
    items = list(parameters)
    if not items or not isinstance(items[0], Mapping):
        items = [{"params": items}]
    groups: list[dict[str, Any]] = []
    named: Named = []
    for item in items:
        if not isinstance(item, Mapping) or "params" not in item:
            raise TypeError(f"expected a parameter group with the key 'params', got {item!r:.80}")
        if isinstance(item["params"], (set, frozenset)):
            raise TypeError("the parameters of a group are a set, whose order changes from run to run; pass a list")
        tensors, its_names = split_names(item["params"])
        groups.append({**item, "params": tensors})
        named += its_names
    return groups, named


def put_names(groups: Iterable[dict[str, Any]], named: Named) -> None:
    """Gives the groups the key "param_names" that torch's optimizers have since 2.6, if all of them have names."""
    known = {id(tensor): name for name, tensor in named}
    groups = list(groups)
    if all(id(tensor) in known for group in groups for tensor in group["params"]):
        for group in groups:
            group["param_names"] = [known[id(tensor)] for tensor in group["params"]]


def names_of_groups(
    groups: Iterable[Mapping[str, Any]], named: Named, bound: Mapping[int, str] | None = None
) -> tuple[list[str], list[bool]]:
    """One name per parameter, in the order of the groups, and whether it is only a position.

    Names come from `bound` (by the id of the tensor), because a parameter keeps the name that it has; else from `named`;
    else from the group's "param_names" (torch 2.6 and later); else from the position: "group0.parameter3". A name that
    another group has too, as torch allows, gets its group in front. Raises ValueError where a parameter is there twice,
    or a name in one group; TypeError for a nested tensor.
    """
    known = {id(tensor): name for name, tensor in named}
    found: list[tuple[str, bool, int]] = []
    seen: dict[int, str] = {}
    for g, group in enumerate(groups):
        own = group.get("param_names")
        for i, tensor in enumerate(group["params"]):
            name = (bound or {}).get(id(tensor)) or known.get(id(tensor))
            name = name or (own[i] if own is not None and i < len(own) else None)
            check_has_shape(tensor, name or by_position(g, i))
            found.append((name or by_position(g, i), name is None, g))
            if id(tensor) in seen:
                raise ValueError(
                    f"parameter '{found[-1][0]}' is also '{seen[id(tensor)]}'; its gradient would be transformed twice"
                )
            seen[id(tensor)] = found[-1][0]
    return unique([(name, g) for name, _, g in found]), [positional for _, positional, _ in found]


def unique(names: Iterable[tuple[str, int]]) -> list[str]:
    """Names, each with its group's number, so that no two are the same. ValueError for two in one group."""
    result: list[str] = []
    taken: set[str] = set()
    given: set[tuple[str, int]] = set()
    for name, group in names:
        unlike = name
        while unlike in taken:
            if (name, group) in given:
                raise ValueError(f"two parameters of one group have the name {name!r}; names must be unique there")
            unlike = f"group{group}.{unlike}"
        given.add((name, group))
        taken.add(unlike)
        result.append(unlike)
    return result


def check_has_shape(tensor: torch.Tensor, name: str) -> None:
    """TypeError for a nested tensor. It is refused here because the native half would only see torch's own errors: a
    jagged one cannot be passed to it, and a strided one has no sizes."""
    if tensor.is_nested:
        raise TypeError(f"parameter '{name}' is a nested tensor, which has no shape; give its parts as parameters")


def shape_of(tensor: torch.Tensor) -> list[int]:
    """The shape with which a parameter is registered: for complex numbers, that of their pairs of real numbers."""
    if not torch.is_complex(tensor):
        return list(tensor.shape)
    return list(_native.ops.registered_shape(list(tensor.shape), True))


def is_lazy(tensor: torch.Tensor) -> bool:
    """Whether it waits for its shape, as the parameters of lazy modules do."""
    return torch.nn.parameter.is_lazy(tensor)


def with_memory(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or an empty one in place of a tensor that waits for its shape."""
    return torch.empty(0) if is_lazy(tensor) else tensor


class Binding:
    """Which tensors a native object has under which names, and which are new since it was told."""

    def __init__(self, named: Named, like: Binding | None = None) -> None:
        self.named = list(named)
        self.bound: bool = like is not None and like.bound
        self.tensors: list[torch.Tensor] = [] if like is None else like.tensors
        self.names: list[str] = [] if like is None else like.names
        self.positional: list[bool] = [] if like is None else like.positional
        self.waits = False  # for the shape of a parameter

    def holds(self, tensors: list[torch.Tensor]) -> bool:
        """Whether these are the tensors that are bound, in this order."""
        same = len(tensors) == len(self.tensors) and all(map(operator.is_, tensors, self.tensors))
        return same and self.bound and not self.waits

    def holds_at(self, index: int, tensor: torch.Tensor) -> bool:
        return index < len(self.tensors) and self.tensors[index] is tensor

    def bind(self, groups: Iterable[Mapping[str, Any]]) -> list[int]:
        """Binds the tensors of the groups. Returns the positions that have a known name but another tensor, and whose
        name is only a position: the state under that name belongs to a parameter that is gone."""
        groups = list(groups)
        keep = {
            id(tensor): name
            for tensor, name, positional in zip(self.tensors, self.names, self.positional)
            if not positional
        }
        names, positional = names_of_groups(groups, self.named, keep)
        tensors = [tensor for group in groups for tensor in group["params"]]
        before = dict(zip(self.names, self.tensors))
        fresh = [
            i
            for i, (name, tensor) in enumerate(zip(names, tensors))
            if positional[i] and before.get(name, tensor) is not tensor
        ]
        self.tensors, self.names, self.positional, self.bound = tensors, names, positional, True
        self.waits = any(map(is_lazy, tensors))
        return fresh

    def named_shapes(self, shapes: Iterable[Iterable[int]] | None = None) -> list[tuple[str, list[int]]]:
        """Each parameter's name with its registered shape, or with another one."""
        given = map(shape_of, self.tensors) if shapes is None else map(list, shapes)
        return list(zip(self.names, given))
