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

// The plain inventory: the rules of geometry.go, pick.go and orphan.go said once more, as slowly and as simply as
// possible, to compare with. It has no bitmap, no bounds and no classes: it looks at every seat of every row.

// plainUnit is where one unit is.
type plainUnit struct {
	section, row, position int // in general admission the row is 0
	general                bool
	tier                   holdfast.TierIndex
	allocation             holdfast.AllocationIndex
}

// plainHouse has all units by number, and those of each row in order.
type plainHouse struct {
	units []plainUnit
	rows  [][][]int // section, row, position: number
	state []holdfast.SeatState
	mine  []bool // lent, or already chosen: overrules the state
	gone  []bool
}

// newPlainHouse numbers the units of a description and its later versions.
func newPlainHouse(versions ...*command.EventSpec) *plainHouse {
	h := &plainHouse{}
	for _, spec := range versions {
		for s := range spec.Sections {
			section := &spec.Sections[s]
			if len(h.rows) == s {
				h.rows = append(h.rows, nil)
			}
			if section.General() && len(h.rows[s]) == 0 {
				h.rows[s] = [][]int{nil}
			}
			for section.General() && len(h.rows[s][0]) < int(section.Places) {
				h.add(plainUnit{section: s, position: len(h.rows[s][0]), general: true, tier: section.Tier})
			}
			for r := len(h.rows[s]); !section.General() && r < len(section.Rows); r++ {
				h.rows[s] = append(h.rows[s], nil)
				tier := section.Rows[r].Tier
				if tier == holdfast.AnyTier {
					tier = section.Tier
				}
				for p := range int(section.Rows[r].Seats) {
					h.add(plainUnit{section: s, row: r, position: p, tier: tier})
				}
			}
		}
	}
	last := versions[len(versions)-1]
	for u := range h.units {
		h.units[u].allocation = plainAllocation(last, h.units[u])
	}
	h.state = make([]holdfast.SeatState, len(h.units))
	h.mine, h.gone = make([]bool, len(h.units)), make([]bool, len(h.units))
	return h
}

func (h *plainHouse) add(u plainUnit) {
	h.rows[u.section][u.row] = append(h.rows[u.section][u.row], len(h.units))
	h.units = append(h.units, u)
}

func plainAllocation(spec *command.EventSpec, u plainUnit) holdfast.AllocationIndex {
	for i, a := range spec.Allocations {
		for _, span := range a.Spans {
			if int(span.Section) == u.section && int(span.Row) == u.row && int(span.First) <= u.position && u.position <= int(span.Last) {
				return holdfast.AllocationIndex(i + 1)
			}
		}
	}
	return holdfast.Public
}

func (h *plainHouse) free(u int) bool {
	return !h.gone[u] && (h.mine[u] || h.state[u] == holdfast.Free)
}

// at reports whether a row has a free seat at a position.
func (h *plainHouse) at(row []int, p int) bool { return p >= 0 && p < len(row) && h.free(row[p]) }

func (h *plainHouse) alone(row []int, p int) bool {
	return h.at(row, p) && !h.at(row, p-1) && !h.at(row, p+1)
}

// orphaned reports whether taking some seats of a row leaves one alone that was not.
func (h *plainHouse) orphaned(row []int, take []int) bool {
	before := make([]bool, len(row))
	for p := range row {
		before[p] = h.alone(row, p)
	}
	for _, u := range take {
		h.gone[u] = true
	}
	found := false
	for p := range row {
		found = found || h.alone(row, p) && !before[p]
	}
	for _, u := range take {
		h.gone[u] = false
	}
	return found
}

// run is the best run of n seats in a row, nil if there is none; middle is twice the position to be near.
func (h *plainHouse) run(row []int, a *ask, n, middle int) (best []int, orphans bool) {
	bestFar := 0
	for first := 0; first+n <= len(row); first++ {
		run := row[first : first+n]
		if slices.ContainsFunc(run, func(u int) bool { return !h.free(u) || h.units[u].allocation != a.allocation }) {
			continue
		}
		far := max(2*first+n-1-middle, middle-2*first-n+1)
		alone := a.noOrphans && h.orphaned(row, run)
		if best == nil || orphans && !alone || orphans == alone && far < bestFar {
			best, orphans, bestFar = run, alone, far
		}
	}
	return best, orphans
}

// ask decides like choice.choose, and like choice.explain says what could be named instead.
func (h *plainHouse) ask(a *ask) (o holdfast.Outcome, units, taken, near []int) {
	for _, u := range a.own {
		h.mine[u] = true
	}
	var named []int
	o = holdfast.OK
	for _, w := range a.wants {
		for _, u := range w.Seats {
			named = append(named, int(u))
			if shade := h.shade(int(u), a); shade != holdfast.OK {
				if !slices.Contains(a.own, u) {
					taken = append(taken, int(u))
				}
				if o == holdfast.OK || shade < o {
					o = shade
				}
			}
		}
	}
	if o != holdfast.OK {
		clear(h.mine)
		if len(taken) > 0 {
			near = h.near(a, named, taken[0])
		}
		return o, nil, taken, near
	}
	orphans := false
	if a.noOrphans {
		near, orphans = h.tidier(a, named)
	}
	units = slices.Clone(named)
	for _, u := range named {
		h.gone[u] = true
	}
	for i := range a.wants {
		if w := &a.wants[i]; o == holdfast.OK && w.Kind != command.WantSeats {
			got := h.any(a, w)
			if len(got) < int(w.Count) {
				o = h.shortage(a, w, units)
			}
			units = append(units, got...)
		}
	}
	clear(h.mine)
	clear(h.gone)
	switch {
	case o != holdfast.OK:
		return o, nil, nil, nil
	case orphans:
		return holdfast.SeatOrphaned, nil, nil, near
	}
	return o, units, nil, nil
}

func (h *plainHouse) shade(u int, a *ask) holdfast.Outcome {
	switch {
	case h.units[u].allocation != a.allocation || h.state[u] == holdfast.Blocked:
		return holdfast.SeatNotForYou
	case h.free(u):
		return holdfast.OK
	case h.state[u] == holdfast.Sold:
		return holdfast.SeatSold
	case h.state[u] == holdfast.Paying:
		return holdfast.SeatInPayment
	}
	return holdfast.SeatHeld
}

func (h *plainHouse) any(a *ask, w *command.Want) (got []int) {
	if w.Kind == command.WantGeneral {
		for u := range h.units {
			if len(got) < int(w.Count) && h.fits(a, w, u) && h.free(u) {
				got, h.gone[u] = append(got, u), true
			}
		}
		return got
	}
	for left := int(w.Count); left > 0; left = int(w.Count) - len(got) {
		n := left
		row := h.front(a, w, n)
		for row == nil && n > 1 && !w.Adjacent {
			n--
			row = h.front(a, w, n)
		}
		if row == nil {
			break
		}
		run, _ := h.run(row, a, n, len(row)-1)
		got = append(got, run...)
		for _, u := range run {
			h.gone[u] = true
		}
	}
	return got
}

// front gives the first row with a run of n seats for a want.
func (h *plainHouse) front(a *ask, w *command.Want, n int) []int {
	for _, section := range h.rows {
		for _, row := range section {
			if run, _ := h.run(row, a, n, 0); run != nil && h.fits(a, w, run[0]) {
				return row
			}
		}
	}
	return nil
}

// fits reports whether a want would be content with a unit if it were free.
func (h *plainHouse) fits(a *ask, w *command.Want, u int) bool {
	at := &h.units[u]
	return at.allocation == a.allocation && at.general == (w.Kind == command.WantGeneral) &&
		(w.Section == holdfast.AnySection || int(w.Section) == at.section) &&
		(at.general || w.Tier == holdfast.AnyTier || w.Tier == at.tier)
}

func (h *plainHouse) shortage(a *ask, w *command.Want, chosen []int) holdfast.Outcome {
	left, others := 0, 0
	for u := range h.units {
		if !h.fits(a, w, u) || slices.Contains(chosen, u) {
			continue
		}
		mine := slices.Contains(a.own, holdfast.SeatIndex(u))
		switch s := h.state[u]; {
		case s == holdfast.Free || mine:
			left++
		case s == holdfast.Held || s == holdfast.Paying:
			left++
			others++
		}
	}
	if others > 0 && left >= int(w.Count) {
		return holdfast.NotEnough
	}
	return holdfast.SoldOut
}

// tidier gives what could be named instead of units that break the rule against orphans.
func (h *plainHouse) tidier(a *ask, named []int) (near []int, broken bool) {
	for s := range h.rows {
		for _, row := range h.rows[s] {
			chosen := slices.DeleteFunc(slices.Clone(row), func(u int) bool { return !slices.Contains(named, u) })
			if len(chosen) == 0 {
				continue
			}
			if !h.units[row[0]].general && h.orphaned(row, chosen) {
				middle := h.units[chosen[0]].position + h.units[chosen[len(chosen)-1]].position
				if instead, orphans := h.run(row, a, len(chosen), middle); instead != nil && !orphans {
					chosen, broken = instead, true
				}
			}
			near = append(near, chosen...)
		}
	}
	slices.Sort(near)
	return near, broken
}

// near gives units to name instead of those named, of which one was not to be had.
func (h *plainHouse) near(a *ask, named []int, missed int) []int {
	at, n := h.units[missed], len(named)
	section := h.rows[at.section]
	if at.general {
		got := h.any(a, &command.Want{Kind: command.WantGeneral, Section: holdfast.SectionIndex(at.section), Count: uint8(n)})
		clear(h.gone)
		if len(got) < n {
			return nil
		}
		return got
	}
	low, high := len(section[at.row]), -1
	for p, u := range section[at.row] {
		if slices.Contains(named, u) {
			low, high = min(low, p), max(high, p)
		}
	}
	if run, _ := h.run(section[at.row], a, n, low+high); run != nil {
		return run
	}
	for d := 1; d < len(section); d++ {
		for _, r := range []int{at.row - d, at.row + d} {
			if r < 0 || r >= len(section) || h.units[section[r][0]].tier != at.tier {
				continue
			}
			if run, _ := h.run(section[r], a, n, len(section[r])-1); run != nil {
				return run
			}
		}
	}
	return nil
}

// drawn shows the units of every row, for messages.
func (h *plainHouse) drawn() string {
	var b strings.Builder
	for s, rows := range h.rows {
		for r, row := range rows {
			fmt.Fprintf(&b, "\nsection %d row %d:", s, r)
			for _, u := range row {
				fmt.Fprintf(&b, " %d%c%d", u, ".hpsb"[h.state[u]], h.units[u].allocation)
			}
		}
	}
	return b.String()
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
