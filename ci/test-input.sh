#!/bin/bash
# Tests what the scripts make of bad input: wrong settings, trees and patches, a
# machine without network or room, what was interrupted. Each must end with status 2
# and one line that says what to do, and leave nothing that a later run would trust.
# All in a copy of this repository, with a cache of its own and a kernel of three
# files that builds in no time; nothing is downloaded.
. "$(dirname "$0")/lib.sh"

scratch
unset MOF_BASE LINUX TREE MOF_ACCEL CONFIG BENCH TOPO
results=${MOF_RESULTS:-/dev/null}
unset MOF_RESULTS
repo=$tmp/repo
cache=$tmp/cache
export MOF_CACHE=$cache MOF_STEPS=0
mkdir -p "$repo/patches" "$tmp/linux" "$cache"
cp -r "$TOP/ci" "$TOP/configs" "$TOP/selftests" "$TOP/Makefile" "$repo"
cd "$repo"
n=0 bad=0
error='^[a-z][a-z.-]*: error: '

verdict() {
	n=$((n + 1))
	echo "$1 input: $2" >>"$results"
	[ "$1" != fail ] || bad=1
}

# refuses NAME WORDS COMMAND...: status 2, and one error, which has those words.
refuses() {
	local name=$1 words=$2 status=0
	shift 2
	"$@" >"$tmp/log" 2>&1 </dev/null || status=$?
	if [ $status = 2 ] && [ "$(grep -c "$error" "$tmp/log")" = 1 ] && grep -Eq "$error.*($words)" "$tmp/log"; then
		verdict pass "$name"
	else
		say "bad input, $name: wanted status 2 and an error with '$words'; got status $status:"
		sed 's/^/    /' "$tmp/log" | head -n 20 >&2
		verdict fail "$name"
	fi
}

# accepts NAME COMMAND...: what was mended, or run again, works.
accepts() {
	local name=$1 status=0
	shift
	"$@" >"$tmp/log" 2>&1 </dev/null || status=$?
	if [ $status = 0 ]; then
		verdict pass "$name"
	else
		say "bad input, $name: wanted status 0; got $status:"
		sed 's/^/    /' "$tmp/log" | head -n 20 >&2
		verdict fail "$name"
	fi
}

# holds NAME COMMAND...: for what must, or with "!" must not, be left.
holds() {
	local name=$1
	shift
	if [ "$1" = ! ]; then
		shift
		if "$@" >/dev/null 2>&1; then
			verdict fail "$name"
			say "bad input, $name: not so"
		else
			verdict pass "$name"
		fi
	else
		accepts "$name" "$@"
	fi
}

# Settings. What gets past them finds no tree and no network.
export LINUX=/none MOF_MIRROR=http://127.0.0.1:9
refuses "JOBS=0" "JOBS='0'.*1 or more" env JOBS=0 ci/jobs.sh
refuses "JOBS=many" "JOBS='many'" env JOBS=many ci/jobs.sh
refuses "MOF_CACHE= with a blank" "MOF_CACHE=" env "MOF_CACHE=$tmp/a b" ci/base.sh
refuses "MOF_CACHE= that cannot be" "cannot write to.*MOF_CACHE=" env "MOF_CACHE=$repo/Makefile/x" ci/base.sh
refuses "an unknown configuration" "no configuration 'nope': .*base " ci/build.sh nope base
refuses "a configuration out of the way" "no configuration" ci/build.sh ../configs/base base
refuses "an unknown topology" "no topology '3n': 2n " ci/run-tests.sh 3n
refuses "an unknown topology among others" "no topology '3n'" ci/run-tests.sh 2n 3n
refuses "an unknown topology for the demo" "no topology '3n'" env TOPO=3n ci/demo.sh
refuses "an unknown topology for a guest" "no topology '3n'" ci/run.sh 3n base true
refuses "a configuration that boots nowhere" "boots no guest" env CONFIG=small ci/run-tests.sh 2n
refuses "an unknown check" "no check 'nope': checkpatch " ci/checks.sh nope
refuses "an unknown check among others" "no check 'nope'" ci/checks.sh sync nope
refuses "BENCH=long" "BENCH=short or nothing" env BENCH=long ci/bench.sh
refuses "BENCH_REPS=no" "BENCH_REPS='no'" env BENCH_REPS=no ci/bench.sh
refuses "an unknown kind of job" "no such kind of job: 'nope'" ci/jobs.sh nope
refuses "no kernel image" "no kernel image 'none'" ci/boot.sh 2n none -- true
refuses "a time limit that is none" "time limit" ci/boot.sh 2n Makefile --timeout soon -- true
refuses "a file for the guest that is not there" "no file 'none'" ci/boot.sh 2n Makefile --file none -- true
# shellcheck disable=SC2016 # for the shell inside
refuses "a missing tool" "no-such-tool is missing: run 'make deps'" bash -c '. ci/lib.sh; need no-such-tool' x.sh

# Trees. The kernel that stands in for Linux 7.3 does with make what ci/build.sh asks.
cat >"$tmp/linux/Makefile" <<'END'
VERSION = 7
PATCHLEVEL = 3
SUBLEVEL = 0
EXTRAVERSION =

all:
	mkdir -p $(O)/arch/x86/boot
	: >$(O)/half
	test -z "$$HANG" || { : >"$$HANG"; sleep 60; }
	test -z "$$BREAK" || { echo 'x.c:1: error: broken'; exit 1; }
	cat word >$(O)/arch/x86/boot/bzImage
	: >$(O)/System.map

allnoconfig:
	mkdir -p $(O)
	grep -v "^$${VANISH:-nothing}=" $(KCONFIG_ALLCONFIG) >$(O)/.config
END
printf 'one\ntwo\nthree\n' >"$tmp/linux/word"
g=(git -c user.name=test -c user.email=test@localhost -c init.defaultBranch=main)

# copy NAME: another tree like it.
copy() {
	cp -r "$tmp/linux" "$tmp/$1"
}

refuses "LINUX= that is not there" "LINUX=.* does not exist" env LINUX=/none ci/base.sh
mkdir "$tmp/empty"
refuses "LINUX= without a kernel" "holds no kernel tree" env LINUX="$tmp/empty" ci/base.sh
copy old
sed -i 's/^PATCHLEVEL.*/PATCHLEVEL = 2/' "$tmp/old/Makefile"
refuses "another version" "is Linux 7.2, .* point LINUX= at a 7.3 tree" env LINUX="$tmp/old" ci/base.sh
copy built
: >"$tmp/built/.config"
refuses "a tree that was built in" "make mrproper" env LINUX="$tmp/built" ci/base.sh
copy git
"${g[@]}" -C "$tmp/git" init -q
refuses "a git tree without a commit" "has no commit" env LINUX="$tmp/git" ci/base.sh
"${g[@]}" -C "$tmp/git" add .
"${g[@]}" -C "$tmp/git" commit -qm base
echo four >>"$tmp/git/word"
refuses "a git tree with changes" "uncommitted changes: commit or stash" env LINUX="$tmp/git" ci/base.sh
tar -C "$tmp" -czf "$tmp/whole.tar.gz" linux
head -c 300 "$tmp/whole.tar.gz" >"$tmp/linux.tar.gz"
refuses "a tarball that is cut short" "cannot unpack" env LINUX="$tmp/linux.tar.gz" ci/base.sh
tar -C "$tmp" -czf "$tmp/empty.tar.gz" empty
refuses "a tarball without a kernel" "holds no kernel tree" env LINUX="$tmp/empty.tar.gz" ci/base.sh
holds "of all these no base is left" [ -z "$(git --git-dir="$cache/linux.git" for-each-ref refs/tags/base)" ]
cp "$tmp/whole.tar.gz" "$tmp/linux.tar.gz"
accepts "the tarball, whole" env LINUX="$tmp/linux.tar.gz" ci/base.sh
"${g[@]}" -C "$tmp/git" checkout -q word
accepts "the git tree, clean" env LINUX="$tmp/git" ci/base.sh
want=$(LINUX=$tmp/git ci/base.sh 2>/dev/null)
accepts "a relative path" env -C "$tmp" LINUX=git "$repo/ci/base.sh"
holds "one tree, one base" [ "$(LINUX=$tmp/linux.tar.gz ci/base.sh 2>/dev/null)" = "$want" ]
export LINUX=$tmp/git

# Patches.
refuses "no series" "no series file" ci/commits.sh
echo '# base: v7.3' >series
refuses "a series without a patch" "names no patch" ci/commits.sh
echo word.patch >>series
refuses "a patch that is not there" "patches/ has no such file" ci/commits.sh
cp -r "$tmp/git" "$tmp/dev"
sed -i 's/two/2/' "$tmp/dev/word"
"${g[@]}" -C "$tmp/dev" commit -qam 'word: two is 2'
"${g[@]}" -C "$tmp/dev" format-patch -1 --stdout >"$tmp/word.patch"
sed 's/^ three/ drei/' "$tmp/word.patch" >patches/word.patch
refuses "a patch that does not apply" "patch 1, word.patch, does not apply: mend it" ci/commits.sh
holds "it leaves no list of commits" ! grep -r . "$cache/series"
: >patches/word.patch
refuses "an empty patch" "patch 1, word.patch, does not apply" ci/commits.sh
cp "$tmp/word.patch" patches/word.patch
accepts "the patch, mended" ci/commits.sh
refuses "a revision past the end" "no revision '2': say base, patched, or 0 to 1" ci/build.sh base 2
refuses "N= of the Makefile" "no revision 'x; y'" make -s tree 'N=x; y'
refuses "REV= of the Makefile" "no revision '-1'" make -s build REV=-1
mv "$cache/linux.git" "$tmp/away"
rm -rf "$cache/am"
accepts "the repository lost, its lists not" ci/commits.sh
rm -rf "$tmp/away"

# Work trees.
mkdir "$tmp/home"
: >"$tmp/home/thesis"
refuses "TREE= with something in it" "name another directory" env TREE="$tmp/home" ci/tree.sh
holds "which is still there" [ -e "$tmp/home/thesis" ]
refuses "nothing to refresh from" "run 'make tree' first" ci/refresh.sh
accepts "a tree" ci/tree.sh
tree=$(ci/tree.sh 2>/dev/null)
echo >>"$tree/word"
refuses "a tree with changes" "uncommitted changes" ci/tree.sh
refuses "a refresh from a tree with changes" "uncommitted changes" ci/refresh.sh
git -C "$tree" -c user.name=test -c user.email=test@localhost commit -qam 'word: end'
refuses "a tree with commits of its own" "make refresh" ci/tree.sh
refuses "clean all, with such a tree" "make refresh" ci/clean.sh all

# Builds.
refuses "a symbol that vanished" "add what the symbols above depend on" env VANISH=CONFIG_SWAP ci/build.sh base base
refuses "a kernel that does not build" "does not build" env BREAK=1 ci/build.sh base base
holds "neither leaves an image" ! compgen -G "$cache/images/base-*"
HANG=$tmp/hangs setsid ci/build.sh base base >"$tmp/log" 2>&1 </dev/null &
pid=$!
for _ in $(seq 100); do
	[ ! -e "$tmp/hangs" ] || break
	sleep 0.1
done
kill -TERM $pid
status=0
wait $pid || status=$?
holds "an interrupted build says so" [ $status = 143 ]
holds "it leaves no image" ! compgen -G "$cache/images/base-*"
holds "half an object stays" [ -e "$cache/build/base/half" ]
: >"$cache/build/base/old"
accepts "the build, again" ci/build.sh base base
holds "not on top of the half one" [ ! -e "$cache/build/base/old" ]
holds "a whole image" cmp "$(ci/build.sh base base 2>/dev/null)" "$tmp/linux/word"

# No network, no room. A download that was cut short has the wrong sum.
unset LINUX
mkdir -p "$cache/downloads"
deb=$cache/downloads/linux-source-7.3_7.3.1-1_all.deb
echo half >"$deb"
echo "$(echo whole | sha256sum | cut -d' ' -f1)  $(basename "$deb")" >"$deb.sha256"
refuses "no network" "check the network|GiB are needed" ci/base.sh
holds "no base from half a download" ! git --git-dir="$cache/linux.git" rev-parse -q --verify refs/tags/base/debian
mkdir "$tmp/small"
if mount -t tmpfs -o size=4m none "$tmp/small" 2>/dev/null; then
	cleanup "umount '$tmp/small'"
	refuses "no room" "MiB left, 8 GiB are needed: make room" env MOF_CACHE="$tmp/small" ci/base.sh
	refuses "no room for a build" "MiB left, 2 GiB are needed" env MOF_CACHE="$tmp/small" LINUX="$tmp/git" ci/build.sh base base
else
	echo "skip input: no room (only root can try)" >>"$results"
fi

# A guest that dies. What stands in for QEMU says what the guest's console does, at the
# first boot and at the second; see lost() in ci/boot.sh.
cat >>ci/lib.sh <<END
machine() { QEMU=("$tmp/qemu") BOOT_IMAGE=x CONSOLE=x; }
END
cat >"$tmp/qemu" <<'END'
#!/bin/bash
here=$(dirname "$0")
for a in "$@"; do
	case $a in
	file,id=con,path=*) con=${a##*path=} ;;
	file,id=status,path=*) status=${a##*path=} ;;
	esac
done
boots=$(($(cat "$here/boots") + 1))
echo $boots >"$here/boots"
echo '[    0.000000] Linux version 7.3.4' >"$con"
case $(cut -d' ' -f$boots "$here/does") in
int3) echo '[    0.500000] Oops: int3: 0000 [#1] SMP' >>"$con" ;;
late) printf '%s\n' '[    1.000000] mof: command starts' '[    1.500000] Oops: int3: 0000 [#1] SMP' >>"$con" ;;
splat) { echo '[    0.500000] WARNING: mm/migrate.c:1 at f+0x1/0x2'; sed '/^# /d' ci/golden/stale-breakpoint.log; } >>"$con" ;;
stale) sed '/^# /d' ci/golden/stale-breakpoint.log >>"$con" ;;
panic) echo '[    0.500000] Kernel panic - not syncing: so' >>"$con" ;;
good)
	printf '%s\n' '[    1.000000] mof: command starts' '[    2.000000] mof: end, status 0' >>"$con"
	echo 0 >"$status"
	;;
esac
END
chmod 755 "$tmp/qemu"
# boots NAME STATUS HOW-OFTEN DOES...
boots() {
	local name=$1 want=$2 times=$3 status=0
	shift 3
	echo "$*" >"$tmp/does"
	echo 0 >"$tmp/boots"
	MOF_ACCEL=tcg ci/boot.sh 2n Makefile -- true >"$tmp/log" 2>&1 </dev/null || status=$?
	if [ "$status $(<"$tmp/boots")" = "$want $times" ]; then
		verdict pass "$name"
	else
		say "$name: status $status after $(<"$tmp/boots") boots, not $want after $times:"
		sed 's/^/    /' "$tmp/log" | head -n 20 >&2
		verdict fail "$name"
	fi
}
boots "a good guest boots once" 0 1 good good
boots "lost to int3 in the boot, once more" 0 2 int3 good
boots "lost to int3 twice" 120 2 int3 int3
boots "lost to int3 later" 120 1 late good
boots "lost to int3 later that is not in memory, once more" 0 2 stale good
boots "lost to that twice" 120 2 stale stale
boots "a warning before that" 120 1 splat good
boots "a panic in the boot" 120 1 panic good
boots "a panic in the second boot" 120 2 int3 panic

say "  $n bad inputs and what came after them"
exit $bad
