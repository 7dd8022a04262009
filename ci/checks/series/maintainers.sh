#!/bin/bash
# MAINTAINERS.snippet applies to the base, get_maintainer.pl then finds for each file
# that the series adds the section that the snippet puts it in, and its self-test
# has nothing to say of the section that it did not say before. The whole self-test
# takes longer than ten minutes, since it tries each pattern on each file and each
# link; so it gets those sections alone, in a tree of the files that they name.
. "$(dirname "$0")/../../lib.sh"

snippet=$TOP/MAINTAINERS.snippet
base=$("$CI/base.sh")
tip=$("$CI/commits.sh" | tail -n1 | cut -f2)
scratch
bad=0

# tree DIR COMMIT: what get_maintainer.pl wants to see of a kernel tree, empty
# files but for MAINTAINERS, in a repository, for the self-test asks git for files.
tree() {
	local f
	mkdir -p "$1"/{Documentation,arch,include,drivers,fs,init,ipc,kernel,lib,scripts}
	for f in COPYING CREDITS Kbuild Makefile README; do
		: >"$1/$f"
	done
	lgit show "$2:scripts/get_maintainer.pl" >"$1/scripts/get_maintainer.pl"
	lgit show "$base:MAINTAINERS" >"$1/MAINTAINERS"
	git init -q "$1"
}

get_maintainer() {
	(cd "$tmp/tree" && perl scripts/get_maintainer.pl "$@")
}

tree "$tmp/tree" "$base"
if ! git -C "$tmp/tree" apply --whitespace=error-all "$snippet" 2>"$tmp/err"; then
	echo "MAINTAINERS.snippet does not apply to the base's MAINTAINERS: make it anew"
	cat "$tmp/err"
	exit 1
fi
# git apply takes a hunk whose line numbers are off; whoever reads it should not.
patch -s -d "$tmp/tree" -R -p1 <"$snippet" >/dev/null
patch -d "$tmp/tree" -p1 --fuzz=0 <"$snippet" >"$tmp/log"
if grep -E 'offset|fuzz' "$tmp/log"; then
	echo "MAINTAINERS.snippet applies with an offset: make it anew against this base"
	bad=1
fi

# sections MAINTAINERS LINE...: titles of the sections that have the line.
sections() {
	local file=$1
	shift
	awk -v wanted="$(printf '%s\n' "$@")" '
		BEGIN { n = split(wanted, w, "\n"); for (i = 1; i <= n; i++) want[w[i]] = 1 }
		/^$/ { blank = 1; next }
		blank && !/^[A-Z]:\t/ { title = $0 }
		{ blank = 0 }
		$0 in want && !seen[title]++ { print title }' "$file"
}

mapfile -t lines < <(sed -n 's/^+\([A-Z]:\t\)/\1/p' "$snippet")
[ ${#lines[@]} -gt 0 ] || die "MAINTAINERS.snippet adds no line"
mapfile -t titles < <(sections "$tmp/tree/MAINTAINERS" "${lines[@]}")
[ ${#titles[@]} -gt 0 ] || die "MAINTAINERS.snippet adds its lines to no section"

# Which file is to be under which section is said by the snippet. So: is each added
# file there by name or pattern, and does get_maintainer.pl see it in that section?
mapfile -t added < <(lgit diff --name-only --no-renames --diff-filter=A "$base" "$tip")
[ ${#added[@]} -gt 0 ] || die "the series adds no file; then MAINTAINERS.snippet has no purpose"
for f in "${added[@]}"; do
	mkdir -p "$tmp/tree/$(dirname "$f")"
	: >"$tmp/tree/$f"
	found=$(get_maintainer --no-tree --nogit --nogit-fallback --no-email --no-l --sections -f "$f" 2>&1) || true
	here=0
	for t in "${titles[@]}"; do
		if grep -qxF "$t" <<<"$found"; then
			here=1
		fi
	done
	[ $here = 1 ] || { echo "get_maintainer.pl finds $f under none of: $(printf '%s; ' "${titles[@]}")add it to MAINTAINERS.snippet"; bad=1; }
done
# The other way round: nothing in the snippet that the series has not.
for l in "${lines[@]}"; do
	case $l in
	F:*) lgit cat-file -e "$tip:${l#F:$'\t'}" 2>/dev/null || { echo "MAINTAINERS.snippet names ${l#F:$'\t'}, which the series has not"; bad=1; } ;;
	esac
done

# self_test COMMIT OUTPUT: of the sections in question, in the files of COMMIT.
self_test() {
	local dir=$tmp/self.$3
	tree "$dir" "$1"
	[ "$3" = before ] || cp "$tmp/tree/MAINTAINERS" "$dir/MAINTAINERS"
	# Its head explains the letters; then our sections; a real tree ends so, too.
	{
		sed '/^Maintainers List$/q' "$dir/MAINTAINERS"
		printf '%s\n\n' '----------------'
		for t in "${titles[@]}"; do
			awk -v t="$t" '$0 == t { on = 1 } on && /^$/ { exit } on' "$dir/MAINTAINERS"
			echo
		done
		awk '$0 == "THE REST" { on = 1 } on' "$dir/MAINTAINERS"
	} >"$dir/some"
	mv "$dir/some" "$dir/MAINTAINERS"
	# The files of those sections, as empty ones, and all they may match.
	sed -n 's/^[FX]:\t//p' "$dir/MAINTAINERS" | grep -v '^\*' | sed 's|[*?[].*||' | sort -u |
		xargs -r git --git-dir="$REPO" ls-tree -r --name-only "$1" -- |
		while read -r f; do
			mkdir -p "$dir/$(dirname "$f")"
			[ -e "$dir/$f" ] || : >"$dir/$f"
		done
	git -C "$dir" add -f -A
	(cd "$dir" && perl scripts/get_maintainer.pl --self-test=sections && perl scripts/get_maintainer.pl --self-test=patterns) \
		>"$2" 2>&1 || echo "(status $?)" >>"$2"
	sed -i -E 's/:[0-9]+:/:/' "$2"
	sort -o "$2" "$2"
}
self_test "$base" "$tmp/before" before
self_test "$tip" "$tmp/after" after
new=$(comm -13 "$tmp/before" "$tmp/after")
[ -z "$new" ] || { echo "get_maintainer.pl --self-test says what it did not say before:"; echo "$new"; bad=1; }

# Would it say anything at all? A pattern for a file that is not there must be missed.
sed -i "s|^${lines[0]}\$|&.not-there|" "$tmp/self.after/MAINTAINERS"
(cd "$tmp/self.after" && perl scripts/get_maintainer.pl --self-test=patterns) 2>&1 | grep -q 'not-there' ||
	{ echo "get_maintainer.pl --self-test=patterns does not miss a file that is not there: is it working?"; bad=1; }
exit $bad
