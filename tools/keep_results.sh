#!/usr/bin/env bash
# Puts a reproduction into docs/results, its records packed: keep_results.sh build/gradstab ITEM [FOLDER]
# Without FOLDER, judges and draws what is kept of the item again.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
program=$1
item=$2
kept=docs/results/$item
records=${3:+$3/records.jsonl}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$program" reproduce "$item" --records "${records:-$kept/records.jsonl.gz}" --output "$scratch"
mkdir -p "$kept"
# Packed again only where they are new, since gzip's versions differ in the bytes that they write.
[[ -z "$records" ]] || gzip -9n <"$scratch/records.jsonl" >"$kept/records.jsonl.gz"
cp "$scratch/verdicts.json" "$scratch/report.html" "$kept/"
"$program" reproduce --overview docs/results
