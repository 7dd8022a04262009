#!/bin/bash
# What the series costs and saves, counted in instructions: boots the unpatched and
# the patched kernel (configs/bench.config) on configs/bench/*.topo under QEMU's
# -icount, runs ci/bench/bench.c in both, prints ratios beside their targets, and
# draws them. A target that is missed fails nothing.
# BENCH=short: 64 MiB on two nodes only. BENCH_IMAGE_BASE=, BENCH_IMAGE_PATCHED=:
# kernel images to use instead of those that ci/build.sh makes of configs/bench.config.
# BENCH_REPS=: how often each case runs (the smallest count is taken).
. "$(dirname "$0")/lib.sh"

MOF_STEPS=6
out=$TOP/out
reps=${BENCH_REPS:-3}
[[ $reps =~ ^[1-9][0-9]*$ ]] || die "BENCH_REPS='$reps': say how often, 1 or more"
topologies=(2n 4n 8n)
declare -A command
# What is said of those who do not use the flag comes first, while nobody has.
command[2n]="mib=64,256,1024 threads=1,4 reps=$reps optin cached growth place"
command[4n]="mib=64 threads=1,4 reps=1 place"
command[8n]=${command[4n]}
case ${BENCH:-} in
'') ;;
short)
	topologies=(2n)
	command[2n]="mib=64 threads=1,4 reps=$reps optin cached growth place"
	;;
*) die "BENCH=short or nothing, not '$BENCH'" ;;
esac

step "packages"
"$CI/deps.sh"
step "the base"
if [ -z "${BENCH_IMAGE_BASE:-}" ] || [ -z "${BENCH_IMAGE_PATCHED:-}" ]; then
	MOF_BASE=$("$CI/base.sh")
	export MOF_BASE
	say "  $(lgit log -1 --format=%s "$MOF_BASE")"
fi
declare -A image
step "the unpatched kernel, without debugging (about 10 minutes the first time)"
image[base]=${BENCH_IMAGE_BASE:-$("$CI/build.sh" bench base)}
step "the patched kernel"
image[patched]=${BENCH_IMAGE_PATCHED:-$("$CI/build.sh" bench patched)}

scratch
gcc -O2 -Wall -Wextra -static -Wl,--no-warnings -o "$tmp/bench" "$CI/bench/bench.c" -lnuma -pthread
"$CI/initramfs.sh" >"$tmp/initramfs"
mkdir -p "$out"
: >"$tmp/data"

# guest TOPOLOGY KERNEL: instructions are counted by one thread for all CPUs.
guest() {
	MOF_ACCEL=tcg,thread=single "$CI/boot.sh" "$TOP/configs/bench/$1.topo" "${image[$2]}" \
		--timeout "${BENCH_TIMEOUT:-1800}" --out "$tmp/$1/$2" --file "$tmp/bench" \
		-- "echo 0 >/proc/sys/kernel/randomize_va_space; /mof/bench ${command[$1]}"
}

# gather TOPOLOGY KERNEL STATUS: what the guest told, each line after its kernel.
gather() {
	grep '^bench: ' "$tmp/$1/$2/output" | sed "s/^bench:/    $2:/" >&2 || true
	if [ "$3" != 0 ]; then
		tail -n 20 "$tmp/$1/$2/output" >&2 || true
		die "the benchmark failed in the $2 guest ($1)"
	fi
	grep -P '^[a-z]+(\t[^\t]+){7}$' "$tmp/$1/$2/output" | sed "s/^/$2\t${1%n}\t/" >>"$tmp/data"
}

# Who else uses the machine changes no count: both guests run at a time.
step "two guests on each of: ${topologies[*]}"
for t in "${topologies[@]}"; do
	say "  $t: ${command[$t]}"
	status=0
	guest "$t" base 9>&- &
	pid=$!
	cleanup "kill $pid 2>/dev/null"
	[ "$JOBS" -gt 1 ] || wait $pid || status=$?
	patched=0
	guest "$t" patched || patched=$?
	[ "$JOBS" = 1 ] || wait $pid || status=$?
	gather "$t" base $status
	gather "$t" patched $patched
done

step "the table and the picture"
cp "$tmp/data" "$out/bench.tsv"
about "$out/bench.about" "length=${BENCH:-full}" "topologies=${topologies[*]}"
"$CI/bench/table" "$out/bench.tsv" "$tmp/plot.dat" | tee "$out/bench.txt"
gnuplot -e "data='$tmp/plot.dat'; out='$out/bench'" "$CI/bench/bench.gnuplot"
[ -s "$out/bench.svg" ] && [ -s "$out/bench.png" ]
echo
echo "As a picture: $out/bench.png and bench.svg beside it; all numbers: bench.tsv."
