#!/bin/bash
# usage: ci/fragment.sh CONFIG
# Prints the symbols of configs/CONFIG.config, after those of the configuration
# that it is laid over: base, or what its line "# over: NAME" says (or "none").
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: ci/fragment.sh CONFIG"
check_config "$1"
file=$TOP/configs/$1.config
under=$(sed -n 's/^# over: *//p' "$file")
[ "$1" != base ] || under=none
[ "${under:-base}" = none ] || "$0" "${under:-base}"
grep -E '^(CONFIG_|# CONFIG_)' "$file"
