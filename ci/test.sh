#!/bin/bash
# Everything: the checkers tested, the static checks, the selftest on every
# topology, and, with TORTURE=SECONDS, torture. The last line counts: N passed, N
# failed, N skipped.
. "$(dirname "$0")/lib.sh"

MOF_STEPS=10
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
step "torture, ${TORTURE:-0} s (TORTURE=)"
[ "${TORTURE:-0}" = 0 ] || part "torture" "$CI/torture.sh" 2n base patched "$TORTURE"
step "static checks"
part "checks" "$CI/checks.sh"

step "summary"
about "$TOP/out/results.about"
passed=$(grep -c '^pass ' "$MOF_RESULTS" || true)
failed=$(grep -c '^fail ' "$MOF_RESULTS" || true)
skipped=$(grep -c '^skip ' "$MOF_RESULTS" || true)
grep '^fail ' "$MOF_RESULTS" | sed 's/^fail /FAILED: /' || true
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
