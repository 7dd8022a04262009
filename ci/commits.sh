#!/bin/bash
# Applies the series to the base with git am and prints, a line a prefix:
# number, commit, tree, patch. Line 0 is the base.
. "$(dirname "$0")/lib.sh"

base=$("$CI/base.sh")
names=$(series_patches)
[ -n "$names" ] || die "series names no patch: add one, or ask for 'base' only"
mapfile -t patches <<<"$names"
for p in "${patches[@]}"; do
	[ -f "$TOP/patches/$p" ] || die "series names $p, but patches/ has no such file"
done
key=$({
	echo "$base"
	for p in "${patches[@]}"; do
		echo "$p"
		sha256sum <"$TOP/patches/$p"
	done
} | sha)
out=$CACHE/series/$key
# The list is worth nothing without its commits.
if [ -e "$out" ] && lgit cat-file -e "$(tail -n1 "$out" | cut -f2)" 2>/dev/null; then
	cat "$out"
	exit
fi

lock am
scratch
say "applying ${#patches[@]} patches with git am"
am=$CACHE/am
if [ -e "$am/.git" ]; then
	rm -rf "$(git -C "$am" rev-parse --git-path rebase-apply)"
fi
checkout "$am" "$base"
n=0
printf '0\t%s\t%s\t-\n' "$base" "$(git -C "$am" rev-parse 'HEAD^{tree}')" >"$tmp/list"
for p in "${patches[@]}"; do
	n=$((n + 1))
	git -C "$am" am -q --committer-date-is-author-date "$TOP/patches/$p" >"$tmp/log" 2>&1 || {
		cat "$tmp/log" >&2
		rm -rf "$(git -C "$am" rev-parse --git-path rebase-apply)"
		die "patch $n, $p, does not apply: mend it (make tree up to the one before, make refresh after)"
	}
	printf '%d\t%s\t%s\t%s\n' $n "$(git -C "$am" rev-parse HEAD)" "$(git -C "$am" rev-parse 'HEAD^{tree}')" "$p" >>"$tmp/list"
done
lgit update-ref "refs/series/$key" "$(git -C "$am" rev-parse HEAD)"
mkdir -p "$CACHE/series"
mv "$tmp/list" "$out"
cat "$out"
