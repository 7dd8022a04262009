#!/bin/bash
# usage: ci/clean.sh [all]
# Removes what was built; with all, the whole cache: base, tree and downloads.
. "$(dirname "$0")/lib.sh"

rm -rf "$TOP/out"
if [ "${1:-}" = all ]; then
	tree=$(work_tree)
	if [ -e "$tree/.git" ] && [ "$(git -C "$tree" rev-parse HEAD)" != "$(cat "$tree.head" 2>/dev/null)" ]; then
		die "$tree has commits that are not in patches/: 'make refresh' first, or remove the directory"
	fi
	# Only what is ours by name: the cache may be a directory with other things in it.
	rm -rf "$CACHE"/{downloads,linux.git,am,src,index,series,tree}
fi
rm -rf "$CACHE"/{build,images,man-page,passed,ccache,tmp} "$CACHE"/accel-*
