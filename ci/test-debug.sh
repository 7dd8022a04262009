#!/bin/bash
# usage: ci/test-debug.sh [SECONDS [SEED]]
#        ci/test-debug.sh --short
# What the debug kernel (KASAN, lockdep, kmemleak, UBSAN and the checks of mm) says:
# the selftest and the torture program, for SECONDS (300) each, on TOPOS=, and the
# latter once more under fault injection. Slow, and with time limits of its own. The
# short form, of 'make test', is a minute on two nodes, and without that injection.
. "$(dirname "$0")/lib.sh"

short=''
if [ "${1:-}" = --short ]; then
	short=1 TOPOS=2n
	# A guest that hangs must not take all the time that CI has.
	export TEST_TIMEOUT=${TEST_TIMEOUT:-1800}
	set -- 60
fi
duration=${1:-300} seed=${2:-0}
read -ra topologies <<<"${TOPOS:-2n 4n-unequal memonly}"
bad=0
CONFIG=debug ONLY=patched "$CI/run-tests.sh" "${topologies[@]}" || bad=1
for t in "${topologies[@]}"; do
	"$CI/torture.sh" "$t" debug patched "$duration" "$seed" || bad=1
done
[ -n "$short" ] || TOPO=${topologies[0]} CONFIG=debug "$CI/test-inject.sh" 20 "$seed" || bad=1
exit $bad
