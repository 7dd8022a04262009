# Draws the blocks of "data" as out.png and out.svg: one panel a subject, one
# bar a kernel and moment, one colour a node.
titles = system(sprintf("sed -n 's/^# //p' '%s'", data))
stats data using 2 nooutput
blocks = words(titles)
nodes = STATS_columns - 1
# A node has a shade of its own, light or dark, for those who print without colours.
array shade[8] = ["#dcdcdc", "#1c4f8c", "#f2c14e", "#7d3c98", "#a9d18e", "#c0392b", "#9dc3e6", "#404040"]
do for [term in "png svg"] {
	if (term eq "png") {
		set terminal pngcairo size 1440,560 font "DejaVu Sans,11"
	} else {
		set terminal svg size 1440,560 font "DejaVu Sans,13"
	}
	set output out . "." . term
	set multiplot layout 1,blocks title "Where the pages are: bound to node 1, then touched"
	set style data histograms
	set style histogram rowstacked
	set style fill solid 0.85 border -1
	set boxwidth 0.7
	set yrange [0:100]
	set ylabel "pages, %"
	set grid y
	set key outside bottom center horizontal
	set bmargin 6
	do for [b = 0:blocks - 1] {
		set title word(titles, b + 1)
		plot for [n = 2:nodes + 1] data index b using n:xtic(1) \
			title sprintf("node %d", n - 2) linecolor rgb shade[1 + (n - 2) % 8]
	}
	unset multiplot
	set output
}
