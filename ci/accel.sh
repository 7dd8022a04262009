#!/bin/bash
# usage: ci/accel.sh [ARCH]
# Prints the accelerator QEMU is to use: KVM if a short real boot under it
# succeeds, else TCG. The verdict holds until the machine is booted again.
. "$(dirname "$0")/lib.sh"

if [ -n "${MOF_ACCEL:-}" ]; then
	echo "$MOF_ACCEL"
	exit
fi
if [ "${1:-x86_64}" != x86_64 ]; then
	echo tcg,thread=multi
	exit
fi
need qemu-system-x86_64
verdict=$CACHE/accel-$({ cat /proc/sys/kernel/random/boot_id; qemu-system-x86_64 --version; } | sha)
if [ -e "$verdict" ]; then
	cat "$verdict"
	exit
fi

lock accel
accel=tcg,thread=multi
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	image=$(find "$CACHE/images" -path '*/base-*/bzImage' | head -n1)
	if [ -z "$image" ]; then
		# Nothing to probe with yet: slow but sure, and asked again next time.
		echo $accel
		exit
	fi
	say "trying KVM (up to 20 s)"
	if MOF_ACCEL=kvm "$CI/boot.sh" 2n "$image" --timeout 20 -- true 2>/dev/null 9>&-; then
		accel=kvm
	fi
	say "guests will run under $accel"
fi
echo $accel >"$verdict.$$"
mv "$verdict.$$" "$verdict"
echo $accel
