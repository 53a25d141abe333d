package report

import (
	"fmt"
	"html/template"
	"strings"
	"time"
)

// The charts are drawn by hand, all over the same time: answers, latency, faults.
const (
	chartWidth  = 1160
	marginLeft  = 120 // for names and levels
	chartHeight = 180
	columnsMax  = chartWidth - marginLeft
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
	top := step(most/4) * 4
	for top < most {
		top += step(most / 4)
	}
	d := p.begin("answers a second", chartHeight)
	p.bands(d)
	for at := step(most / 4); at <= top; at += step(most / 4) {
		d.level(1-at/top, fmt.Sprintf("%.0f", at))
	}
	for _, series := range []struct {
		colour string
		count  func(*column) int
	}{
		{grey, func(c *column) int { return c.answers() }},
		{blue, func(c *column) int { return c.ok }},
	} {
		d.line(series.colour, columns, func(c *column) (float64, bool) {
			return float64(series.count(c)) / c.seconds / top, true
		})
	}
	for i := range columns {
		if n := columns[i].unknown; n > 0 {
			d.dot(red, float64(i)/float64(len(columns)), 0.02, fmt.Sprintf("%d calls whose answer never came", n))
		}
	}
	return d.end(p)
}

// Latency is the median, the 99th in 100 and the longest, on a scale of powers of ten.
func (p *Page) Latency() template.HTML {
	columns := p.columns()
	d := p.begin("latency", chartHeight)
	p.bands(d)
	const scale = 40 // from 10 µs to 10 s
	for _, at := range []time.Duration{100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		d.level(1-float64(latencyOf(at))/scale, at.String())
	}
	for _, series := range []struct {
		colour string
		part   float64
	}{{grey, 1}, {amber, 0.99}, {blue, 0.5}} {
		d.line(series.colour, columns, func(c *column) (float64, bool) {
			took := c.quantile(series.part)
			return float64(latencyOf(took)) / scale, took > 0
		})
	}
	return d.end(p)
}

const laneHeight = 15

// Lanes are one line for each kind of fault that struck, with when it did.
func (p *Page) Lanes() template.HTML {
	at := map[string]int{}
	var names []string
	for _, f := range p.Faults {
		for _, name := range f.Names {
			if _, known := at[name]; !known {
				at[name] = len(names)
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	d := p.begin("faults", laneHeight*len(names))
	for i, name := range names {
		fmt.Fprintf(d, `<text x="%d" y="%d" class="lane">%s</text><path stroke="#e2e8f0" d="M%d %dH%d"/>`, marginLeft-6, laneHeight*i+11,
			template.HTMLEscapeString(name), marginLeft, laneHeight*(i+1), chartWidth)
	}
	for _, f := range p.Faults {
		for _, name := range f.Names {
			d.bar(f, laneHeight*at[name]+3, laneHeight-6, strong(f), p.x)
		}
	}
	return d.end(p)
}

// What is drawn in which colour.
const (
	grey, blue, amber, red = "#94a3b8", "#2563eb", "#d97706", "#dc2626"
)

func pale(f Fault) string {
	if f.Single {
		return "#fef3c7"
	}
	return "#fee2e2"
}

func strong(f Fault) string {
	if f.Single {
		return "#f59e0b"
	}
	return "#ef4444"
}

// step is the next of 1, 2, 5, 10, 20, 50 … that is not below.
func step(least float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if n*unit >= least {
				return n * unit
			}
		}
	}
}

// drawing is an SVG that grows.
type drawing struct {
	strings.Builder
	height int
}

func (p *Page) length() time.Duration {
	return max(1, time.Duration(len(p.buckets))*bucketLength)
}

// x is where an instant is.
func (p *Page) x(t time.Duration) float64 {
	return marginLeft + (chartWidth-marginLeft)*float64(min(t, p.length()))/float64(p.length())
}

// begin draws the ground: grey where nobody asks, white where clients do.
func (p *Page) begin(title string, height int) *drawing {
	d := &drawing{height: height}
	fmt.Fprintf(d, `<figure><figcaption>%s</figcaption><svg viewBox="0 0 %d %d" role="img"><rect x="%d" width="%d" height="%d" fill="#e8edf3"/>`,
		template.HTMLEscapeString(title), chartWidth, height+16, marginLeft, chartWidth-marginLeft, height)
	for _, l := range p.Loads {
		fmt.Fprintf(d, `<rect x="%.1f" width="%.1f" height="%d" fill="#fff"/>`, p.x(l.From), max(0, p.x(l.Until)-p.x(l.From)), height)
	}
	return d
}

// bands show when faults struck.
func (p *Page) bands(d *drawing) {
	for _, f := range p.Faults {
		d.bar(f, 0, d.height, pale(f), p.x)
	}
}

func (d *drawing) bar(f Fault, y, height int, colour string, x func(time.Duration) float64) {
	fmt.Fprintf(d, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s, %.1f s to %.1f s, no answer for %d ms</title></rect>`,
		x(f.From), y, max(1, x(f.Healed)-x(f.From)), height, colour, template.HTMLEscapeString(strings.Join(f.Names, " + ")),
		f.From.Seconds(), f.Healed.Seconds(), f.Gap.Milliseconds())
}

// level draws a line across, with what it stands for.
func (d *drawing) level(y float64, text string) {
	fmt.Fprintf(d, `<path stroke="#cbd5e1" stroke-width=".6" d="M%d %.1fH%d"/><text x="%d" y="%.1f" class="lane">%s</text>`,
		marginLeft, y*float64(d.height), chartWidth, marginLeft-6, max(8, y*float64(d.height)+3), text)
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
		fmt.Fprintf(d, "%s%.1f %.1f", pen, marginLeft+(chartWidth-marginLeft)*(float64(i)+0.5)/float64(len(columns)), float64(d.height)*(1-min(y, 1)))
		pen = "L"
	}
	d.WriteString(`"/>`)
}

func (d *drawing) dot(colour string, x, y float64, title string) {
	fmt.Fprintf(d, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"><title>%s</title></circle>`, marginLeft+(chartWidth-marginLeft)*x,
		float64(d.height)*(1-y), colour, template.HTMLEscapeString(title))
}

// end draws the seconds.
func (d *drawing) end(p *Page) template.HTML {
	every := time.Duration(step(p.length().Seconds()/10)) * time.Second
	for at := time.Duration(0); at <= p.length(); at += every {
		fmt.Fprintf(d, `<text x="%.1f" y="%d">%v</text>`, min(p.x(at), chartWidth-30), d.height+13, at)
	}
	d.WriteString(`</svg></figure>`)
	return template.HTML(d.String()) // all text in it was escaped
}
