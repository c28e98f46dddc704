#!/usr/bin/env bash
# Every function of the C header is on its page, and every name on the page is in the header:
#   check_c_documented.sh HEADER PAGE
set -euo pipefail
readonly header=$1 page=$2
tick='`'

functions=$(sed -nE 's/^GRADSTAB_API .*[ *](gradstab_[a-z0-9_]+)\(.*/\1/p' "$header" | sort)
if [[ $(wc -l <<<"$functions") -ne $(grep -c '^GRADSTAB_API ' "$header") ]]; then
  echo "a declaration in $header does not begin with its type and name on one line" >&2
  exit 1
fi
failed=0
for name in $functions; do
  grep -qE "$tick$name[$tick(]" "$page" && continue
  echo "$page does not document $name" >&2
  failed=1
done
for name in $(grep -oE "$tick(gradstab|GRADSTAB)_[A-Za-z0-9_]+" "$page" | tr -d "$tick" | sort -u); do
  grep -qwF "$name" "$header" && continue
  echo "$page speaks of $name, which $header does not have" >&2
  failed=1
done
((failed == 0)) || exit 1
echo "C interface: every function is documented"
