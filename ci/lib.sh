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
	mkdir -p "$CACHE/tmp"
	tmp=$(mktemp -d "$CACHE/tmp/${ME%.*}.XXXXXX")
	cleanup "rm -rf '$tmp'"
}

# lock NAME: held until the script ends, so that two runs do not trample each other.
# A child that outlives us must not keep it: start such children with 9>&-.
lock() {
	mkdir -p "$CACHE"
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

# rev NAME: the commit that "base", "patched" or a prefix length stands for.
rev() {
	case $1 in
	base) "$CI/base.sh" ;;
	patched) "$CI/commits.sh" | tail -n1 | cut -f2 ;;
	*)
		local c
		c=$("$CI/commits.sh" | awk -F'\t' -v n="$1" '$1 == n { print $2 }')
		[ -n "$c" ] || die "no revision '$1': say base, patched, or 0..number of patches"
		echo "$c"
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
		CC='ccache gcc' HOSTCC='ccache gcc' LOCALVERSION=
		KBUILD_BUILD_USER=mof KBUILD_BUILD_HOST=mof
		KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026'
		KBUILD_BUILD_VERSION="$(git -C "$src" rev-parse --short=12 'HEAD^{tree}')" "$@")
}

kmake() {
	kmake_argv "$@"
	"${KMAKE[@]}" 9>&-
}

# in_background LOG COMMAND...: waits for it, saying now and then how far it is.
in_background() {
	local log=$1 pid n=0
	shift
	"$@" >"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	cleanup "kill $pid 2>/dev/null && wait $pid 2>/dev/null"
	while kill -0 $pid 2>/dev/null; do
		sleep 0.5
		n=$((n + 1))
		[ $((n % 60)) != 0 ] || say "  still at it: $(wc -l <"$log") lines, now $(tail -n1 "$log" | tr -s ' ' | cut -c1-60)"
	done
	wait $pid
}

# guest_parameters CONFIG: what a kernel of that configuration wants on its command
# line. The debug kernel is slow, and that is no reason for its watchdogs to bark.
guest_parameters() {
	case $1 in
	debug)
		echo page_poison=1 kmemleak=on watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=200 \
			rcupdate.rcu_exp_cpu_stall_timeout=200000 sysctl.kernel.hung_task_timeout_secs=300
		;;
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
