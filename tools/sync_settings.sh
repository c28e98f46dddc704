#!/usr/bin/env bash
# Tables between `<!-- settings of LIST -->` and `<!-- end of settings -->` in docs/ are what PROGRAM (gradstab) says of the
# methods or optimizers: sync_settings.sh PROGRAM writes them, sync_settings.sh PROGRAM --check [FOLDER] compares, FOLDER
# instead of docs/.
set -euo pipefail
program=$(realpath "$1")
check=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
documents=${3:-docs}
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
tables=0
while IFS= read -r document; do
  awk -v program="$program" '
    /^<!-- settings of .* -->$/ {
      print
      command = program " methods --table " $4
      rows = 0
      while ((command | getline line) > 0) { print line; ++rows }
      if (close(command) != 0 || rows == 0) { print FILENAME ": no table of " $4 > "/dev/stderr"; exit 1 }
      inside = 1
      next
    }
    /^<!-- end of settings -->$/ { inside = 0 }
    !inside { print }
    END { if (inside) { print FILENAME ": no end of a table" > "/dev/stderr"; exit 1 } }
  ' "$document" >"$fresh"
  if [[ $check == --check ]]; then
    diff -u "$document" "$fresh" ||
      { echo "$document does not show the settings as they are; run tools/sync_settings.sh PROGRAM" >&2; exit 1; }
  else
    cmp -s "$fresh" "$document" || cp "$fresh" "$document"
  fi
  tables=$((tables + 1))
done < <(grep -l '^<!-- settings of ' "$documents"/*.md)
((tables > 0)) || { echo "no document has a table of settings" >&2; exit 1; }
echo "documents: $tables with settings as they are"
