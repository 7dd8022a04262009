#!/bin/bash
# usage: ci/selftests.sh [PROGRAM]
# Builds the selftest migrate_on_fault and the program migrate_on_fault_torture,
# static, with the Makefile and helpers of the fully patched tree and the present
# files of selftests/, and prints the path of PROGRAM, by default the selftest. The
# same binary runs on the base and on the patched kernel.
. "$(dirname "$0")/lib.sh"

programs=(migrate_on_fault migrate_on_fault_torture)
name=${1:-migrate_on_fault}
[ -f "$TOP/selftests/mm/$name.c" ] || die "there is no selftests/mm/$name.c"
commit=$(rev patched)
key=$({
	lgit rev-parse "$commit:tools" "$commit:include" "$commit:arch/x86/include" "$commit:mm/gup_test.h" "$commit:lib/test_hmm_uapi.h"
	(cd "$TOP/selftests" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
	gcc --version
} | sha)
binary=$CACHE/images/selftests-$key/$name
if [ -e "$binary" ]; then
	echo "$binary"
	exit
fi

lock build
scratch
src=$CACHE/src
build=$CACHE/build/headers
say "building the selftest"
checkout "$src" "$commit"
cp -r "$TOP/selftests/." "$src/tools/testing/selftests/"
mkdir -p "$build"
{
	kmake "$src" "$build" headers &&
		make -C "$src/tools/testing/selftests/mm" OUTPUT="$tmp" \
			KHDR_INCLUDES="-isystem $build/usr/include" LDFLAGS=-static "${programs[@]/#/$tmp/}"
} >"$tmp/log" 2>&1 9>&- || {
	grep -E -A5 'error|undefined|No rule' "$tmp/log" | head -n 40 >&2 || tail -n 20 "$tmp/log" >&2
	checkout "$src" "$commit"
	die "the selftests do not build in the patched tree"
}
grep -E -A3 'warning:' "$tmp/log" >&2 || true
checkout "$src" "$commit"
mkdir -p "$(dirname "$binary")"
for p in "${programs[@]}"; do
	file "$tmp/$p" | grep -q 'statically linked' || die "the selftest $p is not static"
	mv "$tmp/$p" "$(dirname "$binary")/$p.$$"
	mv "$(dirname "$binary")/$p.$$" "$(dirname "$binary")/$p"
done
echo "$binary"
