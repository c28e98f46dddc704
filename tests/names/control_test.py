#!/usr/bin/env python3
"""Small trees in which tools/names/check_names.py must find what is wrong, and nothing else."""

import pathlib
import sys
import tempfile
import unittest

CODE = {
    "run": "#!/usr/bin/env bash\ncase $verb in\n  build) build ;;\n  test | check) check ;;\nesac\n",
    "cli/report.cpp": '#include "cli/report.hpp"\n'
                      'void add(App& app) { app.add_subcommand("report", "x"); app.add_option("--output,-o", output); }\n'
                      'void each() { visit("eval_every", 1); }\n'
                      "TEST(ReportTest, Reads) {}\n",
    "cli/report.hpp": "// Reads runs.\n",
    "CMakeLists.txt": "option(GRADSTAB_LAB \"x\" ON)\nset(x $ENV{SOME_VARIABLE})\n",
    "tools/check.py": "parser.add_argument('--root')\n",
}


class ControlTest(unittest.TestCase):
    def found(self, **more):
        """What is wrong in the tree with `more` files, whose names have _ for / and . (see FILES)."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in {**CODE, **{FILES[key]: text for key, text in more.items()}}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            allowed = check_names.allowed_names(root / "tools/names/allowed.txt")
            check = check_names.Check(check_names.Tree(root), allowed, None)
            return [what for _, _, what in sorted(check.found)] + sorted(allowed - check.met)

    def expect(self, kind, name, **more):
        self.assertEqual(self.found(**more), [f"there is no {kind} '{name}'"])

    def test_nothing_in_what_is_right(self):
        right = ("See [check](tools/check.py), `report.hpp` and `cli/`. `gradstab report --output page.html --eval-every 5` writes a page,\n"
                 "`-DGRADSTAB_LAB=OFF` leaves the lab out, `SOME_VARIABLE` is read; `./run check`; `ReportTest.Reads`.\n"
                 "gradstab is a program.\n\n```\nbuild/gradstab report runs\n```\n")
        self.assertEqual(self.found(readme=right), [])
        self.assertEqual(self.found(source="// As report.hpp says, --root and ReportTest.Re... do.\nint i = 3; i--;\n"), [])

    def test_a_file_in_a_document(self):
        self.expect("file", "docs/gone.md", readme="See docs/gone.md.\n")

    def test_a_file_in_a_comment(self):
        self.expect("file", "twin.hpp", source="// The rest is the host's (twin.hpp).\nint x;\n")
        self.expect("file", "twin.hpp", script="x = 1  # as twin.hpp does\n")
        self.expect("file", "twin.hpp", script='"""As twin.hpp does."""\n')

    def test_a_file_in_a_message(self):
        self.expect("file", "tools/gone.sh", source='const char* text = "run tools/gone.sh first";\n')

    def test_a_folder(self):
        self.expect("folder", "lab/gone/", readme="Look into `lab/gone/`.\n")

    def test_a_flag(self):
        self.expect("flag", "--outputs", readme="Give `--outputs FILE`.\n")
        self.expect("flag", "--eval_every".replace("_", "-") + "y", source="// --eval-everyy is every so many steps.\nint x;\n")
        self.expect("flag", "--outputs", source='const char* text = "choose another with --outputs";\n')

    def test_a_verb(self):
        self.expect("verb of gradstab", "reports", readme="`gradstab reports runs` writes it.\n")
        self.expect("verb of gradstab", "reports", readme="```\nbuild/gradstab reports runs\n```\n")
        self.expect("verb of ./run", "bild", readme="Call ./run bild first.\n")

    def test_an_option_of_the_build(self):
        self.expect("option, variable or macro", "GRADSTAB_LABS", readme="`-DGRADSTAB_LABS=OFF` leaves the lab out.\n")

    def test_a_variable(self):
        self.expect("variable", "OTHER_VARIABLE", readme="`OTHER_VARIABLE` is read.\n")

    def test_a_test(self):
        self.expect("test", "ReportTest.Writes", readme="Shown by `ReportTest.Writes`.\n")

    def test_an_allowed_name_that_nothing_needs(self):
        self.assertEqual(self.found(readme="`OTHER_VARIABLE` is read.\n", allowed="OTHER_VARIABLE  # another program's\n"), [])
        self.assertEqual(self.found(allowed="OTHER_VARIABLE\n"), ["OTHER_VARIABLE"])


FILES = {"readme": "README.md", "source": "lab/other.cpp", "script": "tools/other.py", "allowed": "tools/names/allowed.txt"}

if __name__ == "__main__":
    sys.path.insert(0, sys.argv.pop(1))
    import check_names

    unittest.main()
