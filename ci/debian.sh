#!/bin/bash
# usage: ci/debian.sh SUITE download|source PACKAGE[:ARCH] DIR
# Downloads a package of another Debian suite or architecture into DIR, from the mirror that the
# host uses, without touching the host's own lists. apt checks signature and hash.
. "$(dirname "$0")/lib.sh"

[ $# = 4 ] || die "usage: ci/debian.sh SUITE download|source PACKAGE[:ARCH] DIR"
suite=$1 what=$2 package=$3 dir=$4

# The mirror that serves the host's own release; MOF_MIRROR= overrides.
mirror() {
	local codename uri
	if [ -n "${MOF_MIRROR:-}" ]; then
		echo "$MOF_MIRROR"
		return
	fi
	# shellcheck disable=SC1091
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016
	uri=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v c="$codename" '$2 == "main" && $3 !~ /security/ &&
			($1 == c || $1 ~ /^(stable|oldstable|testing|unstable|sid)$/) && !n++ { print $3 }')
	[ -n "$uri" ] || die "no Debian mirror in apt's sources: name one with MOF_MIRROR="
	echo "$uri"
}

arch=$(dpkg --print-architecture)
[ "${package#*:}" = "$package" ] || arch=${package#*:}
scratch
apt=$tmp/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
type=deb
options=()
if [ "$what" = source ]; then
	type=deb-src
	options=(--download-only)
fi
echo "$type [signed-by=$keyring] $(mirror) $suite main" >"$apt/src.list"
get=(apt-get -q -o "Dir::State::lists=$apt/lists" -o "Dir::State::status=$apt/status"
	-o "Dir::Cache=$apt/cache" -o "Dir::Etc::sourcelist=$apt/src.list"
	-o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- -o Dir::Etc::preferences=-
	-o "APT::Architecture=$arch" -o "APT::Architectures=$arch"
	-o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3)
say "downloading $package from $suite"
(cd "$dir" && "${get[@]}" update && "${get[@]}" "${options[@]}" "$what" "${package%:*}") >"$tmp/log" 2>&1 || {
	tail -n 20 "$tmp/log" >&2
	die "could not download $package from $suite: check the network"
}
