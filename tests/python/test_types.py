"""What a type checker sees of the public names. Needs mypy, beside the interpreter or as a program."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import gradient_stabilizer

PROGRAM = """
import torch
import gradient_stabilizer as gs

model = torch.nn.Linear(3, 2)
wrapped: gs.WrappedOptimizer = gs.wrap(
    torch.optim.AdamW(model.parameters(), lr=1e-3), named_parameters=model.named_parameters()
)
report: gs.StepReport = wrapped.report()
norm: float = report["weight"].raw_norm
method: gs.Method = gs.chain(gs.clip_by_global_norm(1.0), gs.stabilize(robust_kappa=3.0))
norms: torch.Tensor = gs.stabilize_grad_(model.parameters(), gs.GradientState(method))
goes_on: bool = gs.GradientStabilizer(model.named_parameters()).step()
fused = gs.optim.AdamW(model.named_parameters(), lr=1e-3, transform=None)
measurement: gs.MeasurementInBackward = gs.measure_in_backward(fused)
stepper: gs.OptimizerInBackward = gs.optimizer_in_backward(model, gs.optim.Lion, lr=1e-4)
names: list[str] = fused.names
recorder: gs.NormRecorder = gs.NormRecorder("run.gsnorms", model, every=2).attach(fused)
backends: list[str] = gs.backends()
version: str = gs.__version__
"""


#: Lines that are wrong, and mypy's name of what is.
WRONG = {
    "gs.stabilize(gamma1='0.6')": "arg-type",
    "gs.optim.AdamW(model.parameters(), transform='stabilize')": "arg-type",
    "gs.optim.SPAM(model.parameters(), clip=1.0)": "call-arg",
    "count: int = gs.backends()": "assignment",
    "report.norm": "attr-defined",
}


def test_public_names_have_types_and_a_wrong_one_is_noticed(tmp_path: pathlib.Path) -> None:
    mypy = shutil.which("mypy")
    if mypy is None:
        pytest.skip("mypy is not installed")
    (tmp_path / "program.py").write_text(PROGRAM + "\n".join(WRONG) + "\n")
    # Errors of the program alone: the package leans on torch, whose own annotations change with its versions.
    command = [mypy, "--strict", "--follow-imports=silent", "--python-executable", sys.executable, "program.py"]
    place = pathlib.Path(gradient_stabilizer.__file__).parents[1]
    output = subprocess.run(command, cwd=tmp_path, env={"MYPYPATH": str(place)}, capture_output=True, text=True).stdout
    found = {int(line): code for line, code in re.findall(r"program\.py:(\d+): error: .*\[([a-z-]+)\]", output)}
    first = PROGRAM.count("\n") + 1
    assert found == {first + index: code for index, code in enumerate(WRONG.values())}, output
