#!/usr/bin/env bash
# Includes follow core <- backends <- adaptors <- lab <- cli (docs/layout.md), and torch stays above the library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
# forbid FOLDER PATTERN REASON: no file below FOLDER may include what matches PATTERN.
forbid() {
  local found
  found=$(grep -rnE "^ *# *include +[\"<]($2)" "$1" || true)
  [[ -z $found ]] && return
  printf '%s\n  %s\n' "$found" "$3" >&2
  failed=1
}

forbid include/gradstab 'core/|backends/|lab/|cli/|torch/|ATen/' 'public headers see the standard library only'
forbid src 'lab/|cli/|torch/|ATen/|c10/|gradstab/libtorch' 'the library knows neither torch nor the lab'
forbid src/core 'backends/' 'core does not know the backends'
forbid src 'iostream|cstdio|fstream|filesystem|print' 'the library neither prints nor opens files'
forbid adaptors 'core/|backends/|lab/|cli/' 'adaptors use the public headers'
forbid lab 'core/|backends/|cli/' 'the lab uses the adaptors and public headers'
forbid cli 'core/|backends/' 'the program uses the lab and public headers'
forbid examples 'core/|backends/|lab/|cli/' 'examples use what users use'
((failed == 0)) || exit 1
echo "layers: ok"
