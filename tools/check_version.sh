#!/usr/bin/env bash
# The version in include/gradstab/export.hpp is the one that the documents, the projects of tests/package and the newest
# release in CHANGELOG.md name: check_version.sh [FOLDER], a checkout; this one unless given.
set -euo pipefail
cd -P -- "${1:-$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/..}"

failed=0
# expect FILE TEXT: the file has this text.
expect() {
  grep -qF -- "$2" "$1" && return
  echo "$1 does not say '$2'" >&2
  failed=1
}

version=$(sed -nE 's/^#define GRADSTAB_VERSION "([0-9]+\.[0-9]+\.[0-9]+)"$/\1/p' include/gradstab/export.hpp)
[[ -n $version ]] || { echo "include/gradstab/export.hpp has no version MAJOR.MINOR.PATCH" >&2; exit 1; }
minor=${version%.*}
expect tests/package/find_package/CMakeLists.txt "find_package(gradstab $minor CONFIG REQUIRED)"
expect tests/package/find_package_c/CMakeLists.txt "find_package(gradstab $minor CONFIG REQUIRED)"
expect docs/embedding.md "soname \`libgradstab.so.$minor\`"
expect docs/embedding.md "\`find_package(gradstab $minor)\` accepts $minor.x"
expect pyproject.toml 'input = "include/gradstab/export.hpp"'

# What comes after the newest release is in a section "Unreleased" above it.
release=$(sed -nE '/^## Unreleased$/d; s/^## //p' CHANGELOG.md | head -n 1)
[[ $release =~ ^"$version ("[0-9]{4}-[0-9]{2}-[0-9]{2}")"$ ]] ||
  { echo "CHANGELOG.md: the newest release is '$release', expected '$version (YYYY-MM-DD)'" >&2; failed=1; }
((failed == 0)) || exit 1
echo "version: $version everywhere"
