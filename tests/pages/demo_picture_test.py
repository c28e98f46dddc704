#!/usr/bin/env python3
"""docs/demo.png, docs/demo.json and the README's table show the same numbers.

    demo_picture_test.py --tools tools/pages --readme README.md --picture docs/demo.png

No browser is needed: tools/pages/draw_demo.py puts the numbers that the page showed, and a checksum of the pixels, into the picture."""

import argparse
import json
import pathlib
import re
import sys
import unittest

README = PICTURE = None


def differences(readme, numbers, png):
    """What parts the three; an empty list where nothing does."""
    found = []
    if picture.numbers_of(png) != numbers:
        found.append("the picture carries other numbers than docs/demo.json")
    if picture.pixels_sha256(png) != numbers["pixels_sha256"]:
        found.append("the picture's pixels are others than those that docs/demo.json was written with")
    found += [f"the picture shows the column '{column}', which is noise" for column in ("Time", "Tokens/s") if column in numbers["shown"]["columns"]]
    place = numbers["seeds"].index(numbers["drawn_seed"])
    for run, label in numbers["labels"].items():
        losses = numbers["validation_loss"][run]
        if numbers["shown"]["validation_loss"][run] != f"{losses[place]:.4f}":
            found.append(f"the picture shows {numbers['shown']['validation_loss'][run]} for '{run}', which ended at {losses[place]}")
        row = re.search(rf"^\| {re.escape(label)} \|(.*)\|$", readme.partition("<!-- demo -->\n")[2], re.MULTILINE)
        shown = [cell.strip() for cell in row.group(1).split("|")] if row else []
        if shown != [f"{loss:.3f}" for loss in losses]:
            found.append(f"the README says {shown} for '{label}', docs/demo.json {losses}")
    return found


def order(numbers):
    place = numbers["seeds"].index(numbers["drawn_seed"])
    return sorted(numbers["validation_loss"], key=lambda run: numbers["validation_loss"][run][place])


class DemoPictureTest(unittest.TestCase):
    def setUp(self):
        self.readme = README.read_text(encoding="utf-8")
        self.png = PICTURE.read_bytes()
        self.numbers = json.loads(PICTURE.with_suffix(".json").read_text())

    def test_all_three_agree(self):
        self.assertEqual(differences(self.readme, self.numbers, self.png), [])

    def test_the_description_of_the_picture_is_true(self):
        self.assertRegex(self.readme.replace("\n", " "), r"AdamW alone ends highest, AdamW with GradientStabilizer lowest\]\(docs/demo\.png\)")
        self.assertEqual((order(self.numbers)[0], order(self.numbers)[-1]), ("stabilize", "none"))

    # The controls: each of the three changed by itself is found.

    def test_another_number_in_the_readme(self):
        shown = f"{self.numbers['validation_loss']['clip'][1]:.3f}"
        self.assertTrue(differences(self.readme.replace(shown, "2.999"), self.numbers, self.png))

    def test_another_number_beside_the_picture(self):
        changed = json.loads(json.dumps(self.numbers))
        changed["validation_loss"]["clip"][1] += 0.001
        self.assertEqual(len(differences(self.readme, changed, self.png)), 2)

    def test_another_picture(self):
        chunks = picture.chunks_of(self.png)
        size = dict(chunks)[b"IHDR"]
        other = picture.joined([(kind, size[:3] + bytes([size[3] ^ 1]) + size[4:] if kind == b"IHDR" else data) for kind, data in chunks])
        self.assertEqual(differences(self.readme, self.numbers, other),
                         ["the picture's pixels are others than those that docs/demo.json was written with"])

    def test_a_damaged_picture(self):
        with self.assertRaises(ValueError):
            picture.chunks_of(self.png[:100] + bytes([self.png[100] ^ 1]) + self.png[101:])

    def test_a_column_of_noise(self):
        changed = json.loads(json.dumps(self.numbers))
        changed["shown"]["columns"].append("Tokens/s")
        self.assertIn("noise", " ".join(differences(self.readme, changed, picture.with_numbers(self.png, changed))))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--readme", type=pathlib.Path, required=True)
    parser.add_argument("--picture", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    README, PICTURE = arguments.readme, arguments.picture
    sys.path.insert(0, str(arguments.tools))
    import picture

    unittest.main(argv=[sys.argv[0], *rest])
