#!/usr/bin/env bash
# Compares what the shared library exports with what the public headers mark with GRADSTAB_API.
#   exports.sh NM LIBRARY.so OBJECTS HEADER...    (OBJECTS: the archive of what the library is made of)
# One line per disagreement, and failure if there is any:
#   not public    an exported symbol that no header marks
#   not marked    a function that a header declares without saying whether it is exported
#   not exported  a marked function, or a member of a public class, that users of the library would not find
set -euo pipefail
export LC_ALL=C
nm=$1 library=$2 objects=$3
shift 3
# Without comments, and with a declaration's name on the line of its mark.
headers=$(sed 's,//.*,,' "$@" | sed -E ':join; /^GRADSTAB_API [^(;{]*$/ { N; s/ *\n */ /; b join }')
exported=$("$nm" -DC --defined-only "$library" | sed -E 's/^[0-9a-f]+ . //' | sort -u)
members=$("$nm" -C --defined-only "$objects" | sed -nE 's/^[0-9a-f]+ T (gradstab::.*)/\1/p' | sort -u)
[[ -n $exported && -n $members ]] || { echo "no symbols in $library or $objects" >&2; exit 2; }

# The regular expressions are those of the formatted headers: what stands in the first column belongs to no class.
declares() { grep -qE -- "$1" <<<"$headers"; }
marked_class() { declares "^ *(class|struct) GRADSTAB_API $1[ :;]"; }
defined_class() { declares "^ *(class|struct) (GRADSTAB_API )?(\[\[nodiscard\]\] )?$1( final)?( :[^;]*)? \{"; }
marked_function() { declares "^GRADSTAB_API .*[ *&]$1\("; }
marked_member() { declares "^ +GRADSTAB_API .*[ *&]$1\("; }

# split SYMBOL: the names of its innermost class, if any, and of itself.
split() {
  local path=${1%%(*}
  path=${path%%\[abi:*}
  path=${path#gradstab::}
  name=${path##*::}
  class=${path%"$name"}
  class=${class%::}
  class=${class##*::}
}

is_public() {
  local subject=${1#vtable for }
  subject=${subject#typeinfo for }
  subject=${subject#typeinfo name for }
  split "$subject"
  if [[ $subject =~ ^gradstab_[a-z0-9_]+$ ]]; then
    marked_function "$subject"
  elif [[ $subject != gradstab::* ]]; then
    return 1
  elif [[ $subject != "$1" ]]; then
    marked_class "$name"
  elif [[ -n $class ]]; then
    marked_class "$class" || { defined_class "$class" && marked_member "$name"; }
  else
    marked_function "$name"
  fi
}

report() {
  while IFS= read -r symbol; do
    is_public "$symbol" || echo "not public: $symbol"
  done <<<"$exported"

  # A line in the first column that declares a function says that it is exported, or that it lives in the header.
  grep -E '^[A-Za-z_][A-Za-z0-9_:<>*&, ]*[ *&][A-Za-z0-9_]+\(' <<<"$headers" |
    grep -vE '^(GRADSTAB_|inline |constexpr |static |template |static_assert)' |
    grep -vxFf <(grep -A1 -E '^(template |GRADSTAB_HOST_DEVICE$)' <<<"$headers") | sed 's/^/not marked: /' || true

  # As many overloads as are marked.
  grep -oE '^GRADSTAB_API [^(]*[ *&][A-Za-z0-9_]+\(' <<<"$headers" | sed -E 's/.*[ *&]([A-Za-z0-9_]+)\($/\1/' |
    sort | uniq -c | while read -r count name; do
    found=$(grep -cE "^(gradstab::)?$name(\(|\[|$)" <<<"$exported" || true)
    ((found == count)) || echo "not exported: $name, of which $count are marked and $found exported"
  done

  # Members that are compiled once, not inline, of classes that users see.
  while IFS= read -r symbol; do
    split "$symbol"
    if [[ -n $class ]] && defined_class "$class"; then echo "not exported: $symbol"; fi
  done < <(comm -23 <(echo "$members") <(echo "$exported"))
}

disagreements=$(report)
if [[ -n $disagreements ]]; then
  echo "$disagreements"
  exit 1
fi
echo "$(wc -l <<<"$exported") symbols, all of them public"
