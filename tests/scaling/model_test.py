#!/usr/bin/env python3
"""The cost model against numbers worked out by hand, its limits, its monotony, and the check of the page."""

import contextlib
import dataclasses
import io
import math
import pathlib
import re
import sys
import tempfile
import unittest


class ModelTest(unittest.TestCase):
    def setUp(self):
        # Round numbers, so that each expectation is a sum of a few terms.
        self.a = model.Assumptions(
            peak=100.0, mfu=0.5, bandwidth=1000.0, efficiency=0.5, gradient_bytes=4, tree_base=1.0, tree_link=0.1, tree_network=10.0,
            ring_base=2.0, ring_link=0.2, ring_network=3.0, between_nodes=2.0, collective_rate=8.0, wait=7.0,
        )  # fmt: skip
        self.small = model.Shape("small", layers=1, width=2, hidden=3, key_width=1, vocabulary=5, batch=10.0)

    def test_shape_by_hand(self):
        # Query and output 2 x 4, key and value 2 x 2, feed-forward 3 x 6, norms 2 x 2 and 2, embedding and head 2 x 10.
        self.assertEqual(self.small.parameters, 8 + 4 + 18 + 4 + 2 + 20)
        self.assertEqual(self.small.tensors, 12)

    def test_published_sizes(self):
        # Of the models' cards: 6.74, 13.0, 70.6 and 405.9 billion; the last is ours.
        for shape, billions in zip(model.SHAPES, (6.74, 13.02, 70.55, 405.85, 1003.3), strict=True):
            self.assertAlmostEqual(shape.parameters / 1e9, billions, delta=0.006 * billions)
        self.assertEqual([shape.tensors for shape in model.SHAPES], [291, 363, 723, 1137, 1497])

    def test_tree_by_hand(self):
        # One node of 8: base, seven links there and back, 16 bytes at 8 a second.
        self.assertAlmostEqual(model.all_reduce(16, 8, 1, self.a), 1 + 2 * 7 * 0.1 + 2)
        # 4 nodes of 8: links count double, two levels of the tree over the network.
        self.assertAlmostEqual(model.all_reduce(0, 32, 4, self.a), 1 + 2 * (7 * 0.2 + 2 * 10))
        # One process a node.
        self.assertAlmostEqual(model.all_reduce(0, 4, 4, self.a), 1 + 2 * 2 * 10)

    def test_ring_by_hand(self):
        # 14 steps inside a node; over 2 nodes of 8, 30 steps, 2 of them over the network.
        self.assertAlmostEqual(model.all_reduce(0, 8, 1, self.a, "ring"), 2 + 14 * 0.2)
        self.assertAlmostEqual(model.all_reduce(0, 16, 2, self.a, "ring"), 2 + 28 * 0.4 + 2 * 3)
        with self.assertRaisesRegex(ValueError, "algorithm is 'star', expected tree or ring"):
            model.all_reduce(0, 8, 1, self.a, "star")

    def test_cost_by_hand(self):
        # 56 parameters over 2 devices at 4 bytes and 500 bytes a second: 0.224 s a pass.
        clip, zclip = model.METHODS[2], model.METHODS[3]
        ours = model.cost(self.small, 2, model.METHODS[0], self.a)
        self.assertAlmostEqual(ours.memory, 0.224)
        self.assertAlmostEqual(ours.collective, 1 + 2 * 0.1 + 2 * 8 * 12 / 8)
        self.assertEqual(ours.wait, 0)
        self.assertAlmostEqual(model.cost(self.small, 2, clip, self.a).total, 3 * 0.224 + 1.2 + 1)
        self.assertAlmostEqual(model.cost(self.small, 2, zclip, self.a).total, 3 * 0.224 + 1.2 + 1 + 7)
        # 6 x 56 x 10 operations over 2 devices of 50 a second.
        self.assertAlmostEqual(model.step_time(self.small, 2, self.a), 33.6)

    def test_one_process_has_no_collective(self):
        for algorithm in ("tree", "ring"):
            self.assertEqual(model.all_reduce(1e9, 1, 1, self.a, algorithm), 0)
        for method in model.METHODS:
            self.assertEqual(model.cost(self.small, 1, method, self.a).collective, 0)
        self.assertEqual(model.layout_collectives(self.small, (1, 1, 1), False, self.a), 0)

    def test_pipeline_stages_are_summed_only_for_a_global_norm(self):
        shape = model.SHAPES[3]
        deeper = [model.layout_collectives(shape, (16, 8, stages), False, self.a) for stages in (1, 2, 16)]
        self.assertEqual(deeper, sorted(set(deeper)))
        # 1,137 tensors in 16 stages: 72 in the longest.
        vector = 16 * 72
        expected = model.all_reduce(vector, 16, 16, self.a) + model.all_reduce(vector, 8, 1, self.a)
        self.assertAlmostEqual(model.layout_collectives(shape, (16, 8, 16), True, self.a), expected)

    def test_monotony(self):
        a, shape = model.Assumptions(), model.SHAPES[2]
        for algorithm in ("tree", "ring"):
            by_size = [model.all_reduce(size, 512, 64, a, algorithm) for size in (0, 8, 1e4, 1e6)]
            by_processes = [model.all_reduce(8, 8 * nodes, nodes, a, algorithm) for nodes in (1, 2, 8, 64, 2048)]
            for series in (by_size, by_processes):
                self.assertEqual(series, sorted(set(series)))
        for method in model.METHODS:
            memory = [model.cost(shape, gpus, method, a).memory for gpus in (8, 64, 512)]
            self.assertEqual(memory, sorted(set(memory), reverse=True))
            slower = dataclasses.replace(a, bandwidth=a.bandwidth / 2)
            self.assertGreater(model.cost(shape, 64, method, slower).total, model.cost(shape, 64, method, a).total)

    def test_growth_in_the_limit(self):
        # Doubling the nodes adds one level to the tree and doubles the ring.
        a = model.Assumptions()
        tree = [model.all_reduce(0, 8 * nodes, nodes, a) for nodes in (1024, 2048)]
        ring = [model.all_reduce(0, 8 * nodes, nodes, a, "ring") for nodes in (1024, 2048)]
        self.assertAlmostEqual(tree[1] - tree[0], 2 * a.tree_network)
        self.assertAlmostEqual(ring[1] / ring[0], 2.0, delta=0.002)

    def test_text_of_times(self):
        shown = [model.seconds(value) for value in (49.94, 0.99960, 1.13e-3, 192.6e-6, 4.66e-7, 1234.0)]
        self.assertEqual(shown, ["49.9 s", "1 s", "1.13 ms", "193 µs", "0.47 µs", "1,234 s"])
        self.assertEqual(model.share(1, 300), "0.33 %")
        self.assertEqual([model.size_text(size) for size in (8, 4656, 4.41e9)], ["8 B", "4.66 kB", "4.41 GB"])

    def page(self):
        return "".join(f"Text.\n\n<!-- scaling {name} -->\n<!-- end of scaling -->\n" for name in model.TABLES)

    def test_page_is_written_and_checked(self):
        a = model.Assumptions()
        text = model.with_tables(self.page(), a)
        self.assertEqual(model.with_tables(text, a), text)
        self.assertIn(model.share_table(a), text)
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "page.md"
            for content, expected in ((text, 0), (text.replace("49.9 s", "49.8 s"), 1), (self.page(), 1)):
                page.write_text(content, encoding="utf-8")
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    self.assertEqual(model.check(page, a), expected)

    def test_page_with_a_wrong_marker(self):
        a = model.Assumptions()
        for text, message in (
            (self.page().replace("scaling share", "scaling shore"), "there is no table 'shore'"),
            (self.page().removesuffix(model.END + "\n"), "the table 'sensitivity' has no end"),
            (self.page().replace("<!-- scaling share -->\n", ""), "does not show the table 'share'"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                model.with_tables(text, a)

    def test_state_is_that_of_the_header(self):
        header = (TOOLS.parent / "include/gradstab/decide.hpp").read_text(encoding="utf-8")
        moments = re.search(r"struct NormMoments \{(.*?)\n\};", header, re.S).group(1)
        kinds = re.findall(r"^  (double|std::int64_t|std::int32_t) \w+ = ", moments, re.M)
        size = sum({"double": 8, "std::int64_t": 8, "std::int32_t": 4}[kind] for kind in kinds)
        self.assertEqual((len(kinds), size), (8, model.STATE_PER_TENSOR))

    def test_only_what_fits_is_shown(self):
        a = model.Assumptions()
        for shape in model.SHAPES:
            shown = [row.split(" | ")[1] for row in model.share_table(a).splitlines() if row.startswith(f"| {shape.name} ")]
            fitting = [f"{gpus:,}" for gpus in model.GPUS if 16 * shape.parameters < gpus * 80e9]
            self.assertEqual(shown, fitting)
            self.assertTrue(math.isfinite(model.step_time(shape, 8, a)))

    def test_what_the_page_says_of_its_tables(self):
        a = model.Assumptions()
        stabilize, _, clip, zclip = model.METHODS
        cases = [(shape, gpus) for shape in model.SHAPES for gpus in model.GPUS if model.fits(shape, gpus, a)]
        for shape, gpus in cases:
            step = model.step_time(shape, gpus, a)
            ours = model.cost(shape, gpus, stabilize, a)
            totals = [ours.total, model.cost(shape, gpus, clip, a).total, model.cost(shape, gpus, zclip, a).total]
            self.assertEqual(totals, sorted(totals))
            self.assertLess(totals[2], 1e-2 * step)
            if step >= 1:
                self.assertLess(totals[2], 2e-4 * step)
            if gpus == 8:
                self.assertAlmostEqual(totals[0] / totals[1], 1 / 3, delta=0.01)
            one = model.all_reduce(model.DOUBLE, gpus, model.nodes_of(gpus, a), a)
            self.assertLess(ours.collective - one, 5e-6)
        slow = dataclasses.replace(a, tree_base=10 * a.tree_base, tree_link=10 * a.tree_link, tree_network=10 * a.tree_network)
        shape = model.SHAPES[3]
        self.assertLess(model.cost(shape, 16384, zclip, slow).total, 3e-4 * model.step_time(shape, 16384, slow))


TOOLS = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(TOOLS))
import scaling_model as model  # noqa: E402

if __name__ == "__main__":
    unittest.main()
