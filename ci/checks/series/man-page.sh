#!/bin/bash
# The patch to mbind(2) applies, man and mandoc have nothing to say of the page that
# they did not say before, the page shows what it is about, and its example
# compiles without warnings (ci/man-page.sh sees to that).
. "$(dirname "$0")/../../lib.sh"

scratch
bad=0
for p in base patched; do
	page=$("$CI/man-page.sh" $p)
	# Without line numbers, for they move.
	mandoc -Tlint "$page" 2>&1 | sed -E 's/^.*:[0-9]+:[0-9]+: //' | sort >"$tmp/$p.lint" || true
	LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings=all -l "$page" >"$tmp/$p.txt" 2>"$tmp/$p.err"
	sed -E 's/^.*:[0-9]+: //' "$tmp/$p.err" | sort >"$tmp/$p.man"
done
for tool in lint man; do
	new=$(comm -13 "$tmp/base.$tool" "$tmp/patched.$tool")
	[ -z "$new" ] || { echo "$tool, of the patched page only:"; echo "$new"; bad=1; }
done
# Would they say anything? A request that there is not, and a section that is empty.
page=$("$CI/man-page.sh" patched)
sed '/^\.SH EXAMPLES/i .SH EMPTY\n.XY' "$page" >"$tmp/broken.2"
mandoc -Tlint "$tmp/broken.2" >"$tmp/broken" 2>&1 || true
grep -q XY "$tmp/broken" || { echo "mandoc does not miss an unknown request: is it working?"; bad=1; }

grep -q '^EXAMPLES$' "$tmp/patched.txt" || { echo "the page has no section EXAMPLES"; bad=1; }
wide=$(sed -n '/^EXAMPLES/,$p' "$tmp/patched.txt" | grep -E '.{81}') || true
[ -z "$wide" ] || { echo "wider than 80 columns:"; echo "$wide"; bad=1; }
# As it is printed, the program must be the one that was compiled.
source=$("$CI/man-page.sh" source)
while read -r line; do
	grep -qF -- "$line" "$tmp/patched.txt" || { echo "the printed page lacks this line of the example: $line"; bad=1; }
done < <(grep . "$source")
exit $bad
