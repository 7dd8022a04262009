#!/bin/bash
# The series names its base on its first line, names every patch once, and no
# patch that is not there. Its parts are numbered in order, and each can be posted.
. "$(dirname "$0")/../../lib.sh"

bad=0 n=0
head -n1 "$TOP/series" | grep -Eq '^# base: v7\.3\b' || { echo "series does not begin with '# base: v7.3'"; bad=1; }
series_patches | sort >/dev/null
doubles=$(series_patches | sort | uniq -d)
[ -z "$doubles" ] || { echo "named twice: $doubles"; bad=1; }
# Beside them there are the cover letters, and what is not for the kernel's tree.
differ=$(comm -3 <(series_patches | sort) \
	<(cd "$TOP/patches" && find . -type f ! -path './cover/part*.txt' ! -path './man-pages/*.patch' -printf '%P\n' | sort))
[ -z "$differ" ] || { echo "only in series, or (indented) only in patches/:"; echo "$differ"; bad=1; }
# "15 or so at a time", says Documentation/process/submitting-patches.rst.
while read -r count part; do
	n=$((n + 1))
	[ "$part" = "$n" ] || { echo "part $part comes where part $n should: number the lines '# part N: title' in series in order"; bad=1; }
	[ "$count" -le 20 ] || { echo "part $part has $count patches, too many to post at a time: begin another one ('# part N: title' in series)"; bad=1; }
done < <(series_parts | cut -f1 | uniq -c)
exit $bad
