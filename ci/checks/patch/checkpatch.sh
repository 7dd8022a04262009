#!/bin/bash
# checkpatch --strict --codespell finds nothing. The series has no
# Signed-off-by by design (it was written by a program, which cannot sign):
# MISSING_SIGN_OFF, and only that, is ignored; checks/patch/tags.sh looks after
# the tags. ci/checks/checkpatch.allow lists the rest that is let through.
. "$(dirname "$0")/../../lib.sh"

patch=$2
allow=$CI/checks/checkpatch.allow
scratch
lock am
checkout "$CACHE/am" "$3"

(cd "$CACHE/am" && perl scripts/checkpatch.pl --strict --codespell --no-color --terse --show-types \
	--ignore MISSING_SIGN_OFF --no-summary "$patch") >"$tmp/out" 2>"$tmp/err" || true
grep -q . "$tmp/err" && { cat "$tmp/err"; exit 1; }
# Proof of life: the same run with the sign-off complaint on must complain.
(cd "$CACHE/am" && perl scripts/checkpatch.pl --no-color --terse --show-types "$patch" || true) |
	grep -q ':MISSING_SIGN_OFF:' || { echo "checkpatch did not miss the Signed-off-by: is it working?"; exit 1; }

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
	!/: (ERROR|WARNING|CHECK):/ { next }
	{
		for (i = 1; i <= n; i++)
			if (index($0, ":" type[i] ":") && matches(glob[i]) && $0 ~ re[i]) next
		print; bad = 1
	}
	END { exit bad }' "$allow" "$tmp/out"
