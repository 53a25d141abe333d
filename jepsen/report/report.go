// Package report makes one page of a run, for people: what was done, what clients saw over time, what was found. The
// page needs nothing else than itself.
package report

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Page is what the page shows. Fill it in, Count the histories, and Save it.
type Page struct {
	Head       Head
	Nemeses    []Nemesis
	Faults     []Fault
	Loads      []Load
	Violations []Violation
	Pictures   []Picture

	buckets []bucket
}

// Head is the verdict and the figures.
type Head struct {
	Command                       string
	Seed                          uint64
	Members                       int
	Network                       string
	Seconds                       float64
	Operations, Histories         int
	Violations, Unknown           int
	LongestGapMs, LongestAnyGapMs int64
	StallMs                       int64
}

// Nemesis is one kind of fault: what came of it, or why it was not run.
type Nemesis struct {
	Name, What string
	Times      int
	GapMs      int64
	Why        string
}

// Fault is one time that something was done, on the run's clock.
type Fault struct {
	Names        []string
	From, Healed time.Duration
	Gap          time.Duration // how long no command was answered at most until the next
	Single       bool
}

// Load is a time in which clients were at work.
type Load struct{ From, Until time.Duration }

// Violation is one thing that must not be.
type Violation struct{ Where, Check, Message, File string }

// Picture is a page of porcupine's, and the same for who reads.
type Picture struct {
	Title, HTML string
	Clients     int // lines of the picture
	Operations  []string
}

// Height is how many pixels it takes.
func (p Picture) Height() int { return min(720, 120+50*p.Clients) }

// bucket is what clients saw in a part of a second.
type bucket struct {
	ok, refused, reads, unknown int
	latency                     [latencies]uint32
}

const (
	bucketLength = 250 * time.Millisecond
	latencies    = 44 // powers of √2 of 10 µs, up to half a minute
)

func latencyOf(d time.Duration) int {
	if d <= 10*time.Microsecond {
		return 0
	}
	return min(latencies-1, int(2*math.Log2(float64(d)/float64(10*time.Microsecond))))
}

func latencyAt(i int) time.Duration {
	return time.Duration(float64(10*time.Microsecond) * math.Pow(2, float64(i+1)/2))
}

// Count takes a history in, whose clock began at offset of the run's.
func (p *Page) Count(h *history.History, offset time.Duration) {
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Unknown() {
			p.at(offset+o.Call).unknown++
			continue
		}
		b := p.at(offset + o.Return)
		b.latency[latencyOf(o.Return-o.Call)]++
		switch {
		case o.Kind == history.Read:
			b.reads++
		case o.Outcome == 1:
			b.ok++
		default:
			b.refused++
		}
	}
	for _, s := range h.Sights {
		p.at(offset+s.Return).reads++
	}
}

func (p *Page) at(t time.Duration) *bucket {
	i := int(t / bucketLength)
	for len(p.buckets) <= i {
		p.buckets = append(p.buckets, bucket{})
	}
	return &p.buckets[i]
}

//go:embed page.html
var pageText string

// Save writes the page.
func (p *Page) Save(path string) (err error) {
	t, err := template.New("page").Funcs(template.FuncMap{"joined": func(s []string) string { return strings.Join(s, " + ") },
		"seconds": func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }, "ms": func(d time.Duration) int64 { return d.Milliseconds() },
		"many": func(n int, one, more string) string {
			if n == 1 {
				return "1 " + one
			}
			return fmt.Sprint(n, " ", more)
		}}).Parse(pageText)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(f, p), f.Close())
}

// Worst are the faults after which nobody could buy for longest.
func (p *Page) Worst() []Fault {
	worst := slices.Clone(p.Faults)
	slices.SortStableFunc(worst, func(a, b Fault) int { return cmp.Compare(b.Gap, a.Gap) })
	return worst[:min(len(worst), 15)]
}
