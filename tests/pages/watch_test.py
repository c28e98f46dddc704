#!/usr/bin/env python3
"""The page of `gradstab watch` in a headless Chromium, while a real run is written, killed and resumed.

    watch_test.py --program build/gradstab --tools tools/pages

Exit code 77 where there is no Chromium."""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import make_pages

PROGRAM = BROWSER = None
PATIENCE = 120  # seconds
STEPS = 600  # below the limit from which points are left out

# What the page shows of the runs: of each chart the points of each line, by the name of the run.
SHOWN = """(() => {
  const lines = {};
  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    const chart = Chart.getChart(figure.querySelector("canvas"));
    for (const { role, run, name, data } of chart.data.datasets) {
      lines[`${figure.dataset.chart} ${role} ${role === "raw" ? run : name}`] = data.map(({ x, y }) => [x, y]);
    }
  }
  return lines;
})()"""
ROWS = """Object.fromEntries([...document.querySelectorAll("#rows tr")].map((row) =>
  [row.querySelector("th a").textContent, [...row.cells].slice(1).map((cell) => cell.innerText)]))"""


def lines_of(folder):
    """The whole lines of a run's metrics, after which nothing is written for a moment."""
    text = (folder / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


def rounded(value):
    return None if value is None else float(f"{value:.7g}")


class WatchTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="gradstab_watch_")
        self.addCleanup(self.temporary.cleanup)
        self.folder = pathlib.Path(self.temporary.name)
        self.runs = self.folder / "runs"
        self.runs.mkdir()
        self.environment = {**os.environ, "GRADSTAB_CACHE": str(self.folder / "cache"), "OMP_WAIT_POLICY": "passive"}
        make_pages.write_corpus(self.folder / "corpus.txt")
        self.server = self.start("watch", "runs", stdout=subprocess.PIPE)
        line = self.server.stdout.readline().decode()
        self.address = re.search(r"http://\S+/", line).group()
        self.page = BROWSER.page()
        self.page.before_scripts(check_page.PROBE)
        self.addCleanup(self.page.close)

    def start(self, *words, **options):
        options.setdefault("stdout", subprocess.DEVNULL)
        process = subprocess.Popen([PROGRAM, *words], cwd=self.folder, env=self.environment, stderr=subprocess.PIPE, **options)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()

    def open(self, query="", width=1280, dark=False):
        self.page.resize(width, 900, dark=dark)
        self.page.open_address(self.address + query)

    def wait_for(self, what, holds, *processes):
        """The first value of `holds` that is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if value := holds():
                return value
            for process in processes:
                if process.poll() is not None:
                    self.fail(f"ended while waiting for {what}: {process.stderr.read()}")
            time.sleep(0.1)
        self.fail(f"{what}: not within {PATIENCE} seconds; the page shows {self.page.evaluate(ROWS)}")

    def compare_with_file(self, run, state, steps=None):
        """The page comes to show what the run's file holds, and that state. Returns the number of updates."""
        lines = lines_of(run)
        of_steps = [line for line in lines if line["kind"] == "step"]
        of_evaluations = [line for line in lines if line["kind"] == "eval"]
        name = json.loads((run / "run.json").read_text())["name"]
        wanted = {"training raw 0": [[line["step"], rounded(line["loss"])] for line in of_steps],
                  f"raw_norm run {name}": [[line["step"], rounded(line["grad_norm"])] for line in of_steps],
                  f"validation run {name}": [[line["step"], rounded(line["validation_loss"])] for line in of_evaluations]}
        row = [state, f"{of_steps[-1]['step']} of {STEPS}"]

        def shown():
            lines = self.page.evaluate(SHOWN)
            return {key: lines.get(key) for key in wanted}, self.page.evaluate(ROWS).get(run.name, [])[:2]

        end = time.monotonic() + PATIENCE
        while shown() != (wanted, row) and time.monotonic() < end:
            time.sleep(0.2)
        self.assertEqual(shown(), (wanted, row))
        if steps is not None:
            self.assertEqual(len(of_steps), steps)
        return len(of_steps)

    def test_a_run_that_is_killed_and_resumed(self):
        self.open()
        self.assertIn("There is no run in", self.page.evaluate("document.body.innerText"))
        run = self.runs / "first"
        train = self.start("train", "llm", "--data", "corpus.txt", "--tokenizer", "bytes", "--context", "32", "--batch", "8",
                           "--threads", "1", "--warmup", "2", "--eval-batches", "1",
                           "--eval-every", "50", "--steps", str(STEPS), "--checkpoint-every", "50", "--output", "runs/first")

        def written():
            path = run / "metrics.jsonl"
            return path.exists() and len(lines_of(run))

        # Stopped, so that the file stays as it is while it is compared.
        self.wait_for("forty lines", lambda: written() > 40, train)
        train.send_signal(signal.SIGSTOP)
        self.wait_for("a first run", lambda: self.page.evaluate(
            "document.readyState === 'complete' && document.querySelectorAll('figure[data-chart] canvas').length"))
        first = self.compare_with_file(run, "running")
        self.assertLess(first, STEPS)

        # From now on the page is never loaded again.
        self.page.evaluate("window.sameDocument = true")
        self.page.evaluate("document.querySelector('[data-from=\"0.5\"]').click()")
        self.page.evaluate("document.querySelector('#show-raw').click()")
        self.page.evaluate("document.querySelector('[data-part=settings] details').open = true")
        self.page.evaluate("scrollTo(0, 700)")

        train.send_signal(signal.SIGCONT)
        self.wait_for("more lines", lambda: written() > first + 70, train)
        train.send_signal(signal.SIGKILL)
        train.wait()
        second = self.compare_with_file(run, "killed")
        self.assertGreater(second, first)

        resumed = self.start("train", "llm", "--resume", "runs/first")
        self.wait_for("the end", lambda: resumed.poll() is not None)
        self.assertEqual(resumed.returncode, 0)
        self.compare_with_file(run, "finished", STEPS)

        self.assertTrue(self.page.evaluate("window.sameDocument === true"), "the page was loaded again")
        self.assertEqual(self.page.evaluate("document.querySelector('[data-from=\"0.5\"]').getAttribute('aria-pressed')"), "true")
        scale = self.page.evaluate("(({ min, max }) => [min, max])(Chart.getChart("
                                   "document.querySelector('figure[data-chart=training] canvas')).scales.x)")
        self.assertEqual(scale, [STEPS / 2, STEPS])
        self.assertFalse(self.page.evaluate("document.querySelector('#show-raw').checked"))
        self.assertTrue(self.page.evaluate("document.querySelector('[data-part=settings] details').open"))
        self.assertEqual(self.page.evaluate("scrollY"), 700)
        self.assertIn("finished", self.page.evaluate("document.querySelector('[data-part=tables]').innerText"))

        # Another run joins the charts, whatever it is called.
        evil = "<script>alert(1)</script>"
        make_pages.write_run(self.runs / "<b>evil", evil, "none", 0, 90, 30, 2.0)
        self.wait_for("a second run", lambda: self.page.evaluate("document.querySelectorAll('#legend .chip').length") == 2)
        self.assertEqual(len(self.page.evaluate(SHOWN)[f"raw_norm run {evil}"]), 90)
        self.assertIn(evil, self.page.evaluate("document.querySelector('#legend').innerText"))
        self.assertEqual(self.page.evaluate("document.querySelectorAll('#rows b, [data-part] script').length"), 0)
        self.assertTrue(self.page.evaluate("window.sameDocument === true"), "the page was loaded again")

        self.assertEqual(self.page.errors, [])
        self.assertEqual({url.split("?")[0] for url in self.page.requests if not url.startswith("data:")}, {self.address, self.address + "events"})

        # The server ends at once, and the page says so.
        self.server.send_signal(signal.SIGINT)
        self.assertEqual(self.server.wait(timeout=2), 0)
        self.wait_for("the end of the connection", lambda: "Not connected" in self.page.evaluate("document.querySelector('#connection').textContent"))

    def test_choosing_and_filtering(self):
        for i, (name, transform) in enumerate((("alpha", "none"), ("beta", "zclip"), ("gamma", "adagc"))):
            make_pages.write_run(self.runs / name, name, transform, 0, 60, 20, 2.0 + i)
        make_pages.write_run(self.runs / "stopped", "stopped", "clip", 0, 60, 20, 2.0, stop=30)
        (self.folder / "runs/csv").mkdir()
        make_pages.write_log(self.folder / "runs/csv/metrics.csv", 300)
        self.open()
        self.wait_for("four runs", lambda: self.page.evaluate("document.querySelectorAll('#legend button').length") == 4)
        self.page.evaluate("""(() => { const f = document.querySelector("#filter"); f.value = "et"; f.dispatchEvent(new Event("input")); })()""")
        shown = self.page.evaluate("[...document.querySelectorAll('#rows tr')].filter((r) => !r.hidden)"
                                   ".map((r) => r.querySelector('th a').textContent)")
        self.assertEqual(shown, ["beta"])
        self.page.evaluate("""(() => { const f = document.querySelector("#filter"); f.value = ""; f.dispatchEvent(new Event("input")); })()""")
        self.page.evaluate("['alpha', 'gamma'].forEach((name) => [...document.querySelectorAll('#rows tr')]"
                           ".find((r) => r.innerText.includes(name)).querySelector('input').click())")
        self.page.evaluate("document.querySelector('#show-chosen').click()")
        self.wait_for("two runs", lambda: self.page.evaluate(
            "document.readyState === 'complete' && document.querySelectorAll('#legend button').length") == 2)
        self.assertEqual(self.page.evaluate("[...document.querySelectorAll('#legend button')].map((b) => b.textContent)"), ["alpha", "gamma"])
        # A log, as inspect draws it.
        link = self.page.evaluate("[...document.querySelectorAll('#rows tr')].find((r) => r.innerText.includes('csv'))"
                                  ".querySelector('th a').getAttribute('href')")
        self.open(link[1:])
        norms = "Chart.getChart(document.querySelector('figure[data-kind=norm] canvas')).data.datasets[0].data.length"
        self.assertEqual(self.page.evaluate(norms), 300)
        self.page.evaluate("window.sameDocument = true")
        with (self.runs / "csv/metrics.csv").open("a") as log:
            log.writelines(f"{step},2.5,1.0\n" for step in range(301, 311))
        self.wait_for("ten more norms", lambda: self.page.evaluate(norms) == 310)
        self.assertTrue(self.page.evaluate("window.sameDocument === true"), "the page was loaded again")
        self.assertEqual(self.page.errors, [])

    def test_looks(self):
        """At both widths, light and dark: nothing overlaps, nothing is cut, every chart is drawn."""
        for i in range(30):
            folder = self.runs / f"sweep/a rather long name of a run, lr=0.00{i},seed={i % 3}"
            make_pages.write_run(folder, f"lr=0.00{i // 3}, seed={i % 3}", "none", i % 3, 80, 20, 2.0 + i / 30)
        (self.folder / "runs/csv").mkdir()
        make_pages.write_log(self.folder / "runs/csv/metrics.csv", 300)
        for query in ("", "?show=1", "?show=0", "?inspect=1"):
            for width, dark in ((check_page.DESKTOP, False), (check_page.PHONE, False), (check_page.DESKTOP, True), (check_page.PHONE, True)):
                with self.subTest(query=query, width=width, dark=dark):
                    self.open(query, width, dark)
                    self.wait_for("the connection", lambda: self.page.evaluate(
                        "document.querySelector('#connection').textContent").startswith("Connected"))
                    self.page.settle()
                    seen = self.page.evaluate("probe()")
                    self.assertGreater(len(seen["charts"]), 2)
                    self.assertEqual([each for chart in seen["charts"] for each in check_page.complaints_about_chart(chart)], [])
                    self.assertEqual(check_page.complaints_about_texts(seen), [])
                    if SCREENSHOTS:
                        name = f"watch{query.replace('?', '-')}-{width}{'-dark' if dark else ''}.png"
                        (SCREENSHOTS / name).write_bytes(self.page.screenshot())
        self.assertEqual(self.page.errors, [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder for pictures of the page")
    arguments, rest = parser.parse_known_args()
    PROGRAM, SCREENSHOTS = arguments.program.resolve(), arguments.screenshots
    sys.path.insert(0, str(arguments.tools))
    import check_page
    from browser import NONE_THERE, Browser, find_browser

    executable = find_browser()
    if not executable:
        print(NONE_THERE)
        sys.exit(77)
    with Browser(executable) as BROWSER:
        unittest.main(argv=[sys.argv[0], *rest])
