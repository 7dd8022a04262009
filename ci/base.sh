#!/bin/bash
# Makes sure that the cache's git repository holds the base, Linux 7.3 from
# Debian or the user's own tree or tarball (LINUX=), and prints its commit.
# The user's tree is only read.
. "$(dirname "$0")/lib.sh"

WANT_VERSION=7
WANT_PATCHLEVEL=3
PACKAGE=linux-source-$WANT_VERSION.$WANT_PATCHLEVEL
SUITE=trixie-backports

# check_version MAKEFILE NAME
check_version() {
	local v
	v=$(awk '/^(VERSION|PATCHLEVEL) =/ { printf "%s%s", s, $3; s = "." }' "$1") || v=
	[ "$v" = "$WANT_VERSION.$WANT_PATCHLEVEL" ] ||
		die "$2 is Linux ${v:-of no version}, the series is for $WANT_VERSION.$WANT_PATCHLEVEL: point LINUX= at a $WANT_VERSION.$WANT_PATCHLEVEL tree"
}

# commit_tree TREE: the same tree always gives the same commit.
commit_tree() {
	local version
	version=$(lgit show "$1:Makefile" | awk '/^(VERSION|PATCHLEVEL|SUBLEVEL) =/ { printf "%s%s", s, $3; s = "." } /^EXTRAVERSION =/ { print $3 }')
	GIT_AUTHOR_NAME=base GIT_AUTHOR_EMAIL=base@localhost GIT_AUTHOR_DATE='1000000000 +0000' \
		GIT_COMMITTER_NAME=base GIT_COMMITTER_EMAIL=base@localhost GIT_COMMITTER_DATE='1000000000 +0000' \
		git --git-dir="$REPO" commit-tree -m "Linux $version" "$1"
}

# import_dir DIR [INDEX] [FORCE]: the tree object of DIR's files.
import_dir() {
	GIT_INDEX_FILE=${2:-$tmp/index} git --git-dir="$REPO" --work-tree="$1" -c core.autocrlf=false -C "$1" \
		add ${3:+-f} -A . >&2
	GIT_INDEX_FILE=${2:-$tmp/index} lgit write-tree
}

# unpack TARBALL: into $tmp/src; prints the directory that holds the tree.
unpack() {
	mkdir "$tmp/src"
	tar -xf "$1" -C "$tmp/src" || die "cannot unpack $1"
	local top=$tmp/src inner
	if [ ! -e "$top/Makefile" ]; then
		inner=("$top"/*/)
		if [ ${#inner[@]} != 1 ] || [ ! -e "${inner[0]}Makefile" ]; then
			die "$1 holds no kernel tree"
		fi
		top=${inner[0]%/}
	fi
	echo "$top"
}

from_debian() {
	local id=debian deb src
	if commit=$(lgit rev-parse -q --verify "refs/tags/base/$id"); then
		return
	fi
	room 8
	mkdir -p "$CACHE/downloads"
	deb=$(find "$CACHE/downloads" -name "$PACKAGE"'_*.deb' | sort -V | tail -n1)
	if [ -z "$deb" ] || ! (cd "$CACHE/downloads" && sha256sum --status -c "$deb.sha256" 2>/dev/null); then
		mkdir "$tmp/deb"
		"$CI/debian.sh" $SUITE download "$PACKAGE" "$tmp/deb"
		deb=$(find "$tmp/deb" -name "$PACKAGE"'_*.deb')
		(cd "$tmp/deb" && sha256sum "$(basename "$deb")") >"$CACHE/downloads/$(basename "$deb").sha256"
		mv "$deb" "$CACHE/downloads/"
		deb=$CACHE/downloads/$(basename "$deb")
	fi
	say "unpacking $(basename "$deb")"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$tmp" --wildcards "./usr/src/$PACKAGE.tar*"
	src=$(unpack "$tmp/usr/src/$PACKAGE".tar*)
	check_version "$src/Makefile" "$PACKAGE"
	say "making a git tree of it"
	commit=$(commit_tree "$(import_dir "$src" '' force)")
	lgit update-ref "refs/tags/base/$id" "$commit"
}

from_git() {
	local g=(git -C "$LINUX" -c "safe.directory=*") head tree dirty
	export GIT_OPTIONAL_LOCKS=0
	head=$("${g[@]}" rev-parse -q --verify HEAD) || die "$LINUX has no commit: commit its files, or give a plain directory or tarball"
	dirty=$("${g[@]}" status --porcelain -uno | head -n3)
	[ -z "$dirty" ] || die "$LINUX has uncommitted changes: commit or stash them there, then run again"
	if commit=$(lgit rev-parse -q --verify "refs/tags/base/git-$head"); then
		return
	fi
	"${g[@]}" show HEAD:Makefile >"$tmp/Makefile" 2>/dev/null || die "$LINUX holds no kernel tree"
	check_version "$tmp/Makefile" "$LINUX"
	say "copying the tree of $head"
	tree=$("${g[@]}" rev-parse 'HEAD^{tree}')
	"${g[@]}" rev-list --objects --no-object-names "$tree" | "${g[@]}" -c pack.compression=1 pack-objects -q --window=0 --stdout |
		lgit index-pack --stdin >/dev/null
	commit=$(commit_tree "$tree")
	lgit update-ref "refs/tags/base/git-$head" "$commit"
}

from_dir() {
	[ -e "$LINUX/Makefile" ] || die "$LINUX holds no kernel tree"
	check_version "$LINUX/Makefile" "$LINUX"
	say "reading $LINUX"
	# Debian's source tarball ignores all of itself: then take all of it, and
	# built files would come along.
	local force=
	if grep -qx '/\*' "$LINUX/.gitignore" 2>/dev/null || [ ! -e "$LINUX/.gitignore" ]; then
		force=force
		[ ! -e "$LINUX/.config" ] || die "$LINUX has been built in: run 'make mrproper' there, or give the tarball"
	fi
	# An index of ours remembers the files' stat data: the next look is quick.
	mkdir -p "$CACHE/index"
	local index
	index=$CACHE/index/$(realpath "$LINUX" | sha)
	rm -f "$index.lock"
	commit=$(commit_tree "$(import_dir "$(realpath "$LINUX")" "$index" $force)")
	lgit update-ref "refs/tags/base/dir-$commit" "$commit"
}

from_tarball() {
	local id src
	id=tar-$(sha <"$LINUX")
	if commit=$(lgit rev-parse -q --verify "refs/tags/base/$id"); then
		return
	fi
	say "unpacking $LINUX"
	src=$(unpack "$LINUX")
	check_version "$src/Makefile" "$LINUX"
	say "making a git tree of it"
	commit=$(commit_tree "$(import_dir "$src" '' force)")
	lgit update-ref "refs/tags/base/$id" "$commit"
}

# Asked many times in a run: the first answer holds for the rest of it.
if [ -n "${MOF_BASE:-}" ]; then
	echo "$MOF_BASE"
	exit
fi

need git tar xz
lock base
scratch
if [ ! -e "$REPO/mof-ready" ]; then
	rm -rf "$REPO"
	git init -q --bare "$REPO"
	lgit config gc.auto 0
	# A bare repository confuses the tools that checkpatch calls in a work tree.
	lgit config core.bare false
	lgit config core.bigFileThreshold 64m
	lgit config core.compression 1
	lgit config user.name migrate-on-fault
	lgit config user.email migrate-on-fault@localhost
	: >"$REPO/mof-ready"
fi

commit=
if [ -z "${LINUX:-}" ]; then
	from_debian
elif [ -f "$LINUX" ]; then
	from_tarball
elif [ -e "$LINUX/.git" ] || { [ -d "$LINUX" ] && [ -f "$LINUX/HEAD" ] && [ -d "$LINUX/objects" ]; }; then
	from_git
elif [ -d "$LINUX" ]; then
	from_dir
else
	die "LINUX=$LINUX does not exist"
fi
echo "$commit"
