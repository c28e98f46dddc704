#!/usr/bin/env bash
# ruff and mypy, by the settings in pyproject.toml, over all Python code. They come from PyPI, into build/lint-venv. Ends with 77
# where they cannot be had.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
readonly venv=build/lint-venv
[[ -x $venv/bin/pip ]] || python3 -m venv "$venv"
if ! "$venv/bin/pip" --disable-pip-version-check --quiet install -r tools/lint/requirements.txt; then
  echo "SKIPPED, nothing was checked: pip could not install ruff and mypy"
  exit 77
fi
"$venv/bin/ruff" check --quiet
# One run per folder: scripts are programs of their own, and so are those of tools/ itself.
for folder in adaptors/python/gradient_stabilizer tools/docs tools/gpu_check tools/names tools/pages tools/scaling_*.py bench/python examples/python; do
  "$venv/bin/mypy" --no-error-summary "$folder"
done
echo "python: ok"
