#!/bin/bash
# The kernel builds and links with the series up to this patch, in
# configs/small.config: what the series touches, switched on, and little else.
. "$(dirname "$0")/../../lib.sh"

"$CI/build.sh" small "$1" >/dev/null
