#!/bin/bash
# usage: ci/tree.sh [N]
# Leaves a git work tree with the first N (default: all) patches of the series
# as commits, on the branch migrate-on-fault, and prints its place. Work on it
# with git, then let ci/refresh.sh turn its commits back into patches.
. "$(dirname "$0")/lib.sh"

commit=$(rev "${1:-patched}")
tree=$(work_tree)
lock tree
if [ -e "$tree/.git" ]; then
	git -C "$tree" rev-parse -q --verify HEAD >/dev/null 2>&1 ||
		die "$tree has lost its repository: remove the directory, then run again"
	[ -z "$(git -C "$tree" status --porcelain -uno)" ] ||
		die "$tree has uncommitted changes: commit them and 'make refresh', or remove the directory"
	head=$(git -C "$tree" rev-parse HEAD)
	[ "$head" = "$(cat "$tree.head" 2>/dev/null)" ] || [ "$head" = "$commit" ] ||
		die "$tree has commits that are not in patches/: 'make refresh' first, or remove the directory"
else
	# TREE= may name anything; only what is empty may be filled.
	[ ! -e "$tree" ] || { [ -d "$tree" ] && [ -z "$(ls -A "$tree")" ]; } ||
		die "$tree is there, and no git tree of ours: name another directory with TREE=, or remove it"
	lgit worktree prune
	mkdir -p "$(dirname "$tree")"
	say "checking out the tree"
	lgit worktree add -q --detach "$tree" "$commit"
fi
git -C "$tree" checkout -q -B "$(branch)" "$commit"
echo "$commit" >"$tree.head"
echo "$tree"
