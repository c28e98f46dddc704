#!/usr/bin/env python3
"""Every kind of page in a headless Chromium: no script error, as many marks as data and each where the labels of the axes say, axes that
span the data, no text that overlaps or is cut.

    browser_test.py --tools tools/pages --pages FOLDER --results docs/results

FOLDER is what make_pages.py made. Exit code 77 where there is no Chromium."""

import argparse
import math
import pathlib
import re
import sys
import tempfile
import unittest

import page_data

PAGES = RESULTS = BROWSER = None
PIXELS = 2.0  # from where a mark should be by the labels: letters are not centred to the pixel


def drawn_charts(seen):
    """What a browser drew, by title, and of each mark its place on the canvas."""
    return {chart["title"]: chart for chart in seen["charts"]}


def values_of(points, log=False):
    """Without places; on a logarithmic axis nothing is drawn at zero and below."""
    return [(x, None if log and y is not None and y <= 0 else y) for x, y, *_ in points]


def labels_of(chart, axis, names=()):
    """[(pixel, number)] as they are written on the canvas, by pixel. `names`: of groups, which stand for 0, 1, ..."""
    ticks = {tick["label"] for tick in chart[axis]["ticks"]}
    found = []
    for text in chart["texts"]:
        left, top, right, bottom = text["box"]
        frame = text["hiddenIn"]
        # "\u2212" is the minus sign; thousands are set apart.
        number = text["text"].replace(",", "").replace("\u2212", "-")
        if text["text"] in names:
            number = str(names.index(text["text"]))
        if text["text"] not in ticks or not re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", number):
            continue
        # Labels of x stand below the area, those of y beside it.
        of_x = (top + bottom) / 2 - frame[1] > chart["area"][3]
        if of_x == (axis == "x"):
            found.append(((left + right) / 2 - frame[0] if of_x else (top + bottom) / 2 - frame[1], float(number)))
    return sorted(set(found))


def place_by_labels(labels, value, logarithmic):
    """(pixel, its uncertainty): where a reader of the labels would look for a value."""
    for pixel, label in labels:
        if math.isclose(label, value, rel_tol=1e-9):
            return pixel, PIXELS
    scale = math.log if logarithmic else float
    # The two labels around the value, or the two nearest.
    by_value = sorted(labels, key=lambda each: each[1])
    upper = next((i for i, (_, label) in enumerate(by_value) if label > value), len(by_value) - 1)
    (pixel_a, a), (pixel_b, b) = by_value[max(0, upper - 1)], by_value[max(1, upper)]
    part = (scale(value) - scale(a)) / (scale(b) - scale(a))
    return pixel_a + part * (pixel_b - pixel_a), PIXELS * max(1.0, 2 * abs(part - 0.5))


def misplaced(chart, names=()):
    """Marks within the axes that do not stand where the labels say."""
    found = []
    left, top, right, bottom = chart["area"]
    axes = {axis: (labels_of(chart, axis, names if axis == "x" else ()), chart[axis]["type"] == "logarithmic") for axis in "xy"}
    for dataset in chart["datasets"]:
        for x, y, *pixels in dataset["points"] if dataset["visible"] else []:
            if y is None or not (left - 1 <= pixels[0] <= right + 1 and top - 1 <= pixels[1] <= bottom + 1):
                continue
            for axis, value, pixel in zip("xy", (x, y), pixels):
                place, error = place_by_labels(axes[axis][0], value, axes[axis][1])
                if abs(place - pixel) > error:
                    found.append(f"{axis} = {value} is drawn at {pixel:.1f}, by the labels it belongs at {place:.1f}")
    return found


# Moves all figures with movements to a frame: of each figure, of each picture, the ends of the bones and the labels of the metres.
LINES_AT = """[...document.querySelectorAll("figure.poses")].map((figure) => {
  const slider = figure.querySelector("input");
  slider.value = %d;
  slider.dispatchEvent(new Event("input"));
  return [...figure.querySelectorAll(".stage svg")].map((svg) => ({
    ground: svg.querySelector(".marks line").y1.baseVal.value,
    bones: [...svg.querySelectorAll(".robot line")].map((line) => ["x1", "y1", "x2", "y2"].map((name) => line[name].baseVal.value)),
    metres: [...svg.querySelectorAll(".marks text")].map((text) => [Number(text.getAttribute("x")), parseInt(text.textContent)]),
  }));
})"""


def misplaced_bones(stage, data, frame):
    """Bones of a picture that are not where a reader of its metres finds them. In space, marks of metres lie in front of the robot: what
    is deeper stands to the right and higher, by what the page says in `view`."""
    size, view = data["dimensions"], data["view"]
    point = [frame[i:i + size] for i in range(0, len(frame), size)]
    (pixel, metre), (other, next_metre) = stage["metres"][0], stage["metres"][-1]
    scale = (other - pixel) / (next_metre - metre)
    _, first, last = data["shapes"][0]
    camera = [(a + b) / 2 for a, b in zip(point[first], point[last])]
    found = []
    for bone, (_, start, end) in enumerate(data["shapes"]):
        for ends in stage["bones"][2 * bone:2 * bone + 2]:
            for (x, y), at in ((ends[:2], point[start]), (ends[2:], point[end])):
                deep = (at[1] - camera[1]) / 1000 if size == 3 else 0
                front = -view["reach"] if size == 3 else 0
                across = pixel + scale * (at[0] / 1000 - metre + view["across"] * (deep - front))
                up = stage["ground"] - scale * (at[-1] / 1000 + view["up"] * deep)
                # Both are written to a tenth.
                if abs(across - x) > 0.5 or abs(up - y) > 0.5:
                    found.append((bone, across - x, up - y))
    return found


class BrowserTest(unittest.TestCase):
    maxDiff = None

    def complaints(self, path):
        self.assertEqual(check_page.check(BROWSER, path), [])

    def look(self, path):
        page = check_page.new_page(BROWSER)
        seen = check_page.look_at(page, path)
        page.close()
        return seen

    def compare(self, chart, wanted):
        """`wanted`: what every dataset must hold, in the order of `key`."""
        drawn = {key: values_of(points) for key, points in chart.items()}
        self.assertEqual(set(drawn), set(wanted))
        for key, points in wanted.items():
            self.assertEqual(drawn[key], points, key)

    def check_runs(self, path):
        self.complaints(path)
        data = page_data.charts_of_runs(page_data.read(path)[0])
        seen = self.look(path)
        self.assertEqual({chart["name"] for chart in seen["charts"]}, set(data))
        for chart in seen["charts"]:
            with self.subTest(page=path.name, chart=chart["name"]):
                log = chart["y"]["type"] == "logarithmic"
                keys = {"mean": "group", "run": "run", "raw": "run"}
                drawn = {(d["role"], d[keys[d["role"]]]): d["points"] for d in chart["datasets"]}
                self.compare(drawn, {key: values_of(points, log) for key, points in data[chart["name"]].items() if points or key[0] != "mean"})
                self.assertEqual(misplaced(chart), [])

    def test_report_of_runs(self):
        self.check_runs(PAGES / "runs.html")

    def test_movements(self):
        """At several moments every bone is where its numbers say, beside the labels of the metres."""
        path = PAGES / "movements.html"
        self.complaints(path)
        wanted = page_data.movements(page_data.read(path)[1])
        page = check_page.new_page(BROWSER)
        page.resize(check_page.DESKTOP, check_page.HEIGHT)
        page.open(path)
        for moment in (0, 7, 39, 45, 59):
            for figure, data in zip(page.evaluate(LINES_AT % moment), wanted):
                for stage, rollout in zip(figure, data["rollouts"], strict=True):
                    with self.subTest(moment=moment, robot=data["title"]):
                        # A shorter one stays at its end.
                        self.assertEqual(misplaced_bones(stage, data, rollout["frames"][min(moment, len(rollout["frames"]) - 1)]), [])
                        self.assertNotEqual(misplaced_bones(stage, data, rollout["frames"][20]), [], "the control")
        # The keyboard moves it, and a click lets it run.
        self.assertEqual(page.evaluate(
            "(() => { const s = document.querySelector('.player input'); s.focus(); return document.activeElement === s; })()"), True)
        played = page.evaluate("""new Promise((done) => {
          const [button, slider] = ["button", "input"].map((name) => document.querySelector(`.player ${name}`));
          slider.value = 0; slider.dispatchEvent(new Event("input")); button.click();
          let looks = 0;
          const timer = setInterval(() => {
            if (slider.value === "0" && ++looks < 200) return;
            clearInterval(timer);
            const label = button.textContent; button.click(); done([label, Number(slider.value), button.textContent]);
          }, 50);
        })""")
        self.assertEqual((played[0], played[2]), ("Pause", "Play"))
        self.assertGreater(played[1], 0)
        self.assertEqual(page.errors, [])
        page.close()

    def test_report_of_a_sweep(self):
        self.check_runs(PAGES / "sweep.html")

    def test_demo(self):
        self.check_runs(PAGES / "demo/report.html")

    def test_kept_items(self):
        for path in sorted(RESULTS.glob("*/report.html")):
            with self.subTest(page=path.parent.name):
                self.complaints(path)
            data = page_data.charts_of_item(page_data.read(path)[0])
            charts = drawn_charts(self.look(path))
            self.assertEqual(set(charts), set(data))
            for title, chart in charts.items():
                with self.subTest(page=path.parent.name, chart=title):
                    log = chart["y"]["type"] == "logarithmic"
                    drawn, seeds = {}, {}
                    for dataset in chart["datasets"]:
                        arm, role = dataset["arm"], dataset["role"]
                        place = seeds.setdefault(arm, 0) if role == "seed" else 0
                        seeds[arm] = place + 1 if role == "seed" else 0
                        drawn[arm, role, place] = dataset["points"]
                    self.compare(drawn, {key: values_of(points, log) for key, points in data[title].items()})
                    self.assertEqual(misplaced(chart), [])

    def test_what_decides(self):
        path = RESULTS / "what-decides.html"
        self.complaints(path)
        data = page_data.read(path)[0]
        wanted, names = page_data.charts_of_item(data), page_data.categories_of(data)
        charts = drawn_charts(self.look(path))
        self.assertEqual(set(charts), set(wanted))
        for title, chart in charts.items():
            with self.subTest(chart=title):
                drawn = {(dataset["arm"], dataset["role"], 0): dataset["points"] for dataset in chart["datasets"]}
                self.compare(drawn, {key: values_of(points) for key, points in wanted[title].items()})
                self.assertEqual(misplaced(chart, names.get(title, ())), [])

    def test_inspected_logs(self):
        for name in ("inspect", "inspect_two"):
            path = PAGES / f"{name}.html"
            self.complaints(path)
            data = page_data.charts_of_logs(page_data.read(path)[0])
            seen = self.look(path)
            self.assertEqual({chart["name"] for chart in seen["charts"]}, set(data))
            for chart in seen["charts"]:
                with self.subTest(page=name, chart=chart["name"]):
                    log = chart["y"]["type"] == "logarithmic"
                    drawn = {dataset["name"]: dataset["points"] for dataset in chart["datasets"]}
                    self.compare(drawn, {key: values_of(points, log) for key, points in data[chart["name"]].items()})
                    self.assertEqual(misplaced(chart), [])

    def test_bounds(self):
        for name in ("bounds", "bounds_robust", "bounds_none"):
            path = PAGES / f"{name}.html"
            self.complaints(path)
            data = page_data.read(path)[0]
            seen = self.look(path)
            charts = {chart["name"]: chart for chart in seen["charts"]}
            maps = [key for key, values in data["maps"].items() if values]
            self.assertEqual(set(charts), {*maps, "recovery"})
            with self.subTest(page=name, chart="recovery"):
                chart = charts["recovery"]
                drawn = {dataset["name"]: dataset["points"] for dataset in chart["datasets"]}
                wanted = {f"{ratio:g} × norm, {rule}": points for (rule, ratio), points in page_data.recovery_of_bounds(data).items()}
                self.compare(drawn, wanted)
                self.assertEqual(misplaced(chart), [])
            for key in maps:
                with self.subTest(page=name, map=key):
                    self.check_map(path, data, key)

    def check_map(self, path, data, key):
        """Where the axes put a cell, the canvas is the brighter the larger the value is."""
        page = check_page.new_page(BROWSER)
        check_page.look_at(page, path)
        columns = len(data["gamma1"])
        cells = [(j, i) for j in range(3, len(data["one_minus_gamma2"]), 11) for i in range(2, columns, 7)]
        places = [[data["gamma1"][i], data["one_minus_gamma2"][j]] for j, i in cells]
        colours = page.evaluate("""(([key, places]) => {
            const canvas = document.querySelector(`figure[data-map=${key}] canvas`);
            const { x, y } = Chart.getChart(canvas).scales;
            const context = canvas.getContext("2d");
            return places.map(([gamma1, distance]) => [...context.getImageData(
              Math.round(x.getPixelForValue(gamma1) * devicePixelRatio), Math.round(y.getPixelForValue(distance) * devicePixelRatio), 1, 1).data]);
          })(""" + f"{[key, places]!r})")
        page.close()
        # Beside the ring around the chosen point, whose colours are its own.
        pairs = sorted((data["maps"][key][j * columns + i], 0.2126 * r + 0.7152 * g + 0.0722 * b)
                       for (j, i), (r, g, b, _) in zip(cells, colours)
                       if data["maps"][key][j * columns + i] is not None and not self.is_near(data, j, i))
        self.assertGreater(len(pairs), 20)
        falls = [(a, b) for a, b in zip(pairs, pairs[1:]) if b[1] < a[1] - 1.5]
        self.assertEqual(falls, [])
        self.assertGreater(pairs[-1][1] - pairs[0][1], 20)  # the map of robust moments is dark, as it shares a scale

    def is_near(self, data, j, i):
        chosen = data["chosen"]
        return (abs(data["gamma1"][i] - chosen["gamma1"]) < 0.05
                and abs(math.log10(data["one_minus_gamma2"][j] / chosen["one_minus_gamma2"])) < 0.25)


class ControlTest(unittest.TestCase):
    """Pages with a fault, each of which must be found: made of good ones."""

    def found(self, source, *changes):
        """Complaints about `source` after these replacements, each of which must hit."""
        text = source.read_text(encoding="utf-8")
        for old, new in changes:
            changed = re.sub(old, new, text, count=0)
            self.assertNotEqual(changed, text, old)
            text = changed
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "report.html"
            path.write_text(text, encoding="utf-8")
            page = check_page.new_page(BROWSER)
            seen = check_page.look_at(page, path)
            found = check_page.complaints_about(page, seen, path)
            found += [each for chart in seen["charts"] if not chart.get("missing") for each in misplaced(chart)]
            page.close()
            return "\n".join(found)

    def curves(self):
        return RESULTS / "figure-4/report.html"

    def test_nothing_in_what_is_right(self):
        self.assertEqual(self.found(self.curves(), ("figure-4: ", "figure-4; ")), "")

    def test_every_point_at_zero(self):
        self.assertIn("every mark stands at x = 0", self.found(self.curves(), (r"\[0\.0\d*,", "[0,")))

    def test_a_script_error(self):
        self.assertIn("script: ReferenceError", self.found(self.curves(), ("drawAll\\(\\);\n  shell", "drawEverything();\n  shell")))

    def test_something_loaded(self):
        found = self.found(self.curves(), ("<footer>", '<img src="https://example.invalid/x.png"><footer>'))
        self.assertIn("Content Security Policy", found)

    def test_an_overlapping_label(self):
        found = self.found(self.curves(), ("<footer>", '<footer><span style="position: absolute">another text</span>'))
        self.assertIn("overlap", found)

    def test_overlapping_labels_of_an_axis(self):
        found = self.found(self.curves(), ("axis.ticks.font = \\{ size: 11 \\}", "axis.ticks.font = { size: 60 }"))
        self.assertIn("overlap", found)

    def test_a_cut_label(self):
        found = self.found(self.curves(), ("layout: { padding: { right: 6 } }", "layout: { padding: { left: -40 } }"))
        self.assertIn("is cut", found)

    def test_text_that_leaves_the_window(self):
        found = self.found(self.curves(), ("<footer>", '<footer><div style="white-space: nowrap">' + "wide " * 200 + "</div>"))
        self.assertIn("leaves the window", found)

    def test_an_axis_that_ends_before_the_data(self):
        found = self.found(self.curves(), ('type: "linear", ticks: \\{ maxTicksLimit: 7', 'type: "linear", max: 2, ticks: { maxTicksLimit: 7'),
                           ("figure.dataset.outside = above.length", "figure.dataset.outside = 0 * above.length"))
        self.assertIn("lie outside of the axes", found)

    def test_a_chart_that_is_not_drawn(self):
        found = self.found(self.curves(), ("charts.push\\(build\\(chart, figures\\[index\\]\\)\\)",
                                           "index === 1 || charts.push(build(chart, figures[index]))"))
        self.assertIn("nothing is drawn", found)

    def test_labels_that_lie(self):
        found = self.found(self.curves(), ("x.ticks.callback = compact;", "x.ticks.callback = (v) => compact(2 * v);"))
        self.assertIn("by the labels it belongs at", found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--pages", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    PAGES, RESULTS = arguments.pages, arguments.results
    sys.path.insert(0, str(arguments.tools))
    import check_page
    from browser import NONE_THERE, Browser, find_browser

    executable = find_browser()
    if not executable:
        print(NONE_THERE)
        sys.exit(77)
    with Browser(executable) as BROWSER:
        unittest.main(argv=[sys.argv[0], *rest])
