#!/usr/bin/env bash
# The script `./run` where it can easily go wrong: reached through a link, in a moved checkout, twice at once, without packages.
#   run_script_test.sh SOURCE_FOLDER
set -euo pipefail
readonly source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
  printf 'FAILED: %s\n' "$*" >&2
  failed=1
}

# Stand-ins: cmake notes what it is asked, dpkg-query knows the packages unless $work/missing is there, apt-get fails, and
# python3 says yes to everything, which is sooner than to load torch.
mkdir "$work/bin"
stand_in() {
  printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
stand_in cmake '
if [[ $1 == --build ]]; then
  echo "begin $$" >>"$WORK/builds"
  sleep 0.3
  echo "end $$" >>"$WORK/builds"
  exit
fi
home=$(sed -n "s/^CMAKE_HOME_DIRECTORY:INTERNAL=//p" "$4/CMakeCache.txt" 2>/dev/null)
if [[ -n $home && $home != "$PWD" ]]; then
  echo "CMake Error: The current CMakeCache.txt directory is different" >&2
  exit 1
fi
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" >"$4/CMakeCache.txt"'
stand_in dpkg-query '[[ -e $WORK/missing ]] || echo -n installed'
stand_in python3 'exit 0'
stand_in apt-get 'echo "E: Could not resolve the host" >&2; exit 100'
stand_in apt-cache 'exit 0'
stand_in sudo 'exec "$@"'
export WORK=$work
export PATH=$work/bin:$PATH

# checkout FOLDER: a checkout of this project with what builds leave.
checkout() {
  mkdir -p "$1/build" "$1/build-thread" "$1/demo"
  cp "$source/run" "$source/CMakeLists.txt" "$1/"
}
# other FOLDER: somebody else's project.
other() {
  mkdir -p "$1/build" "$1/build-release" "$1/demo"
  echo 'project(theirs CXX)' >"$1/CMakeLists.txt"
}
expect_there() {
  local path
  for path; do [[ -e $path ]] || complain "$path is gone"; done
}
expect_gone() {
  local path
  for path; do [[ ! -e $path ]] || complain "$path is still there"; done
}
expect_theirs_there() { expect_there "$1/build" "$1/build-release" "$1/demo"; }
expect_ours_gone() { expect_gone "$1/build" "$1/build-thread" "$1/demo"; }

# Through a link, it cleans where it is and not where the link is.
checkout "$work/a/gradstab"
other "$work/theirs"
ln -s "$work/a/gradstab/run" "$work/theirs/run"
(cd "$work/theirs" && ./run clean)
expect_theirs_there "$work/theirs"
expect_ours_gone "$work/a/gradstab"
expect_there "$work/a/gradstab/CMakeLists.txt"

# With CDPATH set, `cd` looks elsewhere first.
checkout "$work/a/gradstab"
other "$work/b/gradstab"
(cd "$work/a" && CDPATH=$work/b bash gradstab/run clean)
expect_theirs_there "$work/b/gradstab"
expect_ours_gone "$work/a/gradstab"

# In a folder whose name looks like an option.
checkout "$work/a/-P"
(cd "$work/a" && bash ./-P/run clean)
expect_ours_gone "$work/a/-P"

# Copied into another project, it refuses.
cp "$source/run" "$work/b/gradstab/run"
if words=$("$work/b/gradstab/run" clean 2>&1); then complain "cleaned another project: $words"; fi
[[ $words == "run: $work/b/gradstab is no checkout of gradstab: "* ]] || complain "said: $words"
expect_theirs_there "$work/b/gradstab"

# A moved checkout is configured anew.
checkout "$work/first"
"$work/first/run" build >"$work/output" 2>&1 || complain "did not build: $(cat "$work/output")"
mv "$work/first" "$work/second"
"$work/second/run" build >"$work/output" 2>&1 || complain "did not build after moving: $(cat "$work/output")"
grep -q "This checkout was $work/first when build was configured" "$work/output" ||
  complain "said: $(cat "$work/output")"

# Two at once take turns.
: >"$work/builds"
"$work/second/run" build >"$work/output1" 2>&1 &
one=$!
"$work/second/run" build >"$work/output2" 2>&1 &
two=$!
wait "$one" || complain "the first of two builds failed"
wait "$two" || complain "the second of two builds failed"
[[ $(cut -d' ' -f1 "$work/builds" | tr '\n' ' ') == "begin end begin end " ]] ||
  complain "builds overlapped: $(tr '\n' ' ' <"$work/builds")"
cat "$work/output1" "$work/output2" | grep -q 'Another ./run builds in build; waiting for it.' ||
  complain "nobody said that it waits"

# Nor does anybody clean under a build.
"$work/second/run" build >"$work/output1" 2>&1 &
one=$!
for _ in {1..100}; do
  flock -n "$work/second/build/.run-lock" true || break
  sleep 0.01
done
if words=$("$work/second/run" clean 2>&1); then complain "cleaned under a build"; fi
[[ $words == "run: another ./run builds in build; nothing was removed" ]] || complain "said: $words"
wait "$one" || complain "the build failed"

# Packages that cannot be had: apt's words, and then ours.
touch "$work/missing"
code=0
"$work/second/run" build >"$work/output" 2>&1 || code=$?
((code == 1)) || complain "ended with $code"
grep -q '^  E: Could not resolve the host$' "$work/output" || complain "apt's words are not shown"
[[ $(tail -n 1 "$work/output") == "run: apt-get could not install build-essential cmake "*" or install them by hand" ]] ||
  complain "the last words are: $(tail -n 1 "$work/output")"
rm "$work/missing"

((failed == 0)) || exit 1
echo "run: ok"
