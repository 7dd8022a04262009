#!/bin/bash
# checkpatch --strict --codespell finds nothing. The series has no
# Signed-off-by by design (it was written by a program, which cannot sign):
# MISSING_SIGN_OFF, and only that, is ignored; checks/patch/tags.sh looks after
# the tags. ci/checks/checkpatch.allow lists the rest that is let through.
. "$(dirname "$0")/../../lib.sh"

patch=$2
allow=$CI/checks/checkpatch.allow
# codespell's package moved its dictionary; checkpatch looks where it was.
dictionary=$(dpkg -L codespell | grep '/data/dictionary\.txt$')
scratch
lock am
checkout "$CACHE/am" "$3"

(cd "$CACHE/am" && perl scripts/checkpatch.pl --strict --codespell --codespellfile="$dictionary" \
	--no-color --terse --show-types --no-summary "$patch") >"$tmp/out" 2>"$tmp/err" || true
if [ -s "$tmp/err" ]; then
	cat "$tmp/err"
	exit 1
fi
# The complaint that must come shows that checkpatch is at work.
grep -q ':MISSING_SIGN_OFF:' "$tmp/out" || { echo "checkpatch did not miss the Signed-off-by: is it working?"; exit 1; }

awk -F'\t' -v patch="$(basename "$patch")" '
	function matches(glob) {
		gsub(/[.+(){}|^$]/, "\\\\&", glob); gsub(/\*/, ".*", glob); gsub(/\?/, ".", glob)
		return patch ~ "^" glob "$"
	}
	FNR == NR {
		if ($0 ~ /^#/ || $0 ~ /^[ ]*$/) next
		if (NF != 4) { print FILENAME ":" FNR ": want four fields"; bad = 1; next }
		n++; type[n] = $1; glob[n] = $2; re[n] = $3; next
	}
	!/: (ERROR|WARNING|CHECK):/ || /:MISSING_SIGN_OFF:/ { next }
	{
		for (i = 1; i <= n; i++)
			if (index($0, ":" type[i] ":") && matches(glob[i]) && $0 ~ re[i]) next
		print; bad = 1
	}
	END { exit bad }' "$allow" "$tmp/out"
