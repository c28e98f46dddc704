"""The interpreter that has packages from PyPI which the tests of logs need."""

import os
import subprocess
import sys

SKIPPED = 77
VARIABLE = "GRADSTAB_LOGS_PYTHON"


def has(interpreter, package):
    """Whether that interpreter finds the package. It is not imported, which takes seconds of some."""
    question = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    try:
        return subprocess.run([interpreter, "-c", question], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def go_on_with(packages):
    """Goes on in the interpreter that VARIABLE names, if this is another one, and returns those of the packages that it has. Without any of
    them the test ends as one that is skipped."""
    named = os.environ.get(VARIABLE)
    # Not by what the paths lead to: the interpreter of a virtual environment is a link to the one that made it.
    if named and os.path.abspath(named) != os.path.abspath(sys.executable):
        os.execv(named, [named, "-B", *sys.argv])
    found = [package for package in packages if has(sys.executable, package)]
    if not found:
        print(f"skipped: {sys.executable} has none of {', '.join(packages)}; install them from PyPI, or name another interpreter in {VARIABLE}")
        sys.exit(SKIPPED)
    return found
