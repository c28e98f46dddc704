#!/usr/bin/env bash
# Every C and C++ file is formatted by .clang-format. Ends with 77 where clang-format is of another version.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
source tools/clang_version.sh
skip_unless_version clang-format
git ls-files -z '*.c' '*.cpp' '*.hpp' '*.h' '*.cu' '*.cuh' | xargs -0 --no-run-if-empty clang-format --dry-run --Werror
echo "format: ok"
