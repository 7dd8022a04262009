#!/bin/bash
# usage: ci/checks.sh [NAME...]
# Runs the static checks: each of ci/checks/patch/*.sh on every patch (its
# arguments: number, file, commit before, commit), then each of
# ci/checks/series/*.sh once. A check prints what is wrong and exits with 1.
# What passed is remembered under a key of the check and all it looked at.
# Prints a line a check; appends pass and fail lines to MOF_RESULTS.
. "$(dirname "$0")/lib.sh"

names=("$@")
for n in "$@"; do
	[ -e "$CI/checks/patch/$n.sh" ] || [ -e "$CI/checks/series/$n.sh" ] ||
		die "there is no check '$n': $(names "$CI"/checks/patch/*.sh "$CI"/checks/series/*.sh)"
done

results=${MOF_RESULTS:-/dev/null}
failed=0
scratch
"$CI/commits.sh" >"$tmp/commits"
count=$(($(wc -l <"$tmp/commits") - 1))
[ "$count" -gt 0 ] || die "the series has no patch to check"
# Settings, code and tools that any check may use.
common=$({
	cat "$CI"/{lib,commits,fragment,config,build}.sh "$CI"/checks/*.sh "$TOP"/configs/*.config
	gcc --version
	sparse --version
} 2>&1 | sha)
mkdir -p "$CACHE/passed"

# run CHECK LABEL KEY ARGUMENT...
run() {
	local check=$1 label=$2 stamp=$CACHE/passed/$3 status=0
	shift 3
	if [ -e "$stamp" ]; then
		echo "pass $label" >>"$results"
		return
	fi
	say "$label"
	"$check" "$@" >"$tmp/out" || status=$?
	if [ $status = 0 ]; then
		: >"$stamp"
		echo "pass $label" >>"$results"
	else
		[ $status -lt 128 ] || exit $status
		failed=$((failed + 1))
		echo "fail $label" >>"$results"
		sed 's/^/    /' "$tmp/out" | head -n 60 >&2
		return 1
	fi
}

wanted() {
	local n
	[ ${#names[@]} -gt 0 ] || return 0
	for n in "${names[@]}"; do
		[ "$n" != "$1" ] || return 0
	done
	return 1
}

ran=0
for check in "$CI"/checks/patch/*.sh; do
	name=$(basename "$check" .sh)
	wanted "$name" || continue
	ran=$((ran + 1))
	good=0
	before=''
	while IFS=$'\t' read -r n commit tree patch; do
		if [ "$n" != 0 ]; then
			key=$({
				cat "$check" "$TOP/patches/$patch"
				if [ -e "$CI/checks/$name.allow" ]; then
					cat "$CI/checks/$name.allow"
				fi
				echo "$common $before $tree"
			} | sha)
			if run "$check" "$name: $n/$count $patch" "$key" "$n" "$TOP/patches/$patch" "$before" "$commit" </dev/null; then
				good=$((good + 1))
			fi
		fi
		before=$commit
	done <"$tmp/commits"
	printf '%-28s %d of %d patches\n' "$name" $good "$count"
done
for check in "$CI"/checks/series/*.sh; do
	name=$(basename "$check" .sh)
	wanted "$name" || continue
	ran=$((ran + 1))
	key=$({
		cat "$check" "$TOP/series" "$tmp/commits"
		echo "$common"
		(cd "$TOP" && find ci selftests patches .ci Makefile MAINTAINERS.snippet -type f -print0 | sort -z | xargs -0 sha256sum)
	} | sha)
	if run "$check" "$name" "$key" </dev/null; then
		printf '%-28s ok\n' "$name"
	else
		printf '%-28s FAILED\n' "$name"
	fi
done
[ $ran -gt 0 ] || die "no check ran"
exit $((failed > 0))
