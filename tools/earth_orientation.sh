#!/usr/bin/env bash
# Writes the Earth-orientation table of Debian's package python3-astropy to a file: downloads the package, takes the
# one file out of it and installs nothing. Newer editions of Debian have it in a package of its own.
set -euo pipefail
[[ $# -eq 1 && $1 != -* ]] || { echo "usage: $0 FILE" >&2; exit 2; }
readonly file=$(realpath -- "$1")

folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cd -- "$folder"
for package in python3-astropy-iers-data python3-astropy; do
  apt-cache show "$package" > /dev/null 2>&1 || continue
  # apt-get's own sandbox cannot write to this folder, and says so; what fails is seen by the file that is missing.
  apt-get -qq download "$package" 2> apt.log || { cat apt.log >&2; exit 1; }
  dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --wildcards './usr/lib/python3/*/eopc04*' 2> /dev/null || continue
  mapfile -t tables < <(find usr -name 'eopc04*' -type f)
  [[ ${#tables[@]} -eq 1 ]] || { echo "$0: $package has ${#tables[@]} tables of that name, expected one" >&2; exit 1; }
  cp -- "${tables[0]}" "$file"
  sha256sum -- "$file"
  exit 0
done
echo "$0: apt knows no package with the table; 'apt-get update' may help" >&2
exit 1
