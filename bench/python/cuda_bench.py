"""Times the CUDA back end on a device against the device's own copy and against PyTorch, and writes JSON.

    PYTHONPATH=build/adaptors/python python3 bench/python/cuda_bench.py [--out FILE] [--seconds 120] [--rows NAME ...]

Ways that end in `_graph` are captured and replayed, so that what the host needs for a call is no part of them. Launches and
waits are counted by `cuda_device_check`.

Every row first checks what it times. Times are those of device events around one call, with the L2 cache flushed before
it, in turn between the ways of a pair: median and median absolute deviation. Bandwidth counts bytes read and written and is
compared with a device-to-device copy that is measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Callable

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))
from released_class import ReleasedStabilizer  # noqa: E402

import gradient_stabilizer as gs  # noqa: E402


def llama(width: int, layers: int, hidden: int, tokens: int = 32000) -> list[list[int]]:
    layer = [[width, width]] * 4 + [[hidden, width]] * 2 + [[width, hidden]] + [[width]] * 2
    return [[tokens, width]] + layer * layers + [[width], [tokens, width]]


SHAPES = {
    "llama_60m": llama(512, 8, 1376),
    "llama_130m": llama(768, 12, 2048),
    "llama_1b": llama(2048, 24, 5461),
    "small_10000": [[64]] * 10000,
}


class CudaReleased(ReleasedStabilizer):
    """The released class keeps its moments where the gradient is."""

    def _scale(self, parameter: torch.Tensor) -> None:
        new = {"mnorm": torch.zeros((), device="cuda"), "vnorm": torch.zeros((), device="cuda"), "step": 0, "skipped": 0}
        self.state.setdefault(id(parameter), new)
        super()._scale(parameter)


class Tensors:
    def __init__(self, shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        self.parameters = [torch.nn.Parameter(torch.randn(list(s), device="cuda", dtype=dtype) * 0.02) for s in shapes]
        self.renew()

    def renew(self) -> None:
        for parameter in self.parameters:
            parameter.grad = torch.randn_like(parameter) * 0.1

    def elements(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters)


_flush: list[torch.Tensor] = []


def flush_l2() -> None:
    """Writes several times as much as the largest L2 holds."""
    if not _flush:
        _flush.append(torch.empty(256 << 20, dtype=torch.uint8, device="cuda"))
    _flush[0].add_(1)


def time_in_turn(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of device time of each way, in turn."""
    for way in ways.values():
        for _ in range(3):
            way()
    torch.cuda.synchronize()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            flush_l2()
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            way()
            end.record()
            end.synchronize()
            taken[name].append(begin.elapsed_time(end))
    result = {}
    for name, times in taken.items():
        median = statistics.median(times)
        result[name] = {"median_ms": median, "mad_ms": statistics.median(abs(t - median) for t in times), "repeats": repeats}
    return result


def in_graph(way: Callable[[], Any]) -> Callable[[], Any]:
    """The same call, captured: without the time that the host takes to ask for it."""
    way()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        way()
    return graph.replay


def copy_bandwidth() -> dict[str, float]:
    """Bytes read plus bytes written per second."""
    source = torch.randint(0, 255, (1 << 30,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    timed = time_in_turn({"copy": lambda: target.copy_(source)}, 20)["copy"]
    return {"gb_per_s": 2 * source.numel() / timed["median_ms"] / 1e6, **timed}


def check_transform(shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> None:
    tensors = Tensors(shapes[:8], dtype)
    stabilizer = gs.GradientStabilizer(tensors.parameters, backend="cuda")
    for _ in range(3):
        tensors.renew()
        before = [p.grad.double().norm() for p in tensors.parameters]
        directions = [p.grad.double() / n for p, n in zip(tensors.parameters, before)]
        stabilizer.step()
        report = stabilizer.report().tensors
        for parameter, norm, direction, tensor in zip(tensors.parameters, before, directions, report):
            assert abs(tensor.raw_norm / norm.item() - 1) < 1e-6, "raw norm"
            wanted = direction * tensor.norm
            error = ((parameter.grad.double() - wanted).norm() / wanted.norm()).item()
            assert error < {torch.float32: 1e-7, torch.float16: 5e-4, torch.bfloat16: 4e-3}[dtype], f"gradient {error}"


def row_transform(name: str, dtype: torch.dtype, repeats: int, copy: dict[str, float]) -> dict[str, Any]:
    check_transform(SHAPES[name], dtype)
    tensors = Tensors(SHAPES[name], dtype)
    # Without bias correction, because gradients that were stabilized before would have a factor of 1, and a factor of 1
    # is not applied.
    # The same gradients are stabilized again and again here, which is meant.
    method = gs.stabilize(bias_correction=False)
    transform = gs.GradientTransform(tensors.parameters, method, backend="cuda", check_repeats=False)
    captured = gs.GradientTransform(tensors.parameters, method, backend="cuda", check_repeats=False)
    ways: dict[str, Callable[[], Any]] = {"gradstab": transform.step, "gradstab_graph": in_graph(captured.step)}

    def clip() -> None:
        torch.nn.utils.clip_grad_norm_(tensors.parameters, 1.0, foreach=True)

    ways["clip_grad_norm_"] = clip
    ways["clip_grad_norm_graph"] = in_graph(clip)
    if tensors.elements() < 3e8 and len(tensors.parameters) < 1000:
        released = CudaReleased()
        ways["released"] = lambda: released(tensors.parameters)
    timed = time_in_turn(ways, repeats)
    transform.step()
    assert all(abs(tensor.factor - 1) > 1e-9 for tensor in transform.report().tensors), "nothing was written"
    traffic = 3 * tensors.elements() * tensors.parameters[0].element_size()
    bandwidth = {way: traffic / timed[way]["median_ms"] / 1e6 for way in ("gradstab", "gradstab_graph")}
    row = {"row": f"transform {name} {str(dtype)[6:]}", "elements": tensors.elements(), "tensors": len(tensors.parameters),
           "times": timed, "gb_per_s": bandwidth,
           "of_copy": {way: value / copy["gb_per_s"] for way, value in bandwidth.items()}}
    for way in ("clip_grad_norm_", "released"):
        if way in timed:
            row[f"faster_than_{way}"] = timed[way]["median_ms"] / timed["gradstab"]["median_ms"]
    row["in_graphs_faster_than_clip_grad_norm_"] = (
        timed["clip_grad_norm_graph"]["median_ms"] / timed["gradstab_graph"]["median_ms"])
    return row


def row_adamw(name: str, repeats: int) -> dict[str, Any]:
    settings: dict[str, Any] = dict(lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    ours, theirs = Tensors(SHAPES["llama_60m"][:9], torch.float32), Tensors(SHAPES["llama_60m"][:9], torch.float32)
    for ours_parameter, theirs_parameter in zip(ours.parameters, theirs.parameters):
        theirs_parameter.grad = ours_parameter.grad.clone()
    one = gs.optim.AdamW(ours.parameters, transform=None, backend="cuda", **settings)
    two = torch.optim.AdamW(theirs.parameters, fused=True, **settings)
    for _ in range(3):
        one.step()
        two.step()
    for a, b in zip(ours.parameters, theirs.parameters):
        torch.testing.assert_close(a.data, b.data, rtol=1e-5, atol=1e-6)
    del ours, theirs, one, two

    tensors = Tensors(SHAPES[name], torch.float32)
    captured = gs.optim.AdamW(tensors.parameters, backend="cuda", **settings)
    plain = gs.optim.AdamW(tensors.parameters, transform=None, nonfinite="pass_through", backend="cuda", **settings)
    ways: dict[str, Callable[[], Any]] = {
        "gradstab_graph": in_graph(captured.step),
        "gradstab_stabilized": gs.optim.AdamW(tensors.parameters, backend="cuda", **settings).step,
        "gradstab_plain": plain.step,
    }
    ways["torch_fused"] = torch.optim.AdamW(tensors.parameters, fused=True, **settings).step
    graph = torch.optim.AdamW(tensors.parameters, fused=True, capturable=True, **settings)
    graph.step()
    ways["torch_fused_graph"] = in_graph(graph.step)
    timed = time_in_turn(ways, repeats)
    median = {way: times["median_ms"] for way, times in timed.items()}
    return {"row": f"adamw {name} float32", "elements": tensors.elements(), "times": timed,
            "stabilized_over_torch_fused": median["gradstab_stabilized"] / median["torch_fused"],
            "plain_over_torch_fused": median["gradstab_plain"] / median["torch_fused"],
            "in_graphs_over_torch_fused": median["gradstab_graph"] / median["torch_fused_graph"]}


TARGETS = [
    ("transform llama_1b float32", "of_copy.gradstab", ">=", 0.85),
    ("transform llama_1b bfloat16", "of_copy.gradstab", ">=", 0.85),
    ("transform llama_130m float32", "faster_than_released", ">=", 15.0),
    ("transform llama_130m float32", "faster_than_clip_grad_norm_", ">=", 2.0),
    ("adamw llama_1b float32", "stabilized_over_torch_fused", "<=", 1.20),
]


def verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {row["row"]: row for row in rows}
    result = []
    for name, path, relation, target in TARGETS:
        value: Any = by_name.get(name, {})
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        met = None if value is None else (value >= target if relation == ">=" else value <= target)
        result.append({"row": name, "what": path, "target": f"{relation} {target}", "value": value,
                       "met": "not measured" if met is None else ("yes" if met else "no")})
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=120.0, help="no row begins later than this")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--rows", nargs="*", default=[], help="words that a row's name must contain")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("cuda_bench: SKIPPED, nothing was measured: torch sees no CUDA device")
        return 77
    begin = time.monotonic()
    device = torch.cuda.get_device_properties(0)
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True,
                            text=True, check=False).stdout.strip()
    copy = copy_bandwidth()
    result: dict[str, Any] = {"device": device.name, "multiprocessors": device.multi_processor_count,
                              "driver": driver, "torch": torch.__version__, "cuda": torch.version.cuda,
                              "copy": copy, "rows": [], "errors": []}
    print(f"{device.name}, torch {torch.__version__}; copy {copy['gb_per_s']:.0f} GB/s", flush=True)
    repeats = arguments.repeats
    rows: list[Any] = [
        ("transform llama_130m float32", lambda: row_transform("llama_130m", torch.float32, repeats, copy)),
        ("transform llama_1b float32", lambda: row_transform("llama_1b", torch.float32, repeats, copy)),
        ("transform llama_1b bfloat16", lambda: row_transform("llama_1b", torch.bfloat16, repeats, copy)),
        ("adamw llama_1b float32", lambda: row_adamw("llama_1b", repeats)),
        ("transform llama_130m bfloat16", lambda: row_transform("llama_130m", torch.bfloat16, repeats, copy)),
        ("transform llama_130m float16", lambda: row_transform("llama_130m", torch.float16, repeats, copy)),
        ("transform small_10000 float32", lambda: row_transform("small_10000", torch.float32, 5, copy)),
        ("adamw llama_130m float32", lambda: row_adamw("llama_130m", repeats)),
    ]
    for name, make in rows:
        if not all(word in name for word in arguments.rows):
            continue
        if time.monotonic() - begin > arguments.seconds:
            result["errors"].append(f"{name}: left out, the time was up")
            continue
        try:
            row = make()
        except Exception as error:  # one row must not take the others' results along
            result["errors"].append(f"{name}: {type(error).__name__}: {error}")
            print(f"FAILED {name}: {error}", flush=True)
            continue
        finally:
            torch.cuda.empty_cache()
        result["rows"].append(row)
        numbers = {key: value for key, value in row.items() if key not in ("row", "times", "elements", "tensors")}
        times = ", ".join(f"{way} {t['median_ms']:.3f}±{t['mad_ms']:.3f} ms" for way, t in row["times"].items())
        print(f"{row['row']}: {times}; {json.dumps(numbers)}", flush=True)
    result["targets"] = verdicts(result["rows"])
    for verdict in result["targets"]:
        print(f"target {verdict['row']}: {verdict['what']} {verdict['target']}: {verdict['value']} -> {verdict['met']}")
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
