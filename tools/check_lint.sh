#!/usr/bin/env bash
# clang-tidy (.clang-tidy) with the commands of BUILD_FOLDER: check_lint.sh BUILD_FOLDER [PART]
#   library  the library and the C interface
#   lab      the parts of the lab that need no torch
#   torch    the native half of the Python package, where BUILD_FOLDER has it; each of its files takes as long as four others
#   changed  those files of library and lab that are not committed or that the newest commit changed, 24 of them at most
# library, lab and torch unless a part is named. Ends with 77 where clang-tidy is of another version.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
source tools/clang_version.sh
skip_unless_version clang-tidy
readonly build=$1
# Without the one that is assembler, and compiles only with the name of the kernels' file.
readonly library=('src/*.cpp' 'adaptors/c/*.cpp' 'adaptors/files/*.cpp' ':!src/backends/cuda/kernels_image.cpp')
readonly most_changed=24

# tidy [ARGUMENTS...]: over the files on standard input, one a line.
tidy() {
  xargs -d '\n' --no-run-if-empty -n 1 -P "$(nproc)" clang-tidy --quiet -p "$build" --warnings-as-errors='*' "$@" 2>/dev/null
}
lint_library() { git ls-files "${library[@]}" | tidy; }
# What is compiled without torch, as BUILD_FOLDER has it.
lab_files() {
  python3 -B - "$build/compile_commands.json" <<'PYTHON'
import json, os, sys
with open(sys.argv[1]) as file:
    commands = json.load(file)
paths = {os.path.relpath(entry["file"]) for entry in commands if "torch" not in entry["command"]}
files = sorted(path for path in paths if path.startswith("lab/"))
print("\n".join(files) if files else sys.exit(f"{sys.argv[1]}: no file of the lab is compiled without torch"))
PYTHON
}
lint_lab() { lab_files | tidy; }
lint_torch() {
  grep -q 'adaptors/python/native/' "$build/compile_commands.json" || return 0
  # Clang accepts the headers of torch 1.13 only in this order.
  git ls-files 'adaptors/python/native/*.cpp' | tidy --header-filter='adaptors/python/native/.*' \
    --extra-arg-before=-include --extra-arg-before=torch/custom_class.h
}
lint_changed() {
  local files
  # A shallow clone may lack the commit before.
  files=$({
    git diff --name-only --diff-filter=d HEAD
    git diff --name-only --diff-filter=d HEAD~1 HEAD 2>/dev/null || true
  } | sort -u | grep -Fxf <(git ls-files "${library[@]}"; lab_files) || true)
  head -n "$most_changed" <<<"$files" | grep . | tidy || [[ -z $files ]]
  (($(wc -l <<<"$files") <= most_changed)) || echo "not checked: $(tail -n +$((most_changed + 1)) <<<"$files" | paste -s -d' ')"
}

part=${2:-}
case $part in
  library | lab | torch | changed) "lint_$part" ;;
  '')
    lint_library
    lint_lab
    lint_torch
    ;;
  *) echo "check_lint.sh: the part is library, lab, torch or changed, got '$part'" >&2; exit 2 ;;
esac
echo "lint: ok"
