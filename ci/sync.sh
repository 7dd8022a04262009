#!/bin/bash
# usage: ci/sync.sh [check]
# check: is each file under selftests/ byte for byte what the series adds at
# tools/testing/selftests/? Without it: rewrites the series so that it is. The
# commit that first adds a file gets its present content.
. "$(dirname "$0")/lib.sh"

prefix=tools/testing/selftests
commit=$(rev patched)
base=$("$CI/base.sh")
mapfile -t files < <(cd "$TOP/selftests" && find . -type f -printf '%P\n' | sort)
[ ${#files[@]} -gt 0 ] || die "selftests/ holds no file"

differ=()
for f in "${files[@]}"; do
	mode=100644
	[ ! -x "$TOP/selftests/$f" ] || mode=100755
	want="$mode $(git hash-object --no-filters "$TOP/selftests/$f")"
	have=$(lgit ls-tree "$commit" "$prefix/$f" | awk '{ print $1, $3 }')
	[ "$want" = "$have" ] || differ+=("$f")
done

if [ "${1:-}" = check ]; then
	for f in ${differ[@]+"${differ[@]}"}; do
		echo "selftests/$f differs from $prefix/$f of the series: run 'make sync'"
	done
	exit $((${#differ[@]} > 0))
fi
[ ${#differ[@]} -gt 0 ] || { say "selftests/ and the series agree"; exit; }

tree=$("$CI/tree.sh")
for f in "${differ[@]}"; do
	adds=$(git -C "$tree" log --diff-filter=A --format=%H "$base..HEAD" -- "$prefix/$f" | tail -n1)
	[ -n "$adds" ] || die "no patch adds $prefix/$f: add one ('make tree', commit, 'make refresh')"
	say "selftests/$f -> $(git -C "$tree" log -1 --format=%s "$adds")"
	# Later patches to the file are replayed on top, and may conflict.
	git -C "$tree" checkout -q --detach "$adds"
	install -m "$(stat -c %a "$TOP/selftests/$f")" "$TOP/selftests/$f" "$tree/$prefix/$f"
	git -C "$tree" add -f "$prefix/$f"
	git -C "$tree" commit -q --amend --no-edit
	new=$(git -C "$tree" rev-parse HEAD)
	git -C "$tree" checkout -q "$(branch)"
	git -C "$tree" rebase -q --onto "$new" "$adds" || {
		git -C "$tree" rebase --abort
		die "a later patch to $prefix/$f conflicts: mend it in $tree, then 'make refresh'"
	}
done
"$CI/refresh.sh"
