#!/usr/bin/env python3
"""Makes a page of every kind with the program, and beside each what it was made of.

    make_pages.py --program build/gradstab --demo tools/demo.sh --output FOLDER

The runs of `runs` and `sweep` are written here as docs/run-format.md says, so that their numbers do not come from the program that
draws them; those of the demo are trained, in small."""

import argparse
import json
import math
import os
import pathlib
import random
import shutil
import subprocess

# What the numbers of a language model mean.
MEASURES = {
    "task": "llm", "sample": "tokens", "held_out": "on held-out text", "loss_unit": "nats per token", "uninformed": math.log(4096),
    "loss_spike": 0.5,
    "metrics": [
        {"key": "validation_loss", "title": "Validation loss", "noun": "loss", "unit": "nats per token", "better": "lower", "digits": 4},
        {"key": "perplexity", "title": "Perplexity", "noun": "perplexity", "unit": "", "better": "lower", "digits": 2, "exp_of_score": True},
    ],
}


def write_run(folder, name, transform, seed, steps, every, level, stop=None, version=2):
    """A run of `steps` steps, evaluated every so many; without summary where it was killed at step `stop`. Format 1 is that of older
    versions, which knew language models alone."""
    folder.mkdir(parents=True)
    draw = random.Random(f"{name} {seed}")
    settings = {"model": "1m", "optimizer": "adamw", "transform": transform, "lr": 0.01, "steps": steps, "seed": seed}
    run = {"format": version, "name": name, "task": "llm", "settings": settings, "model": {"parameters": 2053376},
           "data": {"source": "made up"}, "environment": {"threads": 2}}
    if version > 1:
        run["measures"] = MEASURES
    (folder / "run.json").write_text(json.dumps(run))
    lines, spikes, loss = [], 0, level
    for step in range(1, (stop or steps) + 1):
        loss = level + 3.5 * math.exp(-step / (0.1 * steps)) + 0.08 * draw.gauss(0, 1)
        norm = 0.7 * math.exp(0.4 * draw.gauss(0, 1)) * (40 if draw.random() < 0.01 else 1)
        flagged = draw.randrange(1, 5) if norm > 5 else 0
        spikes += flagged
        nothing = transform == "clip" and step == 7  # an update without numbers
        lines.append({"kind": "step", "step": step, "loss": None if nothing else loss, "lr": 0.01, "tokens": 1024 * step,
                      "tokens_per_second": 9000.5, "seconds": 0.1 * step, "grad_norm": None if nothing else norm,
                      "stabilized_norm": None if nothing else min(norm, 1.0) if transform != "none" else norm,
                      "spikes": flagged, "nonfinite": 0})
        if step % every == 0:
            lines.append({"kind": "eval", "step": step, "loss" if version == 1 else "validation_loss": loss + 0.05,
                          "perplexity": math.exp(loss + 0.05)})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if stop is None:
        (folder / "summary.json").write_text(json.dumps(
            {"format": version, "state": "finished", "step": steps, "final_validation_loss": loss + 0.05,
             "final_perplexity": math.exp(loss + 0.05), "best_validation_loss": loss + 0.05, "spikes": spikes, "nonfinite": 0,
             "diverged": False, "seconds": 0.1 * steps, "tokens_per_second": 9000.5}))


def make_runs(folder):
    """Runs of one seed each: a long one, of which points are left out; a killed one; one with gaps, by an older version."""
    write_run(folder / "long", "adamw", "none", 0, 6000, 500, 2.4)
    write_run(folder / "gaps", "adamw+clip", "clip", 0, 400, 50, 2.2, version=1)
    write_run(folder / "killed", "adamw+stabilize", "stabilize", 0, 400, 50, 2.1, stop=230)


def make_sweep(folder):
    """Nine configurations, more than there are colours, of three seeds each."""
    transforms = ("none", "clip", "stabilize", "normalize", "zclip", "adagc", "clip_by_value", "adaptive_clip", "scale_by")
    for place, transform in enumerate(transforms):
        for seed in range(3):
            name = f"transform={transform},seed={seed}"
            write_run(folder / name, name, transform, seed, 300, 50, 2.0 + 0.05 * place + 0.02 * seed)


# Of a robot in the plane and of one in space: radius in millimetres and the two points of each bone.
MOVEMENTS = {"Walker": (2, [[50, 0, 1], [40, 1, 2]]), "Spider": (3, [[250, 0, 0], [80, 0, 1], [80, 1, 2]])}


def movement(dimensions, points, frames, speed):
    """Each frame as one number for each axis of each point, in millimetres."""
    return [[round(coordinate) for point in range(points)
             for coordinate in ((speed * frame + 300 * point), *([40 * math.sin(0.2 * frame) + 200 * point] if dimensions == 3 else []),
                                700 - 250 * point + 60 * math.sin(0.3 * frame + point))] for frame in range(frames)]


def make_movements(folder):
    """Two runs whose models move, one for longer than the other. Each has a robot of either kind."""
    for name, frames, speed in (("fast", 60, 90), ("slow", 40, 25)):
        write_run(folder / name, name, "none" if name == "slow" else "stabilize", 0, 60, 20, 2.2)
        exhibits = []
        for title, (dimensions, shapes) in MOVEMENTS.items():
            whole = movement(dimensions, 3, frames, speed)
            steps = [[b - a for a, b in zip(before, after)] for before, after in zip(whole, whole[1:])]
            exhibits.append({"kind": "poses", "title": title, "caption": "One episode.", "dimensions": dimensions, "seconds_per_frame": 0.05,
                             "shapes": shapes, "rollouts": [{"label": name, "return": 10.0 * speed, "seconds": 0.05 * (frames - 1),
                                                             "frames": [whole[0], *steps]}]})
        (folder / name / "exhibits.json").write_text(json.dumps({"format": 2, "exhibits": exhibits}))


def write_log(path, steps):
    """A log to inspect: norms with spikes, after one of which the loss stays up."""
    draw = random.Random(f"log {steps}")
    lines = ["step,train_loss,grad_norm"]
    for step in range(1, steps + 1):
        norm = (1 + 3 * math.exp(-step / 100)) * math.exp(0.2 * draw.gauss(0, 1))
        if step % 150 == 130:
            norm *= 30
        if step == steps // 2:
            norm = 150.0
        loss = 2 + 2 * math.exp(-step / 200) + 0.02 * draw.gauss(0, 1) + (0.6 if step >= steps // 2 else 0)
        lines.append(f"{step},{loss!r},{'nan' if step == steps - 20 else repr(norm)}")
    path.write_text("\n".join(lines) + "\n")


def write_corpus(path):
    draw = random.Random(0)
    words = ["".join(draw.choice("abcdefghijklmnop") for _ in range(draw.randrange(2, 9))) for _ in range(200)]
    path.write_text("\n".join(" ".join(draw.choice(words) for _ in range(12)) for _ in range(4000)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--demo", type=pathlib.Path, required=True, help="tools/demo.sh")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder; replaced")
    arguments = parser.parse_args()
    program, output = arguments.program.resolve(), arguments.output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)

    # Its own cache of tokens; and tests share the machine.
    environment = {**os.environ, "GRADSTAB_CACHE": str(output / "cache"), "OMP_WAIT_POLICY": "passive"}

    def call(*command):
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, cwd=output, env=environment)

    make_runs(output / "runs")
    call(program, "report", *(output / "runs" / name for name in ("long", "gaps", "killed")), "--output", output / "runs.html")
    make_sweep(output / "sweep")
    call(program, "report", output / "sweep", "--output", output / "sweep.html")
    make_movements(output / "movements")
    call(program, "report", output / "movements", "--output", output / "movements.html")
    for name, flags in (("bounds", ()), ("bounds_robust", ("--kappa", "3")), ("bounds_none", ("--gamma1", "0.97", "--gamma2", "0.93"))):
        call(program, "bounds", *flags, "--html", output / f"{name}.html")
    for steps in (400, 5000):
        write_log(output / f"log_{steps}.csv", steps)
    call(program, "inspect", output / "log_400.csv", "--output", output / "inspect.html")
    call(program, "inspect", output / "log_5000.csv", output / "log_400.csv", "--output", output / "inspect_two.html")
    write_corpus(output / "corpus.txt")
    call(arguments.demo.resolve(), "--program", program, "--output", output / "demo", "--data", output / "corpus.txt", "--threads", "1",
         "--steps", "12", "--warmup", "3", "--context", "16", "--batch", "1", "--eval-every", "3", "--eval-batches", "1",
         "--checkpoint-every", "12")


if __name__ == "__main__":
    main()
