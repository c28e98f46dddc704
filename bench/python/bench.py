"""Times the package against plain PyTorch, in one process, and prints JSON.

    PYTHONPATH=build/adaptors/python python3 bench/python/bench.py [--threads 1] [--repeats 5] [--rows NAME ...]

Every row times two ways of doing the same, in turn, and first compares what they leave in memory. `ratio` is the median
of the ratio of the other way to ours within pairs; `spread` its median absolute deviation.

    transform             gs.GradientStabilizer against the authors' class, written anew in plain PyTorch
    adamw                 gs.optim.AdamW, stabilized, against torch.optim.AdamW, plain
    adamw_fused           the same against torch.optim.AdamW(fused=True), torch 2
    adamw_fused_measured  the same, of a step whose gradients backward has measured (gs.measure_in_backward)
    adamw_fused_plain     the same, neither stabilized nor looking for NaN

The transform's rows also have `read_ms` and `read_write_ms`: what torch needs to read as many elements in one tensor, and to
read and write them.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Callable

import torch
from torch import nn

import gradient_stabilizer as gs

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "python"))
from released_class import ReleasedStabilizer


def llama_130m() -> list[list[int]]:
    """LLaMA with 768 channels, 12 layers, 32,000 tokens: 134 million elements."""
    layer = [[768, 768]] * 4 + [[2048, 768]] * 2 + [[768, 2048]] + [[768]] * 2
    return [[32000, 768]] + layer * 12 + [[768], [32000, 768]]


def resnet_50() -> list[list[int]]:
    """161 tensors with 25.6 million elements."""
    shapes: list[list[int]] = [[64, 3, 7, 7], [64], [64]]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            for shape in ([width, channels, 1, 1], [width, width, 3, 3], [4 * width, width, 1, 1]):
                shapes += [shape, [shape[0]], [shape[0]]]
            if block == 0:
                shapes += [[4 * width, channels, 1, 1], [4 * width], [4 * width]]
            channels = 4 * width
    return shapes + [[1000, 2048], [1000]]


SHAPES: dict[str, Callable[[], list[list[int]]]] = {
    "llama_130m": llama_130m,
    "resnet_50": resnet_50,
    "small_10000": lambda: [[64]] * 10000,
}


class Tensors:
    """Parameters with gradients that can be put back to what they were."""

    def __init__(self, shapes: list[list[int]]) -> None:
        torch.manual_seed(0)
        self.parameters = [nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes]
        self.fresh = [torch.randn(shape) * 1e-3 for shape in shapes]
        for parameter, gradient in zip(self.parameters, self.fresh):
            parameter.grad = gradient.clone()

    def restore(self) -> None:
        for parameter, gradient in zip(self.parameters, self.fresh):
            parameter.grad.copy_(gradient)


def seconds(function: Callable[[], Any]) -> float:
    # glibc puts off joining small freed blocks until the next larger request; after 10,000 tensors of plain PyTorch that
    # takes 50 ms, which belong to nobody's time here.
    bytearray(1 << 16)
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def worst_difference(a: Iterable[torch.Tensor], b: Iterable[torch.Tensor]) -> float:
    """Relative to the largest value of a tensor."""
    return max(((x - y).abs().max() / y.abs().max()).item() for x, y in zip(a, b))


def unit_gradients(gradients: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """What a first step leaves, by float64 norms: bias correction makes every norm 1."""
    for gradient in gradients:
        yield gradient * (1.0 / gradient.double().norm().item())


def compare(
    ours: Callable[[], Any],
    other: Callable[[], Any],
    repeats: int,
    before_ours: Callable[[], Any] = lambda: None,
    before_other: Callable[[], Any] = lambda: None,
) -> dict[str, float]:
    pairs = []
    for _ in range(repeats):
        before_ours()
        mine = seconds(ours)
        before_other()
        pairs.append((mine, seconds(other)))
    ratios = [theirs / mine for mine, theirs in pairs]
    return {
        "ours_ms": 1e3 * statistics.median(mine for mine, _ in pairs),
        "other_ms": 1e3 * statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(ratios),
        "spread": statistics.median(abs(ratio - statistics.median(ratios)) for ratio in ratios),
    }


def streaming(count: int, repeats: int) -> dict[str, float]:
    """What the memory alone takes, by the simplest operators that read it, and that read and write it."""
    memory = torch.empty(count)
    times: dict[str, list[float]] = {"read_ms": [], "read_write_ms": []}
    for _ in range(repeats):
        for name, operator in (("read_ms", memory.sum), ("read_write_ms", memory.neg_)):
            memory.fill_(1e-3)
            times[name].append(1e3 * seconds(operator))
    return {name: statistics.median(values) for name, values in times.items()}


def transform_row(shapes: list[list[int]], repeats: int) -> dict[str, Any]:
    """GradientStabilizer.step against the released class."""
    tensors = Tensors(shapes)
    ours, other = gs.GradientStabilizer(tensors.parameters), ReleasedStabilizer()
    differences = []
    for step in (ours.step, lambda: other(tensors.parameters)):
        tensors.restore()
        step()
        differences.append(worst_difference([p.grad for p in tensors.parameters], unit_gradients(tensors.fresh)))
    assert differences[0] < 2e-7, differences
    # Plain PyTorch sums squares in float32, which shows in tensors of millions of elements.
    assert differences[1] < 1e-2, differences
    times = compare(ours.step, lambda: other(tensors.parameters), repeats, tensors.restore, tensors.restore)
    memory = streaming(sum(gradient.numel() for gradient in tensors.fresh), repeats)
    return {**times, **memory, "difference": differences[0], "other_difference": differences[1]}


def adamw_row(shapes: list[list[int]], repeats: int, settings: dict[str, Any], way: str = "") -> dict[str, Any]:
    """gs.optim.AdamW, which stabilizes, against torch.optim.AdamW, which does not.

    way: "measured" for gradients that are measured before the step is timed, "plain" for ours without a transform.
    """
    ours, other = Tensors(shapes), Tensors(shapes)
    # As torch's own, which does not look for NaN.
    plain = gs.optim.AdamW(ours.parameters, lr=1e-3, transform=None, nonfinite="pass_through")
    torchs = torch.optim.AdamW(other.parameters, lr=1e-3, **settings)
    plain.step()
    torchs.step()
    difference = worst_difference([p.detach() for p in ours.parameters], [p.detach() for p in other.parameters])
    assert difference < 4e-6, difference
    if way == "plain":
        return {**compare(plain.step, torchs.step, repeats), "difference": difference}
    del plain
    stabilized = gs.optim.AdamW(ours.parameters, lr=1e-3)
    stabilized.step()

    def measure() -> None:  # what the hooks of gs.measure_in_backward call
        for index in range(len(ours.parameters)):
            stabilized._native.measure_one(index)

    before = {"before_ours": measure} if way == "measured" else {}
    return {**compare(stabilized.step, torchs.step, repeats, **before), "difference": difference}


def rows() -> dict[str, Callable[[int], dict[str, Any]]]:
    result: dict[str, Callable[[int], dict[str, Any]]] = {}
    for name, shapes in SHAPES.items():
        result[f"transform/{name}"] = lambda repeats, shapes=shapes: transform_row(shapes(), repeats)  # type: ignore[misc]
        result[f"adamw/{name}"] = lambda repeats, shapes=shapes: adamw_row(shapes(), repeats, {})  # type: ignore[misc]
        if int(torch.__version__.split(".")[0]) < 2:
            continue
        for way in ("", "measured", "plain"):
            result["adamw_fused" + (way and "_" + way) + "/" + name] = lambda repeats, shapes=shapes, way=way: adamw_row(  # type: ignore[misc]
                shapes(), repeats, {"fused": True}, way
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", nargs="*", help="those whose name contains one of these; all by default")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "gradient_stabilizer": gs.__version__,
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "backend": gs.stabilize().make("skip_tensor", "").backend() or gs.backends()[-1],
        "rows": {},
    }
    for name, row in rows().items():
        if arguments.rows and not any(part in name for part in arguments.rows):
            continue
        report["rows"][name] = row(arguments.repeats)
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
