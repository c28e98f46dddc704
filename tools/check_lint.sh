#!/usr/bin/env bash
# clang-tidy (.clang-tidy) with the commands of BUILD_FOLDER: check_lint.sh BUILD_FOLDER [plain|torch]
#   plain  the library, the C interface, and the parts of the lab that need no torch
#   torch  the native half of the Python package, where BUILD_FOLDER has it; each of its files takes as long as ten others
# Both unless one is named. Ends with 77 where clang-tidy is of another version.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
source tools/clang_version.sh
skip_unless_version clang-tidy
part=${2:-}
[[ $part =~ ^(plain|torch|)$ ]] || { echo "check_lint.sh: the part is plain or torch, got '$part'" >&2; exit 2; }
tidy=(clang-tidy --quiet -p "$1" --warnings-as-errors='*')
if [[ $part != torch ]]; then
  git ls-files -z 'src/*.cpp' 'adaptors/c/*.cpp' 'lab/support/*.cpp' 'lab/data/*.cpp' 'lab/report/*.cpp' 'lab/bounds/*.cpp' 'lab/sweep/*.cpp' 'lab/reproduce/*.cpp' |
    xargs -0 -n 1 -P "$(nproc)" "${tidy[@]}" 2>/dev/null
fi
if [[ $part != plain ]] && grep -q 'adaptors/python/native/' "$1/compile_commands.json"; then
  # Clang takes the headers of torch 1.13 only in this order.
  git ls-files -z 'adaptors/python/native/*.cpp' |
    xargs -0 -n 1 -P "$(nproc)" "${tidy[@]}" --header-filter='adaptors/python/native/.*' \
      --extra-arg-before=-include --extra-arg-before=torch/custom_class.h 2>/dev/null
fi
echo "lint: ok"
