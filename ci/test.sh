#!/bin/bash
# Everything: the checkers tested, the selftest on every topology, the static checks,
# beside these TORTURE= (300) seconds of torture, and the short form of 'make test-debug',
# unless DEBUG_KERNEL=0, or the rest has taken so long that this would be too much
# (DEBUG_KERNEL=1: all the same). The last line counts: N passed, N failed, N skipped.
. "$(dirname "$0")/lib.sh"

MOF_STEPS=12
TORTURE=${TORTURE:-300}
[[ $TORTURE =~ ^[0-9]+$ ]] || die "TORTURE= is a number of seconds, not '$TORTURE'"
DEBUG_KERNEL=${DEBUG_KERNEL:-auto}
[[ $DEBUG_KERNEL =~ ^(0|1|auto)$ ]] || die "DEBUG_KERNEL= is 0, 1 or auto, not '$DEBUG_KERNEL'"
# It takes half as long again as the rest. CI has an hour and a half for all.
debug_limit=3000
# What other commands left in out/ stays, for 'make report'.
mkdir -p "$TOP/out"
rm -f "$TOP/out"/results*
export MOF_RESULTS=$TOP/out/results
: >"$MOF_RESULTS"

# part NAME COMMAND...: a part that breaks without counting a failure is one.
part() {
	local name=$1 before after status=0
	shift
	before=$(grep -c '^fail ' "$MOF_RESULTS" || true)
	"$@" || status=$?
	[ $status -lt 128 ] || exit $status
	after=$(grep -c '^fail ' "$MOF_RESULTS" || true)
	if [ $status != 0 ] && [ "$before" = "$after" ]; then
		echo "fail $name" >>"$MOF_RESULTS"
	fi
}

# aside NAME COMMAND...: a part that runs beside the next ones, until join.
aside=''
aside() {
	: >"$MOF_RESULTS.aside"
	# A process group of its own, to be ended as one, with what it waits for.
	set -m
	MOF_RESULTS=$MOF_RESULTS.aside part "$@" >"$TOP/out/aside.log" 2>&1 </dev/null &
	aside=$!
	set +m
	cleanup "kill -- -$aside 2>/dev/null"
}

join() {
	local status=0
	wait "$aside" || status=$?
	[ $status -lt 128 ] || exit $status
	cat "$TOP/out/aside.log" >&2
	cat "$MOF_RESULTS.aside" >>"$MOF_RESULTS"
}

step "packages"
"$CI/deps.sh"
step "the console checker, on golden logs"
part "golden logs" "$CI/test-golden.sh"
step "bad input"
part "bad input" "$CI/test-input.sh"
step "the base"
MOF_BASE=$("$CI/base.sh")
export MOF_BASE
say "  $(lgit log -1 --format=%s "$MOF_BASE")"
step "the reader of results, on made-up runs"
part "comparisons" "$CI/test-compare.sh"
step "the base kernel"
part "base kernel" "$CI/build.sh" base base
step "the patched kernel"
part "patched kernel" "$CI/build.sh" base patched
step "the selftest on $(find "$TOP/configs/topologies" -name '*.topo' | wc -l) topologies"
part "selftest" "$CI/run-tests.sh"
step "torture, $TORTURE s (TORTURE=), beside the static checks"
if [ "$TORTURE" != 0 ]; then
	seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
	# Emulated by one thread: the other CPU is for the checks.
	accel=$("$CI/accel.sh")
	MOF_ACCEL=${accel/multi/single} aside "torture" "$CI/torture.sh" 2n base patched "$TORTURE" "$seed"
	# While it boots, it does not stand it to be kept waiting.
	console=$TOP/out/torture/2n-base-patched-$seed/console.log
	while kill -0 "$aside" 2>/dev/null && ! grep -qs 'mof: command starts' "$console"; do
		sleep 1
	done
fi
step "static checks"
part "checks" "$CI/checks.sh"
[ -z "$aside" ] || join
step "the debug kernel, in short (DEBUG_KERNEL=)"
if [ "$DEBUG_KERNEL" = 0 ]; then
	why="DEBUG_KERNEL=0"
elif [ "$DEBUG_KERNEL" = auto ] && [ $SECONDS -gt $debug_limit ]; then
	why="the rest took more than $((debug_limit / 60)) minutes, and DEBUG_KERNEL=1 was not given"
else
	why=''
	part "debug kernel" "$CI/test-debug.sh" --short
fi
if [ -n "$why" ]; then
	say "  skipped: $why"
	echo "skip debug kernel: $why" >>"$MOF_RESULTS"
fi

step "summary"
about "$TOP/out/results.about"
passed=$(grep -c '^pass ' "$MOF_RESULTS" || true)
failed=$(grep -c '^fail ' "$MOF_RESULTS" || true)
skipped=$(grep -c '^skip ' "$MOF_RESULTS" || true)
grep '^fail ' "$MOF_RESULTS" | sed 's/^fail /FAILED: /' || true
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
