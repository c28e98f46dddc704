#!/usr/bin/env bash
# Every C and C++ file is formatted by .clang-format.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files -z '*.c' '*.cpp' '*.hpp' '*.h' '*.cu' '*.cuh' | xargs -0 --no-run-if-empty clang-format --dry-run --Werror
echo "format: ok"
