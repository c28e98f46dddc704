"""Sharded parameters: squared norms are summed over the processes before the decision."""

from __future__ import annotations

from typing import Any, Sequence

import torch

from . import _native
from ._parameters import shape_of
from .methods import Method

#: What is said where saved state is of other parts than this process has.
OTHER_PARTS = (
    "this is the state of other parts of the parameters than this process has; each process loads what it saved, and "
    "get_optimizer_state_dict of torch.distributed.checkpoint is what moves to another number of processes"
)


def is_dtensor(tensor: torch.Tensor) -> bool:
    """Whether it is a torch.distributed.tensor.DTensor, which torch 1.13 does not have."""
    return hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def is_in_parts(tensor: torch.Tensor) -> bool:
    """Whether torch's first FullyShardedDataParallel has divided the parameter and left its object (use_orig_params)."""
    return bool(getattr(tensor, "_fsdp_flattened", False))


def check_tensors(tensors: Sequence[torch.Tensor], names: Sequence[str], group: Any) -> None:
    """Refuses parameters of torch's first FullyShardedDataParallel that cannot be told apart, or whose group is not
    given: TypeError, ValueError."""
    for tensor, name in zip(tensors, names):
        if type(tensor).__name__ == "FlatParameter" or getattr(tensor, "_is_flat_param", False):
            raise TypeError(
                f"'{name}' is a flat parameter that holds several; use FullyShardedDataParallel(use_orig_params=True)"
            )
        if group is None and is_in_parts(tensor):
            raise ValueError(
                f"'{name}' is sharded by FullyShardedDataParallel; pass its process group as shard_group, or True for all"
            )


def check_method(method: Method | None) -> None:
    """TypeError for a method that would need more of a sharded gradient than its norm."""
    for link in () if method is None else method.links:
        if not Method((link,)).sees_norms_alone():
            raise TypeError(
                f"{link.method} with these settings needs whole gradients, and those of sharded parameters are in parts; "
                "use a method of Euclidean norms of tensors"
            )


def _resolve(group: Any) -> Any:
    if group is True:
        return torch.distributed.group.WORLD
    return group


class Sharding:
    """How the parameters of a binding are divided.

    group: the processes that share parameters given as plain tensors, each with its own part; None if there are none.
    DTensors say themselves how they are divided.
    """

    def __init__(self, method: Method | None, tensors: Sequence[torch.Tensor], group: Any) -> None:
        check_method(method)
        self.group = _resolve(group)
        self._left = _native.ops.make_left_gradients()
        self._left_squares: torch.Tensor | None = None  # of the parts here, before the last transform
        self._known: dict[Any, torch.Tensor] = {}

    def global_sizes(self, tensors: Sequence[torch.Tensor]) -> list[list[int]]:
        """Shapes that are the same in every process: of a DTensor its own, of parts the number of all elements."""
        sizes = [shape_of(tensor) if is_dtensor(tensor) else [tensor.numel()] for tensor in tensors]
        if self.group is not None:
            # The group's own collective works where the tensors are.
            counts = torch.tensor([tensor.numel() for tensor in tensors], dtype=torch.int64, device=_device(tensors))
            torch.distributed.all_reduce(counts, group=self.group)
            sizes = [
                size if is_dtensor(tensor) else [count] for size, tensor, count in zip(sizes, tensors, counts.tolist())
            ]
        return sizes

    def transform(
        self, native: Any, names: Sequence[str], tensors: Sequence[torch.Tensor], check_repeats: bool
    ) -> bool:
        """Transforms the local parts of the gradients in place. False: the step must be skipped."""
        native.writable_gradients([tensor for tensor in tensors if tensor.grad is not None and not is_dtensor(tensor)])
        where, parts = _gradients(names, tensors)
        if check_repeats and parts and self._come_again(native, where, parts):
            raise _native.repeated()
        device = _device(tensors)
        # If the device can make the step, the host does not wait for it; otherwise the host decides.
        measured = _native.call(native.measure_parts, where, parts)
        squares = measured
        if measured is None:
            squares = torch.zeros(len(tensors), dtype=torch.float64, device=device)
            if parts:
                squared = _native.call(native.squared_norms, where, parts)
                squares[torch.tensor(where, device=device)] = squared.to(device)
        self._left_squares, here = None, squares.clone()
        squares = self._sum(squares, where, tensors)
        if measured is not None:
            measured.copy_(squares)
            if not _native.call(native.finish_parts):
                return False
        else:
            factors = _native.call(native.decide, squares)
            if native.skips_step():
                return False
            if parts:
                _native.call(_native.ops.scale_, parts, factors[torch.tensor(where)])
        self._left.remember(parts)
        self._left_squares = here
        return True

    def update(self, native: Any, names: Sequence[str], tensors: Sequence[torch.Tensor]) -> None:
        """Steps the local parts of the parameters by a fused optimizer."""
        where, gradients = _gradients(names, tensors)
        parts = [part_of(tensors[index]) for index in where]
        measured = _native.call(native.measure_parts, where, parts, gradients)
        measured.copy_(self._sum(measured, where, tensors))
        if _native.call(native.finish_parts):
            # Autograd sees only the DTensors; the native half tells it about their parts.
            for tensor in filter(is_dtensor, (tensors[index] for index in where)):
                torch.autograd.graph.increment_version(tensor)

    def _sum(self, squares: torch.Tensor, where: Sequence[int], tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Squared norms over all processes, -1 where none has a gradient; `where` says of which there is one here."""
        device = _device(tensors)
        # Beside the squares, how many processes have a gradient: where a part is empty there may be none.
        sums = torch.stack([squares.to(device), self._numbers(where, len(tensors), device)])
        for group, divided in self._groups(tensors, device):
            mine = torch.where(divided, sums, torch.zeros_like(sums))
            torch.distributed.all_reduce(mine, group=group)
            sums = torch.where(divided, mine, sums)
        return torch.where(sums[1] > 0, sums[0], torch.full_like(sums[0], -1.0))

    def _numbers(self, indices: Sequence[int], count: int, device: torch.device) -> torch.Tensor:
        """float64 [count], 1 at the indices, otherwise 0. Kept, because a device waits to be told."""
        key = (tuple(indices), count, device)
        if key not in self._known:
            numbers = torch.zeros(count, dtype=torch.float64)
            numbers[torch.tensor(indices, dtype=torch.int64)] = 1.0
            if len(self._known) > 64:  # of a model that has another set of gradients in every step
                self._known.clear()
            self._known[key] = numbers.to(device)
        return self._known[key]

    def _come_again(self, native: Any, where: Sequence[int], parts: Sequence[torch.Tensor]) -> bool:
        """Whether these are, with unchanged content, the parts that the last transform has left."""
        if self._left_squares is None or not self._left.are(parts):
            return False
        numbers, flags, _ = _native.call(native.report)
        norms = self._left_squares.cpu().sqrt() * numbers[:, 2].abs()
        norms = torch.where(flags[:, 3], torch.zeros_like(norms), norms)
        return _native.call(_native.ops.have_norms, parts, norms[torch.tensor(where)])

    def _groups(self, tensors: Sequence[torch.Tensor], device: torch.device) -> list[tuple[Any, torch.Tensor]]:
        """The groups to sum over, one after the other, each with the parameters that are divided over it."""
        members: dict[Any, list[int]] = {}
        for index, tensor in enumerate(tensors):
            if not is_dtensor(tensor):
                if self.group is not None:
                    members.setdefault(self.group, []).append(index)
                continue
            for dim, placement in enumerate((tensor if tensor.grad is None else tensor.grad).placements):
                if placement.is_shard():
                    members.setdefault(tensor.device_mesh.get_group(dim), []).append(index)
        return [(group, self._numbers(indices, len(tensors), device) > 0) for group, indices in members.items()]


def _device(tensors: Sequence[torch.Tensor]) -> torch.device:
    """Where numbers about tensors are kept: on the device of the first."""
    return tensors[0].device if tensors else torch.device("cpu")


def part_of(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a parameter."""
    return tensor._local_tensor if is_dtensor(tensor) else tensor


def place_of(tensor: torch.Tensor, group: Any) -> list[Any]:
    """Which part of a parameter this process has, as numbers and text that a checkpoint can hold."""
    if is_dtensor(tensor):
        mesh = tensor.device_mesh
        placements = [str(placement) for placement in tensor.placements]
        return [list(tensor.shape), placements, list(mesh.shape), list(mesh.get_coordinate() or [])]
    group = _resolve(group)
    return [tensor.numel(), torch.distributed.get_world_size(group), torch.distributed.get_rank(group)]


def label_of(tensor: torch.Tensor, group: Any) -> str | None:
    """The key for the state of a part that only the caller knows to be a part, so that no tool mistakes the parts of
    several processes for the same tensor. None for parameters that torch divides."""
    if group is None or is_dtensor(tensor) or is_in_parts(tensor):
        return None
    return f"part {torch.distributed.get_rank(group)} of {torch.distributed.get_world_size(group)}"


def whole_of(part: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Numbers of this process's part of a parameter, one per element, as a tensor that is divided like the
    parameter."""
    if not is_dtensor(tensor) or part.shape != part_of(tensor).shape:
        return part
    return type(tensor).from_local(
        part, tensor.device_mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )


def part_like(value: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of numbers that are there for each element of a parameter, however they are divided."""
    if is_dtensor(value):
        here = (value.device_mesh.mesh == torch.distributed.get_rank()).nonzero().flatten().tolist()
        if list(value.device_mesh.get_coordinate() or []) != here:
            raise ValueError(
                "this is the state of other parts of the parameters than this process has: it was saved by another process"
            )
        if not is_dtensor(tensor):
            return value.full_tensor()
        return value.redistribute(tensor.device_mesh, tensor.placements)._local_tensor
    if not is_dtensor(tensor) or value.shape != tensor.shape:
        return value
    from torch.distributed.tensor import Replicate

    mesh = tensor.device_mesh
    whole = type(tensor).from_local(value.to(tensor.device), mesh, [Replicate()] * mesh.ndim, run_check=False)
    return whole.redistribute(mesh, tensor.placements)._local_tensor


def _gradients(names: Sequence[str], tensors: Sequence[torch.Tensor]) -> tuple[list[int], list[torch.Tensor]]:
    """The parts of the gradients that are here, and of which parameters they are."""
    where = [index for index, tensor in enumerate(tensors) if tensor.grad is not None]
    return where, [local_part(tensors[index].grad, names[index]) for index in where]


def local_part(gradient: torch.Tensor, name: str) -> torch.Tensor:
    """The part of a gradient that is here."""
    if not is_dtensor(gradient):
        return gradient
    if any(placement.is_partial() for placement in gradient.placements):
        raise TypeError(f"gradient of '{name}' is a partial sum over processes; redistribute it before it is transformed")
    part = gradient._local_tensor
    return part.wait() if hasattr(part, "wait") else part
