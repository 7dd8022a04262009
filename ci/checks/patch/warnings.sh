#!/bin/bash
# Neither gcc with W=1 nor sparse says anything of the touched objects that it
# did not say before the patch.
. "$(dirname "$0")/../../lib.sh"
. "$CI/checks/common.sh"

# warnings COMMIT OUTPUT: without line numbers, for they move.
warnings() {
	prepare check "$1"
	local o objects=()
	for o in "${files[@]}"; do
		[ -e "$src/$o" ] || continue
		objects+=("${o%.c}.o")
		rm -f "$build/${o%.c}.o"
	done
	: >"$2"
	if [ ${#objects[@]} -gt 0 ]; then
		sparse=$("$CI/sparse.sh" "$src" 9>&-)
		kmake "$src" "$build" W=1 C=2 CHECK="$sparse" "${objects[@]}" >"$tmp/log" 2>&1 || {
			grep -E -A5 'error:|No rule|Error [0-9]' "$tmp/log" | head -n 30
			die "touched objects do not compile in configs/check.config: does it enable them?"
		}
		for o in "${objects[@]}"; do
			[ -e "$build/$o" ] || die "$o was not made: enable it in configs/check.config"
			grep -q "CHECK .*${o%.o}.c" "$tmp/log" || die "sparse did not look at ${o%.o}.c"
		done
		grep -E '(warning|error):' "$tmp/log" | sed -E "s,^$src/,,; s/:[0-9]+(:[0-9]+)?:/:/g" | sort >"$2" || true
	fi
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
