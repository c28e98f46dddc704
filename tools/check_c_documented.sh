#!/usr/bin/env bash
# Every function of the C headers is on one of their pages, and every name on the pages is in a header:
#   check_c_documented.sh PAGE.md... HEADER.h...
set -euo pipefail
pages=()
while [[ ${1-} == *.md ]]; do
  pages+=("$1")
  shift
done
tick='`'

functions=$(sed -nE 's/^GRADSTAB_API .*[ *](gradstab_[a-z0-9_]+)\(.*/\1/p' "$@" | sort)
if [[ $(wc -l <<<"$functions") -ne $(cat "$@" | grep -c '^GRADSTAB_API ') ]]; then
  echo "a declaration in $* does not begin with its type and name on one line" >&2
  exit 1
fi
failed=0
for name in $functions; do
  grep -qE "$tick$name[$tick(]" "${pages[@]}" && continue
  echo "${pages[*]} does not document $name" >&2
  failed=1
done
for name in $(grep -ohE "$tick(gradstab|GRADSTAB)_[A-Za-z0-9_]+" "${pages[@]}" | tr -d "$tick" | sort -u); do
  grep -qwF "$name" "$@" && continue
  echo "${pages[*]} speaks of $name, which no header has" >&2
  failed=1
done
((failed == 0)) || exit 1
echo "C interface: every function is documented"
