#!/bin/bash
# The linter shellcheck finds nothing in this repository's shell.
. "$(dirname "$0")/../../lib.sh"

cd "$TOP"
mapfile -t scripts < <(find ci .ci -type f \( -name '*.sh' -o -path .ci/run \) | sort)
[ ${#scripts[@]} -gt 10 ] || { echo "only ${#scripts[@]} scripts found"; exit 1; }
cd ci
shellcheck "${scripts[@]/#/../}"
