#!/bin/bash
# usage: ci/shell.sh TOPOLOGY CONFIG base|patched|N
# A guest to look around in, with what the host has of numactl's tools, trace-cmd
# if it is there, the demo's program as /mof/placement, the man page's as
# /mof/example, and the selftest.
. "$(dirname "$0")/lib.sh"

[ $# = 3 ] || die "usage: ci/shell.sh TOPOLOGY CONFIG base|patched|N"
check_topology "$1"
check_config "$2"
boots "$2" || die "a kernel of configs/$2.config boots no guest: take base or debug"
image=$("$CI/build.sh" "$2" "$3")

scratch
gcc -O2 -Wall -Wextra -static -Wl,--no-warnings -o "$tmp/placement" "$CI/demo/placement.c" -lnuma
files=(--file "$tmp/placement")
if selftest=$("$CI/selftests.sh" 2>/dev/null); then
	files+=(--file "$selftest")
fi
if example=$("$CI/man-page.sh" example); then
	files+=(--file "$example:/mof/example")
fi
# With their libraries, under their own names: the loader looks for them there.
for tool in numastat migratepages memhog migspeed trace-cmd; do
	path=$(command -v $tool) || continue
	while read -r f; do
		files+=(--file "$f:$f")
	done < <(echo "$path"; ldd "$path" | awk '/=> \// { print $3 }')
done
# Not exec: the guest's files go when it ends.
"$CI/boot.sh" "$1" "$image" "${files[@]}" --shell
