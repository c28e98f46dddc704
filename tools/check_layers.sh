#!/usr/bin/env bash
# Includes follow core <- backends <- adaptors <- lab <- cli (docs/layout.md), and torch stays above the library.
set -euo pipefail
cd -P -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."

failed=0
# forbid FOLDER PATTERN REASON [BUT]: no file below FOLDER may include what matches PATTERN, but for the files BUT (a pattern of paths).
forbid() {
  local found
  found=$(grep -rnE "^ *# *include +[\"<]($2)" "$1" | grep -vE "^(${4:-none}):" || true)
  [[ -z $found ]] && return
  printf '%s\n  %s\n' "$found" "$3" >&2
  failed=1
}

readonly inside='core/|backends/|cuda/'
forbid include/gradstab "$inside|lab/|cli/|torch/|ATen/" 'public headers see the standard library only'
forbid src 'lab/|cli/|torch/|ATen/|aten/|c10/|gradstab/libtorch' 'the library knows neither torch nor the lab'
forbid src '\.\./' 'a layer is seen by the folders that it is given'
forbid src/core 'backends/|cuda/' 'core does not know the backends'
forbid src/backends 'cuda/' 'kernels do not know the objects that start them'
forbid src 'iostream|cstdio|fstream|filesystem|print' 'the library neither prints nor opens files'
forbid adaptors "$inside|lab/|cli/" 'adaptors use the public headers'

# The rooms of the core; each uses those before it.
rooms=(base step transform methods optimizer)
for ((i = 0; i < ${#rooms[@]}; ++i)); do
  later=$(IFS='|' && echo "${rooms[*]:i+1}")
  [[ -z $later ]] || forbid "src/core/${rooms[i]}" "core/($later)/" "${rooms[i]} comes before ${later//|/, }"
done
[[ $(find src/core -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort) == "$(printf '%s\n' "${rooms[@]}" | sort)" ]] ||
  { echo "src/core has other rooms than ${rooms[*]}" >&2; failed=1; }

forbid adaptors/aten 'torch/|gradstab/libtorch' 'adaptors/aten needs ATen alone'
forbid adaptors/libtorch/include '(aten/|[^"/<>]+\.hpp)' 'installed headers include installed headers'
forbid adaptors/python 'torch/optim|torch/torch|gradstab/libtorch' 'the Python package needs ATen and operators alone'
forbid lab "$inside|aten/|cli/" 'the lab uses the adaptors and public headers'
forbid cli "$inside|aten/" 'the program uses the lab and public headers'
forbid examples "$inside|aten/|lab/|cli/" 'examples use what users use'

# one_place FOLDER FILES PATTERN REASON: below FOLDER, only FILES (a pattern of paths) may have what matches PATTERN.
one_place() {
  local found
  found=$(grep -rnE --include='*.cpp' --include='*.hpp' "$3" "$1" | grep -vE "^($2)|\"/dev/null\"" || true)
  [[ -z $found ]] && return
  printf '%s\n  %s\n' "$found" "$4" >&2
  failed=1
}

readonly opens='(fstream|[^a-z](f|g|fre)open\(|gzopen|std::rename|::rename\(|(^|[^_a-z])open\(.*O_(RDONLY|WRONLY|RDWR))'
one_place lab lab/support/ "$opens" 'files are read and written by lab/support'
one_place cli none "$opens" 'files are read and written by lab/support'
readonly prints='(fmt::print|std::c(out|err)|(^|[^dsn])printf\(|fputs|fwrite)'
one_place lab none "$prints" 'the lab does not print'
one_place cli cli/terminal.cpp "$prints" 'what is printed is escaped by cli/terminal'

# A task is one folder and one line: what knows all tasks knows them from the list. The list names their folders.
tasks=$(sed -nE 's|^#include "lab/([a-z_]+)/.*_kind\.hpp"$|\1|p' lab/tasks.cpp)
# The verb `rollout` is about robots, and so about one task.
readonly verb_of_a_task='cli/rollout\.cpp'
[[ -n $tasks ]] || { echo 'lab/tasks.cpp includes no lab/TASK/TASK_kind.hpp' >&2; failed=1; }
for room in cli $(find lab -mindepth 1 -maxdepth 1 -type d); do
  others=$(grep -vxF "${room#lab/}" <<<"$tasks" | paste -sd'|' || true)
  [[ -z $others ]] || forbid "$room" "lab/($others)/" 'only lab/tasks.cpp knows a task by its folder' "$verb_of_a_task"
done
((failed == 0)) || exit 1
echo "layers: ok"
