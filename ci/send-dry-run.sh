#!/bin/bash
# usage: SOB='Name <mail>' ci/send-dry-run.sh
# Writes the mails of each part of the series, as they would be sent, to
# out/mails/partN, and nothing to the network: cover letter and patches, with
# recipients, from the sender, who is SOB=, with his or her Signed-off-by. Then
# checks them: what is in them, and that git am makes the same trees of them.
# PREFIX=RFC puts that before PATCH.
. "$(dirname "$0")/lib.sh"

[ -n "${SOB:-}" ] ||
	die "no sender: give SOB='Name <mail>', your own; each patch needs your Signed-off-by, which no tool may add for you, as it is you who certifies its origin and has reviewed it (Documentation/process/coding-assistants.rst)"
[[ $SOB =~ ^([^\<\>@]+[^\<\>@\ ])\ \<([^\<\>@\ ]+@[^\<\>@\ ]+\.[^\<\>@\ ]+)\>$ ]] ||
	die "SOB='$SOB' is no sender: want 'Name <mail>'"
name=${BASH_REMATCH[1]} mail=${BASH_REMATCH[2]}
case $mail in
*.example | *.invalid | *.localhost | *noreply*) die "SOB='$SOB' is nobody's mailbox: give your own" ;;
esac

. "$CI/posting/common.sh"
version=$(next_version)
out=$TOP/out/mails
bad=0

"$CI/cover.sh" check >"$tmp/cover.log" 2>&1 || say "the cover letters are not in order yet, see 'make series-check'"
say "the series as commits, signed off by $name"
posting_repo "$name" "$mail"
rewrite sign
mapfile -t parts < <(parts)
for part in "${parts[@]}"; do
	read -r first last < <(part_range "$part")
	count=$((last - first + 1))
	say "part $part: $count patches, version $version"
	recipients "$part" >"$tmp/rcpt.$part"
	enrol "$part" "$version"
	mails "$tmp/mails/part$part"
	"$CI/posting/mails" "$tmp/mails/part$part" "$version" $count "$SOB" signed || bad=1

	# What git am makes of them must be what the patches make.
	post checkout -q --detach "$(signed $((first - 1)))"
	mapfile -t files < <(find "$tmp/mails/part$part" -name '*.eml' ! -name '*0000-*' | sort)
	if ! post am -q "${files[@]}" >"$tmp/am.log" 2>&1; then
		cat "$tmp/am.log"
		die "git am does not take the mails of part $part"
	fi
	want=$(awk -F'\t' -v n="$last" '$1 == n { print $3 }' "$tmp/commits")
	[ "$(post rev-parse 'HEAD^{tree}')" = "$want" ] || { echo "git am makes another tree of part $part than the patches do"; bad=1; }
	unsigned=$(post log --format='%h %s%n%(trailers:key=Signed-off-by)' "$(signed $((first - 1))).." |
		grep -c "^Signed-off-by: $SOB\$") || true
	[ "$unsigned" = $count ] || { echo "$unsigned of $count commits of part $part have the Signed-off-by after git am"; bad=1; }
	others=$(post log --format='%an <%ae>' "$(signed $((first - 1))).." | sort -u | grep -vxF "$SOB") || true
	[ -z "$others" ] || say "by other authors, whose own Signed-off-by must be there: $others"
done
[ $bad = 0 ] || die "the mails are not fit to be sent, see above"

rm -rf "$out"
mkdir -p "$(dirname "$out")"
cp -r "$tmp/mails" "$out"
[ -n "$(public_base)" ] ||
	say "to be sent they want a base-commit that others have: run with LINUX= a git clone at v7.3.4 (submitting-patches.rst)"
for part in "${parts[@]}"; do
	echo "$out/part$part: $(find "$out/part$part" -name '*.eml' | wc -l) mails; git am gives the tree of the patches, each is signed off by $SOB"
done
say "when you have read them, they can go as they are: git send-email --no-thread --suppress-cc=body out/mails/partN/*.eml"
