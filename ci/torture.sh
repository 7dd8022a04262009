#!/bin/bash
# usage: ci/torture.sh TOPOLOGY CONFIG base|patched SECONDS [SEED [OPTION...]]
# Runs the torture program in a guest for that long, with its OPTIONs; a SEED of
# 0 or none is a new one each time. Shows its output, and appends a line to
# MOF_RESULTS. What the program finds, a splat on the console, a leak that kmemleak
# sees, and a guest that is lost are failures. Logs are in out/torture/.
. "$(dirname "$0")/lib.sh"

[ $# -ge 4 ] || die "usage: ci/torture.sh TOPOLOGY CONFIG base|patched SECONDS [SEED [OPTION...]]"
topology=$1 config=$2 revision=$3 duration=$4 seed=${5:-0}
shift $(($# < 5 ? $# : 5))
[[ $duration =~ ^[1-9][0-9]*$ ]] || die "SECONDS= is a number of seconds, not '$duration'"
[[ ${seed:=0} =~ ^[0-9]+$ ]] || die "SEED= is a number, not '$seed'"
[ "$seed" != 0 ] || seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')

image=$("$CI/build.sh" "$config" "$revision")
program=$("$CI/selftests.sh" migrate_on_fault_torture "$config")
out=$TOP/out/torture/$topology-$config-$revision-$seed${*:+-$(echo "$*" | tr -cs 'a-z0-9\n' -)}
mkdir -p "$out"
rm -f "$out/verdict"
say "torture, $duration s: $topology, $config, $revision, seed $seed $*"

# All that follows the program takes as long again on a slow kernel: the last look
# at each page, the page owners, two scans of kmemleak.
status=0
"$CI/boot.sh" "$topology" "$image" --timeout $((3 * duration + 1200)) --out "$out" --disk 128M \
	--append "$(guest_parameters "$config")" --file "$program" --file "$CI/guest/torture" --file "$CI/guest/kmemleak" \
	-- /mof/torture --dio /dev/vdb:0 --seconds "$duration" --seed "$seed" "$@" || status=$?
[ $status -lt 128 ] || exit $status

cat "$out/output"
verdict=pass
[ $status = 0 ] || verdict=fail
# Exit status 0 of a program that was not heard to pass is nothing.
grep -q '^# Totals: pass:[1-9][0-9]* fail:0 .* error:0' "$out/output" || verdict=fail
[ "$config" != debug ] || leaks "$out/output" "torture: $topology, $config, $revision, seed $seed" || verdict=fail
echo $verdict >"$out/verdict"
echo "$verdict torture: $topology, $config, $revision, seed $seed $*" >>"${MOF_RESULTS:-/dev/null}"
if [ $verdict = fail ]; then
	say "FAILED (status $status), see $out; again: make torture SECONDS=$duration SEED=$seed TOPO=$topology CONFIG=$config REV=$revision OPTIONS='$*'"
	exit 1
fi
