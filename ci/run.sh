#!/bin/bash
# usage: ci/run.sh TOPOLOGY base|patched|N COMMAND...
# Boots that kernel, runs the command (default: numactl -H) with the selftest in
# /mof, and the man page's example as /mof/example, and shows its output.
. "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || die "usage: ci/run.sh TOPOLOGY base|patched|N COMMAND..."
topology=$1 revision=$2
shift 2
check_topology "$topology"
files=()
if selftest=$("$CI/selftests.sh" 2>/dev/null); then
	files=(--file "$selftest")
else
	say "without the selftest: it does not build yet"
fi
if example=$("$CI/man-page.sh" example); then
	files+=(--file "$example:/mof/example")
else
	say "without the example of the man page"
fi
image=$("$CI/build.sh" base "$revision")
scratch
status=0
"$CI/boot.sh" "$topology" "$image" --out "$tmp/out" ${files[@]+"${files[@]}"} -- "${*:-numactl -H}" || status=$?
[ ! -e "$tmp/out/output" ] || cat "$tmp/out/output"
exit $status
