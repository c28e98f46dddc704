#!/usr/bin/env python3
"""What a method on gradient norms costs per step on many GPUs: the model that docs/scaling.md explains.

--tables prints the page's tables, --check FILE compares those between `<!-- scaling NAME -->` and `<!-- end of scaling -->` with
what is computed, --write FILE writes them there. Without these, prints one case for the model, GPUs and assumptions given.
Every default of Assumptions has its source on the page, under the same name.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

#: Bytes of a double, the dtype in which squared norms travel.
DOUBLE = 8
#: Per tensor: the squared norm, and how many processes have a gradient (the Python package; C++ and C need only the first).
NUMBERS_PER_TENSOR = 2
#: Of `stabilize`, per tensor: what decide.hpp keeps (NormMoments).
STATE_PER_TENSOR = 56
#: Bytes that AdamW itself moves per parameter in float32: reads parameter, gradient and two moments, writes all but the gradient.
ADAMW_TRAFFIC = 28
#: Bytes of memory per parameter in float32: parameter, gradient, two moments.
TRAINING_STATE = 16


@dataclasses.dataclass(frozen=True)
class Shape:
    """A LLaMA-like decoder: untied embedding and head, gated feed-forward, two norms a layer, no biases."""

    name: str
    layers: int
    width: int
    hidden: int  # of the feed-forward
    key_width: int  # of keys, and of values: smaller than the width where heads share them
    vocabulary: int
    batch: float  # tokens per step

    @property
    def tensors(self) -> int:
        return 9 * self.layers + 3

    @property
    def parameters(self) -> int:
        attention = 2 * self.width * (self.width + self.key_width)
        layer = attention + 3 * self.width * self.hidden + 2 * self.width
        return self.layers * layer + 2 * self.vocabulary * self.width + self.width


SHAPES = (
    Shape("7B", 32, 4096, 11008, 4096, 32000, 4e6),
    Shape("13B", 40, 5120, 13824, 5120, 32000, 4e6),
    Shape("70B", 80, 8192, 28672, 1024, 128256, 4e6),
    Shape("405B", 126, 16384, 53248, 1024, 128256, 16e6),
    Shape("1T", 166, 22528, 73216, 1024, 128256, 16e6),
)
GPUS = (8, 64, 512, 2048, 16384)
#: Data, tensor and pipeline parallel sizes of the 405B model: the first two are published, the others are ours.
LAYOUTS = ((128, 8, 16), (64, 8, 16), (16, 8, 16), (4, 8, 16))


def flag(name: str, default: float, meaning: str) -> Any:
    """An assumption, and the flag of the command line that changes it."""
    return dataclasses.field(default=default, metadata={"flag": name, "meaning": meaning})


@dataclasses.dataclass(frozen=True)
class Assumptions:
    """Times in seconds, rates per second, sizes in bytes. The page gives the source of each."""

    peak: float = flag("--peak", 989e12, "floating-point operations of a device, bfloat16 without sparsity")
    mfu: float = flag("--mfu", 0.41, "the share of the peak that training reaches")
    bandwidth: float = flag("--bandwidth", 3.35e12, "of device memory")
    efficiency: float = flag("--efficiency", 0.90, "the share of it that a streaming kernel reaches")
    memory: float = flag("--memory", 80e9, "of a device")
    gradient_bytes: int = flag("--gradient-bytes", 4, "of one gradient")
    gpus_per_node: int = flag("--gpus-per-node", 8, "devices that share links")
    tree_base: float = flag("--tree-base", 6.8e-6, "start of an all-reduce by tree")
    tree_link: float = flag("--tree-link", 0.6e-6, "step inside a node")
    tree_network: float = flag("--tree-network", 5.0e-6, "step between nodes")
    ring_base: float = flag("--ring-base", 6.6e-6, "start of an all-reduce by ring")
    ring_link: float = flag("--ring-link", 0.6e-6, "step inside a node")
    ring_network: float = flag("--ring-network", 2.7e-6, "step between nodes")
    between_nodes: float = flag("--between-nodes", 1.8, "what multiplies a step inside a node where there are several")
    collective_rate: float = flag("--collective-rate", 5e9, "of a small vector that an all-reduce sums")
    wait: float = flag("--wait", 20e-6, "from the end of the device's work until it is busy again, where the host reads a number")


def log2_floor(number: int) -> int:
    return number.bit_length() - 1


def all_reduce(size: float, ranks: int, nodes: int, a: Assumptions, algorithm: str = "tree") -> float:
    """Seconds of one all-reduce of `size` bytes over `ranks` processes on `nodes` nodes: alpha + size / rate."""
    if ranks <= 1:
        return 0.0
    stretch = a.between_nodes if nodes > 1 else 1.0
    if algorithm == "tree":
        hops = (ranks // nodes - 1) * a.tree_link * stretch + log2_floor(nodes) * a.tree_network
        alpha = a.tree_base + 2 * hops
    elif algorithm == "ring":
        network_steps = 2 * (nodes - 1)
        alpha = a.ring_base + (2 * (ranks - 1) - network_steps) * a.ring_link * stretch + network_steps * a.ring_network
    else:
        raise ValueError(f"algorithm is '{algorithm}', expected tree or ring")
    return alpha + size / a.collective_rate


def nodes_of(gpus: int, a: Assumptions) -> int:
    return max(1, math.ceil(gpus / a.gpus_per_node))


@dataclasses.dataclass(frozen=True)
class Method:
    """passes: gradients read or written once per step, beyond what the optimizer reads. waits: of the host for the device."""

    name: str
    passes: int
    per_tensor: bool  # one number per tensor is summed, or one for all
    waits: int


METHODS = (
    Method("`stabilize` in `gs.optim`", 1, True, 0),
    Method("`stabilize` before another optimizer", 3, True, 0),
    Method("`clip_grad_norm_`", 3, False, 0),
    Method("ZClip, as released", 3, False, 1),
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds per step and device, nothing of it hidden behind other work."""

    memory: float
    collective: float
    wait: float

    @property
    def total(self) -> float:
        return self.memory + self.collective + self.wait


def step_time(shape: Shape, gpus: int, a: Assumptions) -> float:
    """Seconds of a step by 6 operations per parameter and token."""
    return 6 * shape.parameters * shape.batch / (gpus * a.peak * a.mfu)


def vector_bytes(tensors: int) -> int:
    return NUMBERS_PER_TENSOR * DOUBLE * tensors


def memory_time(shape: Shape, gpus: int, passes: float, a: Assumptions) -> float:
    return passes * a.gradient_bytes * shape.parameters / gpus / (a.bandwidth * a.efficiency)


def cost(shape: Shape, gpus: int, method: Method, a: Assumptions) -> Cost:
    """Of a model whose parameters are sharded over all GPUs (fully_shard, ZeRO-3)."""
    size = vector_bytes(shape.tensors) if method.per_tensor else DOUBLE
    return Cost(
        memory=memory_time(shape, gpus, method.passes, a),
        collective=all_reduce(size, gpus, nodes_of(gpus, a), a),
        wait=method.waits * a.wait,
    )


def layout_collectives(shape: Shape, layout: tuple[int, int, int], per_tensor: bool, a: Assumptions) -> float:
    """Seconds of the collectives of one step: tensor parallel inside a node, one process per node in the other groups. Tensors of other
    pipeline stages are not here, so that a method per tensor sums over the first two groups alone, and a vector of one stage."""
    data, tensor, pipeline = layout
    if not per_tensor:
        groups = ((data, data), (tensor, 1), (pipeline, pipeline))
        return sum(all_reduce(DOUBLE, ranks, nodes, a) for ranks, nodes in groups)
    size = vector_bytes(math.ceil(shape.tensors / pipeline))
    return all_reduce(size, data, data, a) + all_reduce(size, tensor, 1, a)


def fits(shape: Shape, gpus: int, a: Assumptions) -> bool:
    """Whether parameters, gradients and moments leave room; activations come on top."""
    return TRAINING_STATE * shape.parameters / gpus < a.memory


def seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 0.9995:
            return f"{value * factor:.3g} {unit}" if value * factor < 999.5 else f"{value * factor:,.0f} {unit}"
    return f"{value * 1e6:.2g} µs"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2g} %"


def size_text(size: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} B"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def share_table(a: Assumptions) -> str:
    compared = (METHODS[0], METHODS[2], METHODS[3])
    rows = []
    for shape in SHAPES:
        for gpus in GPUS:
            if not fits(shape, gpus, a):
                continue
            step = step_time(shape, gpus, a)
            totals = [cost(shape, gpus, method, a).total for method in compared]
            cells = tuple(f"{seconds(total)}, {share(total, step)}" for total in totals)
            rows.append((shape.name, f"{gpus:,}", seconds(step), *cells))
    return table(("model", "GPUs", "step", *(method.name for method in compared)), rows)


def shape_table(a: Assumptions) -> str:
    del a
    return table(
        ("model", "layers", "width", "feed-forward", "keys", "vocabulary", "parameters", "tensors", "tokens per step", "vector", "state"),
        [
            (
                shape.name, str(shape.layers), f"{shape.width:,}", f"{shape.hidden:,}", f"{shape.key_width:,}", f"{shape.vocabulary:,}",
                f"{shape.parameters / 1e9:.1f} G", f"{shape.tensors:,}", f"{shape.batch / 1e6:.0f} M", size_text(vector_bytes(shape.tensors)),
                size_text(STATE_PER_TENSOR * shape.tensors),
            )
            for shape in SHAPES
        ],
    )  # fmt: skip


def memory_table(a: Assumptions) -> str:
    shape, gpus = SHAPES[2], 64
    gradient = a.gradient_bytes * shape.parameters / gpus
    adamw = ADAMW_TRAFFIC * shape.parameters / gpus
    rows = [
        (
            method.name, str(method.passes), size_text(method.passes * gradient), seconds(memory_time(shape, gpus, method.passes, a)),
            f"{1 + method.passes * gradient / adamw:.2f}", str(method.waits), str(shape.tensors if method.per_tensor else 1),
        )
        for method in METHODS
    ]  # fmt: skip
    return table(("method", "passes", "bytes", "time", "AdamW with it / without", "waits", "numbers summed"), rows)


def collective_table(a: Assumptions) -> str:
    shape = SHAPES[3]
    vector = vector_bytes(shape.tensors)
    rows = []
    for gpus in GPUS:
        nodes = nodes_of(gpus, a)
        one, many = all_reduce(DOUBLE, gpus, nodes, a), all_reduce(vector, gpus, nodes, a)
        rows.append(
            (
                f"{gpus:,}", f"{nodes:,}", seconds(one), seconds(many), f"{many / one:.2f}",
                seconds(all_reduce(vector, gpus, nodes, a, "ring")), seconds(shape.tensors * one),
            )
        )  # fmt: skip
    return table(("GPUs", "nodes", "one number", "vector of the 405B model", "vector / one", "vector, ring", "one collective per tensor"), rows)


def layout_table(a: Assumptions) -> str:
    shape = SHAPES[3]
    rows = []
    for layout in LAYOUTS:
        gpus = math.prod(layout)
        ours = memory_time(shape, gpus, METHODS[0].passes, a) + layout_collectives(shape, layout, True, a)
        clip = memory_time(shape, gpus, METHODS[2].passes, a) + layout_collectives(shape, layout, False, a)
        cells = (seconds(layout_collectives(shape, layout, each, a)) for each in (True, False))
        step = step_time(shape, gpus, a)
        rows.append((f"{gpus:,}", *(str(part) for part in layout), *cells, share(ours, step), share(clip, step)))
    head = ("GPUs", "data", "tensor", "pipeline", "collectives of `stabilize`", "of a global norm", "`stabilize`, of a step", "`clip_grad_norm_`")
    return table(head, rows)


def overlap_table(a: Assumptions) -> str:
    rows = []
    for shape, gpus in ((SHAPES[0], 512), (SHAPES[2], 512), (SHAPES[2], 16384), (SHAPES[3], 16384), (SHAPES[4], 16384)):
        sums = cost(shape, gpus, METHODS[0], a).collective
        update = ADAMW_TRAFFIC * shape.parameters / gpus / (a.bandwidth * a.efficiency)
        rows.append((shape.name, f"{gpus:,}", seconds(sums), seconds(update), seconds(max(0.0, sums - update))))
    return table(("model", "GPUs", "sum of the norms", "AdamW's update", "what the update would not cover"), rows)


def sensitivity_table(a: Assumptions) -> str:
    latencies = ("tree_base", "tree_link", "tree_network")
    changes: tuple[tuple[str, dict[str, float]], ...] = (
        ("as assumed", {}),
        ("latencies × 10", {name: 10 * getattr(a, name) for name in latencies}),
        ("rate of the collective / 10", {"collective_rate": a.collective_rate / 10}),
        ("memory at half the rate", {"efficiency": a.efficiency / 2}),
        ("gradients in 2 bytes", {"gradient_bytes": 2}),
        ("MFU 0.55", {"mfu": 0.55}),
        ("wait × 10", {"wait": 10 * a.wait}),
    )
    cases = ((SHAPES[0], 512), (SHAPES[0], 16384), (SHAPES[3], 16384))
    rows = []
    for name, change in changes:
        changed = dataclasses.replace(a, **change)  # type: ignore[arg-type]
        cells = []
        for shape, gpus in cases:
            step = step_time(shape, gpus, changed)
            cells.append(" / ".join(share(cost(shape, gpus, METHODS[index], changed).total, step) for index in (0, 2, 3)))
        rows.append((name, *cells))
    return table(("assumption", *(f"{shape.name}, {gpus:,} GPUs" for shape, gpus in cases)), rows)


TABLES = {
    "share": share_table,
    "shapes": shape_table,
    "memory": memory_table,
    "collective": collective_table,
    "layouts": layout_table,
    "overlap": overlap_table,
    "sensitivity": sensitivity_table,
}
END = "<!-- end of scaling -->"


def with_tables(text: str, a: Assumptions) -> str:
    """The page with its tables as they are computed. ValueError where a table lacks an end, has another name, or is not shown."""
    lines, shown, inside = [], set(), ""
    for line in text.splitlines():
        if line.startswith("<!-- scaling "):
            inside = line.split()[2]
            if inside not in TABLES:
                raise ValueError(f"there is no table '{inside}', expected one of {', '.join(TABLES)}")
            shown.add(inside)
            lines += [line, TABLES[inside](a)]
        elif line == END:
            lines.append(line)
            inside = ""
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"the table '{inside}' has no end")
    if missing := set(TABLES) - shown:
        raise ValueError(f"the page does not show the table '{min(missing)}'")
    return "\n".join(lines) + "\n"


def check(page: pathlib.Path, a: Assumptions) -> int:
    text = page.read_text(encoding="utf-8")
    fresh = with_tables(text, a)
    differ = [line for line in fresh.splitlines() if line not in text.splitlines()]
    if fresh == text:
        print(f"{page.name}: {len(TABLES)} tables as computed")
        return 0
    print(f"{page.name} differs from the model, run tools/scaling_model.py --write; computed is\n" + "\n".join(differ), file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tables", action="store_true", help="print the tables of the page")
    parser.add_argument("--check", type=pathlib.Path, metavar="FILE", help="compare the tables of a page")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE", help="write the tables of a page")
    parser.add_argument("--model", choices=[shape.name for shape in SHAPES], default="70B")
    parser.add_argument("--gpus", type=int, default=512)
    for field in dataclasses.fields(Assumptions):
        parser.add_argument(
            field.metadata["flag"], type=type(field.default), default=field.default, help=f"{field.metadata['meaning']}; {field.default:g}"
        )
    arguments = parser.parse_args()
    a = Assumptions(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Assumptions)})
    for field in dataclasses.fields(Assumptions):
        if not getattr(a, field.name) > 0:
            parser.error(f"{field.metadata['flag']} is {getattr(a, field.name)}, expected a number above 0")
    if arguments.gpus < 1:
        parser.error(f"--gpus is {arguments.gpus}, expected 1 or more")
    try:
        if arguments.check:
            return check(arguments.check, a)
        if arguments.write:
            arguments.write.write_text(with_tables(arguments.write.read_text(encoding="utf-8"), a), encoding="utf-8")
            return 0
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.tables:
        print("\n\n".join(f"{name}\n\n{make(a)}" for name, make in TABLES.items()))
        return 0
    shape = next(shape for shape in SHAPES if shape.name == arguments.model)
    step = step_time(shape, arguments.gpus, a)
    rows = []
    for method in METHODS:
        of = cost(shape, arguments.gpus, method, a)
        rows.append((method.name, *(seconds(part) for part in (of.memory, of.collective, of.wait, of.total)), share(of.total, step)))
    room = "" if fits(shape, arguments.gpus, a) else ", whose memory is too small for parameters, gradients and moments"
    print(f"{shape.name}, {arguments.gpus:,} GPUs{room}, step {seconds(step)}\n")
    print(table(("method", "memory", "collective", "wait", "together", "of a step"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
