#!/usr/bin/env python3
"""TensorBoard reads the event files of a run that was killed and went on: every tag of its metrics, each step once.

    tensorboard_test.py --program PROGRAM

PROGRAM is gradstab with the task toy (tests/lab/toy). Asked are the two that people use: the Python classes, and the server behind the page."""

import argparse
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import interpreter


def as_f32(value):
    """What an event can hold of it; null is NaN, and so is the factor "nan" of a NaN that was put in."""
    if value in (None, "nan"):
        return math.nan
    return struct.unpack("<f", struct.pack("<f", value))[0]


def metrics_of(folder):
    """{tag: [(step, value)]} by metrics.jsonl."""
    series = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        kind, step = entry.pop("kind"), entry.pop("step")
        flat = {}
        for key, value in entry.items():
            if isinstance(value, dict):
                flat.update({f"{key}/{inner}": number for inner, number in value.items() if inner != "max_name"})
            else:
                flat[key] = value
        for key, value in flat.items():
            series.setdefault(("train" if kind == "step" else kind) + "/" + key, []).append((step, as_f32(value)))
    return series


def check_same(what, found, expected):
    """Both are lists of (step, value)."""
    steps = [step for step, _ in found]
    assert steps == [step for step, _ in expected], f"{what}: steps {steps}"
    for (step, value), (_, right) in zip(found, expected, strict=True):
        assert value == right or (math.isnan(value) and math.isnan(right)), f"{what}, step {step}: {value}, expected {right}"


def run_killed_and_resumed(program, folder):
    words = [program, "train", "toy", "--threads", "1", "--batch", "3", "--output", "run", "--tensorboard", "--checkpoint-every", "7",
             "--inject-spikes", "33:1000,35:nan", "--transform", "stabilize"]
    child = subprocess.Popen(words, cwd=folder, env=dict(os.environ, TOY_MILLISECONDS="20"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = folder / "run" / "metrics.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (lines.exists() and lines.read_text().count('"kind":"step"') > 25):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it had ended before it was killed"
    subprocess.run([program, "train", "toy", "--resume", "run"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def check_classes(folder, expected):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    assert set(expected) | {"train/factor"} == set(tags), set(expected) ^ set(tags)
    for tag, values in expected.items():
        check_same(tag, [(event.step, event.value) for event in accumulator.Scalars(tag)], values)
    factors = [event.value for event in accumulator.Scalars("train/factor")]
    ratio = [b / a for (_, a), (_, b) in zip(expected["train/grad_norm"], expected["train/stabilized_norm"], strict=True)]
    # The quotient of two numbers in f32, beside that of doubles in f32: three roundings.
    for found, right in zip(factors, ratio, strict=True):
        assert abs(found - right) <= 4 * 2**-24 * abs(right) or (math.isnan(found) and math.isnan(right)), (found, right)


def check_server(folder, expected):
    """By HTTP, as the page asks it."""
    server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = None
        for line in server.stderr:
            if "http://" in line:
                address = line[line.index("http://"):].split()[0].rstrip("/")
                break
        assert address, "the server did not begin"

        def ask(path):
            with urllib.request.urlopen(address + "/data/" + path, timeout=30) as answer:
                return json.load(answer)

        until = time.monotonic() + 60
        tags = {}
        while time.monotonic() < until and len(tags.get("run", {})) < len(expected) + 1:
            tags = ask("plugin/scalars/tags")
            time.sleep(0.2)
        for tag, values in expected.items():
            answer = ask("plugin/scalars/scalars?" + urllib.parse.urlencode({"run": "run", "tag": tag}))
            found = [(step, math.nan if value == "NaN" else float(value)) for _, step, value in answer]
            check_same("server, " + tag, found, values)
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    arguments = parser.parse_args()
    interpreter.go_on_with(["tensorboard"])
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        run_killed_and_resumed(str(pathlib.Path(arguments.program).resolve()), folder)
        files = sorted(path.name for path in (folder / "run").glob("*tfevents*"))
        assert len(files) == 2, files
        expected = metrics_of(folder / "run")
        assert len(expected["train/loss"]) == 60 and math.isnan(expected["train/grad_norm"][34][1])
        check_classes(folder / "run", expected)
        check_server(folder, expected)
        # The control: without the second file the steps up to the kill are there.
        (folder / "run" / files[1]).unlink()
        try:
            check_classes(folder / "run", expected)
        except AssertionError:
            print(f"{len(expected)} tags of 60 updates are the same in TensorBoard")
            return
        sys.exit("a run without its end was taken for the whole one")


if __name__ == "__main__":
    main()
