#!/bin/bash
# Each patch says that a program wrote it, and is signed off by nobody.
. "$(dirname "$0")/../../lib.sh"

bad=0
message=$(lgit log -1 --format=%B "$4")
if grep -qi '^Signed-off-by:' <<<"$message"; then
	echo "Signed-off-by: only a person may add it"
	bad=1
fi
grep -q '^Assisted-by: LLM' <<<"$message" || { echo "no line 'Assisted-by: LLM ...'"; bad=1; }
[ "$(lgit log -1 --format=%an "$4")" != "" ] || { echo "no author"; bad=1; }
exit $bad
