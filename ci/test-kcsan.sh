#!/bin/bash
# usage: ci/test-kcsan.sh [SECONDS [SEED]]
# Data races, as KCSAN sees them in kernels that Clang compiled, while the torture
# program runs for SECONDS (300) on the base and on the patched kernel, in guests of
# topology TOPO= (2n). A race in a function that the series adds or changes fails,
# unless the base has the same; the others are the kernel's own and are listed, with
# the functions of the series that have called them; their reports are in out/kcsan/.
. "$(dirname "$0")/lib.sh"

duration=${1:-300} seed=${2:-0} topology=${TOPO:-2n}
[[ $duration =~ ^[1-9][0-9]*$ ]] || die "SECONDS= is a number of seconds, not '$duration'"
[ "$seed" != 0 ] || seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
check_topology "$topology"
scratch
{
	cat "$CI/allowed-splats"
	printf '%s\t%s\t%s\n' '^BUG: KCSAN: data-race in ' 'told apart by ci/test-kcsan.sh' 'never'
} >"$tmp/allowed"

# Functions whose code the series touches: what git names above a hunk, and what it adds;
# and all of the files that it touches, as one that is inlined goes by its caller's name.
base=$("$CI/base.sh")
patched=$(rev patched)
echo '*.[ch] diff=cpp' >"$tmp/attributes"
lgit -c core.attributesFile="$tmp/attributes" diff -U0 "$base" "$patched" -- '*.c' '*.h' ':!tools' ':!Documentation' ':!samples' |
	sed -n -E -e 's/^@@ [^@]*@@ (.*)$/\1/p' -e 's/^\+([a-z].*[ *])([a-z_0-9]+)\(.*$/ \2(/p' |
	sed -n -E 's/^(.*[ *])?([a-z_0-9]+)\(.*$/\2/p' | sort -u >"$tmp/ours"
[ "$(wc -l <"$tmp/ours")" -gt 20 ] || die "the series touches no functions?"
lgit diff --name-only --diff-filter=AM "$base" "$patched" -- '*.c' ':!tools' ':!Documentation' ':!samples' |
	while read -r file; do
		lgit show "$patched:$file" | sed -n -E 's/^([a-z][^;=(]*[ *])?([a-z_0-9]+)\(.*$/\2/p'
	done | sort -u >"$tmp/nearby"

# races CONSOLE: one line a pair of functions, sorted within.
races() {
	tr -d '\r' <"$1" |
		sed -n -E 's/^.*BUG: KCSAN: data-race in ([^ ]+) \/ ([^ ]+)$/\1 \2/p; s/^.*BUG: KCSAN: data-race in ([^ ]+)$/\1/p' |
		sed -E 's/\.[a-z]+(\.[0-9]+)?( |$)/\2/g' | awk '{ if (NF == 2 && $2 < $1) print $2, $1; else print $0 }' | sort -u
}

# callers CONSOLE A [B]: those of ours in the stacks of the first report of this pair
callers() {
	tr -d '\r' <"$1" | sed -E 's/^\[[^]]*\] ?//' | awk -v a="$2" -v b="${3:-}" '
		/^BUG: KCSAN: data-race in / { here = index($0, a) && (b == "" || index($0, b)) && !seen; seen = seen || here }
		/^Reported by/ { here = 0 }
		here && /^ [a-z_0-9.]+\+0x/ { sub(/[.+].*/, ""); print $1 }' |
		grep -xF -f "$tmp/ours" | sort -u | tr '\n' ' '
}

out=$TOP/out/kcsan/$topology-$seed
rm -rf "$out"
program=$("$CI/selftests.sh" migrate_on_fault_torture kcsan)
for k in base patched; do
	image=$("$CI/build.sh" kcsan $k)
	mkdir -p "$out/$k"
	say "torture under KCSAN, $duration s: $topology, $k, seed $seed"
	status=0
	"$CI/boot.sh" "$topology" "$image" --timeout $((3 * duration + 1200)) --out "$out/$k" --disk 128M \
		--allowed "$tmp/allowed" --file "$program" --file "$CI/guest/torture" --file "$CI/guest/kmemleak" \
		--append "$(guest_parameters kcsan)" \
		-- /mof/torture --dio /dev/vdb:0 --seconds "$duration" --seed "$seed" || status=$?
	[ $status -lt 128 ] || exit $status
	[ $status = 0 ] || touch "$out/$k/failed"
	grep -q 'kcsan: enabled early' "$out/$k/console.log" || { say "  KCSAN was not on"; touch "$out/$k/failed"; }
	races "$out/$k/console.log" >"$out/$k/races"
	say "  $(wc -l <"$out/$k/races") pairs of functions race"
done

verdict=pass
[ ! -e "$out/patched/failed" ] || verdict=fail
# The kernel has some of its own. To see none is to see nothing.
[ -s "$out/base/races" ] || { say "  no race at all was seen in the base"; verdict=fail; }
echo "Data races that only the patched kernel showed, the other function of each pair after it:"
comm -13 "$out/base/races" "$out/patched/races" >"$out/new"
while read -r a b; do
	through=$(callers "$out/patched/console.log" "$a" ${b:+"$b"}) || true
	through=${through:+: called from $through}
	if grep -qxF -e "$a" ${b:+-e "$b"} "$tmp/ours"; then
		echo "    $a $b: in a function that the series touches"
		verdict=fail
	elif grep -qxF -e "$a" ${b:+-e "$b"} "$tmp/nearby"; then
		echo "    $a $b: in a file that the series touches, see its report$through"
	else
		echo "    $a $b${through:+$through, see its report}"
	fi
done <"$out/new"
echo "and those of both:"
comm -12 "$out/base/races" "$out/patched/races" | sed 's/^/    /'
echo $verdict >"$out/verdict"
echo "$verdict data races: $topology, seed $seed" >>"${MOF_RESULTS:-/dev/null}"
[ $verdict = pass ] || { say "FAILED, see $out"; exit 1; }
