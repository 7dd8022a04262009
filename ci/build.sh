#!/bin/bash
# usage: ci/build.sh CONFIG base|patched|N
# Builds the kernel out of tree with ccache and prints the path of its image.
# An image is kept under a key of everything that goes into it.
. "$(dirname "$0")/lib.sh"

[ $# = 2 ] || die "usage: ci/build.sh CONFIG base|patched|N"
config=$1
check_config "$config"
toolchain "$config"
toolchain_packages
machine
need "$COMPILER" gcc ld make ccache bc flex bison
commit=$(rev "$2")
tree=$(lgit rev-parse "$commit^{tree}")
key=$({
	"$CI/fragment.sh" "$config"
	gcc --version
	ld --version
	[ "$COMPILER" = gcc ] || "$COMPILER" --version
	echo "$tree"
} | sha)
image=$CACHE/images/$config-$key
name=$(basename "$BOOT_IMAGE")
if [ -e "$image/$name" ]; then
	echo "$image/$name"
	exit
fi

lock build
room 2
src=$CACHE/src
build=$CACHE/build/$config
say "building the kernel: configs/$config.config, $2"
checkout "$src" "$commit"

# A build that was killed may have left half an object behind.
[ ! -e "$build.unfinished" ] || rm -rf "$build"
mkdir -p "$build" "$CACHE/images"
"$CI/config.sh" "$config" "$src" "$build.config" 9>&-
: >"$build.unfinished"
cmp -s "$build.config/.config" "$build/.config" || cp "$build.config/.config" "$build/.config"
kmake_argv "$src" "$build"
in_background "$build.log" "${KMAKE[@]}" || {
	grep -E -B2 -A8 'error:|undefined reference|Error [0-9]' "$build.log" | tail -n 40 >&2
	rm -f "$build.unfinished"
	die "the kernel does not build ($2, configs/$config.config): see $build.log"
}
rm -f "$build.unfinished"

rm -rf "$image.new" "$image"
mkdir "$image.new"
echo "$ARCH" >"$image.new/arch"
cp "$build/$BOOT_IMAGE" "$build/.config" "$build/System.map" "$image.new"
mv "$image.new" "$image"
echo "$image/$name"
