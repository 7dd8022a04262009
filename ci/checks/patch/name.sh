#!/bin/bash
# The file is named by the slug of its subject, without a number.
. "$(dirname "$0")/../../lib.sh"

want=$(slug "$(lgit log -1 --format=%s "$4")")
[ "$(basename "$2")" = "$want" ] || { echo "the name should be $want"; exit 1; }
