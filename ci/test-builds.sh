#!/bin/bash
# usage: ci/test-builds.sh [ROW...]
# Compiles the series as ci/checks does not: for other architectures, by another
# compiler, with more options off or on. A ROW is a file configs/builds/ROW.config;
# without any, all of them. In each, mm/ (or what its line "# builds: DIR..." says) is
# compiled of the base; then the objects that each patch touches, of the series up to
# this patch (PREFIXES=last: of the whole series only), and the directories again, of
# the whole series. Errors, and warnings that the base does not give, are failures.
# Prints a line a row: what the series adds to mm/ by the kernel's bloat-o-meter, whose
# report is then in out/builds/; with a line "# grows: BYTES" in sum not more than that,
# and without a new function or variable.
. "$(dirname "$0")/lib.sh"
. "$CI/checks/common.sh"

rows=("$@")
[ ${#rows[@]} -gt 0 ] || read -ra rows <<<"$(names "$TOP"/configs/builds/*.config)"
for row in "${rows[@]}"; do
	check_config "builds/$row"
done
prefixes=${PREFIXES:-all}
[[ $prefixes = all || $prefixes = last ]] || die "PREFIXES=$prefixes: all or last"

scratch
"$CI/commits.sh" >"$tmp/commits"
base=$(head -n1 "$tmp/commits" | cut -f2)
patched=$(tail -n1 "$tmp/commits" | cut -f2)
count=$(($(wc -l <"$tmp/commits") - 1))
mkdir -p "$CACHE/passed" "$TOP/out/builds"

# compile LOG TARGET...: what the compiler says goes to LOG.
compile() {
	local log=$1
	shift
	kmake_argv "$src" "$build" "$@"
	in_background "$log" "${KMAKE[@]}" || {
		grep -E -A5 'error:|undefined reference|No rule|Error [0-9]' "$log" | head -n 30 | sed 's/^/    /' >&2
		return 1
	}
}

# warned LOG: its warnings, without the lines' numbers.
warned() {
	grep -E 'warning:' "$1" | sed -E "s,^$src/,,; s/:[0-9]+(:[0-9]+)?:/:/g" | sort -u || true
}

# whole FILE: what mm/ puts into the kernel, as one object that stays.
whole() {
	"${LINKER[@]}" -r -o "$1" --whole-archive "$build/mm/built-in.a"
}

row() {
	local row=$1 n commit patch before files f o objects
	toolchain "builds/$row"
	toolchain_packages || return
	rm -f "$tmp/base.o" "$tmp/patched.o"
	read -ra directories <<<"$(setting "builds/$row" builds)"
	[ ${#directories[@]} -gt 0 ] || directories=(mm/)

	say "$row: ${directories[*]} of the base"
	prepare "builds/$row" "$base" "builds-$row" || return
	rm -rf "${directories[@]/#/$build/}"
	compile "$build.log" "${directories[@]}" || return
	finished
	warned "$build.log" >"$tmp/base.warned"
	whole "$tmp/base.o" || return
	(cd "$build" && find "${directories[@]}" -name '*.o') | sort >"$tmp/objects"

	before=$base
	while IFS=$'\t' read -r n commit _ patch; do
		[ "$n" != 0 ] || continue
		objects=()
		if [ "$prefixes" = all ]; then
			while read -r f; do
				o=${f%.c}.o
				if [ -n "$f" ] && grep -qxF "$o" "$tmp/objects"; then
					objects+=("$o")
				fi
			done < <(touched "$before" "$commit")
		fi
		before=$commit
		[ ${#objects[@]} -gt 0 ] || continue
		say "$row: $n/$count $patch, ${#objects[@]} objects"
		prepare "builds/$row" "$commit" "builds-$row" || return
		compile "$build.log" "${objects[@]}" || return
		finished
		warned "$build.log" | comm -13 "$tmp/base.warned" - >"$tmp/new"
		[ ! -s "$tmp/new" ] || { sed 's/^/    /' "$tmp/new" >&2; return 1; }
	done <"$tmp/commits"

	say "$row: ${directories[*]} of the whole series"
	prepare "builds/$row" "$patched" "builds-$row" || return
	compile "$build.log" "${directories[@]}" || return
	finished
	warned "$build.log" | comm -13 "$tmp/base.warned" - >"$tmp/new"
	[ ! -s "$tmp/new" ] || { sed 's/^/    /' "$tmp/new" >&2; return 1; }
	whole "$tmp/patched.o" || return
	"$src/scripts/bloat-o-meter" -p "$CROSS" "$tmp/base.o" "$tmp/patched.o" >"$TOP/out/builds/$row.bloat" || return
	local growth
	growth=$(head -n1 "$TOP/out/builds/$row.bloat")
	printf '%-16s %s\n' "$row" "$growth"
	# In sum: any change makes the compiler allocate registers differently somewhere.
	local limit sum added
	limit=$(setting "builds/$row" grows)
	[ -n "$limit" ] || return 0
	sum=$(sed -n -E 's/^.*up\/down: .*\((-?[0-9]+)\)$/\1/p' <<<"$growth")
	[ -n "$sum" ] || { echo "    bloat-o-meter says what is not understood" >&2; return 1; }
	added=$(awk '$2 == "-" && $1 !~ /^__UNIQUE_ID_/ { print $1 }' "$TOP/out/builds/$row.bloat")
	if [ "$sum" -gt "$limit" ] || [ -n "$added" ]; then
		sed 's/^/    /' "$TOP/out/builds/$row.bloat" >&2
		return 1
	fi
}

bad=0
lock build
for row in "${rows[@]}"; do
	verdict=pass
	row "$row" || verdict=fail
	if [ $verdict = fail ]; then
		bad=1
		echo FAILED >"$TOP/out/builds/$row.bloat"
		printf '%-16s FAILED, see above and %s\n' "$row" "$CACHE/build/check-builds-$row.log"
	fi
	echo "$verdict builds: $row" >>"${MOF_RESULTS:-/dev/null}"
done
exit $bad
