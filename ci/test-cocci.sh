#!/bin/bash
# usage: ci/test-cocci.sh
# The kernel's coccicheck, in report mode, on each C file of the kernel that the
# series touches, of the base and of the whole series: what it says of the latter
# only is a failure. What it says of both is in out/cocci/.
. "$(dirname "$0")/lib.sh"
. "$CI/checks/common.sh"

# Some of the kernel's scripts for it have parts in OCaml
"$CI/deps.sh" coccinelle ocaml-nox
need spatch
scratch
base=$("$CI/base.sh")
patched=$(rev patched)
mapfile -t files < <(touched "$base" "$patched")
[ ${#files[@]} -gt 0 ] || die "the series touches no C file?"
mapfile -t directories < <(dirname "${files[@]}" | sort -u)

# One that must be found: to see nothing at all is no result.
cat >"$tmp/planted.c" <<'END'
int planted(struct planted *p);
int planted(struct planted *p)
{
	kfree(p);
	return p->count;
}
END

# cocci KERNEL FILE: what is said of it goes to out/cocci/KERNEL/, without the lines' numbers.
cocci() {
	local tree=$tmp/$1 name=${2//\//,}
	(cd "$tree" && C=2 MODE=report srctree=. DEBUG_FILE="$out/$1/$name.log" \
		LINUXINCLUDE='-Iarch/x86/include -Iinclude -Iarch/x86/include/uapi -Iinclude/uapi' \
		scripts/coccicheck "./$2") >"$tmp/$1,$name" 2>&1 || {
		tail -n 3 "$tmp/$1,$name" "$out/$1/$name.log" | sed 's/^/    /' >&2
		echo "    coccicheck ended with an error: $1, $2" >&2
		return 1
	}
	grep -vE '^(warning: )?Skipping |^You have coccinelle: |^This SmPL patch requires: ' "$tmp/$1,$name" |
		sed -E 's/:[0-9]+(:[0-9]+(-[0-9]+)?)?:/:/; s/ (on|at|line) (line )?[0-9]+/ \1 line N/g' | sort >"$out/$1/$name" || true
}
export -f cocci
out=$TOP/out/cocci
rm -rf "$out"
for k in base patched; do
	mkdir -p "$out/$k" "$tmp/$k"
	lgit archive "${!k}" scripts include arch/x86/include "${directories[@]}" | tar -x -C "$tmp/$k"
done
cp "$tmp/planted.c" "$tmp/base/"

say "coccicheck on ${#files[@]} files of the base and of the series, and on a planted one"
export tmp out
bad=0
{
	echo base planted.c
	for f in "${files[@]}"; do
		lgit cat-file -e "$base:$f" 2>/dev/null && echo "base $f"
		echo "patched $f"
	done
} | nice setpriv --pdeathsig TERM xargs -P "$JOBS" -L 1 bash -c 'cocci "$@"' _ 9>&- || bad=1

verdict=pass
[ $bad = 0 ] || verdict=fail
grep -q 'ERROR: reference preceded by free' "$out/base/planted.c" 2>/dev/null || {
	say "  coccicheck does not find what was planted"
	verdict=fail
}
rm -f "$out/base/planted.c"
for f in "${files[@]}"; do
	name=${f//\//,}
	[ -e "$out/patched/$name" ] || continue
	# What it says wrongly, once each. migrate.c: do_numa_page_lazy() returns without the
	# lock that it has taken, as migrate_lazy_in_place() has dropped it.
	touch "$out/base/$name"
	sort - "$out/base/$name" <<-END | comm -13 - "$out/patched/$name"
		$([ "$f" != mm/migrate.c ] || echo './mm/migrate.c: preceding lock on line N')
	END
done >"$out/new"
cat "$out/new"
[ ! -s "$out/new" ] || verdict=fail
say "  $(cat "$out"/patched/*.c | wc -l) reports, $(wc -l <"$out/new") of them new"
echo $verdict >"$out/verdict"
echo "$verdict coccicheck" >>"${MOF_RESULTS:-/dev/null}"
[ $verdict = pass ] || { say "FAILED, see $out"; exit 1; }
