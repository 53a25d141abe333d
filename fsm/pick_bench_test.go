package fsm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// stadium describes sections of rows of 20 seats, with one tier.
func stadium(sections, rows int) *command.EventSpec {
	spec := &command.EventSpec{Name: "final", Currency: "eur", Tiers: []command.Tier{{Name: "all", PriceMinor: 5000}}}
	for s := range sections {
		section := command.Section{Name: fmt.Sprint("section ", s)}
		for r := range rows {
			section.Rows = append(section.Rows, command.Row{Label: fmt.Sprint(r), First: 1, Seats: 20, Tier: holdfast.AnyTier})
		}
		spec.Sections = append(spec.Sections, section)
	}
	return spec
}

func newInventory(tb testing.TB, spec *command.EventSpec) *inventory {
	tb.Helper()
	if err := spec.Validate(); err != nil {
		tb.Fatal(err)
	}
	v := &inventory{}
	v.extend(newGeometry(spec, nil))
	return v
}

// hold moves free units that taken names into holds.
func (v *inventory) hold(taken func(u uint32) bool) {
	for u := range uint32(v.len()) {
		if v.state(holdfast.SeatIndex(u)) == holdfast.Free && taken(u) {
			v.move(holdfast.SeatIndex(u), holdfast.Free, holdfast.Held, 1)
		}
	}
}

// scattered is true for one in n units, as if by chance.
func scattered(n uint64) func(u uint32) bool {
	random := rand.New(rand.NewPCG(1, n))
	return func(uint32) bool { return random.Uint64N(n) == 0 }
}

func bestOf(count uint8, adjacent bool) *ask {
	return &ask{noOrphans: true, wants: []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier,
		Count: count, Adjacent: adjacent}}}
}

// BenchmarkBest asks for the best seats side by side, or not, of one section of 100,000.
func BenchmarkBest(b *testing.B) {
	for _, house := range []struct {
		name  string
		taken func(u uint32) bool
	}{
		{"empty", func(uint32) bool { return false }},
		{"half", scattered(2)},
		{"lastRow", func(u uint32) bool { return u < 99_990 }},
		{"lastRowAndPairs", func(u uint32) bool { return u < 99_990 && u%20%3 == 0 }},
		{"soldOut", func(uint32) bool { return true }},
	} {
		v := newInventory(b, stadium(1, 5000))
		v.hold(house.taken)
		for _, a := range []*ask{bestOf(2, true), bestOf(4, true), bestOf(4, false)} {
			b.Run(fmt.Sprintf("%s/k=%d/adjacent=%v", house.name, a.wants[0].Count, a.wants[0].Adjacent), func(b *testing.B) {
				b.ReportAllocs()
				var c choice
				for b.Loop() {
					c.choose(v, a)
				}
			})
		}
	}
}

// BenchmarkBestOfManySections looks through as many sections as there may be, sold out but for the last.
func BenchmarkBestOfManySections(b *testing.B) {
	v := newInventory(b, stadium(command.SectionsMax, 2))
	v.hold(func(u uint32) bool { return int(u) < v.len()-10 })
	a := bestOf(2, true)
	var c choice
	for b.Loop() {
		c.choose(v, a)
	}
}

// BenchmarkNear looks for two seats instead of two that were taken in the first row, when the last row has the only ones.
func BenchmarkNear(b *testing.B) {
	v := newInventory(b, stadium(1, 5000))
	v.hold(func(u uint32) bool { return u < 99_990 })
	a := &ask{wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{8, 9}, Count: 2}}}
	b.ReportAllocs()
	var c choice
	for b.Loop() {
		c.explain(v, a, c.choose(v, a))
	}
}

// BenchmarkNamed chooses, takes and gives back two named seats.
func BenchmarkNamed(b *testing.B) {
	v := newInventory(b, stadium(10, 5000))
	seats := make([]holdfast.SeatIndex, 2)
	a := &ask{wants: []command.Want{{Kind: command.WantSeats, Seats: seats, Count: 2}}}
	b.ReportAllocs()
	var c choice
	for i := 0; b.Loop(); i++ {
		seats[0] = holdfast.SeatIndex(i*7919%500_000) * 2
		seats[1] = seats[0] + 1
		c.choose(v, a)
		for _, u := range c.units {
			v.move(u, holdfast.Free, holdfast.Held, 1)
		}
		v.chain(c.units)
		for _, u := range c.units {
			v.move(u, holdfast.Held, holdfast.Free, 1)
		}
	}
}

// BenchmarkSellThrough sells a house of 1,000,000 seats by pairs of the best, again and again; what is reported is for one pair.
func BenchmarkSellThrough(b *testing.B) {
	v := newInventory(b, stadium(10, 5000))
	a := bestOf(2, true)
	b.ReportAllocs()
	var c choice
	for b.Loop() {
		if c.choose(v, a) != holdfast.OK {
			b.StopTimer()
			v = newInventory(b, stadium(10, 5000))
			b.StartTimer()
		}
		for _, u := range c.units {
			v.move(u, holdfast.Free, holdfast.Held, 1)
		}
		v.chain(c.units)
	}
}

// BenchmarkRebuild is what an update of the description, or a restore, costs with 1,000,000 seats.
func BenchmarkRebuild(b *testing.B) {
	spec := stadium(10, 5000)
	v := newInventory(b, spec)
	v.hold(scattered(2))
	for b.Loop() {
		v.rebuild(newGeometry(spec, v.geometry))
	}
}
