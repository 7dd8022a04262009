# shellcheck shell=bash
# Sourced by every script here: messages, cache paths, locks, clean-up.
# Messages go to standard error; standard output carries a script's answer.

set -Eeuo pipefail
shopt -s inherit_errexit
export LC_ALL=C
# Debian's own tools, which ci/deps.sh installs, before other versions of them.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
umask 022

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CI=$TOP/ci
CACHE=${MOF_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/migrate-on-fault}
REPO=$CACHE/linux.git
JOBS=${JOBS:-$(nproc)}
ME=$(basename "$0")

# One clock and one step counter for a whole run, however deep the call.
export MOF_START=${MOF_START:-$(date +%s)}
export MOF_STEP=${MOF_STEP:-0}
export MOF_STEPS=${MOF_STEPS:-0}

elapsed() {
	local s=$(($(date +%s) - MOF_START))
	printf '+%02d:%02d' $((s / 60)) $((s % 60))
}

say() {
	if [ "$MOF_STEPS" -gt 0 ]; then
		printf '[%2d/%d  %s] %s\n' "$MOF_STEP" "$MOF_STEPS" "$(elapsed)" "$*" >&2
	else
		printf '[%s] %s\n' "$(elapsed)" "$*" >&2
	fi
}

step() {
	MOF_STEP=$((MOF_STEP + 1))
	say "$*"
}

die() {
	printf '%s: error: %s\n' "$ME" "$*" >&2
	exit 2
}

# Settings: one place says no to nonsense, for all scripts.
[[ $JOBS =~ ^[1-9][0-9]{0,3}$ ]] || die "JOBS='$JOBS' is no number of jobs: say 1 or more, or leave it away"
for MOF_PATH in CACHE LINUX TREE; do
	case ${!MOF_PATH:-/} in
	/*) ;;
	*) printf -v $MOF_PATH %s "$PWD/${!MOF_PATH}" ;;
	esac
done
unset MOF_PATH
[ -z "${MOF_CACHE:-}" ] || MOF_CACHE=$CACHE
[[ $CACHE != *[[:space:]:\'\"]* ]] ||
	die "the kernel cannot be built in '$CACHE': name a directory without blanks, colons and quotes with MOF_CACHE="

# need TOOL...: for scripts that somebody may call without the Makefile.
need() {
	local t
	for t in "$@"; do
		command -v "$t" >/dev/null || die "$t is missing: run 'make deps'"
	done
}

# room GIB: is there as much left for the cache?
room() {
	local free
	{ mkdir -p "$CACHE" && [ -w "$CACHE" ]; } 2>/dev/null ||
		die "cannot write to $CACHE: name a directory for downloads and builds with MOF_CACHE="
	free=$(df --output=avail -k "$CACHE" | tail -n1)
	[ "$free" -ge $(($1 << 20)) ] ||
		die "$CACHE has $((free >> 10)) MiB left, $1 GiB are needed: make room, or name another directory with MOF_CACHE="
}

# names PATTERN...: what those files are called, in a line.
names() {
	local f all=()
	for f in "$@"; do
		f=${f##*/}
		all+=("${f%.*}")
	done
	echo "${all[*]}"
}

check_topology() {
	[ -f "$TOP/configs/topologies/$1.topo" ] ||
		die "there is no topology '$1': $(names "$TOP"/configs/topologies/*.topo)"
}

check_config() {
	[[ ${1#builds/} != */* && -f $TOP/configs/$1.config ]] ||
		die "there is no configuration '$1': $(names "$TOP"/configs/*.config)"
}

# boots CONFIG: has that kernel what ci/guest/init reports by? Others would be lost.
boots() {
	"$CI/fragment.sh" "$1" | grep -x CONFIG_VIRTIO_CONSOLE=y >/dev/null
}

# cleanup COMMAND: run it when the script ends, however it ends; last in, first out.
CLEANUPS=()
cleanup() {
	CLEANUPS=("$*" "${CLEANUPS[@]}")
}

run_cleanups() {
	local status=$? c
	trap - ERR
	set +e
	for c in "${CLEANUPS[@]}"; do
		eval "$c"
	done
	exit $status
}
trap run_cleanups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# What fails without a word of its own gets one; what died or was interrupted
# below us has had its say.
unexpected() {
	case $1 in
	2 | 129 | 130 | 143) ;;
	*) printf '%s: error: line %s: "%s" failed (%s)\n' "$ME" "$2" "$3" "$1" >&2 ;;
	esac
}
trap 'unexpected $? "$LINENO" "$BASH_COMMAND"' ERR

# scratch: sets tmp to a private directory that is gone when the script ends.
scratch() {
	room 0
	mkdir -p "$CACHE/tmp"
	tmp=$(mktemp -d "$CACHE/tmp/${ME%.*}.XXXXXX")
	cleanup "rm -rf '$tmp'"
}

# lock NAME: held until the script ends, so that two runs do not trample each other.
# A child that outlives us must not keep it: start such children with 9>&-.
lock() {
	room 0
	exec 9>"$CACHE/$1.lock"
	if ! flock -n 9; then
		say "waiting for another run ($1)"
		flock 9
	fi
}

sha() {
	sha256sum | cut -c1-20
}

lgit() {
	git --git-dir="$REPO" "$@"
}

# checkout DIR COMMIT: a work tree of the cache's repository, exactly at COMMIT.
# Only files that differ are written, so a build next to it stays incremental.
# The caller holds the lock that guards DIR.
checkout() {
	if [ ! -e "$1/.git" ] || ! git -C "$1" rev-parse -q --verify HEAD >/dev/null 2>&1; then
		rm -rf "$1"
		lgit worktree prune
		lgit worktree add -q --detach --no-checkout "$1" "$2"
	fi
	rm -f "$(git -C "$1" rev-parse --git-dir)/index.lock"
	git -C "$1" reset -q --hard "$2"
	git -C "$1" clean -qfdx
}

# The patches of the series, in order, without comments.
series_patches() {
	[ -f "$TOP/series" ] || die "there is no series file yet: add patches/ and series, or use 'base' only"
	sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$/d' "$TOP/series"
}

# What the patches of the series hold, as one word: results are of one such state.
series_state() {
	local p
	series_patches | while read -r p; do
		cat "$TOP/patches/$p"
	done | sha
}

# about FILE KEY=VALUE...: says beside results what they are of, for 'make report'.
about() {
	local file=$1 repository
	shift
	repository=$(git -C "$TOP" describe --always --dirty 2>/dev/null) || repository=unknown
	{
		printf '%s\n' "date=$(date '+%Y-%m-%d %H:%M:%S %Z')" "repository=$repository" \
			"series=$(series_state)" "accelerator=$("$CI/accel.sh")" "$@"
	} >"$file.new"
	mv "$file.new" "$file"
}

# The patches, each with the part that it is to be posted in, and its group, all
# separated by tabs: the last of the lines "# part N: title", and of those "# group",
# before it in series. Without such lines all is part 1.
series_parts() {
	series_patches >/dev/null
	awk -v OFS='\t' '
		BEGIN { part = 1; group = "-" }
		/^# part [0-9]+(:|$)/ { sub(":", "", $3); part = $3; group = "-"; next }
		/^# base:/ { next }
		/^# / { group = substr($0, 3); next }
		{ sub(/[ \t]*#.*/, "") }
		NF { print part, group, $1 }' "$TOP/series"
}

# rev NAME: the commit that "base", "patched" or a prefix length stands for.
rev() {
	case $1 in
	base) "$CI/base.sh" ;;
	patched) "$CI/commits.sh" | tail -n1 | cut -f2 ;;
	*)
		local c
		c=$("$CI/commits.sh" | awk -F'\t' -v n="$1" '$1 == n { print $2 }')
		[ -n "$c" ] || die "there is no revision '$1': say base, patched, or 0 to $(series_patches | wc -l)"
		echo "$c"
		;;
	esac
}

# setting CONFIG KEY: what a line "# KEY: VALUE" of configs/CONFIG.config says.
setting() {
	sed -n "s/^# $2: *//p" "$TOP/configs/$1.config"
}

# toolchain CONFIG: what its lines "# arch: NAME" and "# compiler: gcc|clang" ask for,
# by default x86_64 and gcc. Sets ARCH, CROSS, COMPILER (the command), and
# TOOLCHAIN, what the kernel's make is told.
ARCH=x86_64
CROSS=''
COMPILER=gcc
TOOLCHAIN=()
toolchain() {
	ARCH=$(setting "$1" arch)
	LINKER=(ld)
	case ${ARCH:=x86_64} in
	x86_64) CROSS='' TOOLCHAIN=() ;;
	i386) CROSS='' TOOLCHAIN=(ARCH=i386) LINKER+=(-m elf_i386) ;;
	arm64) CROSS=aarch64-linux-gnu- TOOLCHAIN=(ARCH=arm64) ;;
	riscv) CROSS=riscv64-linux-gnu- TOOLCHAIN=(ARCH=riscv) ;;
	powerpc) CROSS=powerpc64le-linux-gnu- TOOLCHAIN=(ARCH=powerpc) ;;
	*) die "configs/$1.config: the architecture '$ARCH': x86_64, i386, arm64, riscv or powerpc" ;;
	esac
	[ -z "$CROSS" ] || TOOLCHAIN+=("CROSS_COMPILE=$CROSS") LINKER=("${CROSS}ld")
	COMPILER=$(setting "$1" compiler)
	case ${COMPILER:=gcc} in
	gcc) COMPILER=${CROSS}gcc ;;
	clang) COMPILER=clang-19 ;;
	*) die "configs/$1.config: the compiler '$COMPILER': gcc or clang" ;;
	esac
}

# toolchain_packages: installs what ARCH and COMPILER need and not all scripts do.
toolchain_packages() {
	local extra=()
	[ "$ARCH" = x86_64 ] || extra+=("$ARCH")
	[ "$COMPILER" = "${CROSS}gcc" ] || extra+=("$COMPILER")
	[ ${#extra[@]} = 0 ] || "$CI/deps.sh" "${extra[@]}"
}

# machine: sets for ARCH the emulator, where a build has the kernel's image, and the
# guest's console.
# shellcheck disable=SC2034 # for who called
machine() {
	case $ARCH in
	x86_64)
		QEMU=(qemu-system-x86_64)
		BOOT_IMAGE=arch/x86/boot/bzImage
		CONSOLE=ttyS0
		;;
	arm64)
		QEMU=(qemu-system-aarch64 -machine "virt,gic-version=3")
		BOOT_IMAGE=arch/arm64/boot/Image
		CONSOLE=ttyAMA0
		;;
	esac
}

# kmake_argv SOURCE BUILD ARGUMENT...: sets KMAKE to the kernel's make as every
# build here runs it; it does not outlive the script.
kmake_argv() {
	local src=$1 build=$2
	shift 2
	KMAKE=(env "CCACHE_DIR=${CCACHE_DIR:-$CACHE/ccache}" "CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-8G}" CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
		nice setpriv --pdeathsig TERM make -C "$src" O="$build" -j"$JOBS"
		${TOOLCHAIN[@]+"${TOOLCHAIN[@]}"} CC="ccache $COMPILER" HOSTCC='ccache gcc' LOCALVERSION=
		KBUILD_BUILD_USER=mof KBUILD_BUILD_HOST=mof
		KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026'
		KBUILD_BUILD_VERSION="$(git -C "$src" rev-parse --short=12 'HEAD^{tree}')" "$@")
}

kmake() {
	kmake_argv "$@"
	"${KMAKE[@]}" 9>&-
}

# yet DONE ALL SECONDS: how long the rest takes at that pace; nothing before the start.
yet() {
	local left
	[[ $1 -gt 0 && $2 -ge $1 ]] || return 0
	left=$(($3 * ($2 - $1) / $1))
	if [ $left -lt 90 ]; then
		echo ", about $left s yet"
	else
		echo ", about $(((left + 30) / 60)) min yet"
	fi
}

# in_background LOG COMMAND...: waits for it, saying now and then how far it is. How
# far that is of the whole, the longest log so far tells: a build that finds objects
# of another ends before.
in_background() {
	local log=$1 pid n=0 lines most status=0
	shift
	most=$(cat "$log.most" 2>/dev/null) || most=0
	"$@" >"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	cleanup "kill $pid 2>/dev/null && wait $pid 2>/dev/null"
	while kill -0 $pid 2>/dev/null; do
		sleep 0.5
		n=$((n + 1))
		if [ $((n % 60)) = 0 ]; then
			lines=$(wc -l <"$log")
			say "  still at it: $lines lines$([ "$lines" -gt "$most" ] || echo " of at most $most$(yet "$lines" "$most" $((n / 2)))"), now $(tail -n1 "$log" | tr -s ' ' | cut -c1-60)"
		fi
	done
	wait $pid || status=$?
	lines=$(wc -l <"$log")
	if [ $status = 0 ] && [ "$lines" -gt "$most" ]; then
		echo "$lines" >"$log.most"
	fi
	return $status
}

# leaks OUTPUT NAME: false if ci/guest/kmemleak has found leaks, or has not said that it
# looked. It ends itself when its own memory runs out, which is no result.
leaks() {
	local said
	said=$(sed -n -E '/^# kmemleak:/{s/^# kmemleak: ?//p;q}' "$1")
	case $said in
	nothing) return ;;
	'has gone,'*) echo "skip kmemleak in $2: it $said" >>"${MOF_RESULTS:-/dev/null}" ;;
	esac
	say "  kmemleak: ${said:-$(grep -q '^# kmemleak:' "$1" && echo 'leaks, see above' || echo 'is silent')}"
	[ "${said#has gone,}" != "$said" ]
}

# guest_parameters CONFIG: what a kernel of that configuration wants on its command
# line. These are slow, and that is no reason for their watchdogs to bark.
guest_parameters() {
	local patient="watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=200
		rcupdate.rcu_exp_cpu_stall_timeout=200000 sysctl.kernel.hung_task_timeout_secs=300"

	# shellcheck disable=SC2086 # words, on one line
	case $1 in
	debug) echo page_poison=1 kmemleak=on $patient ;;
	kcsan) echo $patient ;;
	esac
}

# The work tree that 'make tree' leaves and 'make refresh' reads: one a checkout.
work_tree() {
	echo "${TREE:-$CACHE/tree/$(basename "$TOP")-$(echo "$TOP" | sha | cut -c1-6)}"
}

branch() {
	echo "migrate-on-fault-$(echo "$TOP" | sha | cut -c1-6)"
}

# slug SUBJECT: the name of a patch file, from its subject.
slug() {
	echo "$1" | tr '[:upper:]' '[:lower:]' | sed -e 's/[^a-z0-9._]\{1,\}/-/g' -e 's/^-//' -e 's/[-.]*$//' -e 's/$/.patch/'
}
