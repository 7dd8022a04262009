#!/bin/bash
# usage: ci/b4.sh
# Prints the path of a b4 that has 'prep --check': the host's, or where that is too
# old, the one of a later Debian release, unpacked here; the host's again where that
# cannot be had.
. "$(dirname "$0")/lib.sh"

suite=trixie
host=$(command -v b4) || die "b4 is missing: run 'make deps'"
checks() {
	"$1" prep --help 2>/dev/null | grep -q -- '--check\b'
}

root=$CACHE/tools/b4
found() {
	local b
	for b in "$host" "$root/b4"; do
		if [ -x "$b" ] && checks "$b"; then
			echo "$b"
			exit
		fi
	done
}

found
lock b4
# Another run may have unpacked it meanwhile, and use it.
found
scratch
mkdir -p "$tmp/root" "$CACHE/tools"
if ! "$CI/debian.sh" $suite download b4 "$tmp"; then
	say "so this is b4 $("$host" --version), which has no 'prep --check'"
	echo "$host"
	exit
fi
dpkg-deb -x "$tmp"/b4_*.deb "$tmp/root"
# It is all Python, and its libraries are the host's.
cat >"$tmp/root/b4" <<'END'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
PYTHONPATH=$root/usr/lib/python3/dist-packages exec python3 "$root/usr/bin/b4" "$@"
END
chmod 755 "$tmp/root/b4"
checks "$tmp/root/b4" || die "b4 of Debian $suite does not run here: install a b4 that has 'prep --check'"
rm -rf "$root"
mv "$tmp/root" "$root"
echo "$root/b4"
