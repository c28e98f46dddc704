"""Joins what tools/gpu_check.sh has left into one text and one JSON file, named by date and device.

    python3 tools/gpu_check/collect.py FOLDER RESULTS
"""

import datetime
import json
import pathlib
import re
import sys
from typing import Any


def shorten(text: str) -> str:
    """Without the folders of the machine, which say nothing elsewhere."""
    return re.sub(r"(?<![\w./:])(?:/[\w.+@=-]+){2,}(?=/)", "...", text)


def main() -> None:
    folder, results = map(pathlib.Path, sys.argv[1:3])
    summary: dict[str, Any] = {"date": datetime.date.today().isoformat(), "device": "unknown device", "stages": []}
    for line in (folder / "stages.tsv").read_text().splitlines():
        name, code, seconds = line.split("\t")
        outcome = {"0": "passed", "77": "skipped", "124": "timed out", "125": "left out"}.get(code, "failed")
        summary["stages"].append({"stage": name, "outcome": outcome, "exit_code": int(code), "seconds": int(seconds)})
    device = folder / "device.txt"
    if device.exists():
        summary["device"] = device.read_text().strip() or summary["device"]
    for name in ("bench", "training"):
        path = folder / f"{name}.json"
        if path.exists():
            summary[name] = json.loads(path.read_text())
    for path in sorted(folder.glob("run-*/summary.json")):
        summary.setdefault("lab", {})[path.parent.name[4:]] = json.loads(path.read_text())
    text = [f"{summary['device']}, {summary['date']}", ""]
    prebuilt = folder / "prebuilt.txt"
    if prebuilt.exists():
        summary["built elsewhere"] = prebuilt.read_text().splitlines()
        text += ["built elsewhere: " + ", ".join(summary["built elsewhere"]), ""]
    for stage in summary["stages"]:
        text.append(f"{stage['outcome']:9} {stage['seconds']:4d} s  {stage['stage']}")
    for stage in summary["stages"]:
        log = folder / f"{stage['stage']}.log"
        if log.exists():
            # Of a line that was written over and over, the last; of a build, what is not progress.
            lines = shorten(re.sub(r"[^\n]*\r(?!\n)", "", log.read_text(errors="replace"))).splitlines()
            lines = [line for line in lines if not re.match(r"\[\d+/\d+\] (Building|Linking|Creating)|-- Check for", line)]
            text += ["", f"== {stage['stage']}: {stage['outcome']}", *lines[-120:]]
    results.mkdir(parents=True, exist_ok=True)
    name = f"{summary['date']}-" + (re.sub(r"[^a-z0-9]+", "-", summary["device"].lower()).strip("-") or "device")
    if (results / f"{name}.json").exists():
        name += f"-{1 + len(list(results.glob(name + '*.json')))}"
    (results / f"{name}.json").write_text(json.dumps(summary, indent=1) + "\n")
    (results / f"{name}.txt").write_text("\n".join(text) + "\n")
    print(f"results: {results / name}.txt and .json")


if __name__ == "__main__":
    main()
