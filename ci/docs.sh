#!/bin/bash
# usage: ci/docs.sh
# Renders the documents that the series touches, of the base and of the patched tree,
# with the kernel's 'make htmldocs'. A warning about a file that the series touches,
# and that the base does not give, fails. The pages are in out/docs/, to be looked at.
. "$(dirname "$0")/lib.sh"

"$CI/deps.sh" python3-sphinx
base=$("$CI/base.sh")
patched=$(rev patched)
scratch
lgit diff --name-only "$base" "$patched" >"$tmp/touched"
mapfile -t documents < <(sed -n 's,^Documentation/\(.*\)\.rst$,\1,p' "$tmp/touched")
[ ${#documents[@]} -gt 0 ] || die "the series touches no document"
# What sphinx calls the directories that it renders, each once.
directories=$(dirname "${documents[@]}" | sort -u | tr '\n' ' ')

lock build
for k in base patched; do
	src=$CACHE/src
	checkout "$src" "${!k}"
	say "rendering $directories($k)"
	# The tree stays clean: all goes elsewhere.
	kmake_argv "$src" "$tmp/$k" htmldocs "SPHINXDIRS=${directories% }" SPHINXOPTS=-j1
	in_background "$tmp/$k.log" "${KMAKE[@]}" || { tail -n 20 "$tmp/$k.log" >&2; die "htmldocs failed"; }
	grep -E '(WARNING|ERROR|CRITICAL|[Ww]arning):' "$tmp/$k.log" |
		sed -E "s,($src|$tmp/$k)/,,g; s/:[0-9]+(:[0-9]+)?:/:/g" | sort -u >"$tmp/$k.warnings" || true
done

rm -rf "$TOP/out/docs"
mkdir -p "$TOP/out"
for d in "${documents[@]}"; do
	page=$(find "$tmp/patched" -name "$(basename "$d").html" -size +0 -print -quit)
	[ -n "$page" ] || die "there is no page of Documentation/$d.rst"
done
cp -r "$tmp/patched/Documentation/output" "$TOP/out/docs"

verdict=pass
comm -13 "$tmp/base.warnings" "$tmp/patched.warnings" | grep -F -f "$tmp/touched" >"$tmp/new" || true
if [ -s "$tmp/new" ]; then
	verdict=fail
	cat "$tmp/new"
fi
say "${#documents[@]} documents, $(wc -l <"$tmp/base.warnings") warnings without the series, $(wc -l <"$tmp/patched.warnings") with it, $(wc -l <"$tmp/new") new ones about what it touches; pages in out/docs/"
echo "$verdict documents render" >>"${MOF_RESULTS:-/dev/null}"
[ $verdict = pass ]
