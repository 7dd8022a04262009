#!/bin/bash
# usage: ci/fragment.sh CONFIG
# Prints the symbols of configs/CONFIG.config, after those it is laid over.
. "$(dirname "$0")/lib.sh"

file=$TOP/configs/${1:?}.config
[ -f "$file" ] || die "there is no configs/$1.config"
under=$(sed -n 's/^# over: *//p' "$file")
[ -z "$under" ] || "$0" "$under"
grep -E '^(CONFIG_|# CONFIG_)' "$file"
