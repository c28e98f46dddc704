#!/usr/bin/env bash
# Only the list of tasks knows a task by its folder: in a copy of the tree an include from any other room into one is refused, and
# so it is from one task into another.
#   rooms_test.sh SOURCE_FOLDER
set -euo pipefail
readonly source=$1
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/tools"
cp "$source/tools/check_layers.sh" "$copy/tools/"
for folder in include src adaptors lab cli examples; do cp -r "$source/$folder" "$copy/"; done
failed=0
complain() {
  printf 'FAILED: %s\n' "$*" >&2
  failed=1
}

"$copy/tools/check_layers.sh" >/dev/null || complain 'the tree as it is is refused'

# refused FILE TEXT: with that line more.
refused() {
  cp "$copy/$1" "$copy/kept"
  printf '%s\n' "$2" >>"$copy/$1"
  local said
  if said=$("$copy/tools/check_layers.sh" 2>&1); then
    complain "$1 may have: $2"
  elif [[ $said != *"$1"*"$2"*'only lab/tasks.cpp knows a task by its folder'* ]]; then
    complain "of '$2' in $1 is said: $said"
  fi
  mv "$copy/kept" "$copy/$1"
}
for file in lab/train/trainer.cpp lab/sweep/sweep.cpp lab/report/report.cpp lab/reproduce/plan.cpp lab/run/run_record.cpp cli/train.cpp; do
  refused "$file" '#include "lab/llm/llm_settings.hpp"'
done
# Another task, as soon as it is in the list.
mkdir -p "$copy/lab/other"
echo '// another task' >"$copy/lab/other/other_kind.hpp"
"$copy/tools/check_layers.sh" >/dev/null || complain 'a folder that is not in the list is a task'
echo '#include "lab/other/other_kind.hpp"' >>"$copy/lab/tasks.cpp"
"$copy/tools/check_layers.sh" >/dev/null || complain 'the list may not know another task'
refused lab/train/trainer.cpp '#include "lab/other/other_kind.hpp"'
refused lab/llm/llm_task.cpp '#include "lab/other/other_kind.hpp"'
refused lab/other/other_kind.hpp '#include "lab/llm/llm_kind.hpp"'
((failed == 0)) && echo "rooms: ok"
