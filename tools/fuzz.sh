#!/usr/bin/env bash
# Fuzzes every target of fuzz/ for SECONDS each (60 unless given), from the inputs in fuzz/corpus and those that
# earlier runs on this machine have kept in build-fuzz/corpus: fuzz.sh [SECONDS]
# A finding ends it with the path of the input that shows it.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
readonly seconds=${1:-60}
readonly folder=build-fuzz
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz.sh: SECONDS must be a whole number above 0, got '$seconds'" >&2; exit 2; }

mkdir -p "$folder"
if ! cmake -S . -B "$folder" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DGRADSTAB_FUZZ=ON -DGRADSTAB_LAB=OFF \
  -DGRADSTAB_SANITIZE=address,undefined -DBUILD_TESTING=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  >"$folder/configure.log" 2>&1; then
  cat "$folder/configure.log" >&2
  exit 1
fi
cmake --build "$folder"

# Nothing here may take long or allocate much, whatever the bytes say: a longer or larger input is a finding.
readonly limits=(-timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=64)
failed=0
# fuzz TARGET MAX_LENGTH
fuzz() {
  local target=$1 kept="$folder/corpus/$1" findings="$folder/findings/$1-"
  mkdir -p "$kept" "$folder/findings"
  echo "$target: $seconds seconds"
  if ! "$folder/fuzz/$target" "${limits[@]}" -max_len="$2" -len_control=0 -max_total_time="$seconds" \
    -artifact_prefix="$findings" "$kept" "fuzz/corpus/$target" >"$folder/$target.log" 2>&1; then
    tail -n 40 "$folder/$target.log" >&2
    printf '%s: a finding; the input is %s\n' "$target" \
      "$(sed -n 's/.*Test unit written to \(.*\)/\1/p' "$folder/$target.log" | tail -n 1)" >&2
    failed=1
    return
  fi
  sed -n 's/^Done /  no finding, /p' "$folder/$target.log"
}

fuzz fuzz_backends 1024
fuzz fuzz_pictures 4096
fuzz fuzz_readers 16384
fuzz fuzz_state_loader 4096
fuzz fuzz_traces 16384
exit "$failed"
