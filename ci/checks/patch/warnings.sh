#!/bin/bash
# Neither gcc with W=1 nor sparse says anything of the touched objects that it
# did not say before the patch.
. "$(dirname "$0")/../../lib.sh"
. "$CI/checks/common.sh"

# warnings COMMIT OUTPUT: without line numbers, for they move. What is said of an
# object is kept, as "after" of one patch is "before" of the next.
warnings() {
	local o objects=() kept
	kept=$CACHE/warnings/$({
		"$CI/fragment.sh" check
		gcc --version
		sparse --version
		lgit rev-parse "$1^{tree}"
	} 2>&1 | sha)
	mkdir -p "$kept"
	prepare check "$1"
	for o in "${files[@]}"; do
		if [ ! -e "$src/$o" ] || [ -e "$kept/${o//\//,}" ]; then
			continue
		fi
		objects+=("${o%.c}.o")
		rm -f "$build/${o%.c}.o"
	done
	if [ ${#objects[@]} -gt 0 ]; then
		sparse=$("$CI/sparse.sh" "$src" 9>&-)
		# -O: what is said of an object is not torn apart by another
		kmake "$src" "$build" -O W=1 C=2 CHECK="$sparse" "${objects[@]}" >"$tmp/log" 2>&1 || {
			grep -E -A5 'error:|No rule|Error [0-9]' "$tmp/log" | head -n 30
			die "touched objects do not compile in configs/check.config: does it enable them?"
		}
		for o in "${objects[@]}"; do
			[ -e "$build/$o" ] || die "$o was not made: enable it in configs/check.config"
			grep -q "CHECK .*${o%.o}.c" "$tmp/log" || die "sparse did not look at ${o%.o}.c"
		done
		for o in "${objects[@]}"; do
			# From its CC line to that of another, the CHECK line and what follows included
			awk -v file="${o%.o}" '$1 == "CC" || $1 == "CHECK" { f = $NF; sub(/\.[co]$/, "", f); mine = f == file || f ~ "/" file "$" } mine' "$tmp/log" |
				grep -E '(warning|error):' | sed -E "s,^$src/,,; s/:[0-9]+(:[0-9]+)?:/:/g" | sort >"$tmp/said" || true
			mv "$tmp/said" "$kept/$(tr / , <<<"${o%.o}.c")"
		done
	fi
	for o in "${files[@]}"; do
		[ ! -e "$src/$o" ] || cat "$kept/${o//\//,}"
	done | sort >"$2"
	finished
}

lock build
scratch
mapfile -t files < <(touched "$3" "$4")
[ ${#files[@]} -gt 0 ] || exit 0
warnings "$3" "$tmp/before"
warnings "$4" "$tmp/after"
comm -13 "$tmp/before" "$tmp/after" >"$tmp/new"
cat "$tmp/new"
[ ! -s "$tmp/new" ] || exit 1
