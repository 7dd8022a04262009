#!/bin/bash
# usage: ci/test-others.sh
# The kernel's own selftests of memory (ci/guest/others lists them) on the base and on
# the patched kernel, both with configuration CONFIG= (base), in guests of topology
# TOPO= (2n). What a program reports, and the status it ends with, must be the same on
# both; whether it is a success, is the kernel's own affair. Logs are in out/others/.
. "$(dirname "$0")/lib.sh"

topology=${TOPO:-2n} config=${CONFIG:-base}
check_topology "$topology"
check_config "$config"
programs=$("$CI/selftests.sh" others "$config")
files=()
for p in "$programs"/*; do
	files+=(--file "$p")
done
count=$(awk '/^LIST/ { on = 0 } on { n++ } /<<LIST/ { on = 1 } END { print n + 0 }' "$CI/guest/others")

# What is said of each test, without what differs from run to run: numbers of tests
# and addresses, times, process numbers.
said() {
	sed -n -E -e '/^# (program|status|programs): /p' -e 's/^(not )?ok [0-9]+ -? ?/\1ok /' \
		-e '/^(not )?ok /{s/0x[0-9a-f]+/ADDRESS/g;s/[0-9]+/N/g;p}' "$1"
}

out=$TOP/out/others/$topology-$config
rm -rf "$out"
pids=()
for k in base patched; do
	image=$("$CI/build.sh" "$config" $k)
	mkdir -p "$out/$k"
	say "the kernel's own selftests: $topology, $config, $k"
	{
		status=0
		"$CI/boot.sh" "$topology" "$image" --timeout 3600 --out "$out/$k" "${files[@]}" \
			--append "$(guest_parameters "$config")" --file "$CI/guest/others" -- /mof/others || status=$?
		echo $status >"$out/$k/status"
	} 9>&- &
	pids+=($!)
	cleanup "pkill -P $!; kill $! 2>/dev/null"
done
for pid in "${pids[@]}"; do
	wait "$pid"
done

verdict=pass
for k in base patched; do
	said "$out/$k/output" >"$out/$k/said"
	if [ "$(<"$out/$k/status")" != 0 ] || ! grep -qx "# programs: $count" "$out/$k/said"; then
		say "  $k: the guest ended with status $(<"$out/$k/status"), see $out/$k"
		verdict=fail
	fi
done
# A run in which nothing was reported is no result.
tests=$(grep -cE '^(not )?ok ' "$out/patched/said" || true)
good=$(grep -cE '^ok ' "$out/patched/said" || true)
[ "$good" -gt 100 ] || { say "  only $good tests passed"; verdict=fail; }
diff -u "$out/base/said" "$out/patched/said" >"$out/differences" || verdict=fail
cat "$out/differences"
say "  $count programs, $tests tests reported, $good of them ok, $(grep -c '^[-+][^-+]' "$out/differences" || true) lines differ"
echo $verdict >"$out/verdict"
echo "$verdict the kernel's own selftests: $topology, $config" >>"${MOF_RESULTS:-/dev/null}"
[ $verdict = pass ]
