package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"pgregory.net/rapid"
)

// TestPickAgainstThePlainHouse moves units at random, asks at random, and compares every answer.
func TestPickAgainstThePlainHouse(t *testing.T) { rapid.Check(t, comparePicks) }

func comparePicks(t *rapid.T) {
	versions := []*command.EventSpec{drawSpec(t)}
	var v inventory
	v.extend(newGeometry(versions[0], nil))
	h := newPlainHouse(versions...)
	var c choice
	for range rapid.IntRange(1, 12).Draw(t, "rounds") {
		spec := versions[len(versions)-1]
		switch rapid.IntRange(0, 9).Draw(t, "round") {
		case 0:
			versions = append(versions, drawUpdate(t, spec))
			v.extend(newGeometry(versions[len(versions)-1], v.geometry))
			state := h.state
			h = newPlainHouse(versions...)
			copy(h.state, state)
		case 1, 2, 3, 4:
			moveAbout(t, &v, h)
		default:
			var own []holdfast.SeatIndex
			for u := range h.units {
				if h.state[u] == holdfast.Held && len(own) < 5 && rapid.IntRange(0, 7).Draw(t, "own") == 0 {
					own = append(own, holdfast.SeatIndex(u))
				}
			}
			compare(t, &v, h, &c, drawAsk(t, spec, h, own))
		}
		if wrong := v.check(); len(wrong) > 0 {
			t.Fatalf("%s%s", strings.Join(wrong, "\n"), h.drawn())
		}
	}
}

// moveAbout brings the units from one on into some states, by moves that are allowed.
func moveAbout(t *rapid.T, v *inventory, h *plainHouse) {
	from := rapid.IntRange(0, len(h.units)-1).Draw(t, "move from")
	to := min(len(h.units), from+rapid.IntRange(1, max(60, len(h.units))).Draw(t, "move"))
	dense := rapid.IntRange(1, 4).Draw(t, "one in")
	goal := holdfast.SeatState(rapid.IntRange(0, holdfast.SeatStates-1).Draw(t, "into"))
	for u := from; u < to; u++ {
		if s := h.state[u]; moves[s]>>goal&1 != 0 && (u*7+from)%dense == 0 {
			v.move(holdfast.SeatIndex(u), s, goal, ownerIn(s, goal))
			h.state[u] = goal
		}
	}
}

// ownerIn gives an owner for a move that has one before or after it.
func ownerIn(from, to holdfast.SeatState) uint32 {
	if wordOf(from, 1) == wordOf(from, 0) && wordOf(to, 1) == wordOf(to, 0) {
		return 0
	}
	return 1
}

// compare asks both houses.
func compare(t *rapid.T, v *inventory, h *plainHouse, c *choice, a *ask) {
	o, units, taken, near := h.ask(a)
	got := c.choose(v, a)
	if got != o || !sameUnits(c.units, units) {
		t.Fatalf("%+v: %s %v, plainly %s %v%s", a, got, c.units, o, units, h.drawn())
	}
	c.explain(v, a, got)
	if !sameUnits(c.taken, taken) || !sameUnits(c.near, near) {
		t.Fatalf("%+v: %s, taken %v, near %v; plainly taken %v, near %v%s", a, got, c.taken, c.near, taken, near, h.drawn())
	}
}

func sameUnits(a []holdfast.SeatIndex, b []int) bool {
	return slices.EqualFunc(a, b, func(u holdfast.SeatIndex, p int) bool { return int(u) == p })
}

// drawSpec draws a description; drawUpdate another that extends it.
func drawSpec(t *rapid.T) *command.EventSpec {
	spec := &command.EventSpec{Name: "concert", Currency: "eur"}
	for i := range rapid.IntRange(1, 3).Draw(t, "tiers") {
		spec.Tiers = append(spec.Tiers, command.Tier{Name: fmt.Sprint("tier ", i), PriceMinor: int64(i)})
	}
	drawSections(t, spec)
	drawAllocations(t, spec)
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	return spec
}

func drawUpdate(t *rapid.T, old *command.EventSpec) *command.EventSpec {
	spec := *old
	spec.Sections = slices.Clone(old.Sections)
	for i := range spec.Sections {
		if s := &spec.Sections[i]; s.General() {
			s.Places += uint32(rapid.IntRange(0, 5).Draw(t, "more places"))
		} else {
			s.Rows = append(slices.Clone(s.Rows), drawRows(t, spec.Tiers, len(s.Rows), 0)...)
		}
	}
	drawSections(t, &spec)
	drawAllocations(t, &spec)
	if err := spec.Validate(); err != nil {
		t.Fatal(err)
	}
	return &spec
}

func drawSections(t *rapid.T, spec *command.EventSpec) {
	for range rapid.IntRange(1, 3).Draw(t, "sections") {
		s := command.Section{Name: fmt.Sprint("section ", len(spec.Sections)), Tier: drawTier(t, spec.Tiers)}
		if rapid.IntRange(0, 3).Draw(t, "general") == 0 {
			s.Places = uint32(rapid.IntRange(1, 20).Draw(t, "places"))
		} else {
			s.Rows = drawRows(t, spec.Tiers, 0, 1)
		}
		spec.Sections = append(spec.Sections, s)
	}
}

func drawTier(t *rapid.T, tiers []command.Tier) holdfast.TierIndex {
	return holdfast.TierIndex(rapid.IntRange(0, len(tiers)-1).Draw(t, "tier"))
}

func drawRows(t *rapid.T, tiers []command.Tier, have, least int) (rows []command.Row) {
	if rapid.IntRange(0, 9).Draw(t, "deep") == 0 {
		// More rows than a block of bounds has.
		seats := rapid.IntRange(1, 3).Draw(t, "few seats")
		for i := range 3*blockStrips + seats {
			rows = append(rows, command.Row{Label: fmt.Sprint(have + i), First: 1, Tier: holdfast.AnyTier, Seats: uint16(seats + i%2)})
		}
		return rows
	}
	for i := range rapid.IntRange(least, 6).Draw(t, "rows") {
		row := command.Row{Label: fmt.Sprint(have + i), First: 1, Tier: holdfast.AnyTier, Seats: uint16(rapid.IntRange(1, 16).Draw(t, "seats"))}
		if rapid.IntRange(0, 15).Draw(t, "long") == 0 {
			row.Seats = uint16(rapid.IntRange(60, 200).Draw(t, "many seats"))
		}
		if rapid.Bool().Draw(t, "own tier") {
			row.Tier = drawTier(t, tiers)
		}
		rows = append(rows, row)
	}
	return rows
}

// drawAllocations gives each row, or section without rows, at most a few spans of at most two allocations.
func drawAllocations(t *rapid.T, spec *command.EventSpec) {
	spec.Allocations = nil
	for i := range rapid.IntRange(0, 2).Draw(t, "allocations") {
		spec.Allocations = append(spec.Allocations, command.Allocation{Name: fmt.Sprint("allocation ", i)})
	}
	span := func(s, r, seats int) {
		for next := 0; next < seats && rapid.IntRange(0, 2).Draw(t, "set apart") == 0; {
			first := rapid.IntRange(next, seats-1).Draw(t, "from")
			last := rapid.IntRange(first, seats-1).Draw(t, "to")
			a := &spec.Allocations[rapid.IntRange(0, len(spec.Allocations)-1).Draw(t, "for")]
			a.Spans = append(a.Spans, command.Span{Section: holdfast.SectionIndex(s), Row: uint16(r), First: uint32(first), Last: uint32(last)})
			next = last + 1
		}
	}
	for s := 0; s < len(spec.Sections) && len(spec.Allocations) > 0; s++ {
		if spec.Sections[s].General() {
			span(s, 0, int(spec.Sections[s].Places))
		}
		for r, row := range spec.Sections[s].Rows {
			span(s, r, int(row.Seats))
		}
	}
}

// drawAsk draws wants that name what exists, and no unit twice.
func drawAsk(t *rapid.T, spec *command.EventSpec, h *plainHouse, own []holdfast.SeatIndex) *ask {
	a := &ask{own: own, noOrphans: rapid.Bool().Draw(t, "no orphans"),
		allocation: holdfast.AllocationIndex(rapid.IntRange(0, len(spec.Allocations)).Draw(t, "allocation"))}
	var named []holdfast.SeatIndex
	for range rapid.IntRange(1, 3).Draw(t, "wants") {
		w := command.Want{Kind: command.WantSeats, Section: holdfast.AnySection, Tier: holdfast.AnyTier}
		s := rapid.IntRange(0, len(spec.Sections)-1).Draw(t, "in section")
		switch kind := rapid.IntRange(0, 3).Draw(t, "want"); {
		case kind > 1:
			u, n := rapid.IntRange(0, len(h.units)-1).Draw(t, "unit"), rapid.IntRange(1, 6).Draw(t, "units")
			for ; n > 0 && u < len(h.units); n, u = n-1, u+rapid.IntRange(1, 3).Draw(t, "skip") {
				if !slices.Contains(named, holdfast.SeatIndex(u)) {
					w.Seats, named = append(w.Seats, holdfast.SeatIndex(u)), append(named, holdfast.SeatIndex(u))
				}
			}
			w.Count = uint8(len(w.Seats))
		case spec.Sections[s].General():
			w.Kind, w.Section, w.Count = command.WantGeneral, holdfast.SectionIndex(s), uint8(rapid.IntRange(1, 9).Draw(t, "places"))
		default:
			w.Kind, w.Adjacent, w.Count = command.WantBest, rapid.Bool().Draw(t, "adjacent"), uint8(rapid.IntRange(1, 9).Draw(t, "seats"))
			if rapid.IntRange(0, 9).Draw(t, "group") == 0 {
				w.Count = uint8(rapid.IntRange(30, holdfast.UnitsPerHoldMax).Draw(t, "many"))
			}
			if rapid.Bool().Draw(t, "any section") {
				w.Section = holdfast.SectionIndex(s)
			}
			if rapid.Bool().Draw(t, "any tier") {
				w.Tier = drawTier(t, spec.Tiers)
			}
		}
		a.wants = append(a.wants, w)
	}
	return a
}
