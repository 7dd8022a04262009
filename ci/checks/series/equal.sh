#!/bin/bash
# Do quilt push, git am and git quiltimport give the same tree?
. "$(dirname "$0")/../../lib.sh"

base=$("$CI/base.sh")
want=$("$CI/commits.sh" | tail -n1 | cut -f3)
scratch

# quilt: only the files that the series touches, then their tree object.
mapfile -t patches < <(series_patches)
lgit diff --name-only --no-renames "$base" "$want" >"$tmp/touched"
mkdir "$tmp/quilt"
: >"$tmp/there"
while read -r f; do
	if lgit cat-file -e "$base:$f" 2>/dev/null; then
		echo "$f" >>"$tmp/there"
	fi
done <"$tmp/touched"
xargs -r -a "$tmp/there" -d '\n' git --git-dir="$REPO" archive "$base" -- | tar -x -C "$tmp/quilt"
(
	cd "$tmp/quilt"
	export QUILT_PATCHES=$TOP/patches QUILT_SERIES=$TOP/series QUILT_PC=$tmp/pc
	quilt --quiltrc /dev/null push -a --fuzz=0
) >"$tmp/log" 2>&1 || {
	tail -n 20 "$tmp/log" >&2
	die "quilt push -a --fuzz=0 fails"
}
! grep -E '\(offset|fuzz' "$tmp/log" || die "the patches apply with offsets: 'make tree refresh' makes them exact"
# What quilt itself says it touched.
(cd "$tmp/pc" && find . -mindepth 2 -type f ! -name .timestamp -printf '%P\n') | sed 's|^[^/]*/||' | sort -u >"$tmp/touched"
export GIT_INDEX_FILE=$tmp/index
lgit read-tree "$base"
git --git-dir="$REPO" --work-tree="$tmp/quilt" -C "$tmp/quilt" \
	update-index --add --remove --stdin <"$tmp/touched"
quilt=$(lgit write-tree)
unset GIT_INDEX_FILE

# git quiltimport: in the work tree that git am uses too.
lock am
checkout "$CACHE/am" "$base"
(cd "$CACHE/am" && git quiltimport --patches "$TOP/patches" --series "$TOP/series") >"$tmp/log" 2>&1 || {
	tail -n 20 "$tmp/log" >&2
	die "git quiltimport fails"
}
import=$(git -C "$CACHE/am" rev-parse 'HEAD^{tree}')

[ "$quilt" = "$want" ] || die "quilt push gives tree $quilt, git am gives $want"
[ "$import" = "$want" ] || die "git quiltimport gives tree $import, git am gives $want"
echo "tree $want: ${#patches[@]} patches, the same by quilt push, git am and git quiltimport"
