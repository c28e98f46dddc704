# Sourced by ./run: what a change must pass. Each check is a function check_NAME here; `check` runs them by the lists below, and
# continuous integration (.ci/run) runs the same. A check ends with 77 where it lacks what it needs, and says what as its last line.

# No build needed.
readonly quick_checks=(format layers version names documents python_lint browser)
# The tests, on the torch that the project is built with.
readonly main_checks=(tests)
# These run if there is time for them (--minutes): the first one always first, since the newest torch is tried nowhere else, then
# the others in an order that changes with the day.
readonly first_thorough_check=newest_torch
readonly thorough_checks=(sanitize_address lint_library sanitize_thread fuzz lint_lab device lint_torch wheel site lint_changed)

check_format() { tools/check_format.sh; }
check_layers() { tools/check_layers.sh; }
check_version() { tools/check_version.sh; }
check_names() { python3 -B tools/names/check_names.py; }
check_documents() { tools/sync_readme.sh --check; }
check_python_lint() { tools/check_python.sh; }
# Whether the tests can look at pages.
check_browser() { tools/pages/browser.py; }
check_tests() {
  run_tests
  # What ctest does not say of a test that passed: how many tests of pytest it skipped.
  grep -hE '^[0-9]+ passed, [0-9]+ skipped' build/Testing/Temporary/LastTest.log || true
}
check_newest_torch() { tools/check_newest_torch.sh; }
check_lint_changed() { tools/check_lint.sh build changed; }
check_lint_library() { tools/check_lint.sh build library; }
check_lint_lab() { tools/check_lint.sh build lab; }
check_lint_torch() { tools/check_lint.sh build torch; }
check_sanitize_address() { test_core_under address,undefined; }
check_sanitize_thread() { test_core_under thread; }
# A minute for all of them.
check_fuzz() { tools/fuzz.sh 15; }
# The tests of the Python package on an emulated device.
check_device() { ctest --test-dir build --output-on-failure --no-tests=error -C Thorough -R thoroughly; }
check_wheel() {
  pypi_answers
  tools/check_wheel.sh "$(python_with_torch)"
}
check_site() {
  pypi_answers
  docs
}

# test_core_under SANITIZERS
test_core_under() {
  in_turn "build-${1//,/-}" configure_and_make_core "$1"
  ctest --test-dir "build-${1//,/-}" --output-on-failure --no-tests=error -j"$(nproc)"
}

configure_and_make_core() {
  configure "build-${1//,/-}" -DGRADSTAB_LAB=OFF -DGRADSTAB_SANITIZE="$1" -DCMAKE_BUILD_TYPE=RelWithDebInfo
  make_targets "build-${1//,/-}" all
}

# Ends the check with 77 where pip reaches no packages.
pypi_answers() {
  local folder=$gate_folder/pypi
  [[ -x $folder/bin/pip ]] || python3 -m venv "$folder"
  "$folder/bin/pip" --disable-pip-version-check --quiet --timeout 20 --retries 2 download --no-deps --dest "$folder" \
    scikit-build-core && return
  echo "SKIPPED, nothing was checked: pip reaches no packages"
  exit 77
}

readonly gate_folder=build/gate
gate_skipped=()
gate_left_out=()

# run_check NAME: its name, then the seconds that it took; its output where it fails, which ends the gate.
run_check() {
  local name=$1 log=$gate_folder/$1.log begin=$SECONDS code
  printf '%-18s' "$name"
  # Not `|| code=$?`, within which no command of a function would end it.
  set +e
  (
    set -e
    "check_$name"
  ) >"$log" 2>&1
  code=$?
  set -e
  printf '%5d s' $((SECONDS - begin))
  case $code in
    0) printf '\n' ;;
    77)
      printf '  skipped\n'
      gate_skipped+=("$name: $(tail -n 1 "$log")")
      return
      ;;
    *)
      printf '  FAILED\n\n'
      cat "$log"
      fail "the check '$name' failed with exit code $code; its output is above, and in $log"
      ;;
  esac
  local within
  within=$(skipped_within "$log")
  [[ -z $within ]] || gate_skipped+=("within $name: $within")
}

# skipped_within LOG: the tests that ctest or pytest skipped, in one line; nothing where there are none.
skipped_within() {
  {
    sed -nE 's/^[[:space:]]*[0-9]+ - (.*) \(Skipped\)$/\1/p' "$1"
    sed -n 's/^not checked: /not checked: /p' "$1"
    sed -nE 's/^([0-9]+: )?[0-9]+ passed, ([0-9]+) skipped.*/\2 tests of pytest/p' "$1"
  } | sort -u | paste -s -d, | sed 's/,/, /g'
}

# thorough_checks_of_today: the first one, then the others, beginning with another one every day.
thorough_checks_of_today() {
  local day count=${#thorough_checks[@]} i
  day=$((10#$(date +%j)))
  echo "$first_thorough_check"
  for ((i = 0; i < count; ++i)); do echo "${thorough_checks[(day + i) % count]}"; done
}

# check [--quick] [--minutes N]
check() {
  local quick='' minutes='' name
  while (($# > 0)); do
    case $1 in
      --quick) quick=yes ;;
      --minutes)
        [[ ${2:-} =~ ^[0-9]+$ ]] || { printf "run: --minutes needs a whole number, got '%s'\n" "${2:-}" >&2; exit 2; }
        minutes=$2
        shift
        ;;
      *) printf "run: check has no option '%s'; it has --quick and --minutes N\n" "$1" >&2; exit 2 ;;
    esac
    shift
  done

  SECONDS=0
  mkdir -p "$gate_folder"
  need "${test_packages[@]}" "${quick_packages[@]}"
  [[ -n $quick ]] || need "${build_packages[@]}" "${corpus_packages[@]}" "${picture_packages[@]}" "${check_packages[@]}" "${docs_packages[@]}"
  # Where there is no package of it, as on Ubuntu, pages are not looked at, unless another Chromium is there.
  ! command -v apt-cache >/dev/null || ! apt-cache show "${browser_packages[0]}" >/dev/null 2>&1 || need "${browser_packages[@]}"

  for name in "${quick_checks[@]}"; do run_check "$name"; done
  if [[ -n $quick ]]; then
    gate_left_out=("${main_checks[@]}" "$first_thorough_check" "${thorough_checks[@]}")
  else
    for name in "${main_checks[@]}"; do run_check "$name"; done
    for name in $(thorough_checks_of_today); do
      if [[ -n $minutes ]] && ((SECONDS >= minutes * 60)); then
        gate_left_out+=("$name")
      else
        run_check "$name"
      fi
    done
  fi
  printf '%-18s%5d s\n\n' 'all' "$SECONDS"
  ((${#gate_left_out[@]} == 0)) || printf 'Left out%s: %s\n' "${minutes:+ after $minutes minutes}" "${gate_left_out[*]}"
  ((${#gate_skipped[@]} == 0)) || printf 'Skipped, %s\n' "${gate_skipped[@]}"
  echo "Every check that ran has passed."
}
