package surge

import (
	"fmt"
	"html"
	"io"
	"strconv"
	"strings"
)

// The picture of a report: panels above each other on one axis of time.
const (
	plotWidth   = 900
	plotLeft    = 70
	plotRight   = 190 // room for the legend
	panelHeight = 120
	panelGap    = 42
	plotTop     = 56
	plotPoints  = 300 // at most, for each line
)

type curve struct {
	name, colour string
	peak         bool // of the seconds that one point stands for, show the largest, not the mean
	value        func(Sample) float64
}

type panel struct {
	title  string
	mark   float64 // a line across: a target; 0: none
	curves []curve
}

var panels = []panel{
	{"busy share of the commit path", 0.5, []curve{{"busy", "#b5432a", false, func(s Sample) float64 { return s.Busy }}}},
	{"people a second", 0, []curve{
		{"called", "#2a6fb5", false, func(s Sample) float64 { return float64(s.Called) }},
		{"came", "#3b9a57", false, func(s Sample) float64 { return float64(s.Came) }},
		{"orders", "#8a5bb5", false, func(s Sample) float64 { return float64(s.Orders) }},
	}},
	{"p99 of holds, ms (target 50)", 50, []curve{{"hold p99", "#b5432a", true, func(s Sample) float64 { return min(s.HoldP99, holdPlotMax) }}}},
	{"people inside", 0, []curve{
		{"sessions", "#2a6fb5", false, func(s Sample) float64 { return float64(s.Active) }},
		{"without a hold", "#3b9a57", false, func(s Sample) float64 { return float64(s.Looking) }},
		{"their target", "#999999", false, func(s Sample) float64 { return s.Target }},
	}},
	{"stock, units", 0, []curve{
		{"free", "#3b9a57", false, func(s Sample) float64 { return float64(s.Free) }},
		{"held and in payment", "#d09a2a", false, func(s Sample) float64 { return float64(s.Held) }},
		{"sold", "#2a6fb5", false, func(s Sample) float64 { return float64(s.Sold) }},
	}},
}

// holdPlotMax is where a fault's latencies are cut off, so that the rest can be seen.
const holdPlotMax = 200

// Plot draws a report as SVG.
func Plot(w io.Writer, r Report) error {
	samples := r.Samples
	if end := r.Figures.Sold99S; end > 0 && end*12/10 < len(samples) {
		samples = samples[:end*12/10] // the last units come back one by one, for long
	}
	p := plot{samples: samples, seconds: max(1, len(samples))}
	height := plotTop + len(panels)*(panelHeight+panelGap)
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#333">`+"\n", plotWidth, height)
	fmt.Fprintf(&p.b, `<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n", html.EscapeString(r.World.Name))
	fmt.Fprintf(&p.b, `<text x="%d" y="24" font-size="15">%s</text>`+"\n", plotLeft, html.EscapeString(r.World.Name+": "+r.World.Title))
	for i, panel := range panels {
		p.panel(panel, float64(plotTop+i*(panelHeight+panelGap)), r.World.Faults)
	}
	p.b.WriteString("</svg>\n")
	_, err := io.WriteString(w, p.b.String())
	return err
}

type plot struct {
	b       strings.Builder
	samples []Sample
	seconds int
}

func (p *plot) x(second float64) float64 {
	return plotLeft + second/float64(p.seconds)*(plotWidth-plotLeft-plotRight)
}

func (p *plot) panel(panel panel, top float64, faults []Fault) {
	bottom, most := top+panelHeight, panel.mark*1.2
	lines := make([][]float64, len(panel.curves))
	for i, c := range panel.curves {
		lines[i] = p.points(c)
		for _, v := range lines[i] {
			most = max(most, v)
		}
	}
	most = roundUp(most)
	y := func(v float64) float64 { return bottom - v/most*panelHeight }
	for _, f := range faults {
		if f.From < float64(p.seconds) {
			fmt.Fprintf(&p.b, `<rect x="%.1f" y="%.0f" width="%.1f" height="%d" fill="#f3dcd6"/>`+"\n", p.x(f.From), top, max(p.x(f.To)-p.x(f.From), 1.5), panelHeight)
		}
	}
	right := float64(plotWidth - plotRight)
	fmt.Fprintf(&p.b, `<path d="M%d %.0fV%.0fH%.0f" fill="none" stroke="#888"/>`+"\n", plotLeft, top, bottom, right)
	fmt.Fprintf(&p.b, `<text x="%d" y="%.0f">%s</text>`+"\n", plotLeft, top-6, html.EscapeString(panel.title))
	for _, v := range []float64{0, most / 2, most} {
		fmt.Fprintf(&p.b, `<text x="%d" y="%.0f" text-anchor="end" fill="#777">%s</text>`+"\n", plotLeft-6, y(v)+4, strconv.FormatFloat(v, 'f', -1, 64))
	}
	for i := 0; i <= 4; i++ {
		second := float64(p.seconds) * float64(i) / 4
		fmt.Fprintf(&p.b, `<text x="%.0f" y="%.0f" text-anchor="middle" fill="#777">%.0f s</text>`+"\n", p.x(second), bottom+15, second)
	}
	if panel.mark > 0 {
		fmt.Fprintf(&p.b, `<path d="M%d %.1fH%.0f" stroke="#999" stroke-dasharray="4 4"/>`+"\n", plotLeft, y(panel.mark), right)
	}
	for i, c := range panel.curves {
		p.b.WriteString(`<polyline fill="none" stroke-width="1.4" stroke="` + c.colour + `" points="`)
		for k, v := range lines[i] {
			fmt.Fprintf(&p.b, "%.1f,%.1f ", p.x((float64(k)+0.5)*float64(p.seconds)/float64(len(lines[i]))), y(v))
		}
		p.b.WriteString(`"/>` + "\n")
		fmt.Fprintf(&p.b, `<text x="%.0f" y="%.0f" fill="%s">%s</text>`+"\n", right+10, top+14+float64(i)*16, c.colour, html.EscapeString(c.name))
	}
}

// points are a curve's values, at most plotPoints of them.
func (p *plot) points(c curve) []float64 {
	n := min(plotPoints, len(p.samples))
	values := make([]float64, n)
	for i := range values {
		part := p.samples[i*len(p.samples)/n : (i+1)*len(p.samples)/n]
		for _, s := range part {
			if v := c.value(s); c.peak {
				values[i] = max(values[i], v)
			} else {
				values[i] += v / float64(len(part))
			}
		}
	}
	return values
}

// roundUp gives the next of 1, 2, 5 times a power of ten.
func roundUp(v float64) float64 {
	scale := 0.01
	for {
		for _, step := range []float64{1, 2, 5} {
			if step*scale >= v {
				return step * scale
			}
		}
		scale *= 10
	}
}
