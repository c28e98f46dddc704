#!/usr/bin/env bash
# Builds the wheel of the Python package, installs it into a fresh virtual environment and uses it from another folder:
# check_wheel.sh [PYTHON], an interpreter with torch. Needs pip, which fetches the build tools unless they are there.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
python=${1:-/usr/bin/python3}
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m venv --system-site-packages "$folder/venv"
"$folder/venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheel" .
"$folder/venv/bin/python" -m pip install --quiet --no-deps "$folder"/wheel/gradient_stabilizer-*.whl
mkdir "$folder/elsewhere"
cd "$folder/elsewhere"
"$folder/venv/bin/python" -c '
import os, sys
import gradient_stabilizer as gs
place = os.path.realpath(gs.__file__)
assert place.startswith(os.path.realpath(sys.prefix)), place
assert os.path.exists(os.path.join(os.path.dirname(place), "py.typed"))
'
"$folder/venv/bin/python" "$root/examples/python/plain_loop.py" | grep -q "^step 200  loss 0.0"
echo "wheel: ok"
