#!/usr/bin/env bash
# The README's code block is the example that the tests run: sync_readme.sh writes it, sync_readme.sh --check compares.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly example=examples/libtorch_one_line.cpp
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
awk -v example="$example" '
  $0 == "<!-- begin " example " -->" {
    print; print "```cpp"
    while ((getline line < example) > 0) print line
    print "```"; inside = 1
  }
  $0 == "<!-- end " example " -->" { inside = 0 }
  !inside && !($0 == "<!-- begin " example " -->") { print }
' README.md >"$fresh"
if [[ ${1:-} == --check ]]; then
  diff -u README.md "$fresh" || { echo "README.md does not show $example as it is; run tools/sync_readme.sh" >&2; exit 1; }
else
  cp "$fresh" README.md
fi
