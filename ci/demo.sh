#!/bin/bash
# Shows what the series does: boots the unpatched and the patched kernel, runs
# ci/demo/placement.c in both, prints where the pages were before and after they
# were touched, and draws it.
. "$(dirname "$0")/lib.sh"

MOF_STEPS=6
topology=${TOPO:-2n}
check_topology "$topology"
out=$TOP/out

step "packages"
"$CI/deps.sh"
step "the base"
MOF_BASE=$("$CI/base.sh")
export MOF_BASE
say "  $(lgit log -1 --format=%s "$MOF_BASE")"
declare -A image
step "the unpatched kernel (about 10 minutes the first time)"
image[base]=$("$CI/build.sh" base base)
step "the patched kernel"
image[patched]=$("$CI/build.sh" base patched)

scratch
gcc -O2 -Wall -Wextra -static -Wl,--no-warnings -o "$tmp/placement" "$CI/demo/placement.c" -lnuma
mkdir -p "$out"
: >"$tmp/data"
step "two guests, topology $topology"
for k in base patched; do
	say "  $k"
	"$CI/boot.sh" "$topology" "${image[$k]}" --timeout 300 --out "$tmp/$k" --file "$tmp/placement" -- /mof/placement || {
		[ ! -e "$tmp/$k/output" ] || cat "$tmp/$k/output" >&2
		die "the demo failed in the $k guest"
	}
	grep -P '^[^\t]+\t(eager|lazy)\t' "$tmp/$k/output" | sed "s/^/$k\t/" >>"$tmp/data"
done

step "the picture"
"$CI/demo/table" "$tmp/data" "$tmp/plot.dat"
gnuplot -e "data='$tmp/plot.dat'; out='$out/placement'" "$CI/demo/placement.gnuplot"
[ -s "$out/placement.svg" ] && [ -s "$out/placement.png" ]
cp "$tmp/data" "$out/placement.tsv"
about "$out/placement.about" "topology=$topology"
echo
echo "As a picture: $out/placement.png and placement.svg beside it."
