#!/bin/bash
# usage: ci/man-page.sh base|patched|source|example
# Prints the path of: the mbind(2) page of Debian's man-pages; the same with
# patches/man-pages/mbind.2.patch; the program in its section EXAMPLES; and that
# as a binary which runs in the guest.
. "$(dirname "$0")/lib.sh"

# A release whose packages stay what they are. The patch is for what the authors
# have now, which is newer; it is made so that it applies to both.
SUITE=trixie
VERSION=6.9.1
SHA256=c05875564933fe5d95c6331f18511dc58176ef56f359caada74b7f956a76290b

what=${1:-}
patch=$TOP/patches/man-pages/mbind.2.patch
page=$CACHE/downloads/mbind-$VERSION.2
scratch

if ! sha256sum --status -c <<<"$SHA256  $page" 2>/dev/null; then
	mkdir -p "$CACHE/downloads"
	"$CI/debian.sh" $SUITE download manpages-dev "$tmp"
	dpkg-deb --fsys-tarfile "$tmp"/manpages-dev_*.deb | tar -xO ./usr/share/man/man2/mbind.2.gz | gunzip >"$tmp/page"
	sha256sum --status -c <<<"$SHA256  $tmp/page" ||
		die "mbind.2 of $SUITE's manpages-dev is not the one of man-pages $VERSION: look whether patches/man-pages/mbind.2.patch fits the new one, then change $ME"
	mv "$tmp/page" "$page"
fi

key=$({
	cat "$page" "$patch" "$0"
	gcc --version
} | sha)
dir=$CACHE/man-page/$key
if [ ! -d "$dir" ]; then
	mkdir "$tmp/dir"
	# A release has date and version in its title, the authors' tree has not.
	sed 's/^\.TH mbind 2 .*/.TH mbind 2 (date) "Linux man-pages (unreleased)"/' "$page" >"$tmp/dir/base.2"
	patch -s --fuzz=0 -o "$tmp/dir/patched.2" "$tmp/dir/base.2" "$patch" >&2 ||
		die "patches/man-pages/mbind.2.patch does not apply to mbind.2 of man-pages $VERSION"
	# The program, and what roff wants quoted in it
	sed -n '/^\.\\" SRC BEGIN (mbind_lazy\.c)$/,/^\.\\" SRC END$/p' "$tmp/dir/patched.2" | grep -v '^\.' |
		sed -e 's/^\\&//' -e 's/\\-/-/g' -e "s/\\\\\[aq\]/'/g" -e 's/\\\[ti\]/~/g' -e 's/\\\[ha\]/^/g' \
			-e 's/\\\[rs\]/\\/g' >"$tmp/dir/mbind_lazy.c"
	[ -s "$tmp/dir/mbind_lazy.c" ] || die "the page has no program between 'SRC BEGIN (mbind_lazy.c)' and 'SRC END'"
	gcc -O2 -Wall -Wextra -Werror -static -Wl,--no-warnings -o "$tmp/dir/example" "$tmp/dir/mbind_lazy.c" -lnuma >&2 ||
		die "the example of the man page does not compile without warnings"
	mkdir -p "$CACHE/man-page"
	rm -rf "$dir"
	mv "$tmp/dir" "$dir"
fi
case $what in
base | patched) echo "$dir/$what.2" ;;
source) echo "$dir/mbind_lazy.c" ;;
example) echo "$dir/example" ;;
*) die "usage: ci/man-page.sh base|patched|source|example" ;;
esac
