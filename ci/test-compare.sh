#!/bin/bash
# Tests ci/compare, and the kernel's kunit.py as its reader, on made-up runs: what
# is whole and expected passes, anything else does not.
. "$(dirname "$0")/lib.sh"

scratch
base=$("$CI/base.sh")
lgit archive "$base" tools/testing/kunit | tar -x -C "$tmp"
printf '*\tf.one\tfail\tpass\n*\tf.two\tpass\tpass\n*\tf.three\tskip\tskip\tno node\nc:t*\t*two\tpass\tskip\tnot in c\n' >"$tmp/expected"
base_ktap='TAP version 13\n1..3\nnot ok 1 f.one\nok 2 f.two\nok 3 f.three # SKIP no node\n'
good_ktap='TAP version 13\n1..3\nok 1 f.one\nok 2 f.two\nok 3 f.three # SKIP no node\n'
bad=0 n=0

# try NAME WANT STATUS OUTPUT [OPTION...]: a run whose patched guest ended and spoke like that.
try() {
	local k dir verdict=pass status=0
	n=$((n + 1))
	for k in base patched; do
		dir=$tmp/out/t/$k
		mkdir -p "$dir"
		if [ $k = base ]; then
			printf '%b' "$base_ktap" >"$dir/output"
			echo 1 >"$dir/status"
		else
			printf '%b' "$4" >"$dir/output"
			echo "$3" >"$dir/status"
		fi
		python3 "$tmp/tools/testing/kunit/kunit.py" parse --json="$dir/results.json" "$dir/output" >/dev/null 2>&1 || true
	done
	"$CI/compare" "${@:5}" "$tmp/expected" "$tmp/out" t >"$tmp/table" || status=$?
	if [ $status != "$2" ]; then
		verdict=fail
		bad=1
		say "ci/compare, $1: status $status, not $2"
		sed 's/^/    /' "$tmp/table" >&2
	fi
	echo "$verdict comparison: $1" >>"${MOF_RESULTS:-/dev/null}"
}

try "as expected" 0 0 "$good_ktap"
try "a test fails" 1 1 "${good_ktap/ok 2/not ok 2}"
try "a test is skipped" 1 0 "${good_ktap/f.two/f.two # SKIP so}"
try "a skip passes" 1 0 "${good_ktap/ # SKIP no node/}"
try "a test is missing" 1 0 'TAP version 13\n1..2\nok 1 f.one\nok 2 f.two\n'
try "a test is not listed" 1 0 'TAP version 13\n1..4\nok 1 f.one\nok 2 f.two\nok 3 f.three # SKIP no node\nok 4 f.four\n'
try "the plan is cut short" 1 0 'TAP version 13\n1..3\nok 1 f.one\nok 2 f.two\n'
skipped=${good_ktap/f.two/f.two # SKIP not in c}
try "a skip of that configuration" 0 0 "$skipped" --config c
try "a skip of another configuration" 1 0 "$skipped" --config d
try "no skip in that configuration" 1 0 "$good_ktap" --config c
try "silence" 1 0 ''
try "a lost guest" 1 120 "$good_ktap"
try "a splat" 1 121 "$good_ktap"
try "a status that the tests do not explain" 1 1 "$good_ktap"
say "  $n comparisons"
exit $bad
