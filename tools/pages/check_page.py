#!/usr/bin/env python3
"""Opens pages of gradstab in a headless Chromium and says what is wrong with them: script errors, marks that are not
drawn or lie outside of their axes, axes that nothing can be read from, text that overlaps or is cut.

    tools/pages/check_page.py [--screenshots FOLDER] PAGE.html...

Exit code 1 if anything is wrong, 77 if there is no Chromium."""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from browser import NONE_THERE, Browser, find_browser  # noqa: E402

PROBE = pathlib.Path(__file__).resolve().with_name("probe.js").read_text()
DESKTOP = 1280
PHONE = 390
HEIGHT = 900  # of the window; texts are looked for on the whole page
TOUCH = 1.0  # CSS pixels by which two boxes may overlap, since letters are smoothed
FEWEST_LABELS = 2  # from which an axis can be read
LEAST_SPAN = 0.5  # part of the horizontal axis that the data take up


def look_at(page, path, width=DESKTOP, dark=False):
    """Opens `path` in a tab of that width and returns what probe.js sees there. Errors are in `page.errors`."""
    page.resize(width, HEIGHT, dark=dark)
    page.open(path)
    return page.evaluate("probe()")


def new_page(browser):
    page = browser.page()
    page.before_scripts(PROBE)
    return page


def complaints_about(page, seen, path):
    """Everything that is wrong, a sentence each."""
    own = pathlib.Path(path).resolve().as_uri()
    found = [f"script: {error}" for error in page.errors]
    found += [f"asks for {url}" for url in page.requests if url != own and not url.startswith(("data:", "about:"))]
    for chart in seen["charts"]:
        found += [f"chart '{chart['title']}': {each}" for each in complaints_about_chart(chart)]
    return found + complaints_about_texts(seen)


def marks_of(chart):
    """The points of a chart that are drawn: x and y as data, x and y in pixels of its canvas."""
    return [point for dataset in chart["datasets"] if dataset["visible"] for point in dataset["points"] if point[1] is not None]


def complaints_about_chart(chart):
    if chart.get("missing"):
        return ["nothing is drawn"]
    found = []
    for dataset in chart["datasets"]:
        if dataset["visible"] and len(dataset["points"]) != dataset["given"]:
            found.append(f"{len(dataset['points'])} marks for {dataset['given']} points of '{dataset['name']}'")
    marks = marks_of(chart)
    if any(x is None or y is None for _, _, x, y in marks):
        return found + ["a mark has no place"]
    left, top, right, bottom = chart["area"]
    beyond = [max(left - x, x - right, top - y, y - bottom) for _, _, x, y in marks]
    # A mark on the edge may be counted either way.
    if not sum(each > 1 for each in beyond) <= chart["outside"] <= sum(each > -1 for each in beyond):
        outside = [mark[:2] for mark, each in zip(marks, beyond) if each > 1]
        found.append(f"{len(outside)} marks lie outside of the axes, the page says {chart['outside']}; they are {outside[:3]}")
    found += complaints_about_span(chart, marks)
    for name in "xy":
        labels = drawn_labels(chart, name)
        if len(labels) < FEWEST_LABELS:
            found.append(f"the {name} axis has {len(labels)} label(s): {labels}")
    return found


def complaints_about_span(chart, marks):
    left, _, right, _ = chart["area"]
    # The border of an area is no data: a map's are the colours.
    if all(len(dataset["points"]) < 2 or dataset["role"] == "border" for dataset in chart["datasets"]) or not marks:
        return []
    if len({mark[0] for mark in marks}) < 2:
        return [f"every mark stands at x = {marks[0][0]}"]
    pixels = [mark[2] for mark in marks]
    span = (max(pixels) - min(pixels)) / (right - left)
    return [] if span >= LEAST_SPAN else [f"the marks take up {span:.0%} of the x axis"]


def drawn_labels(chart, axis):
    """The labels of an axis that are really written on the canvas."""
    written = [text["text"] for text in chart["texts"]]
    return [tick["label"] for tick in chart[axis]["ticks"] if tick["label"] and tick["label"] in written]


def complaints_about_texts(seen):
    found = []
    texts = sorted(seen["texts"], key=lambda text: text["box"][1])
    if seen["scrollWidth"] > seen["width"] + TOUCH:
        found.append(f"the page is {seen['scrollWidth']} pixels wide in a window of {seen['width']}")
    for text in texts:
        if text.get("squeezed"):
            found.append(f"text '{text['text']}' is squeezed")
        for what in ("hiddenIn", "figure"):
            if text[what] and sticks_out(text["box"], text[what]):
                found.append(f"text '{text['text']}' is cut: it sticks out of its {'frame' if what == 'hiddenIn' else 'figure'}")
        if not text["scrolls"] and not 0 <= text["box"][0] <= text["box"][2] <= seen["width"] + TOUCH:
            found.append(f"text '{text['text']}' is cut: it leaves the window")
    for i, text in enumerate(texts):
        for other in texts[i + 1:]:
            if other["box"][1] >= text["box"][3]:
                break
            if overlap(text["box"], other["box"]):
                found.append(f"texts '{text['text']}' and '{other['text']}' overlap")
    return found


def sticks_out(box, frame):
    return (box[0] < frame[0] - TOUCH or box[1] < frame[1] - TOUCH or box[2] > frame[2] + TOUCH or box[3] > frame[3] + TOUCH)


def overlap(a, b):
    """Whether two boxes share more than their edges. Boxes of lines reach beyond their letters, so a fifth of the height is free."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width > TOUCH and height > max(TOUCH, 0.2 * min(a[3] - a[1], b[3] - b[1]))


def check(browser, path, screenshots=None):
    """Complaints about a page at both widths, light and dark, each with where it was seen."""
    found = []
    for width, dark in ((DESKTOP, False), (PHONE, False), (DESKTOP, True)):
        page = new_page(browser)
        seen = look_at(page, path, width, dark)
        where = f"{path.parent.name}/{path.name} at {width}{', dark' if dark else ''}"
        found += [f"{where}: {each}" for each in complaints_about(page, seen, path)]
        if screenshots:
            name = f"{path.parent.name}-{path.stem}-{width}{'-dark' if dark else ''}.png"
            (screenshots / name).write_bytes(page.screenshot())
        page.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder for a picture of each page at each width")
    arguments = parser.parse_args()
    executable = find_browser()
    if not executable:
        print(NONE_THERE)
        return 77
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    with Browser(executable) as browser:
        found = [each for path in arguments.pages for each in check(browser, path, arguments.screenshots)]
    print("\n".join(found) or f"{len(arguments.pages)} pages: nothing to complain of")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
