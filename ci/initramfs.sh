#!/bin/bash
# usage: ci/initramfs.sh [ARCH]
# Prints the path of the guest's root file system: busybox, ci/guest/init, and for the
# host's own architecture numactl with its libraries. Selftests and the command come
# with each boot.
. "$(dirname "$0")/lib.sh"

# The libraries' real names matter to the guest's loader: keep their paths.
libraries() {
	ldd "$(command -v numactl)" | awk '/=> \// { print $3 } /^[[:space:]]*\/.*ld-/ { print $1 }'
}

need numactl ldd file cpio
files=()
if [ "${1:-x86_64}" = x86_64 ]; then
	busybox=/bin/busybox
	mapfile -t files < <(libraries)
	[ ${#files[@]} -ge 2 ] || die "numactl's libraries were not found: install numactl"
	files+=("$(command -v numactl)")
else
	busybox=$("$CI/foreign.sh" "$1")/bin/busybox
fi
[ -e "$busybox" ] || die "$busybox is missing: run 'make deps'"
file -L "$busybox" | grep -q 'statically linked' || die "$busybox is not static: install busybox-static"
key=$(cat "$CI/guest/init" "$0" "$busybox" ${files[@]+"${files[@]}"} | sha)
image=$CACHE/images/initramfs-$key.cpio.gz
if [ -e "$image" ]; then
	echo "$image"
	exit
fi

scratch
root=$tmp/root
mkdir -p "$root"/{bin,sbin,dev,proc,sys,tmp,run,mof,etc,mnt} "$CACHE/images"
cp "$busybox" "$root/bin/busybox"
install -m 755 "$CI/guest/init" "$root/init"
for f in ${files[@]+"${files[@]}"}; do
	install -D -m 755 "$f" "$root$f"
done
(cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio --null -o -H newc -R 0:0 --quiet | gzip -1) >"$image.$$"
mv "$image.$$" "$image"
echo "$image"
