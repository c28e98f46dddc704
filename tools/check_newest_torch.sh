#!/usr/bin/env bash
# The tests of the Python package on the newest torch from PyPI, for the CPU, built and installed in build-newest-torch. What
# Debian's torch lacks (DTensor, FSDP2) is tested here only. Ends with 77 where pip cannot install it.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
readonly folder=build-newest-torch
readonly venv=$folder/venv
mkdir -p "$folder"
[[ -x $venv/bin/pip ]] || python3 -m venv "$venv"
install() { "$venv/bin/pip" --disable-pip-version-check --quiet --no-cache-dir install "$@"; }

# torch asks for CUDA's libraries and a compiler for it: gigabytes that a CPU does not need. The rest of what it asks for is
# read from the installed torch.
if ! install --upgrade --no-deps torch; then
  echo "SKIPPED, nothing was checked: pip could not install torch"
  exit 77
fi
"$venv/bin/python" - >"$folder/requirements.txt" <<'PYTHON'
import importlib.metadata
import re

for requirement in importlib.metadata.requires("torch") or []:
    if "extra ==" not in requirement and not re.match("cuda|nvidia|triton", requirement):
        print(requirement)
PYTHON
if ! install -r "$folder/requirements.txt" numpy pytest; then
  echo "SKIPPED, nothing was checked: pip could not install what torch needs"
  exit 77
fi
"$venv/bin/python" -c 'import torch; print("torch", torch.__version__)'

cmake -S . -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGRADSTAB_LAB=OFF -DGRADSTAB_PYTHON=ON -DBUILD_TESTING=ON \
  -DPython3_EXECUTABLE="$PWD/$venv/bin/python"
cmake --build "$folder/build" --target gradstab_python gradstab_python_sources gradstab_shared
# Verbose: the last lines say how many tests were skipped.
ctest --test-dir "$folder/build" --verbose --no-tests=error -R '^python$'
