package fsm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
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
