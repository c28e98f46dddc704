#!/usr/bin/env bash
# tools/check_version.sh finds every place that names another version: control_test.sh SOURCE_FOLDER
set -euo pipefail
readonly source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readonly places=(include/gradstab/export.hpp tests/package/find_package/CMakeLists.txt
  tests/package/find_package_c/CMakeLists.txt docs/embedding.md CHANGELOG.md pyproject.toml)

fresh() {
  rm -rf "$work/checkout"
  local place
  for place in "${places[@]}"; do
    install -D "$source/$place" "$work/checkout/$place"
  done
}
check() { "$source/tools/check_version.sh" "$work/checkout" >"$work/output" 2>&1; }
failed=0
# finds PLACE EXPRESSION WORDS: with this change to the place, the check fails with these words.
finds() {
  fresh
  sed -i -E "$2" "$work/checkout/$1"
  if cmp -s "$source/$1" "$work/checkout/$1"; then
    echo "FAILED: '$2' changes nothing in $1" >&2
    failed=1
  elif check || ! grep -qF "$3" "$work/output"; then
    echo "FAILED: '$2' in $1 is not found: $(cat "$work/output")" >&2
    failed=1
  fi
}

fresh
check || { echo "FAILED: $(cat "$work/output")" >&2; failed=1; }
finds include/gradstab/export.hpp 's/"[0-9]+\.[0-9]+\.[0-9]+"/"9.8.7"/' "expected '9.8.7 (YYYY-MM-DD)'"
finds include/gradstab/export.hpp 's/"[0-9.]+"/"newest"/' 'has no version MAJOR.MINOR.PATCH'
finds tests/package/find_package/CMakeLists.txt 's/gradstab [0-9.]+ /gradstab 9.8 /' 'tests/package/find_package/CMakeLists.txt does not say'
finds tests/package/find_package_c/CMakeLists.txt 's/gradstab [0-9.]+ /gradstab 9.8 /' 'tests/package/find_package_c/CMakeLists.txt does not say'
finds docs/embedding.md 's/libgradstab\.so\.[0-9.]+/libgradstab.so.9.8/' "docs/embedding.md does not say 'soname"
finds docs/embedding.md 's/accepts [0-9.]+x/accepts 9.8.x/' "docs/embedding.md does not say '\`find_package"
finds CHANGELOG.md 's/^## ([0-9.]+) \(.*\)$/## \1/' 'CHANGELOG.md: the newest release is'
finds CHANGELOG.md '0,/^## [0-9.]+ /s/^## [0-9.]+ /## 9.8.7 /' "the newest release is '9.8.7"
finds pyproject.toml 's/^input = .*/input = "version.txt"/' 'pyproject.toml does not say'
((failed == 0)) || exit 1
