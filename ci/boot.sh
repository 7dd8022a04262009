#!/bin/bash
# usage: ci/boot.sh TOPOLOGY IMAGE [--timeout S] [--out DIR] [--file SRC[:DEST]]...
#                   [--append PARAMETERS] [--disk SIZE] [--allowed FILE] -- COMMAND...
#        ci/boot.sh TOPOLOGY IMAGE --shell
#        ci/boot.sh TOPOLOGY IMAGE --pack FILE [--file SRC[:DEST]]... -- COMMAND...
# Boots the kernel on configs/topologies/TOPOLOGY.topo (or on the file TOPOLOGY, if
# there is a slash in it), runs the command and returns its status. --file puts a
# file at DEST in the guest (/mof/<name>), --append adds to the kernel's parameters,
# --disk adds an empty disk, /dev/vdb; --allowed names a file for ci/check-console.
# --pack writes the root file system with command and files, for a machine of
# another kind, and boots nothing.
# DIR gets the command, its output (output) and the console (console.log).
# 120: the guest was lost (no status, time out, or a death of QEMU),
# 121: the console shows a problem, or is not a whole one.
. "$(dirname "$0")/lib.sh"

LOST=120
SPLAT=121
arguments=("$@")

usage() {
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0" | sed '/^\. /,$d' >&2
	exit 2
}

[ $# -ge 3 ] || usage
topo=$TOP/configs/topologies/$1.topo
[ "${1%/*}" = "$1" ] || topo=$1
image=$2
shift 2
timeout=600 out='' shell='' files=() parameters='' disk='' pack='' allowed=$CI/allowed-splats
while [ $# -gt 0 ]; do
	case $1 in
	--timeout) timeout=$2; shift 2 ;;
	--out) out=$2; shift 2 ;;
	--file) files+=("$2"); shift 2 ;;
	--append) parameters=$2; shift 2 ;;
	--disk) disk=$2; shift 2 ;;
	--allowed) allowed=$2; shift 2 ;;
	--pack) pack=$2; shift 2 ;;
	--shell) shell=1; shift ;;
	--) shift; break ;;
	*) usage ;;
	esac
done
[ -n "$shell" ] || [ $# -gt 0 ] || usage
[ -f "$topo" ] || die "there is no topology '${topo#"$TOP"/configs/topologies/}': $(names "$TOP"/configs/topologies/*.topo), or a file's path"
[ -f "$image" ] || die "there is no kernel image '$image'"
[[ $timeout =~ ^[1-9][0-9]*$ ]] || die "a time limit of '$timeout': say a number of seconds"
need cpio setpriv
# What ci/build.sh says beside the image.
if [ -e "$(dirname "$image")/arch" ]; then
	ARCH=$(<"$(dirname "$image")/arch")
fi
machine
# Where the PCI interrupts go is a table on this machine. On QEMU's default one it is a
# loop in AML: with KASAN that takes a minute, and on a busy host so long that ACPI gives
# up, and the disks have no interrupts.
if [ "$ARCH" = x86_64 ] && grep -qsE ' __(asan|tsan)_' "$(dirname "$image")/System.map"; then
	QEMU+=(-machine q35)
fi

scratch
out=${out:-$tmp/out}
mkdir -p "$out"
rm -f "$out/console.log" "$out/console.first" "$out/output" "$out/status"

# The command and its files: a second archive, unpacked over the first.
root=$tmp/root
mkdir -p "$root/mof"
for f in ${files[@]+"${files[@]}"}; do
	src=${f%%:*}
	[ -f "$src" ] || die "there is no file '$src' for the guest"
	dest=/mof/$(basename "$src")
	[ "$src" = "$f" ] || dest=${f#*:}
	install -D -m 755 "$src" "$root$dest"
done
if [ -z "$shell" ]; then
	printf '#!/bin/sh\n%s\n' "$*" >"$root/mof/command"
	chmod 755 "$root/mof/command"
	cp "$root/mof/command" "$out/command"
fi
initramfs=$("$CI/initramfs.sh" "$ARCH")
cp "$initramfs" "$tmp/initrd"
(cd "$root" && find . -print0 | sort -z | cpio --null -o -H newc -R 0:0 --quiet | gzip -1) >>"$tmp/initrd"
if [ -n "$pack" ]; then
	mv "$tmp/initrd" "$pack"
	exit
fi

truncate -s 1G "$tmp/swap"

append="console=$CONSOLE panic=-1 oops=panic ignore_loglevel page_owner=on sysctl.kernel.hung_task_timeout_secs=60"
# Where the host is busy an emulated timer may be late for the kernel's check of it.
append="$append no_timer_check $parameters"
# shellcheck disable=SC2054 # commas belong to QEMU's options
qemu=("${QEMU[@]}" -nodefaults -no-user-config -display none -no-reboot
	-accel "$("$CI/accel.sh" "$ARCH")" -kernel "$image" -initrd "$tmp/initrd" -append "$append"
	-drive "file=$tmp/swap,if=none,id=swap,format=raw,cache=unsafe"
	-device virtio-blk-pci,drive=swap
	-device virtio-serial-pci)
if [ -n "$disk" ]; then
	truncate -s "$disk" "$tmp/disk"
	# shellcheck disable=SC2054
	qemu+=(-drive "file=$tmp/disk,if=none,id=disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=disk)
fi
while read -r option value; do
	qemu+=("-$option" "$value")
done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$topo")

if [ -n "$shell" ]; then
	say "a shell on $(basename "$topo" .topo): 'exit' ends it, so does Ctrl-A x"
	"${qemu[@]}" -chardev stdio,id=con,mux=on,signal=off -serial chardev:con -mon chardev=con
	exit
fi

# shellcheck disable=SC2054
qemu+=(-chardev "file,id=con,path=$out/console.log" -serial chardev:con
	-chardev "file,id=output,path=$out/output" -device virtserialport,chardev=output,name=mof.output
	-chardev "file,id=status,path=$tmp/status" -device virtserialport,chardev=status,name=mof.status)

# In the background, so that a signal is heard at once; and bound to our life.
setpriv --pdeathsig TERM timeout -k 5 "$timeout" \
	setpriv --pdeathsig KILL "${qemu[@]}" >"$out/qemu.log" 2>&1 </dev/null 9>&- &
pid=$!
cleanup "kill $pid 2>/dev/null"
# Every minute, how far it is: by its KTAP, if it speaks that. A console that falls
# silent for five before the command starts is that of a guest which is not going to.
started=$SECONDS said=$SECONDS heard=$SECONDS size='' stuck=''
while kill -0 $pid 2>/dev/null; do
	sleep 0.2
	[ $((SECONDS - said)) -ge 60 ] || continue
	said=$SECONDS
	if [ "$size" != "$(stat -c %s "$out/console.log" 2>/dev/null)" ]; then
		size=$(stat -c %s "$out/console.log")
		heard=$SECONDS
	elif [ $((SECONDS - heard)) -ge 300 ] && ! grep -q 'mof: command starts' "$out/console.log"; then
		stuck=1
		kill $pid 2>/dev/null || true
	fi
	passed=$((SECONDS - started))
	planned=$(sed -n '/^1\.\./{s/^1\.\.//p;q}' "$out/output" 2>/dev/null) || planned=
	if [[ $planned =~ ^[0-9]+$ ]]; then
		n=$(grep -cE '^(not )?ok ' "$out/output" || true)
		say "  $(basename "$topo" .topo): $n of $planned tests in $passed s$(yet "$n" "$planned" $passed)"
	else
		say "  $(basename "$topo" .topo): $passed s of at most $timeout, $(wc -l 2>/dev/null <"$out/output" || echo 0) lines"
	fi
done
qstatus=0
wait $pid || qstatus=$?

lost() {
	# Not the kernel's fault: a breakpoint that it has taken away already (see
	# ci/stale-breakpoint); time limits of drivers, which run out on a busy host. Once
	# more then, but a second death is a failure, and so is every other one.
	local of=''
	if [ -n "$stuck" ]; then
		of='silence while it booted'
	elif grep -q 'Oops: int3' "$out/console.log" 2>/dev/null; then
		if "$CI/stale-breakpoint" "$out/console.log"; then
			of='a breakpoint that is not in its memory'
		elif ! grep -q 'mof: command starts' "$out/console.log"; then
			of='a breakpoint while it booted'
		fi
		# What it has said before that counts.
		{ sed '/Oops: int3/,$d' "$out/console.log"; echo 'mof: end, status 0'; } >"$tmp/before"
		"$CI/check-console" --allowed "$allowed" "$tmp/before" >"$tmp/splats" || {
			of=''
			sed 's/^/    /' "$tmp/splats" | head -n 60 >&2
		}
	fi
	if [ -n "$of" ] && [ -z "${MOF_BOOTED_AGAIN:-}" ]; then
		say "QEMU lost the guest ($(basename "$topo" .topo)) to $of: once more; its console is in $out/console.first"
		touch "$out/console.log"
		mv "$out/console.log" "$tmp/console.first"
		status=0
		MOF_BOOTED_AGAIN=1 "$0" "${arguments[@]}" || status=$?
		mv "$tmp/console.first" "$out/console.first"
		exit $status
	fi
	say "lost the guest ($(basename "$topo" .topo)): $*; its console ends:"
	tail -n 30 "$out/console.log" 2>/dev/null | sed 's/^/    /' >&2
	[ ! -s "$out/qemu.log" ] || sed 's/^/    qemu: /' "$out/qemu.log" | head -n 10 >&2
	exit $LOST
}

case $qstatus in
0) ;;
124 | 137) lost "no end within $timeout s" ;;
*) lost "QEMU ended with status $qstatus" ;;
esac
status=$(cat "$tmp/status" 2>/dev/null) || status=
[[ $status =~ ^[0-9]+$ ]] || lost "it told no exit status"

"$CI/check-console" --allowed "$allowed" "$out/console.log" >"$out/splats" || {
	say "the console ($(basename "$topo" .topo)) shows a problem:"
	sed 's/^/    /' "$out/splats" | head -n 60 >&2
	exit $SPLAT
}
exit "$status"
