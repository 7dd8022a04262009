#!/bin/bash
# The touched objects compile with each option of configs/no-*.config off: without
# NUMA, without NUMA_MIGRATION, and without all the others together, as those are
# independent of each other. Which objects a configuration has is known from the
# builds that ci/checks/series/options.sh makes of the whole series, of each by
# itself.
. "$(dirname "$0")/../../lib.sh"
. "$CI/checks/common.sh"

mapfile -t files < <(touched "$3" "$4")
[ ${#files[@]} -gt 0 ] || exit 0
"$CI/checks/series/options.sh" >/dev/null

lock build
scratch
bad=0
for name in no-numa no-numa-migration no-others; do
	prepare "$name" "$4"
	objects=()
	for f in "${files[@]}"; do
		o=${f%.c}.o
		if [ -e "$src/$f" ] && grep -qxF "$o" "$CACHE/build/$name.objects"; then
			objects+=("$o")
		fi
	done
	if [ ${#objects[@]} -gt 0 ]; then
		kmake "$src" "$build" "${objects[@]}" >"$tmp/log" 2>&1 || {
			echo "configs/$name.config:"
			grep -E -A5 'error:|No rule|Error [0-9]' "$tmp/log" | head -n 30
			bad=1
		}
		if grep -A5 'warning:' "$tmp/log"; then
			echo "(configs/$name.config)"
			bad=1
		fi
	fi
	finished
done
exit $bad
