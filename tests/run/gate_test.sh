#!/usr/bin/env bash
# The gate, `./run check` and .ci/run, with stand-ins for everything that it calls: what runs, in which order, what is said of
# failures, of what is skipped and of what there was no time for.
#   gate_test.sh SOURCE_FOLDER
set -euo pipefail
readonly source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
  printf 'FAILED: %s\n' "$*" >&2
  sed 's/^/  | /' "$work/output" >&2
  failed=1
}

checkout=$work/checkout
mkdir -p "$work/bin" "$checkout/tools/pages" "$checkout/.ci" "$checkout/build/Testing/Temporary"
cp "$source/run" "$source/CMakeLists.txt" "$checkout/"
cp "$source/tools/gate.sh" "$checkout/tools/"
cp "$source/.ci/run" "$checkout/.ci/"

# stand_in PATH: notes that it was called, says what $WORK/says.NAME holds, and ends with the number in $WORK/code.NAME.
stand_in() {
  cat >"$1" <<'TEXT'
#!/bin/bash
name=${0##*/}
echo "$name $*" >>"$WORK/ran"
[[ ! -e $WORK/says.$name ]] || cat "$WORK/says.$name"
[[ ! -e $WORK/code.$name ]] || exit "$(<"$WORK/code.$name")"
TEXT
  chmod +x "$1"
}
for tool in check_format.sh check_layers.sh check_version.sh sync_readme.sh check_python.sh check_newest_torch.sh \
  check_lint.sh fuzz.sh check_wheel.sh pages/browser.py; do
  stand_in "$checkout/tools/$tool"
done
for program in cmake ctest apt-cache; do stand_in "$work/bin/$program"; done
printf '#!/bin/bash\necho -n installed\n' >"$work/bin/dpkg-query"
printf '#!/bin/bash\n[[ $1 == +%%j ]] && echo "${DAY:-001}"\n' >"$work/bin/date"
# A virtual environment has a python and a pip.
cat >"$work/bin/python3" <<'TEXT'
#!/bin/bash
echo "python3 $*" >>"$WORK/ran"
if [[ ${1:-} == -m && $2 == venv ]]; then
  mkdir -p "$3/bin"
  cp "$WORK/pip" "$3/bin/pip"
  cp "$WORK/pip" "$3/bin/python"
fi
TEXT
stand_in "$work/pip"
chmod +x "$work"/bin/*
export WORK=$work
export PATH=$work/bin:$PATH

# gate ARGUMENTS...: the output and the exit code of `./run check`.
gate() {
  rm -f "$work/ran"
  code=0
  "$checkout/run" check "$@" >"$work/output" 2>&1 || code=$?
}
# steps: the names of the checks that the output shows, in one line.
steps() { sed -nE 's/^([a-z_]+) +[0-9]+ s.*/\1/p' "$work/output" | paste -s -d' '; }
says() { grep -qF -- "$1" "$work/output" || complain "does not say '$1'"; }

quick='format layers version names documents python_lint browser'
others=(sanitize_address lint_library sanitize_thread fuzz lint_lab device lint_torch wheel site lint_changed)

# Everything, with the seconds of each.
gate
((code == 0)) || complain "ended with $code"
DAY=000 gate
[[ $(steps) == "$quick tests newest_torch ${others[*]} all" ]] || complain "ran $(steps)"
says 'Every check that ran has passed.'
! grep -qE 'Left out|Skipped' "$work/output" || complain 'says that something was left out'
for call in 'check_lint.sh build changed' 'check_lint.sh build library' 'check_lint.sh build lab' 'check_lint.sh build torch' 'fuzz.sh 15' 'ctest --test-dir build --output-on-failure --no-tests=error -j'; do
  grep -qF "$call" "$work/ran" || complain "did not call '$call'"
done

# Every thorough check comes right after the newest torch on some day.
firsts=
for day in 001 002 003 004 005 006 007 008 009 010; do
  DAY=$day gate
  firsts+="$(steps | sed -E 's/.* newest_torch ([a-z_]+) .*/\1/') "
done
[[ $(tr ' ' '\n' <<<"$firsts" | sort | paste -s -d' ') == *"$(printf '%s\n' "${others[@]}" | sort | paste -s -d' ')" ]] ||
  complain "first on ten days: $firsts"

# What there is no time for is named; the tests run all the same.
gate --minutes 0
((code == 0)) || complain "ended with $code"
[[ $(steps) == "$quick tests all" ]] || complain "ran $(steps)"
says 'Left out after 0 minutes: newest_torch '
for name in "${others[@]}"; do says " $name"; done

# Continuous integration is the same gate, with a limit, from any folder.
rm -f "$work/ran"
(cd / && "$checkout/.ci/run") >"$work/output" 2>&1 || complain '.ci/run failed'
[[ $(steps) == "$quick tests all" ]] || complain ".ci/run ran $(steps)"
grep -qE '^exec \./run check --minutes [0-9]+$' "$checkout/.ci/run" || complain '.ci/run has no limit of time'

# Without a build.
gate --quick
[[ $(steps) == "$quick all" ]] || complain "ran $(steps)"
says 'Left out: tests newest_torch '

# A failure ends it with the output and the name of the check, and nothing runs after it.
echo 'the 7th test is wrong' >"$work/says.ctest"
echo 8 >"$work/code.ctest"
gate
((code == 1)) || complain "ended with $code"
says 'the 7th test is wrong'
says "run: the check 'tests' failed with exit code 8"
! grep -q check_newest_torch.sh "$work/ran" || complain 'went on after a failure'
! grep -qF 'passed' "$work/output" || complain 'says that it passed'
rm "$work/code.ctest"

# In the middle of a check, too: what cannot be configured is not built.
echo 1 >"$work/code.cmake"
gate
((code == 1)) || complain "ended with $code"
says 'run: configuring failed'
! grep -q '^ctest' "$work/ran" || complain 'tested what was not built'
rm "$work/code.cmake"

# What a check lacks is named and is no failure, and so are the tests that were skipped.
echo 77 >"$work/code.check_newest_torch.sh"
printf 'trying\nSKIPPED, nothing was checked: pip could not install torch\n' >"$work/says.check_newest_torch.sh"
echo 1 >"$work/code.pip"
printf 'The following tests did not run:\n\t 12 - pages.in_chromium (Skipped)\n' >"$work/says.ctest"
echo '240 passed, 13 skipped in 60.1s' >"$checkout/build/Testing/Temporary/LastTest.log"
gate
((code == 0)) || complain "ended with $code"
says 'Skipped, newest_torch: SKIPPED, nothing was checked: pip could not install torch'
says 'Skipped, wheel: SKIPPED, nothing was checked: pip reaches no packages'
says 'Skipped, site: SKIPPED, nothing was checked: pip reaches no packages'
says 'Skipped, within tests: 13 tests of pytest, pages.in_chromium'
! grep -q '^check_wheel.sh' "$work/ran" || complain 'made a wheel without packages'

# Wrong usage.
for arguments in '--minutes' '--minutes soon' '--fast'; do
  # shellcheck disable=SC2086
  gate $arguments
  ((code == 2)) || complain "'check $arguments' ended with $code"
done

((failed == 0)) || exit 1
echo "gate: ok"
