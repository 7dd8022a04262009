#!/bin/bash
# With the series up to this patch the touched objects compile and vmlinux links,
# in configs/small.config: the options of mm that the series touches, on. Only the
# touched objects are compiled anew: the headers get an old date, so that make
# lets the rest be. That the whole compiles is seen at the ends of the series, by
# the base and the patched kernel and by ci/checks/series/options.sh.
. "$(dirname "$0")/../../lib.sh"
. "$CI/checks/common.sh"

lock build
scratch
[ -n "$(touched "$3" "$4")" ] || exit 0
base=$("$CI/base.sh")
key=$({ "$CI/fragment.sh" small; gcc --version; echo "$base"; } | sha)
list=$CACHE/build/small.objects
if [ "$(head -n1 "$list" 2>/dev/null)" != "$key" ] || [ ! -d "$CACHE/build/check-small" ]; then
	say "  a whole kernel first, configs/small.config"
	rm -f "$list"
	prepare small "$base"
	kmake_argv "$src" "$build" vmlinux
	in_background "$build.log" "${KMAKE[@]}" || die "the base does not build with configs/small.config: see $build.log"
	{
		echo "$key"
		objects
	} >"$tmp/list"
	mv "$tmp/list" "$list"
	finished
fi

prepare small "$4"
# All that the series touches is older than any object ...
lgit diff --name-only --no-renames "$base" "$(rev patched)" >"$tmp/files"
while read -r f; do
	[ ! -e "$src/$f" ] || touch -d 2000-01-01 "$src/$f"
done <"$tmp/files"
# ... and its own objects are made anew, whatever was left here before.
sed -n 's/\.c$/.o/p' "$tmp/files" | grep -xFf - "$list" >"$tmp/objects" || die "the series touches no object of configs/small.config"
(cd "$build" && xargs rm -f <"$tmp/objects")
kmake "$src" "$build" vmlinux >"$tmp/log" 2>&1 || {
	grep -E -A5 'error:|undefined reference|Error [0-9]' "$tmp/log" | head -n 40
	rm -f "$list"
	exit 1
}
finished
while read -r o; do
	grep -q " CC .*$o" "$tmp/log" || die "$o was not compiled"
done <"$tmp/objects"
grep -q 'LD .*vmlinux' "$tmp/log" || die "vmlinux was not linked"
if grep -A5 'warning:' "$tmp/log"; then
	exit 1
fi
