#!/usr/bin/env bash
# Every function of the C headers is on their page, and every name on the page is in a header:
#   check_c_documented.sh PAGE HEADER...
set -euo pipefail
readonly page=$1
shift
tick='`'

functions=$(sed -nE 's/^GRADSTAB_API .*[ *](gradstab_[a-z0-9_]+)\(.*/\1/p' "$@" | sort)
if [[ $(wc -l <<<"$functions") -ne $(cat "$@" | grep -c '^GRADSTAB_API ') ]]; then
  echo "a declaration in $* does not begin with its type and name on one line" >&2
  exit 1
fi
failed=0
for name in $functions; do
  grep -qE "$tick$name[$tick(]" "$page" && continue
  echo "$page does not document $name" >&2
  failed=1
done
for name in $(grep -oE "$tick(gradstab|GRADSTAB)_[A-Za-z0-9_]+" "$page" | tr -d "$tick" | sort -u); do
  grep -qwF "$name" "$@" && continue
  echo "$page speaks of $name, which no header has" >&2
  failed=1
done
((failed == 0)) || exit 1
echo "C interface: every function is documented"
