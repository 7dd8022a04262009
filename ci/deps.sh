#!/bin/bash
# usage: ci/deps.sh [ARCH|PACKAGE]...
# Installs the Debian packages that the other scripts need, if any is missing; also
# what only some configurations need: those for another architecture, PACKAGEs.
. "$(dirname "$0")/lib.sh"

packages=(
	# the kernel and its selftests
	gcc libc6-dev make bc bison flex libelf-dev libssl-dev libcap-dev
	libnuma-dev perl python3 rsync cpio kmod xz-utils file ccache
	# the series and its checks
	git quilt patch b4 sparse codespell python3-ply python3-git python3-yaml shellcheck
	man-db mandoc
	# the guest
	qemu-system-x86 busybox-static numactl util-linux procps
	# the base's source, the demo's picture
	debian-archive-keyring ca-certificates gnuplot-nox fonts-dejavu-core
)
for p in "$@"; do
	case $p in
	i386) ;;
	arm64) packages+=(qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross) ;;
	riscv) packages+=(gcc-riscv64-linux-gnu) ;;
	powerpc) packages+=(gcc-powerpc64le-linux-gnu) ;;
	*) packages+=("$p") ;;
	esac
done

command -v dpkg-query >/dev/null ||
	die "not a Debian system: install these by your own means, then put a 'dpkg-query' in PATH that succeeds: ${packages[*]}"

missing=()
for p in "${packages[@]}"; do
	s=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) || s=
	[ "$s" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		die "packages are missing and there is no sudo: as root, run: apt-get install --no-install-recommends ${missing[*]}"
	root=(sudo)
fi

lock deps
scratch
say "installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! {
	# A third party's broken source must not stop us: install judges.
	"${root[@]}" apt-get -q update || true
	"${root[@]}" apt-get -qy install --no-install-recommends "${missing[@]}"
} >"$tmp/log" 2>&1 </dev/null; then
	tail -n 20 "$tmp/log" >&2
	die "apt-get could not install: ${missing[*]}"
fi
