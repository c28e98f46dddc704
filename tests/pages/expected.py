"""What the charts of each kind of page must show, computed from what the page was made of.

A chart is a dict from the key of a line to its points, a list of (x, y); y is None where there is nothing. Keys are tuples, so that
the data of a page and what a browser drew can be brought into the same form (page_data.py, browser_test.py)."""

import gzip
import json
import math


def read_lines(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path)
    with opened as file:
        return [json.loads(line) for line in file]


def finite(value):
    return value is not None and math.isfinite(value)


def smoothed(values):
    """The centred mean over a hundredth of the series, at least 5 and at most 201 values; of a short series the values themselves. At
    the start the window shrinks on both sides, at the end on the far side."""
    count = len(values)
    window = 1 if count < 20 else min(max(count // 100, 5), 201) | 1
    result = []
    for i, value in enumerate(values):
        before = min(window // 2, i)
        after = min(window // 2, before, count - 1 - i)
        near = [each for each in values[i - before:i + after + 1] if finite(each)]
        result.append(sum(near) / len(near) if finite(value) else None)
    return result


def mean_line(lines):
    """The mean at each x that all lines have; None where one of them has no number."""
    at = {}
    for line in lines:
        for x, y in line:
            at.setdefault(x, []).append(y)
    return [(x, sum(at[x]) / len(at[x]) if all(map(finite, at[x])) else None) for x in sorted(at) if len(at[x]) == len(lines)]


# The pages of runs.

def charts_of_runs(folders, groups):
    """`groups`: lists of places in `folders`, those of several seeds with their means."""
    charts = {name: {} for name in ("validation", "training", "raw_norm", "stabilized_norm", "factor", "flagged")}
    for run, folder in enumerate(folders):
        lines = read_lines(folder / "metrics.jsonl")
        steps = [line for line in lines if line["kind"] == "step"]

        def series(value):
            return [(line["step"], value(line)) for line in steps]

        losses = series(lambda line: line["loss"])
        # Format 1 called it "loss".
        charts["validation"]["run", run] = [(line["step"], line.get("validation_loss", line.get("loss"))) for line in lines if line["kind"] == "eval"]
        charts["training"]["raw", run] = losses
        charts["training"]["run", run] = list(zip((x for x, _ in losses), smoothed([y for _, y in losses])))
        charts["raw_norm"]["run", run] = series(lambda line: line["grad_norm"])
        charts["stabilized_norm"]["run", run] = series(lambda line: line["stabilized_norm"])
        charts["factor"]["run", run] = series(lambda line: line["stabilized_norm"] / line["grad_norm"] if line["grad_norm"] else None)
        flagged, so_far = [], 0
        for line in steps:
            so_far += line["spikes"]
            flagged.append((line["step"], so_far))
        charts["flagged"]["run", run] = flagged
    for group, runs in enumerate(groups):
        if len(runs) < 2:
            continue
        for name in ("validation", "training"):
            charts[name]["mean", group] = mean_line([charts[name]["run", run] for run in runs])
    return charts


# The pages of items.

SERIES = {"Training loss": "training_loss", "Raw gradient norm": "grad_norm"}


# Of format 1 and of today.
SCORE = ("final_loss", "score")
UNINFORMED = ("uninformed_loss", "uninformed")
EVALUATION = ("loss", "validation_loss")


def either(record, names):
    return next(record[name] for name in names if name in record)


def score_of(header):
    """The key and the noun of what the runs are judged by, and the better one of two; records of format 1 are those of language
    models."""
    metrics = header.get("measures", {}).get("metrics", [{"key": "validation_loss", "noun": "loss", "better": "lower"}])
    return metrics[0]["key"], metrics[0]["noun"], {"lower": min, "higher": max}[metrics[0]["better"]]


def judged_score(run, better):
    loss, uninformed = either(run, SCORE), either(run, UNINFORMED)
    return better(loss, uninformed) if run["state"] == "finished" and finite(loss) else uninformed


def numbered(values):
    return [(i + 1, value) for i, value in enumerate(values)]


def evaluations_of(run, key):
    return list(zip(run["evaluations"]["step"], either(run["evaluations"], (key, *EVALUATION))))


def series_of(run, what):
    return numbered(smoothed(run[what]) if what == "training_loss" else run[what])


def chart_of_item(header, runs, title, horizon, context):
    """The chart that begins with that title: "Loss against lr", or what is drawn over the updates. The runs of a curve lie in the
    context, those of another chart are in it."""
    score, noun, better = score_of(header)
    against = f"{noun[0].upper()}{noun[1:]} against "
    what = title.split(", ")[0]
    runs = [run for run in runs if run["horizon"] == horizon]
    if what.startswith(against):
        key = what.removeprefix(against)
        runs = [run for run in runs if key in run["context"] and all(run["context"].get(k) == v for k, v in context.items())]
    else:
        runs = [run for run in runs if run["context"] == context and run["state"] == "finished"]
    chart = {}
    for method in dict.fromkeys(run["method"] for run in runs):
        of_method = [run for run in runs if run["method"] == method]
        if what.startswith(against):
            seeds = {}
            for run in of_method:
                seeds.setdefault(run["seed"], []).append((float(run["context"][key]), judged_score(run, better)))
            lines = [sorted(seeds[seed]) for seed in sorted(seeds)]
        elif what == f"Evaluation {noun}":
            lines = [evaluations_of(run, score) for run in of_method]
        else:
            lines = [series_of(run, SERIES[what]) for run in of_method]
        if what == "Raw gradient norm":
            chart[method, "mean", 0] = lines[0]
            continue
        chart[method, "mean", 0] = mean_line(lines)
        if what != "Training loss":
            chart.update({(method, "seed", i): line for i, line in enumerate(lines)})
    return chart


# The page of what decides, from the records of all items.

SHOWN = ("stabilize", "robust", "clip", "normalize", "beta2", "scale")
OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "adam_mini": "Adam-mini", "lion": "Lion", "sgd": "SGD"}
DOMAINS = {"llm": "Language models", "forecast": "Forecasts", "vision": "Images", "rl": "Robots"}
PRECISIONS = ("fp32", "bf16", "fp16", "fp4", "int4")


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def spikiness(run):
    """Norm spikes per 1,000 updates, and the largest norm over the running median."""
    norms = [math.nan if norm is None else norm for norm in run["grad_norm"]]
    quotients = []
    for i, norm in enumerate(norms):
        before = sorted(each for each in norms[max(0, i - 50):i] if math.isfinite(each))
        if len(before) >= 20:
            quotients.append(norm / before[len(before) // 2] if math.isfinite(norm) else math.inf)
    return 1000 * sum(each > 3 for each in quotients) / len(norms), max(quotients)


def configurations(results):
    """Of every set of runs without a method: what is known of it, and the gain of each arm by seed. Those that end in the same weights
    are one."""
    found = {}
    for path in sorted(results.glob("*/records.jsonl.gz")):
        header, *runs = read_lines(path)
        task = header.get("measures", {}).get("task", "llm")
        better = score_of(header)[2]
        sign = 1 if better is min else -1
        groups = {}
        for run in runs:
            groups.setdefault((run["horizon"], json.dumps(run["context"])), {}).setdefault(run["method"], {})[run["seed"]] = run
        for (horizon, context), arms in groups.items():
            if "none" not in arms:
                continue
            without = arms["none"]
            first = without[min(without)]
            spikes, largest = zip(*(spikiness(run) for run in without.values()))
            cost = mean(sign * judged_score(run, better) for run in without.values())
            entry = found.setdefault(first["weights_checksum"], {
                "task": task, "settings": first["settings"], "horizon": horizon, "places": set(), "gains": {}, "cost": cost,
                "spikes": mean(spikes), "largest": mean(largest), "learned": sign * mean(either(run, UNINFORMED) for run in without.values()) - cost})
            entry["places"].add((header["item"], context))
            for arm, with_it in arms.items():
                gains = [sign * (judged_score(without[seed], better) - judged_score(run, better))
                         for seed, run in with_it.items() if seed in without]
                if len(gains) > len(entry["gains"].get(arm, [])):
                    entry["gains"][arm] = gains
    return [entry for entry in found.values() if "stabilize" in entry["gains"]]


def families(members, setting):
    """Those that differ in that setting alone."""
    groups = {}
    for entry in members:
        rest = {key: value for key, value in entry["settings"].items() if key not in (setting, "seed")}
        groups.setdefault(json.dumps(rest, sort_keys=True), []).append(entry)
    return [group for group in groups.values() if len(group) > 1]


def dots(pairs):
    """{(arm, role, 0): points} of (x, configuration) pairs."""
    return {(arm, "mean", 0): [(x, mean(entry["gains"][arm])) for x, entry in pairs if arm in entry["gains"] and math.isfinite(x)]
            for arm in SHOWN if any(arm in entry["gains"] and math.isfinite(x) for x, entry in pairs)}


def levels(groups, unit=lambda entry, gain: gain):
    """The same of [(label, configurations)]: dots and means, each arm at its own place beside the number of the group."""
    arms = [arm for arm in SHOWN if any(arm in entry["gains"] for _, group in groups for entry in group)]
    chart = {}
    for place, arm in enumerate(arms):
        small, large = [], []
        for i, (_, group) in enumerate(groups):
            values = [unit(entry, mean(entry["gains"][arm])) for entry in group if arm in entry["gains"]]
            x = i + 0.6 * ((place + 0.5) / len(arms) - 0.5)
            small += [(x, value) for value in values]
            large += [(x, mean(values))] if values else []
        chart[arm, "seed", 0], chart[arm, "mean", 0] = small, large
    return chart


def charts_of_what_decides(results, optimizers):
    """By title. `optimizers`: of the charts of optimizers, in which order these stand there."""
    everything = configurations(results)
    charts, domains = {}, []
    for task, domain in DOMAINS.items():
        of_task = [entry for entry in everything if entry["task"] == task]
        calm = [entry for entry in of_task if not entry["settings"].get("inject_spikes")]
        ordinary = [entry for entry in calm if entry["settings"].get("optimizer") != "sgd"]
        if ordinary:
            domains.append((domain, ordinary))
        ladder = []
        for family in families(ordinary, "lr"):
            rate = {id(entry): entry["settings"].get("lr", 0.001) for entry in family}
            best = min(family, key=lambda entry: entry["cost"])
            ladder += [(rate[id(entry)] / rate[id(best)], entry) for entry in family]
        charts[f"{domain}: norm spikes per 1,000 updates without a method"] = dots([(entry["spikes"], entry) for entry in ordinary])
        charts[f"{domain}: largest norm over the running median without a method"] = dots([(entry["largest"], entry) for entry in ordinary])
        charts[f"{domain}: learning rate over the best one without a method"] = dots(ladder)
        charts[f"{domain}: what was injected"] = dots([(entry["largest"], entry) for entry in of_task if entry not in calm])
        both = [entry for entry in ordinary if any(entry["places"] & other["places"] and entry["horizon"] != other["horizon"] for other in ordinary)]
        charts[f"{domain}: horizon"] = levels([(name, [entry for entry in both if entry["horizon"] == name]) for name in ("short", "long")])
        precise = [entry for family in families(ordinary, "precision") for entry in family]
        charts[f"{domain}: precision"] = levels([(name, group) for name in PRECISIONS
                                                 if (group := [e for e in precise if e["settings"].get("precision", "fp32") == name])])
        named = [(OPTIMIZERS[entry["settings"].get("optimizer", "adam" if task == "rl" else "adamw")], entry) for entry in calm]
        title = f"{domain}: optimizer"
        charts[title] = levels([(name, [entry for each, entry in named if each == name]) for name in optimizers.get(title, ())])
    charts["Domains"] = levels(domains, lambda entry, gain: 100 * gain / entry["learned"])
    return charts


# The page of bounds, by the formulas of docs/methods.md.

def recovery(gamma1, gamma2, ratio, last, kappa=None, history=3000):
    """rho on a spike after constant norms, and after it."""
    first = second = 0.0
    points = []
    for step in range(1, history + 1 + last + 1):
        norm = min(ratio, kappa or ratio) if step == history + 1 else 1.0
        first = gamma1 * first + (1 - gamma1) * norm
        second = gamma2 * second + (1 - gamma2) * norm * norm
        if step > history:
            rho = first / (1 - gamma1 ** step) / math.sqrt(second / (1 - gamma2 ** step))
            points.append((step - history - 1, rho))
    return points


def bound_maps(gamma1, gamma2):
    """The two factors and the bound; None where there is none."""
    spike = (1 - gamma1) / math.sqrt(1 - gamma2)
    rest = 1 - gamma1 * gamma1 / gamma2
    build_up = 1 / math.sqrt(rest) if rest > 0 else None
    return {"spike": spike, "build_up": build_up, "bound": spike * build_up if build_up else None}


def robust_bound(gamma1, gamma2, kappa):
    """The largest quotient of mean and root that winsorized norms can reach, in the released form: by search, step after step."""
    if gamma1 * gamma1 >= gamma2:
        return None
    largest = before = 1.0
    for step in range(2, 4000):
        far = step > 1500  # as good as a history without a beginning
        mean = 1 - gamma1 if far else (1 - gamma1) / (1 - gamma1 ** step)
        square = 1 - gamma2 if far else (1 - gamma2) / (1 - gamma2 ** step)

        def quotient(norm):
            return ((1 - mean) * before + mean * norm) / math.sqrt(1 - square + square * norm * norm)

        low, high = 0.0, max(1.0, kappa - (1 - mean) / mean * (before - 1))
        for _ in range(80):  # one maximum: thirds close in on it
            a, b = low + (high - low) / 3, high - (high - low) / 3
            low, high = (a, high) if quotient(a) < quotient(b) else (low, b)
        last, before = before, quotient(high)
        largest = max(largest, before)
        if far and abs(before - last) < 1e-14 * last:
            break
    return largest


# The pages of inspected logs.

def charts_of_log(path, gamma1=0.6, gamma2=0.999):
    """Lines by their names: norm, loss, running median, and the factors of two methods whose formulas are short."""
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    lines = {name: [] for name in ("norm", "loss", "running median", "published rule", "norm clip at 1")}
    before, first, second = [], 0.0, 0.0
    for step, loss, norm in ((int(row[0]), float(row[1]), float(row[2])) for row in rows):
        window = sorted(before[-101:])
        half = len(window) // 2
        median = None if len(window) < 20 else window[half] if len(window) % 2 else (window[half - 1] + window[half]) / 2
        lines["running median"].append((step, median))
        lines["loss"].append((step, loss))
        if not math.isfinite(norm):
            for name in ("norm", "published rule", "norm clip at 1"):
                lines[name].append((step, None))
            continue
        before.append(norm)
        first = gamma1 * first + (1 - gamma1) * norm
        second = gamma2 * second + (1 - gamma2) * norm * norm
        count = len(before)
        stabilized = first / (1 - gamma1 ** count) / math.sqrt(second / (1 - gamma2 ** count))
        lines["norm"].append((step, norm))
        lines["published rule"].append((step, stabilized / norm))
        lines["norm clip at 1"].append((step, min(1.0, 1 / (norm + 1e-6))))
    return lines
