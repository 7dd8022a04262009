#!/usr/bin/awk -f
# usage: keep-notes.awk OLD NEW
# Prints the patch NEW with OLD's notes: what stands between the line "---" and
# the diffstat, where git am and git format-patch drop it.
function is_stat(line) { return line ~ /^ [^ ].* \| +([0-9]|Bin)/ || line ~ /^diff --git / }
BEGIN {
	old = ARGV[1]; ARGV[1] = ""
	while ((getline line < old) > 0) {
		if (!seen) { if (line == "---") seen = 1; continue }
		if (is_stat(line)) break
		notes = notes line "\n"
	}
	sub(/\n+$/, "\n", notes)
}
{ print }
$0 == "---" && !done { done = 1; if (notes ~ /[^ \n]/) printf "%s\n", notes }
