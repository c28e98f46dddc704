"""The numbers that a page's script draws, in the form of expected.py."""

import json
import re


def read(path):
    """The JSON inlined in a page, and the page's text."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="page-data">(.*?)</script>', text, re.DOTALL).group(1)), text


def points(series):
    return list(zip(series["x"], series["y"]))


def charts_of_runs(data):
    charts = {name: {} for name in ("validation", "training", "raw_norm", "stabilized_norm", "factor", "flagged")}
    for run, entry in enumerate(data["runs"]):
        for name, chart in charts.items():
            chart["run", run] = points(entry[name])
        charts["training"]["raw", run] = points(entry["training_raw"])
    for group, entry in enumerate(data["groups"]):
        for name in ("validation", "training"):
            if name in entry:
                charts[name]["mean", group] = points(entry[name])
    return charts


def charts_of_item(data):
    """By title."""
    charts = {}
    for entry in data["charts"]:
        chart = charts[entry["title"]] = {}
        for line in entry["lines"]:
            chart[line["arm"], "mean", 0] = [tuple(point) for point in line["mean"]]
            for i, seed in enumerate(line["seeds"]):
                chart[line["arm"], "seed", i] = [tuple(point) for point in seed]
    return charts


def categories_of(data):
    """The names of groups on the horizontal axis, by the title of the chart."""
    return {entry["title"]: entry["categories"] for entry in data["charts"] if "categories" in entry}


def recovery_of_bounds(data):
    return {(curve["rule"], curve["ratio"]): points(curve) for curve in data["curves"]}


def charts_of_logs(data):
    """By the name of the figure, then by the key of the line."""
    charts = {}
    for place, log in enumerate(data["logs"]):
        def line(values, x=log["x"]):
            return list(zip(x, values))

        charts[f"norm-{place}"] = {"norm": line(log["norm"]), "running median": line(log["median"]),
                                   "event": [(event["x"], event["y"]) for event in log["events"]]}
        charts[f"loss-{place}"] = {"loss": line(log["loss"])}
        charts[f"factor-{place}"] = {rule["title"]: line(rule["factor"]) for rule in log["rules"]}
    return charts


def about_charts_of_item(data):
    """[(title, horizon, context)]."""
    return [(entry["title"], entry["horizon"], entry["context"]) for entry in data["charts"]]


def movements(text):
    """Of every figure with movements its data, with frames as they are and not as differences."""
    found = [json.loads(data) for data in re.findall(r'<figure class="poses">.*?<script type="application/json">(.*?)</script>', text, re.DOTALL)]
    for figure in found:
        for rollout in figure["rollouts"]:
            frames = []
            for difference in rollout["frames"]:
                frames.append([a + b for a, b in zip(frames[-1], difference)] if frames else difference)
            rollout["frames"] = frames
    return found
