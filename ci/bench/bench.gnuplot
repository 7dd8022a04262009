# Draws the blocks of "data" as out.png and out.svg: bars of ratios lazy : eager,
# with the line at 1; and what call and touch cost a page, over the size.
stats data index 0 using 2 nooutput
bars = STATS_records
do for [term in "png svg"] {
	if (term eq "png") {
		set terminal pngcairo size 1200,560 font "DejaVu Sans,11"
	} else {
		set terminal svg size 1200,560 font "DejaVu Sans,13"
	}
	set output out . "." . term
	set multiplot layout 1,2 title "Instructions of an emulation, no prediction for hardware: mbind() to another node, then touch"
	set grid y
	set bmargin 7

	set title "lazy : eager, by size of folio and what is touched"
	set style fill solid 0.85 border -1
	set boxwidth 0.7
	set yrange [0:*]
	set xrange [-0.7:bars - 0.3]
	set xtics rotate by -45
	unset key
	plot data index 0 using 0:2:3:xtic(1) with boxes linecolor variable, \
		data index 0 using 0:2:(sprintf("%.2g", $2)) with labels offset 0,0.6 font ",9", \
		1 with lines linewidth 2 linecolor "black"

	set title "call and writing to all pages, with the series"
	set ylabel "instructions a page of 4 KiB"
	set xlabel "MiB"
	set xrange [45:1450]
	set logscale x 2
	set xtics norotate ("64" 64, "256" 256, "1024" 1024)
	set key outside bottom center horizontal maxrows 2
	modes = "eager lazy"
	kinds = "4K 64K 2M"
	plot for [m = 1:2] for [k = 1:3] data index (3 * (m - 1) + k) using 1:2 with linespoints \
		linecolor k dashtype 3 - m pointtype (m == 1 ? 4 : 7) linewidth 2 \
		title word(modes, m) . ", folios of " . word(kinds, k)
	unset multiplot
	unset logscale
	unset xlabel
	unset ylabel
	set output
}
