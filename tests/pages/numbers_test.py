#!/usr/bin/env python3
"""The numbers in the charts of every kind of page are those of what the page was made of: x and y of every point.

    numbers_test.py --pages FOLDER --results docs/results

FOLDER is what make_pages.py made. No browser is needed."""

import argparse
import math
import pathlib
import sys
import unittest

import expected
import make_pages
import page_data

PAGES = RESULTS = None
# Pages hold so many digits; means are summed in another order, which is far below them.
DIGITS_OF_RUNS, DIGITS_OF_ITEMS, DIGITS_OF_BOUNDS = 7, 5, 5
DIGITS_OF_LOGS = 5
MOST_POINTS_OF_RUNS, MOST_POINTS_OF_ITEMS, MOST_POINTS_OF_LOGS = 1500, 140, 512


def differences(drawn, wanted, digits, most_points):
    """What is wrong with the drawn points of a line: those of the wanted ones, thinned to `most_points` at most."""
    at = dict(wanted)
    if not any(y is not None for _, y in wanted):
        return [] if not any(y is not None for _, y in drawn) else ["something is drawn where nothing is recorded"]
    if [x for x, _ in drawn] != sorted({x for x, _ in drawn}):
        return ["x does not increase"]
    if len(wanted) <= most_points and len(drawn) != len(wanted):
        return [f"{len(drawn)} points of {len(wanted)}"]
    if len(drawn) > most_points:
        return [f"{len(drawn)} points, {most_points} wanted at most"]
    for x, y in drawn:
        if x not in at:
            return [f"a point at x = {x}, where nothing was"]
        if not same(y, at[x], digits):
            return [f"y = {y} at x = {x}, recorded is {at[x]}"]
    there = [(y, x) for x, y in wanted if y is not None]
    kept = {x for x, _ in drawn}
    first_and_last = {wanted[0][0], wanted[-1][0]}
    if not first_and_last <= kept:
        return ["an end is missing"]
    values = [y for _, y in drawn if y is not None]
    if not same(min(values), min(there)[0], digits) or not same(max(values), max(there)[0], digits):
        return ["an extreme is missing"]
    return []


def same(a, b, digits):
    if a is None or b is None:
        return a is None and b is None
    return math.isclose(a, b, rel_tol=0.5 * 10.0 ** (1 - digits) * 1.001, abs_tol=1e-12)


def all_differences(drawn, wanted, digits, most_points):
    """The same of a chart with many lines; every line must be there and no other."""
    if set(drawn) != set(wanted):
        return [f"lines {sorted(map(str, set(drawn) ^ set(wanted)))} are in one alone"]
    return [f"{key}: {each}" for key in wanted for each in differences(drawn[key], wanted[key], digits, most_points)]


def scatter_differences(drawn, wanted, digits):
    """Dots of a chart that are in one alone: several may have the same x."""
    if set(drawn) != set(wanted):
        return [f"lines {sorted(map(str, set(drawn) ^ set(wanted)))} are in one alone"]
    found = []
    for key, dots in drawn.items():
        left = list(wanted[key])
        for x, y, *_ in dots:
            match = next((dot for dot in left if same(x, dot[0], digits) and math.isclose(y, dot[1], rel_tol=10.0 ** (1 - digits), abs_tol=1e-9)),
                         None)
            if match is None:
                found.append(f"{key}: ({x}, {y}) is drawn, and nothing was there")
            else:
                left.remove(match)
        found += [f"{key}: {dot} is missing" for dot in left]
    return found


class NumbersTest(unittest.TestCase):
    maxDiff = None

    def compare(self, drawn, wanted, digits, most_points):
        self.assertEqual(all_differences(drawn, wanted, digits, most_points), [])

    def compare_runs(self, page, folders, groups):
        drawn = page_data.charts_of_runs(page_data.read(page)[0])
        wanted = expected.charts_of_runs(folders, groups)
        for name, chart in wanted.items():
            with self.subTest(page=page.name, chart=name):
                self.compare(drawn[name], chart, DIGITS_OF_RUNS, MOST_POINTS_OF_RUNS)

    def test_report_of_runs(self):
        folders = [PAGES / "runs" / name for name in ("long", "gaps", "killed")]
        self.compare_runs(PAGES / "runs.html", folders, [[0], [1], [2]])

    def test_movements(self):
        figures = page_data.movements(page_data.read(PAGES / "movements.html")[1])
        self.assertEqual([figure["title"] for figure in figures], list(make_pages.MOVEMENTS))
        for figure in figures:
            dimensions, shapes = make_pages.MOVEMENTS[figure["title"]]
            self.assertEqual((figure["dimensions"], figure["shapes"], figure["seconds_per_frame"]), (dimensions, shapes, 0.05))
            self.assertEqual([(rollout["return"], rollout["frames"]) for rollout in figure["rollouts"]],
                             [(900.0, make_pages.movement(dimensions, 3, 60, 90)), (250.0, make_pages.movement(dimensions, 3, 40, 25))])

    def test_report_of_a_sweep(self):
        folders = sorted(folder for folder in (PAGES / "sweep").iterdir() if folder.is_dir())
        self.assertEqual(len(folders), 27)
        self.compare_runs(PAGES / "sweep.html", folders, [list(range(i, i + 3)) for i in range(0, 27, 3)])

    def test_demo(self):
        folders = [PAGES / "demo" / name for name in ("none", "clip", "stabilize")]
        self.compare_runs(PAGES / "demo/report.html", folders, [[0], [1], [2]])

    def test_kept_items(self):
        folders = sorted(path.parent for path in RESULTS.glob("*/records.jsonl.gz"))
        self.assertGreaterEqual(len(folders), 9)
        for folder in folders:
            header, *runs = expected.read_lines(folder / "records.jsonl.gz")
            data = page_data.read(folder / "report.html")[0]
            self.assertEqual(header["item"], folder.name)
            drawn = page_data.charts_of_item(data)
            self.assertGreaterEqual(len(drawn), 2, folder.name)
            for title, horizon, context in page_data.about_charts_of_item(data):
                with self.subTest(page=folder.name, chart=title):
                    self.compare(drawn[title], expected.chart_of_item(header, runs, title, horizon, context), DIGITS_OF_ITEMS, MOST_POINTS_OF_ITEMS)

    def test_what_decides(self):
        data = page_data.read(RESULTS / "what-decides.html")[0]
        wanted = expected.charts_of_what_decides(RESULTS, page_data.categories_of(data))
        drawn = page_data.charts_of_item(data)
        self.assertGreaterEqual(set(drawn), {"Domains", *(title for title in wanted if title.startswith("Language models"))})
        for title, chart in drawn.items():
            with self.subTest(chart=title):
                self.assertEqual(scatter_differences(chart, wanted[title], DIGITS_OF_ITEMS), [])
                self.assertGreaterEqual(sum(len(points) for points in chart.values()), 8)

    def test_inspected_logs(self):
        for page, steps in (("inspect", [400]), ("inspect_two", [5000, 400])):
            drawn = page_data.charts_of_logs(page_data.read(PAGES / f"{page}.html")[0])
            for place, count in enumerate(steps):
                wanted = expected.charts_of_log(PAGES / f"log_{count}.csv")
                lines = {**drawn[f"norm-{place}"], **drawn[f"loss-{place}"], **drawn[f"factor-{place}"]}
                self.assertEqual(len(lines), 10)
                for name, line in wanted.items():
                    with self.subTest(page=page, log=count, line=name):
                        at = dict(line)
                        self.assertTrue(count <= len(lines[name]) if count <= MOST_POINTS_OF_LOGS else 512 <= len(lines[name]) <= 3 * 512 + 2)
                        self.assertEqual([(x, y, at[x]) for x, y in lines[name] if not same(y, at[x], DIGITS_OF_LOGS)], [])
                # What is thinned keeps its spikes: each event stands where a norm is drawn, and the largest of all is there.
                norms = dict(lines["norm"])
                self.assertEqual([point for point in lines["event"] if norms.get(point[0]) != point[1]], [])
                self.assertGreaterEqual(len(lines["event"]), count // 150)
                largest = max(y for _, y in wanted["norm"] if y is not None)
                self.assertTrue(any(same(y, largest, DIGITS_OF_LOGS) for y in norms.values()))

    def test_bounds(self):
        for name, gamma1, gamma2, kappa in (("bounds", 0.6, 0.999, None), ("bounds_robust", 0.6, 0.999, 3.0), ("bounds_none", 0.97, 0.93, None)):
            data = page_data.read(PAGES / f"{name}.html")[0]
            drawn = page_data.recovery_of_bounds(data)
            last = next(iter(drawn.values()))[-1][0]
            rules = (("published", None), ("robust", kappa)) if kappa else (("published", None),)
            self.assertEqual(set(drawn), {(rule, ratio) for rule, _ in rules for ratio in (10, 100, 1000)})
            for rule, limit in rules:
                for ratio in (10, 100, 1000):
                    with self.subTest(page=name, rule=rule, ratio=ratio):
                        wanted = dict(expected.recovery(gamma1, gamma2, ratio, last, limit))
                        line = drawn[rule, ratio]
                        # Every step up to 100, then fewer: each at its own step.
                        self.assertEqual([x for x, _ in line[:101]], list(range(101)))
                        self.assertEqual(line[-1][0], last)
                        wrong = [(x, y, wanted[x]) for x, y in line if not same(y, wanted[x], DIGITS_OF_BOUNDS)]
                        self.assertEqual(wrong, [])
            with self.subTest(page=name, maps=True):
                self.compare_maps(data, kappa)

    def compare_maps(self, data, kappa):
        columns, rows = data["gamma1"], data["one_minus_gamma2"]
        self.assertEqual(columns, [i / 100 for i in range(100)])
        for j, distance in enumerate(rows):
            self.assertTrue(same(distance, 10 ** (-1 - j / 20), DIGITS_OF_BOUNDS))
            for i, gamma1 in enumerate(columns):
                wanted = expected.bound_maps(gamma1, 1 - 10 ** (-1 - j / 20))
                # A few, since each takes a recursion; near gamma1^2 = gamma2 it takes more steps than either side makes.
                if kappa and i % 9 == 0 and j % 8 == 0 and gamma1 * gamma1 < 0.99 * (1 - distance):
                    wanted["robust_bound"] = expected.robust_bound(gamma1, 1 - 10 ** (-1 - j / 20), kappa)
                for name, value in wanted.items():
                    there = data["maps"][name][j * len(columns) + i]
                    self.assertTrue(same(there, value, DIGITS_OF_BOUNDS), f"{name} at {gamma1}, {distance}: {there} for {value}")


class ControlTest(unittest.TestCase):
    """What the comparison must find."""

    def setUp(self):
        self.wanted = [(0.001, 2.5), (0.003, 2.25), (0.01, 2.125)]

    def found(self, drawn, most_points=140):
        return differences(drawn, self.wanted, DIGITS_OF_ITEMS, most_points)

    def test_nothing_in_what_is_right(self):
        self.assertEqual(self.found(self.wanted), [])
        self.assertEqual(self.found([(x, y * (1 + 4e-5)) for x, y in self.wanted]), [])

    def test_x_cut_to_an_integer(self):
        self.assertTrue(self.found([(int(x), y) for x, y in self.wanted]))

    def test_a_moved_value(self):
        self.assertTrue(self.found([(0.001, 2.5), (0.003, 2.2503), (0.01, 2.125)]))

    def test_a_missing_point(self):
        self.assertTrue(self.found(self.wanted[:2]))
        self.assertTrue(self.found([self.wanted[0], self.wanted[2]], most_points=2) == [])
        self.assertTrue(self.found(self.wanted[1:], most_points=2))

    def test_a_missing_line(self):
        self.assertTrue(all_differences({}, {"a": self.wanted}, 5, 140))

    def test_a_mean_of_those_that_are_left(self):
        lines = [[(1, 2.0), (2, None)], [(1, 4.0), (2, 5.0)]]
        self.assertEqual(expected.mean_line(lines), [(1, 3.0), (2, None)])
        self.assertTrue(differences([(1, 3.0), (2, 5.0)], expected.mean_line(lines), 5, 140))

    def test_a_moved_dot(self):
        wanted = {"a": [(1.0, 0.2), (1.0, 0.3), (2.0, 0.1)]}
        self.assertEqual(scatter_differences({"a": [(1.0, 0.3, "n"), (1.0, 0.2, "n"), (2.0, 0.1, "n")]}, wanted, 5), [])
        for dots in ([(1.0, 0.3), (1.0, 0.3), (2.0, 0.1)], [(1.0, 0.2), (1.0, 0.3)], [(1.0, 0.2), (1.0, 0.3), (2.001, 0.1)]):
            self.assertTrue(scatter_differences({"a": dots}, wanted, 5), dots)

    def test_a_mean_of_other_seeds(self):
        lines = [[(1, 2.0), (2, 3.0)], [(1, 4.0), (2, 5.0)]]
        self.assertEqual(expected.mean_line(lines), [(1, 3.0), (2, 4.0)])
        self.assertTrue(differences([(1, 2.0), (2, 4.0)], expected.mean_line(lines), 5, 140))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    PAGES, RESULTS = arguments.pages, arguments.results
    unittest.main(argv=[sys.argv[0], *rest])
