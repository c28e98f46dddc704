#!/usr/bin/env bash
# Trains the same small LLaMA three times at a learning rate that is too high for AdamW alone, and compares.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly program=build/gradstab
readonly common=(train llm --model 1m --tokenizer bytes --context 128 --batch 8 --lr 0.01 --steps 400 --warmup 20
  --eval-every 50 --eval-batches 16 --checkpoint-every 400 --force)

for transform in none clip stabilize; do
  "$program" "${common[@]}" --transform "$transform" --output "demo/$transform" "$@"
done
echo
"$program" report demo/none demo/clip demo/stabilize --output demo/report.html \
  --title "A small LLaMA at a learning rate that hurts"
echo
echo "Open demo/report.html in a browser."
