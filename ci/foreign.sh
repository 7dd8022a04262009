#!/bin/bash
# usage: ci/foreign.sh ARCH
# Prints the path of a directory with what guests and selftests of another
# architecture than the host's want from Debian: a static busybox, libnuma with its
# headers. The packages of the host stay as they are.
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: ci/foreign.sh ARCH"
packages=(busybox-static libnuma-dev libcap-dev)
# shellcheck disable=SC1091
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$suite" ] || die "/etc/os-release does not say which suite this is"
dir=$CACHE/downloads/$suite-$1-$(echo "${packages[*]}" | sha)
if [ -e "$dir" ]; then
	echo "$dir"
	exit
fi

lock foreign
scratch
mkdir "$tmp/debs" "$tmp/root"
for p in "${packages[@]}"; do
	"$CI/debian.sh" "$suite" download "$p:$1" "$tmp/debs" 9>&-
done
for p in "$tmp"/debs/*.deb; do
	dpkg-deb -x "$p" "$tmp/root"
done
[ -e "$tmp/root/bin/busybox" ] || die "busybox-static of $1 has no /bin/busybox"
mkdir -p "$CACHE/downloads"
rm -rf "$dir"
mv "$tmp/root" "$dir"
echo "$dir"
