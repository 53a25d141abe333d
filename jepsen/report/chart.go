package report

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// The charts are drawn by hand: two over time, with a band for each fault.
const (
	chartWidth  = 1160
	chartHeight = 180
	columnsMax  = 1160
)

// column is some buckets together, as wide as the chart can show.
type column struct {
	bucket
	seconds float64
}

func (p *Page) columns() []column {
	per := (len(p.buckets) + columnsMax - 1) / columnsMax
	if per == 0 {
		return nil
	}
	var all []column
	for i := 0; i < len(p.buckets); i += per {
		c := column{}
		for _, b := range p.buckets[i:min(i+per, len(p.buckets))] {
			c.ok, c.refused, c.reads, c.unknown = c.ok+b.ok, c.refused+b.refused, c.reads+b.reads, c.unknown+b.unknown
			for j, n := range b.latency {
				c.latency[j] += n
			}
			c.seconds += bucketLength.Seconds()
		}
		all = append(all, c)
	}
	return all
}

func (b *bucket) answers() int { return b.ok + b.refused + b.reads }

// quantile is the latency below which a part of the answers was; 0 without answers.
func (b *bucket) quantile(part float64) time.Duration {
	all := 0
	for _, n := range b.latency {
		all += int(n)
	}
	left := part * float64(all)
	for i, n := range b.latency {
		if left -= float64(n); n > 0 && left <= 0 {
			return latencyAt(i)
		}
	}
	return 0
}

// Throughput is answers a second over time.
func (p *Page) Throughput() template.HTML {
	columns, most := p.columns(), 1.0
	for _, c := range columns {
		most = max(most, float64(c.answers())/c.seconds)
	}
	svg := p.begin(fmt.Sprintf("answers a second; the top is %.0f", most))
	for _, series := range []struct {
		colour string
		count  func(*column) int
	}{
		{"#94a3b8", func(c *column) int { return c.answers() }},
		{"#2563eb", func(c *column) int { return c.ok }},
	} {
		svg.line(series.colour, columns, func(c *column) (float64, bool) {
			return float64(series.count(c)) / c.seconds / most, true
		})
	}
	for i := range columns {
		if n := columns[i].unknown; n > 0 {
			svg.dot("#dc2626", float64(i)/float64(len(columns)), 0.02, fmt.Sprintf("%d calls whose answer never came", n))
		}
	}
	return svg.end()
}

// Latency is the median, the 99th in 100 and the longest, on a scale of powers of ten.
func (p *Page) Latency() template.HTML {
	columns := p.columns()
	svg := p.begin("latency from 0.01 ms to 10 s: median, 99th in 100, longest")
	for _, series := range []struct {
		colour string
		part   float64
	}{{"#94a3b8", 1}, {"#f59e0b", 0.99}, {"#2563eb", 0.5}} {
		svg.line(series.colour, columns, func(c *column) (float64, bool) {
			d := c.quantile(series.part)
			return float64(latencyOf(d)) / 40, d > 0
		})
	}
	return svg.end()
}

// drawing is an SVG that grows.
type drawing struct{ strings.Builder }

// begin draws the ground: faults as bands, seconds as marks.
func (p *Page) begin(title string) *drawing {
	d, length := &drawing{}, max(1, time.Duration(len(p.buckets))*bucketLength)
	fmt.Fprintf(d, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %d %d" role="img">`, template.HTMLEscapeString(title), chartWidth, chartHeight+16)
	x := func(t time.Duration) float64 { return chartWidth * float64(t) / float64(length) }
	for _, f := range p.Faults {
		colour := "#fecaca"
		if f.Single {
			colour = "#fde68a"
		}
		fmt.Fprintf(d, `<rect x="%.1f" y="0" width="%.1f" height="%d" fill="%s"><title>%s, %.1f s to %.1f s, no answer for %d ms</title></rect>`,
			x(f.From), max(1, x(f.Healed)-x(f.From)), chartHeight, colour, template.HTMLEscapeString(strings.Join(f.Names, " + ")),
			f.From.Seconds(), f.Healed.Seconds(), f.Gap.Milliseconds())
	}
	for i := range 11 {
		at := length / 10 * time.Duration(i)
		fmt.Fprintf(d, `<text x="%.1f" y="%d">%.0f s</text>`, min(x(at), chartWidth-30), chartHeight+14, at.Seconds())
	}
	return d
}

// line draws a value from 0 to 1 of each column; where there is none the line is broken.
func (d *drawing) line(colour string, columns []column, value func(*column) (float64, bool)) {
	fmt.Fprintf(d, `<path fill="none" stroke="%s" stroke-width="1.2" d="`, colour)
	pen := "M"
	for i := range columns {
		y, ok := value(&columns[i])
		if !ok {
			pen = "M"
			continue
		}
		fmt.Fprintf(d, "%s%.1f %.1f", pen, chartWidth*(float64(i)+0.5)/float64(len(columns)), chartHeight*(1-min(y, 1)))
		pen = "L"
	}
	d.WriteString(`"/>`)
}

func (d *drawing) dot(colour string, x, y float64, title string) {
	fmt.Fprintf(d, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"><title>%s</title></circle>`, chartWidth*x, chartHeight*(1-y), colour, template.HTMLEscapeString(title))
}

func (d *drawing) end() template.HTML {
	d.WriteString(`</svg></figure>`)
	return template.HTML(d.String()) // all text in it was escaped
}
