#!/bin/bash
# usage: ci/test-debug.sh [SECONDS [SEED]]
# What the debug kernel (KASAN, lockdep, kmemleak, UBSAN and the checks of mm) says:
# the selftest and the torture program, for SECONDS (300) each, on TOPOS=, and the
# latter once more under fault injection. Slow, and with time limits of its own.
. "$(dirname "$0")/lib.sh"

duration=${1:-300} seed=${2:-0}
read -ra topologies <<<"${TOPOS:-2n 4n-unequal memonly}"
bad=0
CONFIG=debug ONLY=patched "$CI/run-tests.sh" "${topologies[@]}" || bad=1
for t in "${topologies[@]}"; do
	"$CI/torture.sh" "$t" debug patched "$duration" "$seed" || bad=1
done
TOPO=${topologies[0]} CONFIG=debug "$CI/test-inject.sh" || bad=1
exit $bad
