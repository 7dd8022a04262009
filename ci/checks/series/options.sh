#!/bin/bash
# The whole series builds and links with each option of configs/no-*.config off,
# without a warning.
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
	if [ "$(cat "$CACHE/build/check-$name.linked" 2>/dev/null)" = "$key" ]; then
		continue
	fi
	say "  linking with configs/$name.config"
	prepare "$name" "$commit"
	rm -f "$build.linked"
	kmake_argv "$src" "$build" vmlinux
	if ! in_background "$build.log" "${KMAKE[@]}"; then
		echo "configs/$name.config:"
		grep -E -A5 'error:|undefined reference|Error [0-9]' "$build.log" | head -n 30
		bad=1
		finished
		continue
	fi
	if grep -A5 'warning:' "$build.log"; then
		echo "(configs/$name.config)"
		bad=1
		finished
		continue
	fi
	(cd "$build" && find . -name '*.o' -printf '%P\n') >"$build.objects"
	finished
	echo "$key" >"$build.linked"
done
exit $bad
