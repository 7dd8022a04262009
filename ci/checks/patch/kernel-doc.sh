#!/bin/bash
# kernel-doc says nothing of the touched files that it did not say before.
. "$(dirname "$0")/../../lib.sh"

# docs COMMIT OUTPUT: without line numbers, for they move.
docs() {
	local dir=$tmp/tree f
	rm -rf "$dir"
	mkdir "$dir"
	: >"$2"
	# The tool itself, and of the files those that this commit has.
	lgit archive "$1" scripts/kernel-doc tools/docs tools/lib/python | tar -x -C "$dir"
	for f in "${files[@]}"; do
		lgit cat-file -e "$1:$f" 2>/dev/null || continue
		mkdir -p "$dir/$(dirname "$f")"
		lgit show "$1:$f" >"$dir/$f"
		(cd "$dir" && scripts/kernel-doc -none -Wall "$f") >>"$2" 2>&1 || true
	done
	sed -E -i 's/:[0-9]+/:/' "$2"
	sort -o "$2" "$2"
}

scratch
mapfile -t files < <(lgit diff --name-only --no-renames --diff-filter=AM "$3" "$4" | grep -E '\.[ch]$' | grep -v '^tools/' || true)
[ ${#files[@]} -gt 0 ] || exit 0
docs "$3" "$tmp/before"
docs "$4" "$tmp/after"
comm -13 "$tmp/before" "$tmp/after" >"$tmp/new"
cat "$tmp/new"
[ ! -s "$tmp/new" ] || exit 1
