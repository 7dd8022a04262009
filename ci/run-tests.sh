#!/bin/bash
# usage: ci/run-tests.sh [--write] [TOPOLOGY...]
# Boots the base and the patched kernel on each topology, runs the selftest and
# compares the results with ci/expected/migrate_on_fault; with --write, writes
# that file instead, for a person to read before it is committed. Prints a
# table; appends pass, fail and skip lines to MOF_RESULTS. CONFIG= (default: base)
# is the kernel's configuration. With ONLY=patched the base kernel is left out.
. "$(dirname "$0")/lib.sh"

config=${CONFIG:-base}
expected=$CI/expected/migrate_on_fault
write=''
if [ "${1:-}" = --write ]; then
	write=1
	shift
fi
topologies=("$@")
if [ ${#topologies[@]} = 0 ]; then
	read -ra topologies <<<"$(names "$TOP"/configs/topologies/*.topo)"
fi
for t in "${topologies[@]}"; do
	check_topology "$t"
done
check_config "$config"
# Emulated and with KASAN it takes its time.
limit=900
[ "$config" != debug ] || limit=5400
boots "$config" || die "a kernel of configs/$config.config boots no guest: take base or debug"

# Results of other configurations and topologies stay, for 'make report'.
out=$TOP/out/tests/$config
for t in "${topologies[@]}"; do
	rm -rf "${out:?}/$t"
done
mkdir -p "$out"
declare -A image
kernels=(base patched)
[ -z "${ONLY:-}" ] || kernels=("$ONLY")
for k in "${kernels[@]}"; do
	image[$k]=$("$CI/build.sh" "$config" "$k")
done
selftest=$("$CI/selftests.sh" migrate_on_fault "$config")
# The reader of KTAP is the kernel's own.
scratch
base=$("$CI/base.sh")
lgit archive "$base" tools/testing/kunit | tar -x -C "$tmp"

# boot TOPOLOGY KERNEL: status says how the guest ended; of an interrupt, nothing.
boot() {
	local dir=$out/$1/$2 status=0
	mkdir -p "$dir"
	# It runs on a file system on a disk (ext2 by format, and ext4 serves it), for its
	# tests of files.
	"$CI/boot.sh" "$1" "${image[$2]}" --timeout "${TEST_TIMEOUT:-$limit}" --out "$dir" --file "$selftest" --disk 64M \
		--append "$(guest_parameters "$config")" \
		-- 'mke2fs -F /dev/vdb >/dev/null && mkdir /disk && mount -t ext4 /dev/vdb /disk && cd /disk && exec /mof/migrate_on_fault' ||
		status=$?
	[ $status -lt 128 ] || exit $status
	touch "$dir/output"
	# Its status says whether all is well; which test is not, ci/compare reads.
	python3 "$tmp/tools/testing/kunit/kunit.py" parse --json="$dir/results.json" "$dir/output" \
		>"$dir/kunit" 2>&1 </dev/null || true
	echo $status >"$dir/status"
}

# Two guests at a time, where there are two CPUs; what both need comes first.
"$CI/accel.sh" >/dev/null
"$CI/initramfs.sh" >/dev/null
total=$((${#kernels[@]} * ${#topologies[@]}))
n=0
started=$SECONDS
pids=() ran=()
for t in "${topologies[@]}"; do
	for k in "${kernels[@]}"; do
		[ $n = 0 ] || [ ${#pids[@]} -gt 0 ] || say "  $n of $total guests have run$(yet $n $total $((SECONDS - started)))"
		n=$((n + 1))
		say "  boot $n of $total: $t, $k"
		if [ "$JOBS" -gt 1 ]; then
			boot "$t" "$k" 9>&- &
			pids+=($!)
			cleanup "pkill -P $!; kill $! 2>/dev/null"
		else
			boot "$t" "$k"
		fi
		ran+=("$t")
		if [ ${#pids[@]} != 1 ] || [ $n = $total ]; then
			for pid in ${pids[@]+"${pids[@]}"}; do
				wait "$pid" || exit
			done
			for r in "${ran[@]}"; do
				about "$out/$r/about"
			done
			pids=() ran=()
		fi
	done
done

if [ -n "$write" ]; then
	mkdir -p "$CI/expected"
	"$CI/compare" --write "$expected" "$out" "${topologies[@]}"
	say "wrote $expected: read it before you commit it"
else
	"$CI/compare" --results "${MOF_RESULTS:-/dev/null}" --config "$config" ${ONLY:+--only "$ONLY"} "$expected" "$out" "${topologies[@]}"
fi
