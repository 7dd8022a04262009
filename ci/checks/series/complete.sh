#!/bin/bash
# The series names its base on its first line, names every patch once, and no
# patch that is not there.
. "$(dirname "$0")/../../lib.sh"

bad=0
head -n1 "$TOP/series" | grep -Eq '^# base: v7\.3\b' || { echo "series does not begin with '# base: v7.3'"; bad=1; }
series_patches | sort >/dev/null
doubles=$(series_patches | sort | uniq -d)
[ -z "$doubles" ] || { echo "named twice: $doubles"; bad=1; }
differ=$(comm -3 <(series_patches | sort) <(cd "$TOP/patches" && find . -type f -printf '%P\n' | sort))
[ -z "$differ" ] || { echo "only in series, or (indented) only in patches/:"; echo "$differ"; bad=1; }
# "15 or so at a time", says Documentation/process/submitting-patches.rst.
[ "$(series_patches | wc -l)" -le 20 ] || { echo "more than 20 patches: too many to post at a time"; bad=1; }
exit $bad
