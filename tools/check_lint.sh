#!/usr/bin/env bash
# clang-tidy (.clang-tidy) over the library, the C interface and the parts of the lab that need no torch: check_lint.sh BUILD_FOLDER
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files -z 'src/*.cpp' 'adaptors/c/*.cpp' 'lab/support/*.cpp' 'lab/data/*.cpp' 'lab/report/*.cpp' 'lab/bounds/*.cpp' 'lab/sweep/*.cpp' 'lab/reproduce/*.cpp' |
  xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p "$1" --warnings-as-errors='*' 2>/dev/null
echo "lint: ok"
