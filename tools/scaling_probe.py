#!/usr/bin/env python3
"""The growth of an all-reduce of few numbers over 2 to 32 processes on this machine, beside the model's of docs/scaling.md.

Two algorithms over torch.distributed's Gloo: its own all_reduce, a ring, and recursive doubling over its send and recv. Both sum
vectors of doubles as a sharded step does. The rounds of all cases are interleaved; a case is the median of its rounds, with the
median absolute deviation behind ±. Prints two Markdown tables of ratios. Needs torch; two minutes on two cores.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from scaling_model import NUMBERS_PER_TENSOR, SHAPES

#: One number, and the vectors of the 7B and the 70B model. Growth is that of the second: with one number most steps of the ring carry
#: nothing, and Gloo leaves them out.
LENGTHS = (1, NUMBERS_PER_TENSOR * SHAPES[0].tensors, NUMBERS_PER_TENSOR * SHAPES[2].tensors)
ALGORITHMS = ("ring", "doubling")


def steps_of(algorithm: str, processes: int) -> int:
    """Messages that follow each other."""
    return 2 * (processes - 1) if algorithm == "ring" else int(math.log2(processes))


def recursive_doubling(values: torch.Tensor, rank: int, processes: int, group: Any) -> None:
    """Sums in place: in each of log2(processes) rounds the sums of two halves are exchanged and added."""
    other = torch.empty_like(values)
    distance = 1
    while distance < processes:
        peer = rank ^ distance
        sent = dist.isend(values.clone(), peer, group=group)
        dist.recv(other, peer, group=group)
        sent.wait()
        values += other
        distance *= 2


def run_case(algorithm: str, values: torch.Tensor, rank: int, processes: int, group: Any) -> None:
    if algorithm == "ring":
        dist.all_reduce(values, group=group)
    else:
        recursive_doubling(values, rank, processes, group)


def work(rank: int, world: int, store: str, rounds: int, budget: float, results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    sizes = [2**power for power in range(1, int(math.log2(world)) + 1)]
    groups = {size: dist.new_group(list(range(size))) for size in sizes}
    cases = [(size, length, algorithm) for size in sizes for length in LENGTHS for algorithm in ALGORITHMS]
    times: dict[tuple[int, int, str], list[float]] = {case: [] for case in cases}
    for turn in range(rounds + 1):  # the first warms up
        for size, length, algorithm in cases if turn % 2 == 0 else reversed(cases):
            if rank < size:
                group = groups[size]
                values = torch.full((length,), float(rank + 1), dtype=torch.float64)
                run_case(algorithm, values, rank, size, group)
                expected = size * (size + 1) / 2
                if not bool((values == expected).all()):
                    raise RuntimeError(f"{algorithm} over {size} processes gives {values[0].item()}, expected {expected}")
                # As many as fit into the budget by the work of steps and processes, the same number in each process.
                repeats = min(1000, max(3, int(budget / (steps_of(algorithm, size) * size * 5e-5))))
                values.zero_()
                begin = time.perf_counter()
                for _ in range(repeats):
                    run_case(algorithm, values, rank, size, group)
                if turn > 0:
                    times[size, length, algorithm].append((time.perf_counter() - begin) / repeats)
            dist.barrier()
    if rank == 0:
        results.put(times)
    dist.barrier()
    dist.destroy_process_group()


def spread(values: list[float]) -> tuple[float, float]:
    middle = statistics.median(values)
    return middle, statistics.median(abs(value - middle) for value in values)


def paired(above: list[float], below: list[float]) -> str:
    """Ratio of the two cases of each round, which share what the machine did meanwhile."""
    middle, deviation = spread([top / bottom for top, bottom in zip(above, below, strict=True)])
    return f"{middle:.2f} ± {deviation:.2f}"


def report(times: dict[tuple[int, int, str], list[float]], cores: int) -> None:
    sizes = sorted({size for size, _, _ in times})
    one, short, long = LENGTHS

    def crowd(size: int) -> float:
        return max(1.0, size / cores)

    print("| processes | ring: steps | model | with shared cores | measured | doubling: steps | model | with shared cores | measured |")
    print("|" + "---|" * 9)
    for size in sizes:
        cells = []
        for algorithm in ALGORITHMS:
            steps = steps_of(algorithm, size)
            growth = steps / steps_of(algorithm, sizes[0])
            measured = paired(times[size, short, algorithm], times[sizes[0], short, algorithm])
            cells += [str(steps), f"{growth:.0f}", f"{growth * crowd(size) / crowd(sizes[0]):.0f}", measured]
        print(f"| {size} | " + " | ".join(cells) + " |")
    lengths = f"ring, {long:,} numbers / {short} | doubling, {long:,} / {short} | doubling, {short} / {one}"
    print(f"\n| processes | {lengths} | ring / doubling, {short} | model |")
    print("|" + "---|" * 6)
    for size in sizes:
        cells = [paired(times[size, long, algorithm], times[size, short, algorithm]) for algorithm in ALGORITHMS]
        cells.append(paired(times[size, short, "doubling"], times[size, one, "doubling"]))
        cells.append(paired(times[size, short, "ring"], times[size, short, "doubling"]))
        cells.append(f"{steps_of('ring', size) / steps_of('doubling', size):.1f}")
        print(f"| {size} | " + " | ".join(cells) + " |")
    print()
    for algorithm in ALGORITHMS:
        # alpha: one step of one process that has a core to itself; the same at all sizes if the model holds.
        alphas = [spread(times[size, short, algorithm])[0] / (steps_of(algorithm, size) * crowd(size)) for size in sizes]
        ratios = ", ".join(f"{alpha / statistics.median(alphas):.2f}" for alpha in alphas)
        print(f"{algorithm}: alpha {1e6 * statistics.median(alphas):.0f} µs; at each number of processes / that: {ratios}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--processes", type=int, default=32, help="the largest number, a power of two")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=0.1, help="seconds of work per case and round, about")
    arguments = parser.parse_args()
    if arguments.processes < 2 or arguments.processes & (arguments.processes - 1):
        parser.error(f"--processes is {arguments.processes}, expected a power of two from 2")
    if arguments.rounds < 1:
        parser.error(f"--rounds is {arguments.rounds}, expected 1 or more")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    context = multiprocessing.get_context("fork")  # torch is loaded once
    results = context.SimpleQueue()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            context.Process(
                target=work,
                args=(rank, arguments.processes, f"{folder}/store", arguments.rounds, arguments.budget, results),
                daemon=True,
            )
            for rank in range(arguments.processes)
        ]
        for process in processes:
            process.start()
        while results.empty():
            if any(process.exitcode not in (None, 0) for process in processes):
                print("a process has failed", file=sys.stderr)
                return 1
            time.sleep(0.1)
        times = results.get()
        for process in processes:
            process.join()
    cores = len(os.sched_getaffinity(0))
    print(f"torch {torch.__version__}, {cores} cores, {platform.machine()}, {arguments.rounds} rounds, {time.perf_counter() - begin:.0f} s, "
          f"load {os.getloadavg()[0]:.1f}\n")
    report(times, cores)
    return 0


if __name__ == "__main__":
    sys.exit(main())
