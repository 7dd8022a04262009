#!/bin/bash
# usage: ci/jobs.sh [--json|--gitlab] [KIND...]
# Prints the matrix as jobs, a command a line, for whoever spreads them over several
# machines; any of them may run anywhere, in any order. Kinds: checks (one job a
# check), build (each prefix of the series), builds (other architectures and options),
# runtime (the selftest, each topology with each configuration that boots), torture
# (with fault injection and KCSAN), others (the kernel's own selftests), demo, bench,
# docs.
# --json: as one JSON array;
# --gitlab: as a GitLab CI pipeline, with the packages and the cache of each.
. "$(dirname "$0")/lib.sh"

form=lines
case ${1:-} in
--json | --gitlab) form=${1#--}; shift ;;
-*) die "--json or --gitlab, not '$1'" ;;
esac
kinds=("$@")
[ ${#kinds[@]} -gt 0 ] || kinds=(checks build builds runtime torture others demo bench docs)

# check is for objects only, bench for 'make bench', kcsan for 'make test-kcsan'.
booted() {
	local name
	for name in $(names "$TOP"/configs/*.config); do
		case $name in
		check | bench | kcsan) continue ;;
		esac
		if boots "$name"; then
			echo "$name"
		fi
	done
}

jobs_of() {
	local c t n
	case $1 in
	checks)
		for c in "$CI"/checks/patch/*.sh "$CI"/checks/series/*.sh; do
			basename "$c" .sh
		done | sort -u | sed 's/^/make checks CHECK=/'
		;;
	build)
		n=$(series_patches | wc -l)
		printf 'make build CONFIG=base REV=%s\n' base $(seq "$n")
		;;
	runtime)
		for c in $(booted); do
			for t in $(names "$TOP"/configs/topologies/*.topo); do
				echo "make runtime TOPOS=$t CONFIG=$c"
			done
		done
		;;
	builds)
		for c in $(names "$TOP"/configs/builds/*.config); do
			echo "make test-builds ROWS=$c"
		done
		;;
	torture)
		for t in $(names "$TOP"/configs/topologies/*.topo); do
			echo "make torture TOPO=$t CONFIG=debug"
		done
		echo 'make test-inject'
		echo 'make test-kcsan'
		;;
	others) echo 'make test-others' ;;
	demo | bench | docs) echo "make $1" ;;
	*) die "no such kind of job: '$1': checks, build, builds, runtime, torture, others, demo, bench, docs" ;;
	esac
}

scratch
for k in "${kinds[@]}"; do
	jobs_of "$k"
done >"$tmp/jobs"

case $form in
lines) cat "$tmp/jobs" ;;
json) python3 -c 'import json, sys; print(json.dumps(sys.stdin.read().splitlines()))' <"$tmp/jobs" ;;
gitlab)
	cat <<-'END'
		# Written by 'ci/jobs.sh --gitlab'; see ci/gitlab-ci.yml.
		.job:
		  image: debian:12
		  before_script:
		    - apt-get -q update && apt-get -qy install make git
		  variables:
		    MOF_CACHE: $CI_PROJECT_DIR/.cache
		  cache:
		    key: base
		    paths:
		      - .cache/downloads
		      - .cache/ccache
		  artifacts:
		    when: always
		    paths:
		      - out
	END
	while read -r job; do
		printf '\n"%s":\n  extends: .job\n  script:\n    - %s\n' "${job#make }" "$job"
	done <"$tmp/jobs"
	;;
esac
