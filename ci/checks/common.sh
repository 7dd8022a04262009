# shellcheck shell=bash
# For checks that compile: which objects, in which build directory.

# touched BEFORE COMMIT: the kernel's .c files that the patch touches, and if it
# touches a header, all that the series touches so far.
touched() {
	local files
	files=$(lgit diff --name-only --no-renames --diff-filter=AM "$1" "$2")
	if grep -q '\.h$' <<<"$files"; then
		files=$(lgit diff --name-only --no-renames --diff-filter=AM "$("$CI/base.sh")" "$2")
		files+=$'\n'$(lgit diff --name-only --no-renames --diff-filter=M "$2" "$("$CI/commits.sh" | tail -n1 | cut -f2)")
	fi
	sort -u <<<"$files" | grep -E '\.c$' | grep -vE '^(tools|samples|scripts|Documentation)/' || true
}

# prepare CONFIG COMMIT [NAME]: checks the source out at COMMIT into $src and makes
# $build ready, check-NAME or check-CONFIG. The caller holds the lock "build".
prepare() {
	src=$CACHE/src
	build=$CACHE/build/check-${3:-$1}
	checkout "$src" "$2" || return
	[ ! -e "$build.unfinished" ] || rm -rf "$build"
	mkdir -p "$build"
	"$CI/config.sh" "$1" "$src" "$build.config" 9>&- || return
	: >"$build.unfinished"
	cmp -s "$build.config/.config" "$build/.config" || cp "$build.config/.config" "$build/.config"
}

finished() {
	rm -f "$build.unfinished"
}

# objects: what the kernel in $build was linked from, a line each. Other objects
# may lie about there, of another option.
objects() {
	find "$build" -name built-in.a -print0 | xargs -0 -n1 ar t | sed "s|^$build/||" | sort -u
}
