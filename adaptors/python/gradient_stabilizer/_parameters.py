"""Parameters as users give them: tensors, groups, or pairs of name and tensor; and the names that state is kept by."""

from __future__ import annotations

import operator
from typing import Any, Iterable, Mapping

import torch

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


def names_of_groups(groups: Iterable[Mapping[str, Any]], named: Named) -> tuple[list[str], list[bool]]:
    """One name per parameter, in the order of the groups, and whether it is only a position.

    Names come from `named`, else from the group's "param_names" (torch 2.6 and later), else from the position:
    "group0.parameter3". Raises ValueError where a parameter is there twice.
    """
    known = {id(tensor): name for name, tensor in named}
    names: list[str] = []
    positional: list[bool] = []
    seen: dict[int, str] = {}
    for g, group in enumerate(groups):
        own = group.get("param_names")
        for i, tensor in enumerate(group["params"]):
            name = known.get(id(tensor)) or (own[i] if own is not None and i < len(own) else None)
            positional.append(name is None)
            names.append(name or f"group{g}.parameter{i}")
            if id(tensor) in seen:
                raise ValueError(
                    f"parameter '{names[-1]}' is also '{seen[id(tensor)]}'; its gradient would be transformed twice"
                )
            seen[id(tensor)] = names[-1]
    return names, positional


class Binding:
    """Which tensors a native object knows under which names, and what is new since it was told."""

    def __init__(self, named: Named, like: Binding | None = None) -> None:
        self.named = list(named)
        self.bound: bool = like is not None and like.bound
        self.tensors: list[torch.Tensor] = [] if like is None else like.tensors
        self.names: list[str] = [] if like is None else like.names

    def holds(self, tensors: list[torch.Tensor]) -> bool:
        """Whether these are the tensors that are bound, in this order."""
        return self.bound and len(tensors) == len(self.tensors) and all(map(operator.is_, tensors, self.tensors))

    def holds_at(self, index: int, tensor: torch.Tensor) -> bool:
        return index < len(self.tensors) and self.tensors[index] is tensor

    def bind(self, groups: Iterable[Mapping[str, Any]]) -> list[int]:
        """Takes the tensors of the groups. Returns the positions that have a known name but another tensor, and whose
        name is only a position: what is remembered under it belongs to a parameter that is gone."""
        groups = list(groups)
        names, positional = names_of_groups(groups, self.named)
        tensors = [tensor for group in groups for tensor in group["params"]]
        before = dict(zip(self.names, self.tensors))
        fresh = [
            i
            for i, (name, tensor) in enumerate(zip(names, tensors))
            if positional[i] and before.get(name, tensor) is not tensor
        ]
        self.tensors, self.names, self.bound = tensors, names, True
        return fresh
