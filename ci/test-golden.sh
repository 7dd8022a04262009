#!/bin/bash
# Tests ci/check-console on ci/golden/*.log. The first line of each says what
# must be found: "# expect: clean", or words that one problem's title begins
# with; "# allowed: FILE" names a list of allowed splats beside the log. The one log
# of a kernel that QEMU killed is that which ci/stale-breakpoint is to tell.
. "$(dirname "$0")/lib.sh"

scratch
n=0 bad=0
for log in "$CI"/golden/*.log; do
	n=$((n + 1))
	name=$(basename "$log" .log)
	expect=$(sed -n '1s/^# expect: //p' "$log")
	allowed=$(sed -n '2s/^# allowed: //p' "$log")
	[ -n "$expect" ] || die "$log has no line '# expect: ...'"
	sed -e '1,2{/^# \(expect\|allowed\): /d}' "$log" >"$tmp/console"
	status=0
	"$CI/check-console" ${allowed:+--allowed "$CI/golden/$allowed"} "$tmp/console" >"$tmp/out" || status=$?
	verdict=pass
	if [ "$expect" = clean ]; then
		[ $status = 0 ] || verdict=fail
	elif [ $status != 1 ] || ! grep -q "^$expect" "$tmp/out"; then
		verdict=fail
	fi
	stale=no
	! "$CI/stale-breakpoint" "$tmp/console" || stale=yes
	case $name/$stale in
	stale-breakpoint/yes) ;;
	stale-breakpoint/no | */yes) verdict=fail ;;
	esac
	if [ $verdict = fail ]; then
		bad=1
		say "golden log $name: expected '$expect', got status $status, stale breakpoint: $stale:"
		sed 's/^/    /' "$tmp/out" | head -n 20 >&2
	fi
	echo "$verdict golden log $name" >>"${MOF_RESULTS:-/dev/null}"
done
[ $n -ge 10 ] || die "only $n golden logs"
say "  $n golden logs"
exit $bad
