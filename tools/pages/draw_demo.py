#!/usr/bin/env python3
"""Draws docs/demo.png, the README's first picture, and writes what it shows to docs/demo.json and into the README's table.

    nice tools/pages/draw_demo.py [--program build/gradstab] [--runs FOLDER] [--keep]

Trains the demo (tools/demo.sh) with seeds 0, 1 and 2, or with --keep takes the runs that FOLDER has, opens the page of seed 0 in a
headless Chromium, reads the numbers off the page as it shows them, and takes the picture. Times are left out: on a machine that others
share they say nothing about the method."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import picture  # noqa: E402
from browser import NONE_THERE, Browser, find_browser  # noqa: E402
from check_page import complaints_about, new_page  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = (0, 1, 2)
DRAWN_SEED = 0
RUNS = {"none": "AdamW", "clip": "AdamW + norm clip 1.0", "stabilize": "AdamW + GradientStabilizer"}
LEFT_OUT = ("Time", "Tokens/s")  # columns of the page's table
WIDTH, SCALE = 1080, 1.25
MARK = "<!-- demo -->\n"

# Leaves out columns, and what stands below the first four charts; gives the table as it is shown.
PREPARE = """((leftOut) => {
  const table = document.querySelector("table.verdict");
  const heads = [...table.querySelectorAll("thead th")];
  const columns = heads.map((head, column) => (leftOut.includes(head.firstChild.textContent) ? column : -1)).filter((column) => column >= 0);
  for (const column of columns.reverse()) [...table.rows].forEach((row) => row.cells[column].remove());
  document.querySelectorAll("#charts figure").forEach((figure, place) => { if (place >= 4) figure.remove(); });
  document.querySelectorAll("main > section:not(#charts):not(:first-child), #charts > details, footer, #options").forEach((part) => part.remove());
  return [...table.rows].map((row) => [...row.cells].map((cell) => cell.firstChild?.textContent.trim() ?? ""));
})"""


def train(program, folder):
    for seed in SEEDS:
        subprocess.run([ROOT / "tools/demo.sh", "--program", program, "--output", folder / f"seed{seed}", "--seed", str(seed)], check=True)


def numbers_of_runs(folder):
    """What the runs' own files say."""
    losses = {}
    for run in RUNS:
        summaries = [json.loads((folder / f"seed{seed}" / run / "summary.json").read_text()) for seed in SEEDS]
        if any(summary["state"] != "finished" for summary in summaries):
            raise SystemExit(f"a run of '{run}' is not finished")
        losses[run] = [summary["final_validation_loss"] for summary in summaries]
    first = json.loads((folder / f"seed{DRAWN_SEED}" / "none/run.json").read_text())
    keep = ("model", "tokenizer", "context", "batch", "lr", "steps", "warmup", "optimizer")
    return {"format": 1, "kind": "demo", "drawn_seed": DRAWN_SEED, "seeds": list(SEEDS), "labels": RUNS, "validation_loss": losses,
            "settings": {key: first["settings"][key] for key in keep}, "data": first["data"].get("source", ""),
            "environment": {key: first["environment"].get(key) for key in ("cpu", "threads", "torch", "blas", "version")}}


def draw(path, numbers):
    """The picture of a page, and the table that it shows."""
    executable = find_browser()
    if not executable:
        raise SystemExit(NONE_THERE)
    with Browser(executable) as browser:
        page = new_page(browser)
        page.resize(WIDTH, 900, scale=SCALE)
        page.open(path)
        head, *rows = page.evaluate(f"{PREPARE}({json.dumps(LEFT_OUT)})")
        page.settle()
        found = complaints_about(page, page.evaluate("probe()"), path)
        if found:
            raise SystemExit("the page has faults:\n" + "\n".join(found))
        height = page.evaluate("Math.ceil(document.querySelector('main').getBoundingClientRect().bottom + 14)")
        png = page.screenshot({"x": 0, "y": 0, "width": WIDTH, "height": height})
    shown = {run: row[head.index("Validation loss")] for run, row in zip(RUNS, rows)}
    for run, text in shown.items():
        if text != f"{numbers['validation_loss'][run][SEEDS.index(DRAWN_SEED)]:.4f}":
            raise SystemExit(f"the page shows {text} for '{run}', its run ended at {numbers['validation_loss'][run]}")
    return png, {"columns": head, "validation_loss": shown}


def table(numbers):
    lines = ["| run | " + " | ".join(f"seed {seed}" for seed in numbers["seeds"]) + " |", "|---" * (1 + len(numbers["seeds"])) + "|"]
    lines += [f"| {label} | " + " | ".join(f"{loss:.3f}" for loss in numbers["validation_loss"][run]) + " |"
              for run, label in numbers["labels"].items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/gradstab", help="the program that trains and draws")
    parser.add_argument("--runs", type=pathlib.Path, default=ROOT / "demo/seeds", help="folder of the runs")
    parser.add_argument("--keep", action="store_true", help="draw the runs that the folder has, train nothing")
    arguments = parser.parse_args()
    if not arguments.keep:
        train(arguments.program, arguments.runs.resolve())
    numbers = numbers_of_runs(arguments.runs)
    png, shown = draw(arguments.runs / f"seed{DRAWN_SEED}" / "report.html", numbers)
    numbers["shown"] = shown
    numbers["pixels_sha256"] = picture.pixels_sha256(png)
    (ROOT / "docs/demo.json").write_text(json.dumps(numbers, indent=1) + "\n")
    (ROOT / "docs/demo.png").write_bytes(picture.with_numbers(png, numbers))
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, mark, after = text.partition(MARK)
    if not mark:
        raise SystemExit(f"README.md has no line '{MARK.strip()}' before its table")
    readme.write_text(before + mark + table(numbers) + re.sub(r"\A(\|.*\n)*", "", after))
    print(table(numbers), end="")


if __name__ == "__main__":
    main()
