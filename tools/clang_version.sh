# Sourced: another version of these tools finds other things than the one that the settings here are written for.
readonly clang_version=14

# skip_unless_version TOOL: ends the script with 77 where TOOL is of another version.
skip_unless_version() {
  local found
  found=$("$1" --version | grep -oE 'version [0-9]+' | grep -oE '[0-9]+' | head -n 1)
  [[ $found == "$clang_version" ]] && return
  echo "$1: SKIPPED, nothing was checked: the settings are for version $clang_version, and this is ${found:-unknown}" >&2
  exit 77
}
