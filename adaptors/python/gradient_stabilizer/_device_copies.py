"""Numbers on their way from a device to the host, for which nobody waits."""

from __future__ import annotations

from typing import Any, Callable, Generic, TypeVar

import torch

Item = TypeVar("Item")


class _HasArrived:
    """The event of a copy that was complete at once."""

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass


class Copies:
    """Copies to the host, in memory that is used again."""

    def __init__(self) -> None:
        self._free: dict[int, list[torch.Tensor]] = {}

    def start(self, numbers: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Numbers of one dimension in float64, on the host as soon as the event beside them has happened: in the order
        of the device's current stream, on CUDA. Of other devices the copy waits."""
        if numbers.device.type != "cuda":
            return numbers.to("cpu", torch.float64), _HasArrived()
        free = self._free.setdefault(numbers.numel(), [])
        there = free.pop() if free else torch.empty(numbers.numel(), dtype=torch.float64, pin_memory=True)
        there.copy_(numbers, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(numbers.device))
        return there, event

    def give_back(self, there: torch.Tensor) -> None:
        """The memory of numbers that have been read."""
        if there.is_pinned():
            self._free.setdefault(there.numel(), []).append(there)


class Queue(Generic[Item]):
    """What waits for its events, in order."""

    def __init__(self, finish: Callable[[Item], None]) -> None:
        self._finish = finish
        self._waiting: list[tuple[list[Any], Item]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, events: list[Any], item: Item) -> None:
        self._waiting.append((events, item))

    def finish_ready(self) -> None:
        """Finishes what has arrived, up to the first that has not."""
        while self._waiting and all(event.query() for event in self._waiting[0][0]):
            self._finish(self._waiting.pop(0)[1])

    def finish_all(self) -> None:
        """Waits for the rest."""
        while self._waiting:
            events, item = self._waiting.pop(0)
            for event in events:
                event.synchronize()
            self._finish(item)
