#!/bin/bash
# kernel-doc says nothing of the touched files that it did not say before.
. "$(dirname "$0")/../../lib.sh"

docs() {
	checkout "$CACHE/am" "$1"
	(
		cd "$CACHE/am"
		for f in "${files[@]}"; do
			[ ! -e "$f" ] || scripts/kernel-doc -none -Wall "$f" 2>&1
		done
	) | sed -E 's/:[0-9]+/:/' | sort >"$2"
}

lock am
scratch
mapfile -t files < <(lgit diff --name-only --diff-filter=AM "$3" "$4" | grep -E '^[^t].*\.[ch]$' || true)
[ ${#files[@]} -gt 0 ] || exit 0
docs "$3" "$tmp/before"
docs "$4" "$tmp/after"
comm -13 "$tmp/before" "$tmp/after" >"$tmp/new"
cat "$tmp/new"
[ ! -s "$tmp/new" ]
