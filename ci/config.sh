#!/bin/bash
# usage: ci/config.sh CONFIG SOURCE BUILD
# Writes BUILD/.config: allnoconfig of SOURCE (or what a line "# from:" says) plus configs/CONFIG.config and what
# that is laid over (ci/fragment.sh). Each symbol of them must have survived, or
# this fails naming it.
. "$(dirname "$0")/lib.sh"

[ $# = 3 ] || die "usage: ci/config.sh CONFIG SOURCE BUILD"
scratch
toolchain "$1"
from=$(setting "$1" from)
: "${from:=allnoconfig}"
mkdir -p "$3"
"$CI/fragment.sh" "$1" >"$tmp/fragment"

make -C "$2" O="$3" ${TOOLCHAIN[@]+"${TOOLCHAIN[@]}"} CC="$COMPILER" KCONFIG_ALLCONFIG="$tmp/fragment" "$from" >"$tmp/log" 2>&1 || {
	cat "$tmp/log" >&2
	die "the kernel does not take configs/$1.config"
}

# The last word on a symbol counts. "is not set" may also be no line at all:
# what has no prompt in this configuration is off.
awk -v name="$1" '
	function symbol(line) {
		if (match(line, /^CONFIG_[A-Za-z0-9_]+=/)) {
			key = substr(line, 1, RLENGTH - 1); value = substr(line, RLENGTH + 1); return 1
		}
		if (match(line, /^# CONFIG_[A-Za-z0-9_]+ is not set/)) {
			key = $2; value = "n"; return 1
		}
		return 0
	}
	FNR == NR { if (symbol($0)) want[key] = value; next }
	symbol($0) { have[key] = value }
	END {
		for (k in want) {
			got = (k in have) ? have[k] : "n"
			if (got != want[k]) {
				printf "configs/%s.config: %s=%s did not survive, the kernel made it %s\n", name, k, want[k], got > "/dev/stderr"
				bad = 1
			}
			n++
		}
		if (!n) { print "configs/" name ".config: no symbols" > "/dev/stderr"; bad = 1 }
		exit bad
	}' "$tmp/fragment" "$3/.config" || die "configs/$1.config: add what the symbols above depend on, or drop them"
