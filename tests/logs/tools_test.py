#!/usr/bin/env python3
"""Logs that TensorBoard, W&B, torch, Lightning and transformers write now, read by gradstab inspect.

    tools_test.py --program PROGRAM

Whichever of them are installed write their logs as tests/lab/inspect/make_golden.py has them do it. A new release of one of them is tried by
this alone, with the variable that interpreter.py names."""

import argparse
import csv
import importlib.metadata
import math
import pathlib
import subprocess
import sys
import tempfile

import interpreter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lab" / "inspect"))
import make_golden  # noqa: E402


def inspected(program, log, folder):
    """The records of a log by `gradstab inspect --steps`: (step, norm, loss)."""
    steps = folder / "steps.csv"
    done = subprocess.run([program, "inspect", str(log), "--steps", str(steps), "--force"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(steps, newline="") as file:
        return [(int(row["step"]), float(row["norm"]), float(row["loss"])) for row in csv.DictReader(file)]


def check(name, found, expected, tolerance):
    assert len(found) == len(expected), f"{name}: {len(found)} records, expected {len(expected)}"
    for mine, right in zip(found, expected, strict=True):
        assert mine[0] == right[0], f"{name}: step {mine[0]}, expected {right[0]}"
        for value, other in zip(mine[1:], right[1:], strict=True):
            same = value == other or (math.isnan(value) and math.isnan(other)) or abs(value - other) <= tolerance * abs(other)
            assert same, f"{name}, step {mine[0]}: {value}, expected {other}"


def expected_of(folder):
    with open(folder / "expected.csv", newline="") as file:
        return [(int(row["step"]), float(row["norm"]), float(row["loss"])) for row in csv.DictReader(file)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())
    has = set(interpreter.go_on_with(["tensorboard", "wandb", "torch", "lightning", "transformers", "accelerate"]))
    records = make_golden.records()
    by_calls = [(10 * step, norm, loss) for step, norm, loss in records]
    # A tool, what it needs, and the logs that it leaves: path, records (None: expected.csv beside it).
    tools = [
        ("tensorboard", {"tensorboard"}, make_golden.write_events,
         [("events.out.tfevents.simple", records), ("events.out.tfevents.tensor.v2", records)]),
        ("wandb", {"wandb"}, make_golden.write_wandb, [("run.wandb", by_calls)]),
        ("torch", {"torch", "tensorboard"}, make_golden.write_restarted, [("restarted", records)]),
        ("lightning", {"torch", "lightning"}, make_golden.write_lightning, [("lightning/metrics.csv", None)]),
        ("transformers", {"torch", "transformers", "accelerate", "tensorboard"}, make_golden.write_transformers,
         [("transformers/trainer_state.json", None), ("transformers/events.out.tfevents.trainer", None)]),
    ]
    checked = []
    for tool, needs, write, logs in tools:
        if not needs <= has:
            print(f"{tool}: left out, {', '.join(sorted(needs - has))} is not installed")
            continue
        with tempfile.TemporaryDirectory() as made:
            folder = pathlib.Path(made)
            write(folder)
            for log, expected in logs:
                # Of 19 numbers in f32: far below 32 roundings. Those of records() are exact.
                tolerance = 0 if expected else 32 * 2**-24
                check(f"{tool}, {log}", inspected(program, folder / log, folder), expected or expected_of((folder / log).parent), tolerance)
        checked.append(f"{tool} {importlib.metadata.version(tool)}")
    if not checked:
        print(f"skipped: none of the tools has all that it needs; see {interpreter.VARIABLE}")
        sys.exit(interpreter.SKIPPED)
    print("read as they were written: " + ", ".join(checked))


if __name__ == "__main__":
    main()
