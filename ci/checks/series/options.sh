#!/bin/bash
# The whole series builds and links with each option of configs/no-*.config off,
# without a warning. One build directory for all of them: make compiles anew only
# what mentions the options that differ.
. "$(dirname "$0")/../../lib.sh"
. "$CI/checks/common.sh"

commit=$(rev patched)
tree=$(lgit rev-parse "$commit^{tree}")
lock build
scratch
bad=0
for config in "$TOP"/configs/no-*.config; do
	name=$(basename "$config" .config)
	key=$({ "$CI/fragment.sh" "$name"; gcc --version; echo "$tree"; } | sha)
	list=$CACHE/build/$name.objects
	if [ "$(head -n1 "$list" 2>/dev/null)" = "$key" ]; then
		continue
	fi
	say "  linking with configs/$name.config"
	prepare "$name" "$commit" options
	kmake_argv "$src" "$build" vmlinux
	if ! in_background "$build.log" "${KMAKE[@]}"; then
		echo "configs/$name.config:"
		grep -E -A5 'error:|undefined reference|Error [0-9]' "$build.log" | head -n 30
		bad=1
	elif grep -A5 'warning:' "$build.log"; then
		echo "(configs/$name.config)"
		bad=1
	else
		{
			echo "$key"
			objects
		} >"$tmp/list"
		mv "$tmp/list" "$list"
	fi
	finished
done
exit $bad
