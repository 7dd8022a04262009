#!/bin/bash
# Is the series fit to be posted? Looks at each part as b4 would send it, at its
# cover letter, its recipients, its patches, and at what has changed since the
# version that was sent before, the newest tag vN of this repository. Each line
# "FINDING" says what to do; status 1 if there is one. Nothing is sent anywhere.
. "$(dirname "$0")/lib.sh"
. "$CI/posting/common.sh"

findings=0
finding() {
	findings=$((findings + 1))
	printf '%s\n' "$*" | sed 's/^/FINDING  /'
}
ok() {
	printf 'ok       %s\n' "$*"
}

version=$(next_version)
series_patches >/dev/null

say "the patches themselves"
: >"$tmp/results"
if MOF_RESULTS=$tmp/results "$CI/checks.sh" complete name tags checkpatch maintainers >"$tmp/out" 2>"$tmp/err"; then
	ok "checks of the patches: $(tr -s ' ' <"$tmp/out" | paste -sd, | sed 's/,/, /g')"
else
	# What failed, and what it said, which is indented; or else why none could run.
	finding "the checks of the patches fail; 'make checks CHECK=...' shows each:
$(sed -n 's/^fail //p' "$tmp/results")
$(grep '^    ' "$tmp/err" || tail -n 5 "$tmp/err")"
fi

say "the cover letters"
status=0
"$CI/cover.sh" check >"$tmp/out" 2>"$tmp/err" || status=$?
if [ $status = 0 ]; then
	ok "cover letters: complete, layout as in series$([ -s "$tmp/err" ] || echo ', figures up to date')"
	sed -n 's/^\[.*\] \(figures.*\)/note     \1/p' "$tmp/err"
else
	finding "$(cat "$tmp/out")"
fi

say "the series as commits"
# The sender is not known yet; an address under .example is nobody's.
posting_repo 'The Sender' sender@sender.example
rewrite unsigned
mapfile -t parts < <(parts)
checks_with_b4=
if "$B4" prep --help | grep -q -- '--check\b'; then
	checks_with_b4=yes
fi
for part in "${parts[@]}"; do
	read -r first last < <(part_range "$part")
	count=$((last - first + 1))
	say "part $part: $count patches"
	if [ ! -f "$TOP/patches/cover/part$part.txt" ]; then
		continue # a finding already
	fi
	recipients "$part" >"$tmp/rcpt.$part"
	enrol "$part" "$version"
	mails "$tmp/mails/part$part"
	if "$CI/posting/mails" "$tmp/mails/part$part" "$version" $count 'The Sender <sender@sender.example>' >"$tmp/out"; then
		ok "part $part: $count patches and a cover letter, numbered 0 to $count, version $version"
	else
		finding "$(sed "s/^/part $part: /" "$tmp/out")"
	fi
	if [ -n "$(public_base)" ]; then
		if grep -q "^base-commit: $(public_base)\$" "$tmp/mails/part$part"/*0000-*.eml; then
			ok "part $part: base-commit: $(public_base)"
		else
			finding "part $part: the cover letter has no 'base-commit: $(public_base)'"
		fi
	fi
	if [ -n "$checks_with_b4" ]; then
		b4 prep --check
		if grep -q "^Success: $count, Warning: 0, Error: 0\$" "$tmp/b4.log"; then
			ok "part $part: b4 prep --check"
		else
			finding "b4 prep --check, part $part: $(grep -vE ' [0-9a-f]{12}: |^---' "$tmp/b4.log")"
		fi
	fi
	echo "         goes to, by get_maintainer.pl:"
	awk -F'\t' '{ printf "         %s: %-48s %s\n", $1, $2, $3 }' "$tmp/rcpt.$part"
done
[ -n "$checks_with_b4" ] ||
	echo "note     b4 $("$B4" --version) has no 'prep --check'; checkpatch ran on each patch without it, see above"

say "what has changed"
if last=$(last_version); then
	mkdir "$tmp/old"
	git -C "$TOP" archive "$last" | tar -x -C "$tmp/old"
	MOF_BASE='' "$tmp/old/ci/commits.sh" >"$tmp/old.commits"
	git --git-dir="$REPO" range-diff --no-color \
		"$(sed -n 1p "$tmp/old.commits" | cut -f2)..$(tail -n1 "$tmp/old.commits" | cut -f2)" \
		"$(sed -n 1p "$tmp/commits" | cut -f2)..$(tail -n1 "$tmp/commits" | cut -f2)" >"$tmp/range-diff"
	mkdir -p "$TOP/out"
	cp "$tmp/range-diff" "$TOP/out/range-diff-$last.txt"
	ok "range-diff to $last, in full in out/range-diff-$last.txt:"
	grep -E '^ *([0-9]+|-): ' "$tmp/range-diff" | sed 's/^/         /'
	grep -qE '^ *([0-9]+|-): +[0-9a-f-]+ [!<>]' "$tmp/range-diff" ||
		finding "nothing has changed since $last: there is nothing to post"
else
	echo "note     no version was sent yet: this repository has no tag vN, so there is nothing to compare"
fi

if [ -z "$(public_base)" ]; then
	echo "sender   base-commit: the base is no commit that others have; post with LINUX= a git clone at v7.3.4"
fi
! grep -q '^# for the sender: ' "$TOP"/patches/cover/*.txt ||
	grep -H '^# for the sender: ' "$TOP"/patches/cover/*.txt | sed -E 's|^.*/(part[0-9]+\.txt):# for the sender: |sender   patches/cover/\1: |'
echo "sender   read all of it; then SOB='Your Name <mail>' make send-dry-run, git tag v$version once it is posted"
if [ $findings -gt 0 ]; then
	echo "$findings findings"
	exit 1
fi
echo "no findings"
