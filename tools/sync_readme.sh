#!/usr/bin/env bash
# Code blocks between `<!-- begin FILE -->` and `<!-- end FILE -->` are files that the tests build and run:
# sync_readme.sh writes them into README.md and docs/, sync_readme.sh --check [README] compares, and also the rows of the
# README's table of speed with those of docs/performance.md.
set -euo pipefail
readme=$(realpath "${2:-$(dirname "${BASH_SOURCE[0]}")/../README.md}")
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

# The README shows some rows of docs/performance.md, without the last column.
check_speed() {
  local rows=0 row
  while IFS= read -r row; do
    rows=$((rows + 1))
    grep -qF -- "$row" docs/performance.md ||
      { echo "docs/performance.md has no row of the README's: $row" >&2; return 1; }
  done < <(sed -n '/^## Speed/,/^## /p' "$readme" | grep -E '^\| .* ± ')
  ((rows > 0)) || { echo "the README has no table of speed" >&2; return 1; }
}
fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
blocks=0
while IFS= read -r document; do
  awk '
    /^<!-- begin .* -->$/ {
      file = $3
      language = file ~ /\.[ch]pp$/ ? "cpp" : file ~ /\.[ch]$/ ? "c" : "cmake"
      print; print "```" language
      while ((status = (getline line < file)) > 0) print line
      if (status < 0) { print FILENAME ": no file " file > "/dev/stderr"; exit 1 }
      print "```"; inside = 1
      next
    }
    $0 == "<!-- end " file " -->" { inside = 0 }
    !inside { print }
    END { if (inside) { print FILENAME ": no end of " file > "/dev/stderr"; exit 1 } }
  ' "$document" >"$fresh"
  if [[ ${1:-} == --check ]]; then
    diff -u "$document" "$fresh" ||
      { echo "$document does not show its files as they are; run tools/sync_readme.sh" >&2; exit 1; }
  else
    cmp -s "$fresh" "$document" || cp "$fresh" "$document"
  fi
  blocks=$((blocks + $(grep -c '^<!-- begin ' "$document")))
done < <(grep -l '^<!-- begin ' README.md docs/*.md)
[[ ${1:-} != --check ]] || check_speed
((blocks > 0)) || { echo "no document shows a file" >&2; exit 1; }
echo "documents: $blocks files shown as they are"
