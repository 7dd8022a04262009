# shellcheck shell=bash
# For the scripts that make mails of the series: a small git repository of their
# own, in which b4 may do as it likes, and what goes into the mails.

scratch
# A sender's settings must not change what is checked, nor b4 leave anything behind.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
unset GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE

# offline COMMAND...: without a network, where the system lets us take it away. What
# is called here does not use one; this makes it sure.
offline() {
	if unshare -rn true 2>/dev/null; then
		unshare -rn "$@"
	else
		"$@"
	fi
}

post() {
	git -C "$tree" "$@"
}

# The version to be sent next: one more than the newest tag vN of this repository.
last_version() {
	git -C "$TOP" tag -l 'v[0-9]*' | grep -xE 'v[0-9]+' | sort -V | tail -n1
}

next_version() {
	local last
	last=$(last_version) || last=v0
	echo $((${last#v} + 1))
}

parts() {
	series_parts | cut -f1 | uniq
}

# part_range PART: numbers of its first and last patch in the whole series.
part_range() {
	series_parts | awk -F'\t' -v p="$1" '$1 == p { if (!first) first = NR; last = NR } END { print first, last }'
}

# The commit of a public tree that the series stands on; nothing if it is Debian's
# package, or a directory, of which no public tree knows.
public_base() {
	local head
	[ -n "${LINUX:-}" ] || return 0
	head=$(git -C "$LINUX" -c 'safe.directory=*' rev-parse -q --verify HEAD 2>/dev/null) || return 0
	if lgit rev-parse -q --verify "refs/tags/base/git-$head" >/dev/null; then
		echo "$head"
	fi
}

# posting_repo NAME MAIL: sets B4, the command, and tree: a repository in $tmp with the objects of the
# cache, of whose files only those are checked out that the patches touch and that
# the kernel's scripts look for.
posting_repo() {
	B4=$("$CI/b4.sh")
	# shellcheck disable=SC2154 # of scratch
	tree=$tmp/tree
	"$CI/commits.sh" >"$tmp/commits"
	git init -q "$tree"
	realpath "$REPO/objects" >"$tree/.git/objects/info/alternates"
	post config user.name "$1"
	post config user.email "$2"
	# A server's name keeps b4 from the kernel's web endpoint; it is not spoken to.
	post config sendemail.smtpserver localhost
	post config b4.prep-cover-strategy branch-description
	post config b4.prep-cover-template "$tmp/template"
	post config b4.prep-perpatch-check-cmd "$CI/posting/checkpatch"
	# As ci/refresh.sh writes patches
	post config core.abbrev 12
	post config diff.algorithm histogram
	post config diff.renames false
	post config core.sparseCheckout true
	local base tip
	base=$(sed -n 1p "$tmp/commits" | cut -f2)
	tip=$(tail -n1 "$tmp/commits" | cut -f2)
	{
		printf '%s\n' '/*' '!/*/' /scripts/ /LICENSES/ /Documentation/Makefile /arch/Kconfig /drivers/Kconfig \
			/fs/Kconfig /include/Kbuild /init/Kconfig /ipc/Makefile /kernel/Makefile /lib/Makefile
		lgit diff --name-only --no-renames "$base" "$tip" | sed 's|^|/|'
	} >"$tree/.git/info/sparse-checkout"
	post checkout -q --detach "$base"
}

# notes PATCH: what stands between its "---" and its diffstat.
notes() {
	sed -n '/^---$/,/^ .* | \+[0-9]\+ [+-]*$/p' "$1" | sed -e 1d -e '$d' | sed -e '/./,$!d'
}

# rewrite sign|unsigned: the series as commits in $tree, by their numbers in
# $tmp/signed. A patch whose author is nobody's mailbox, which is what .example is
# for, gets the sender as author; with sign each gets the sender's Signed-off-by.
rewrite() {
	local n commit t patch parent='' new author message notes sob
	sob="Signed-off-by: $(post config user.name) <$(post config user.email)>"
	: >"$tmp/signed"
	while IFS=$'\t' read -r n commit t patch; do
		if [ "$n" = 0 ]; then
			new=$commit
		else
			author=$(lgit log -1 --format='%an%n%ae' "$commit")
			if [[ $author == *.example ]]; then
				author=$(post config user.name)$'\n'$(post config user.email)
			fi
			message=$(lgit log -1 --format=%B "$commit")
			if [ "$1" = sign ]; then
				message=$(post interpret-trailers --if-exists addIfDifferent --trailer "$sob" <<<"$message")
			fi
			# A note for reviewers goes with the mail, and git am drops it again.
			notes=$(notes "$TOP/patches/$patch")
			[ -z "$notes" ] || message+=$'\n---\n'$notes
			new=$(GIT_AUTHOR_NAME=$(sed -n 1p <<<"$author") GIT_AUTHOR_EMAIL=$(sed -n 2p <<<"$author") \
				GIT_AUTHOR_DATE=$(lgit log -1 --format=%aI "$commit") \
				git -C "$tree" commit-tree -p "$parent" "$t" <<<"$message")
		fi
		parent=$new
		printf '%s\t%s\t%s\t%s\n' "$n" "$new" "$t" "$patch" >>"$tmp/signed"
	done <"$tmp/commits"
}

signed() {
	awk -F'\t' -v n="$1" '$1 == n { print $2 }' "$tmp/signed"
}

# recipients PART: who is to get it, by get_maintainer.pl, a line each: To or Cc,
# address, role, separated by tabs. One call for the whole part.
recipients() {
	local first last
	read -r first last < <(part_range "$1")
	mkdir -p "$tmp/plain/$1"
	post format-patch -q -o "$tmp/plain/$1" "$(signed $((first - 1)))..$(signed "$last")"
	post checkout -q --detach "$(signed 0)"
	(cd "$tree" && perl scripts/get_maintainer.pl --nogit --nogit-fallback --roles "$tmp/plain/$1"/*.patch) |
		sed -E 's/^(.*[^ ]) +\(([^()]*(\([^()]*\)[^()]*)*)\)$/\1\t\2/' |
		awk -F'\t' -v OFS='\t' '!seen[$1]++ { print ($2 ~ /^(maintainer|supporter)/ ? "To" : "Cc"), $1, $2 }'
}

# enrol PART: a branch of the part in $tree that b4 tracks, with its cover letter and
# the recipients in $tmp/rcpt.PART.
enrol() {
	local part=$1 version=$2 first last cover id base branch=mof-part$1 i
	read -r first last < <(part_range "$part")
	cover=$TOP/patches/cover/part$part.txt
	[ -f "$cover" ] || die "there is no patches/cover/part$part.txt: write it, part1.txt shows how"
	id=$(sed -n 's/^# change-id: //p' "$cover")
	[ -n "$id" ] || die "patches/cover/part$part.txt has no line '# change-id: ...'"
	base=$(public_base)
	{
		# b4 puts in what begins with a dollar sign
		# shellcheck disable=SC2016
		printf '${cover}\n\n---\n${shortlog}\n\n${diffstat}\n---\n'
		if [ -n "$base" ]; then
			echo "base-commit: $base"
			# What of the series comes before, as git format-patch --base has it
			for ((i = 1; i < first; i++)); do
				echo "prerequisite-patch-id: $(post show "$(signed "$i")" | git patch-id --stable | cut -d' ' -f1)"
			done
		fi
		# shellcheck disable=SC2016
		printf 'change-id: ${change_id}\n\nBest regards,\n-- \n${signature}\n'
	} >"$tmp/template"
	post branch -q -f "base-part$part" "$(signed $((first - 1)))"
	post checkout -q -B "$branch" "$(signed "$last")"
	b4 prep --enroll "base-part$part"
	{
		cat "$cover"
		awk -F'\t' '{ print $1 ": " $2 }' "$tmp/rcpt.$part"
	} >"$tmp/cover"
	post config "branch.$branch.description" "$(cat "$tmp/cover")"
	post config "branch.$branch.b4-tracking" \
		"$(post config "branch.$branch.b4-tracking" | sed -E "s/(\"change-id\": \")[^\"]*/\1$id/")"
	b4 prep --force-revision "$version"
	if [ -n "${PREFIX:-}" ]; then
		# shellcheck disable=SC2086 # several words are several prefixes
		b4 prep --set-prefixes $PREFIX
	fi
}

# b4 in $tree; shows what it says only if it fails
b4() {
	local status=0
	(
		cd "$tree"
		export XDG_DATA_HOME=$tmp/xdg XDG_CACHE_HOME=$tmp/xdg XDG_CONFIG_HOME=$tmp/xdg
		offline "$B4" "$@"
	) >"$tmp/b4.log" 2>&1 </dev/null || status=$?
	if [ $status != 0 ]; then
		cat "$tmp/b4.log" >&2
		die "b4 $1 failed"
	fi
}

# mails DIR: the mails of the enrolled branch that is checked out, into DIR.
mails() {
	mkdir -p "$1"
	b4 send --no-sign --output-dir "$1"
}
