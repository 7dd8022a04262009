#!/bin/bash
# usage: ci/selftests.sh [PROGRAM [CONFIG]]
# Builds the selftest migrate_on_fault and the program migrate_on_fault_torture,
# static, with the Makefile and helpers of the fully patched tree and the present
# files of selftests/, for the architecture of configs/CONFIG.config, and prints the
# path of PROGRAM, by default the selftest. The same binary runs on the base and on
# the patched kernel. "others" is for the kernel's own programs that ci/guest/others
# runs: the path is that of their directory.
. "$(dirname "$0")/lib.sh"

programs=(migrate_on_fault migrate_on_fault_torture)
name=${1:-migrate_on_fault}
if [ "$name" = others ]; then
	mapfile -t programs < <(awk '/^LIST/ { on = 0 } on { print $1 } /<<LIST/ { on = 1 }' "$CI/guest/others" | sort -u)
	[ ${#programs[@]} -gt 10 ] || die "ci/guest/others lists only ${#programs[@]} programs"
elif [ ! -f "$TOP/selftests/mm/$name.c" ]; then
	die "there is no selftests/mm/$name.c"
fi
toolchain "${2:-base}"
# By gcc, whatever the kernel is compiled by
COMPILER=${CROSS}gcc
arch=x86
flags=()
if [ "$ARCH" != x86_64 ]; then
	"$CI/deps.sh" "$ARCH"
	arch=$ARCH
	foreign=$("$CI/foreign.sh" "$ARCH")
	flags=("EXTRA_CFLAGS=-idirafter $foreign/usr/include -L$(dirname "$(find "$foreign/usr/lib" -name libnuma.a)")")
fi
commit=$(rev patched)
key=$({
	echo "${programs[*]}"
	lgit rev-parse "$commit:tools" "$commit:include" "$commit:arch/$arch/include" "$commit:mm/gup_test.h" "$commit:lib/test_hmm_uapi.h"
	(cd "$TOP/selftests" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
	"$COMPILER" --version
} | sha)
binary=$CACHE/images/selftests-$key
[ "$name" = others ] || binary+=/$name
if [ -e "$binary" ]; then
	echo "$binary"
	exit
fi

lock build
scratch
src=$CACHE/src
build=$CACHE/build/headers-$ARCH
say "building the selftest${programs[2]:+s of others}"
checkout "$src" "$commit"
cp -r "$TOP/selftests/." "$src/tools/testing/selftests/"
mkdir -p "$build"
{
	kmake "$src" "$build" headers &&
		make -C "$src/tools/testing/selftests/mm" OUTPUT="$tmp" \
			${TOOLCHAIN[@]+"${TOOLCHAIN[@]}"} ${flags[@]+"${flags[@]}"} \
			KHDR_INCLUDES="-isystem $build/usr/include" LDFLAGS=-static "${programs[@]/#/$tmp/}"
} >"$tmp/log" 2>&1 9>&- || {
	grep -E -A5 'error|undefined|No rule' "$tmp/log" | head -n 40 >&2 || tail -n 20 "$tmp/log" >&2
	checkout "$src" "$commit"
	die "the selftests do not build in the patched tree"
}
grep -E -A3 'warning:' "$tmp/log" >&2 || true
checkout "$src" "$commit"
mkdir "$tmp/bin"
for p in "${programs[@]}"; do
	file "$tmp/$p" | grep -q 'statically linked' || die "the selftest $p is not static"
	mv "$tmp/$p" "$tmp/bin/$p"
done
rm -rf "$CACHE/images/selftests-$key"
mv "$tmp/bin" "$CACHE/images/selftests-$key"
echo "$binary"
