# Draws "data", written by ci/report/page, as out.svg: how many instructions more a
# fault takes those who use no lazy policy, with none on the machine and with one.
set terminal svg size 1200,420 name "others" font "DejaVu Sans,sans-serif,13" background rgb "white"
set output out . ".svg"
set title "Faults of those who do not use it: instructions more than without the series"
set style data histograms
set style histogram clustered gap 1.5
set style fill solid 1.0 border rgb "black"
set boxwidth 0.9
set border 3
set grid y
set ytics nomirror
set xtics nomirror
set yrange [*:*]
set offsets 0, 0, graph 0.08, 0
set bmargin 4
set key outside bottom center horizontal
set ylabel "instructions a fault"
set xzeroaxis linetype 1 linecolor "black"
plot data using 3:xtic(sprintf("%s\n(%s)", strcol(1), strcol(2))) linecolor rgb "#dcdcdc" title "nobody has ever made a lazy policy", \
	data using 4 linecolor rgb "#1c4f8c" title "another process has made one", \
	data using ($0 - 0.19):3:(sprintf("%+d", $3)) with labels offset 0,0.6 notitle, \
	data using ($0 + 0.19):4:(sprintf("%+d", $4)) with labels offset 0,0.6 notitle
set output
