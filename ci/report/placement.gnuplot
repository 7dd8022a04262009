# Draws "data", written by ci/report/page, as out.png and out.svg: a row of panels a
# kernel and call, a column a kind of memory; each shows how the pages lie on the
# nodes before the call, after it, and while they are touched. A node has a shade
# of its own, light or dark, for those who print without colours.
stats data index 0 using 3 nooutput
nodes = STATS_columns - 2
array shade[8] = ["#dcdcdc", "#1c4f8c", "#f2c14e", "#7d3c98", "#a9d18e", "#c0392b", "#9dc3e6", "#404040"]
array head[3] = ["eager call, without the series", "eager call, with the series", "lazy call, with the series"]
do for [term in "png svg"] {
	if (term eq "png") {
		set terminal pngcairo size 1200,920 font "DejaVu Sans,11"
	} else {
		set terminal svg size 1200,920 name "placement" font "DejaVu Sans,sans-serif,13" background rgb "white"
	}
	set output out . "." . term
	set multiplot layout 3,columns margins 0.07,0.98,0.07,0.85 spacing 0.04,0.115 \
		title "Where the pages are: put on node 0, bound to node 1, then touched from node 1"
	set xrange [-26:100]
	set yrange [0:100]
	set xtics ("before" -15, "0" 0, "25" 25, "50" 50, "75" 75, "100" 100) nomirror
	set ytics 0,25,100 nomirror
	set border 3
	set style fill solid 1.0 noborder
	set arrow 1 from -3,0 to -3,100 nohead linewidth 2 linecolor "black" front
	set label 1 "call" at -3.5,106 center front
	do for [r = 0:2] {
		do for [c = 0:columns - 1] {
			unset key
			if (r == 0 && c == 0) {
				set key at screen 0.985,0.955 right top horizontal width 2 samplen 2
			}
			set title (r == 0 ? "{/:Bold " . word(titles, c + 1) . "}\n" : "") . head[r + 1] offset 0,0.2
			set ylabel (c == 0 ? "pages, %" : "")
			set xlabel (r == 2 ? "touched so far, %" : "") offset 0,0.4
			plot for [n = 1:nodes] data index (columns * r + c) using 1:(column(n + 1)):(column(n + 2)) \
				with filledcurves linecolor rgb shade[1 + (n - 1) % 8] title sprintf("node %d", n - 1), \
				for [n = 1:nodes - 1] data index (columns * r + c) using 1:(column(n + 2)) \
				with lines linecolor "black" linewidth 1 notitle
		}
	}
	unset multiplot
	set output
}
