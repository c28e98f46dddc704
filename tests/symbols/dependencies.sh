#!/usr/bin/env bash
# The shared library asks the loader for the C++ runtime, the C library and threads, and for nothing else.
#   dependencies.sh READELF LIBRARY.so
set -euo pipefail
export LC_ALL=C
needed=$("$1" -d "$2" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
[[ -n $needed ]] || { echo "$2 needs nothing, not even the C library?" >&2; exit 2; }
readonly runtime='libstdc\+\+|libc\+\+|libc\+\+abi|libgcc_s|libunwind|libm|libc|libpthread|ld-linux-[a-z0-9-]+'
if others=$(grep -vxE "($runtime)\.so[.0-9]*" <<<"$needed"); then
  echo "${2##*/} needs" $others
  exit 1
fi
echo "${2##*/} needs the runtime alone:" $needed
