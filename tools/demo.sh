#!/usr/bin/env bash
# Trains the same small LLaMA three times at a learning rate that is too high for AdamW alone, and compares.
#   demo.sh [--program FILE] [--output FOLDER] [SETTINGS of gradstab train llm]
# A setting that is given takes the place of the demo's own.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

program=build/gradstab
output=demo
declare -A settings=([--model]=1m [--tokenizer]=bytes [--context]=128 [--batch]=8 [--lr]=0.01 [--steps]=400 [--warmup]=20
  [--eval-every]=50 [--eval-batches]=16 [--checkpoint-every]=400)
order=(--model --tokenizer --context --batch --lr --steps --warmup --eval-every --eval-batches --checkpoint-every)
while (($# > 0)); do
  (($# > 1)) || { echo "demo.sh: '$1' needs a value" >&2; exit 2; }
  case $1 in
    --program) program=$2 ;;
    --output) output=$2 ;;
    *)
      [[ -v settings[$1] ]] || order+=("$1")
      settings[$1]=$2
      ;;
  esac
  shift 2
done
arguments=()
for name in "${order[@]}"; do arguments+=("$name" "${settings[$name]}"); done

for transform in none clip stabilize; do
  "$program" train llm "${arguments[@]}" --force --transform "$transform" --output "$output/$transform"
done
echo
"$program" report "$output"/{none,clip,stabilize} --output "$output/report.html" --force \
  --title "A small LLaMA at a learning rate that hurts"
echo
echo "Open $output/report.html in a browser."
