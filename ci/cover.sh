#!/bin/bash
# usage: ci/cover.sh [check]
# Brings what is generated in the cover letters, patches/cover/partN.txt, up to
# date: figures from out/bench.tsv (BENCH_TSV= names another one), from the
# selftest's expected results, and the numbers of the layout from series. With
# check, changes nothing, and prints what is wrong with them.
. "$(dirname "$0")/lib.sh"

SECTIONS=('The problem' 'What the series does, and what not' Layout 'Design and locking'
	'What it costs others' Results 'What was asked before' Limits 'History and credit')
bench=${BENCH_TSV:-$TOP/out/bench.tsv}
scratch
series_parts >"$tmp/parts"
bad=0

wrong() {
	echo "$1"
	bad=1
}

# What a reader of the mail would see: b4 takes lines that begin with # away.
as_sent() {
	grep -v '^#' "$1"
}

check() {
	local name=patches/cover/part$1.txt file=$TOP/patches/cover/part$1.txt s n=0 long
	[ -f "$file" ] || {
		wrong "$name is missing: series has a part $1, so write its cover letter (part1.txt shows how)"
		return
	}
	if grep -n EDITME "$file"; then
		wrong "$name has EDITME: say what is to be said there"
	fi
	if [ -z "$(sed -n 1p "$file")" ] || [ -n "$(sed -n 2p "$file")" ]; then
		wrong "$name: want a subject, then an empty line"
	fi
	[ "$(sed -n 1p "$file" | wc -c)" -le 76 ] || wrong "$name: make the subject shorter than 76 characters"
	for s in "${SECTIONS[@]}"; do
		n=$((n + 1))
		grep -qxF "$n. $s" "$file" || wrong "$name has no section '$n. $s': write it"
	done
	long=$(as_sent "$file" | sed 1d | grep -nE '.{73}' | head -n3) || true
	[ -z "$long" ] || wrong "$name has lines of more than 72 characters, wrap them: $long"
	if grep -nP '[^\x00-\x7F]|[ \t]$' "$file"; then
		wrong "$name: only ASCII, and no blanks at the end of a line"
	fi
	grep -qE '^# change-id: [0-9]{8}-[a-z0-9-]+-[0-9a-f]{12}$' "$file" ||
		wrong "$name has no line '# change-id: DATE-NAME-12 hex digits': it ties the versions together, so invent it once"
	if [ -n "$(git -C "$TOP" tag -l 'v[0-9]*' 2>/dev/null)" ]; then
		s=$(git -C "$TOP" tag -l 'v[0-9]*' | sort -V | tail -n1)
		grep -qi "^Changes since $s" "$file" || wrong "$name: tag $s was sent, so say under 'Changes since $s:' what is new"
	fi
}

mapfile -t parts < <(cut -f1 "$tmp/parts" | uniq)
for part in "${parts[@]}"; do
	file=$TOP/patches/cover/part$part.txt
	if [ "${1:-}" = check ]; then
		check "$part"
	fi
	[ -f "$file" ] || continue
	if ! "$CI/posting/cover" "$file" "$part" "$bench" "$CI/expected/migrate_on_fault" "$TOP/configs" \
		<"$tmp/parts" >"$tmp/new" 2>"$tmp/err"; then
		sed 's/^cover: //' "$tmp/err"
		bad=1
	elif ! cmp -s "$tmp/new" "$file"; then
		if [ "${1:-}" = check ]; then
			wrong "patches/cover/part$part.txt is out of date, run 'make cover':"
			diff -u0 "$file" "$tmp/new" | sed 1,2d | head -n 20 || true
		else
			cp "$tmp/new" "$file"
			say "patches/cover/part$part.txt brought up to date"
		fi
	fi
done
if [ "${1:-}" = check ] && [ ! -e "$bench" ]; then
	say "figures of the cover letters were not compared: there is no out/bench.tsv, 'make bench' writes it"
fi
exit $bad
