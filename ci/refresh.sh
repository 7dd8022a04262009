#!/bin/bash
# Turns the commits of the tree that ci/tree.sh made (or TREE=) back into
# patches/ and series. Comments of the series stay with the patch they precede,
# and so do notes between a patch's "---" and its diffstat.
. "$(dirname "$0")/lib.sh"

tree=$(work_tree)
[ -e "$tree/.git" ] || die "there is no tree to refresh from: run 'make tree' first"
[ -z "$(git -C "$tree" status --porcelain -uno)" ] ||
	die "$tree has uncommitted changes: commit them first"
[ ! -e "$(git -C "$tree" rev-parse --git-path rebase-merge)" ] || die "$tree is in the middle of a rebase: finish it first"
base=$("$CI/base.sh")
git -C "$tree" merge-base --is-ancestor "$base" HEAD ||
	die "$tree does not stand on the base: make it with 'make tree'"

scratch
mkdir "$tmp/new"
: >"$tmp/names"
n=0
while read -r commit; do
	n=$((n + 1))
	name=$(slug "$(git -C "$tree" log -1 --format=%s "$commit")")
	! grep -qxF "$name" "$tmp/names" || die "two commits have the subject of $name"
	git -C "$tree" format-patch -1 --stdout --zero-commit --no-signature --no-numbered \
		--no-renames --abbrev=12 --diff-algorithm=histogram --no-base --no-notes "$commit" >"$tmp/patch"
	"$CI/keep-notes.awk" "$TOP/patches/$name" "$tmp/patch" >"$tmp/new/$name"
	echo "$name" >>"$tmp/names"
done < <(git -C "$tree" rev-list --reverse "$base..HEAD")
[ $n -gt 0 ] || die "$tree has no commit on top of the base"

if [ -f "$TOP/series" ]; then
	awk -v names="$tmp/names" '
		BEGIN { while ((getline line < names) > 0) { order[++n] = line; stays[line] = 1 } }
		NR == 1 && /^# base:/ { print; next }
		/^[ \t]*(#|$)/ { pending = pending $0 "\n"; next }
		$1 in stays { before[$1] = pending; pending = "" }
		END {
			for (i = 1; i <= n; i++)
				printf "%s%s\n", before[order[i]], order[i]
			printf "%s", pending
		}' "$TOP/series" >"$tmp/series"
else
	{
		echo "# base: v7.3 $(lgit log -1 --format='(%s)' "$base")"
		cat "$tmp/names"
	} >"$tmp/series"
fi
head -n1 "$tmp/series" | grep -q '^# base: v7.3' || sed -i '1i # base: v7.3' "$tmp/series"

# Whole again before the old ones go: an interrupted run loses nothing.
mkdir -p "$TOP/patches"
for f in "$tmp/new"/*; do
	cmp -s "$f" "$TOP/patches/$(basename "$f")" || mv "$f" "$TOP/patches/"
done
cmp -s "$tmp/series" "$TOP/series" || cp "$tmp/series" "$TOP/series"
for f in "$TOP"/patches/*.patch; do
	grep -qxF "$(basename "$f")" "$tmp/names" || rm "$f"
done
git -C "$tree" rev-parse HEAD >"$tree.head"
say "$n patches written"
