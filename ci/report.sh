#!/bin/bash
# One page of what the last runs found: reads what make demo, bench, runtime and
# test left in out/, runs none of them, and writes out/report.html, which needs no
# other file, and its first picture as out/report.svg and out/report.png.
. "$(dirname "$0")/lib.sh"

out=$TOP/out
mkdir -p "$out"
scratch
mkdir "$tmp/verdicts"
"$CI/jobs.sh" >"$tmp/jobs"

# What a run is worth, ci/compare says; here, topology by topology.
for run in "$out"/tests/*/*/; do
	t=$(basename "$run")
	config=$(basename "$(dirname "$run")")
	[ -e "$run/patched/status" ] || continue
	only=()
	[ -e "$run/base/status" ] || only=(--only patched)
	mkdir -p "$tmp/verdicts/$config"
	"$CI/compare" --results "$tmp/verdicts/$config/$t.new" --config "$config" \
		${only[@]+"${only[@]}"} "$CI/expected/migrate_on_fault" "$out/tests/$config" "$t" >/dev/null || [ $? = 1 ]
	mv "$tmp/verdicts/$config/$t.new" "$tmp/verdicts/$config/$t"
done

"$CI/report/page" plot "$out" "$tmp" >"$tmp/pictures"
while IFS=$'\t' read -r name columns titles; do
	gnuplot -e "data='$tmp/$name.dat'; out='$tmp/$name'; columns=$columns; titles='$titles'" "$CI/report/$name.gnuplot"
	[ -s "$tmp/$name.svg" ] || die "gnuplot drew no $name.svg"
done <"$tmp/pictures"

repository=$(git -C "$TOP" describe --always --dirty 2>/dev/null) || repository=unknown
"$CI/report/page" html "$out" "$tmp" "$(series_state)" "$repository" >"$out/report.html.new"
rm -f "$out"/report.{svg,png}
if [ -e "$tmp/placement.svg" ]; then
	cp "$tmp/placement.svg" "$out/report.svg"
	cp "$tmp/placement.png" "$out/report.png"
fi
mv "$out/report.html.new" "$out/report.html"
say "wrote $out/report.html"
