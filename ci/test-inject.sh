#!/bin/bash
# usage: ci/test-inject.sh [SECONDS [SEED]]
# The torture program while allocations fail, in a guest of topology TOPO= (2n) with
# the patched kernel of CONFIG= (debug; inject is quicker and sees less): 1, 10 and
# 100 per cent of what the kernel's fault injection can choose. SECONDS are for each
# of the cases, which ci/guest/inject lists. All content must be right, nothing may be
# left behind, and the console clean.
. "$(dirname "$0")/lib.sh"

duration=${1:-20} seed=${2:-0} topology=${TOPO:-2n} config=${CONFIG:-debug}
[ "$seed" != 0 ] || seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
cases=$(sed -n '/^done <<END/,/^END/p' "$CI/guest/inject" | grep -c '^fail')
[ "$cases" -gt 0 ] || die "ci/guest/inject lists no case"

scratch
{
	cat "$CI/allowed-splats"
	printf '%s\t%s\t%s\n' '^SLUB: Unable to allocate memory on .*\(GFP_ATOMIC' \
		'nobody can wait, and all such allocations of pages fail: that is the case' 'never'
} >"$tmp/allowed"
image=$("$CI/build.sh" "$config" patched)
program=$("$CI/selftests.sh" migrate_on_fault_torture "$config")
out=$TOP/out/inject/$topology-$config-$seed
mkdir -p "$out"
rm -f "$out/verdict"
say "$cases cases of fault injection, $duration s each: $topology, $config, seed $seed"
status=0
"$CI/boot.sh" "$topology" "$image" --timeout $((cases * (3 * duration + 300))) --out "$out" \
	--allowed "$tmp/allowed" --append "$(guest_parameters "$config")" \
	--file "$program" --file "$CI/guest/inject" --file "$CI/guest/kmemleak" \
	-- /mof/inject "$duration" "$seed" || status=$?
[ $status -lt 128 ] || exit $status

cat "$out/output"
passed=$(grep -c '^# Totals: pass:[1-9][0-9]* fail:0 .* error:0' "$out/output" || true)
verdict=pass
{ [ $status = 0 ] && [ "$passed" = "$cases" ]; } || verdict=fail
[ "$config" != debug ] || leaks "$out/output" "fault injection: $topology, $config, seed $seed" || verdict=fail
echo $verdict >"$out/verdict"
echo "$verdict fault injection: $topology, $config, seed $seed" >>"${MOF_RESULTS:-/dev/null}"
if [ $verdict = fail ]; then
	say "FAILED (status $status, $passed of $cases cases passed), see $out"
	exit 1
fi
