#!/bin/bash
# usage: ci/sparse.sh SOURCE
# Prints the path of a sparse that the kernel in SOURCE accepts: the host's, or
# where that is too old (the kernel would skip it with a mere message), the one of
# Debian unstable, built here from its source package.
. "$(dirname "$0")/lib.sh"

suite=sid
valid() {
	[ -x "$1" ] && [ "$(sh "$src/scripts/checker-valid.sh" "$1" --arch=x86 -mlittle-endian -m64)" = 1 ]
}

src=${1:?}
host=$(command -v sparse) || host=
built=$CACHE/tools/sparse
for s in "$host" "$built"; do
	if [ -n "$s" ] && valid "$s"; then
		echo "$s"
		exit
	fi
done

lock sparse
scratch
mkdir -p "$tmp/get" "$tmp/src" "$CACHE/tools"
"$CI/debian.sh" $suite source sparse "$tmp/get"
tar -xf "$tmp"/get/sparse_*.orig.tar.* -C "$tmp/src" --strip-components=1
say "building sparse of Debian $suite"
make -C "$tmp/src" -j"$JOBS" HAVE_SQLITE=no HAVE_LIBXML=no HAVE_GTK=no HAVE_LLVM=no sparse >"$tmp/log" 2>&1 || {
	tail -n 20 "$tmp/log" >&2
	die "sparse does not build"
}
valid "$tmp/src/sparse" || die "the kernel does not accept sparse of Debian $suite either"
mv "$tmp/src/sparse" "$built"
echo "$built"
