"""examples/python, and the programs in docs/python.md, run and show what they say."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

import gradient_stabilizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = str(pathlib.Path(gradient_stabilizer.__file__).resolve().parents[1])

#: Of the last line of each: what stands for success, and the largest loss that counts as trained.
EXPECTED = {
    "plain_loop": (r"step 200  loss ([\d.]+)", 0.03),
    "amp": (r"step 200  loss ([\d.]+)  norms seen (?:199|200)", 0.03),
    "accumulation": (r"step 200  loss ([\d.]+)  updates 200", 0.03),
    "in_backward": (r"step 200  loss ([\d.]+)  gradients left 0", 0.03),
    "percentile_clip": (r"step 200  loss ([\d.]+)", 0.03),
    "compiled_model": (r"step 200  loss ([\d.]+)", 0.03),
    "fully_sharded": (r"step 200  loss ([\d.]+).*\nresumed: the next losses are the same", 0.03),
    "nanogpt_style": (r"step 60  loss ([\d.]+)  .*\nresumed at update 60", 0.5),
    "hf_trainer": (r"loss [\d.]+ -> ([\d.]+)  updates 400", 0.1),
    "lightning_hook": (r"loss [\d.]+ -> ([\d.]+)  updates 200", 0.1),
}


def run(source: str, folder: pathlib.Path) -> str:
    """The output of a program that runs in a folder of its own. Fails with what it printed."""
    environment = {**os.environ, "PYTHONPATH": PACKAGE, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "examples" / "python").glob("*.py")))
def test_example(name: str, tmp_path: pathlib.Path) -> None:
    output = run((ROOT / "examples" / "python" / f"{name}.py").read_text(), tmp_path)
    if output.startswith("skipped:"):
        pytest.skip(output.strip())
    pattern, most = EXPECTED[name]
    found = re.search(pattern, output)
    assert found is not None, output
    assert float(found[1]) < most, output


def test_every_program_of_the_page_runs(tmp_path: pathlib.Path) -> None:
    """In order, as one program: what one defines the next may use."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.S)
    assert len(programs) >= 7
    assert "done" in run("\n".join(programs) + "\nprint('done')\n", tmp_path)
    with pytest.raises(AssertionError, match="gamma3"):  # a wrong argument would be noticed
        run("\n".join(programs) + "\ngs.stabilize(gamma3=0.5)\n", tmp_path)


def test_every_public_name_is_on_the_page() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    names = [f"gs.{name}" for name in gradient_stabilizer.__all__ if name not in ("compat", "optim")]
    names += [f"gs.compat.{name}" for name in gradient_stabilizer.compat.__all__]
    assert [name for name in names if not re.search(rf"{re.escape(name)}\b", page)] == []
    # One table has the optimizers of every language.
    table = (ROOT / "docs" / "optimizers.md").read_text()
    assert [name for name in gradient_stabilizer.optim.__all__ if f"`{name}`" not in table] == []
