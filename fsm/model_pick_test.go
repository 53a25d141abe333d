package fsm_test

import (
	"cmp"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The model's house: where each unit is, and which units a want gets, found by trying everything.

type modelEvent struct {
	id        holdfast.EventID
	spec      command.EventSpec
	version   uint32
	revision  holdfast.Revision
	sale      holdfast.SaleState
	units     []modelUnit
	coolUntil map[holdfast.BuyerID]holdfast.Clock
	line      *modelLine // nil until it is opened
	cameFree  bool       // units came free since the list for returns was looked at
}

type modelUnit struct {
	section, row, position int // for general admission row is 0 and position counts the section's places
	tier                   holdfast.TierIndex
	allocation             holdfast.AllocationIndex
	state                  holdfast.SeatState
	hold                   *modelHold
}

func (e *modelEvent) rules() command.Rules { return e.spec.Rules.WithDefaults() }

// describe brings the event to a description: units that it adds get the next numbers.
func (e *modelEvent) describe(spec command.EventSpec) {
	e.spec = spec
	exists := map[[3]int]bool{}
	for _, u := range e.units {
		exists[[3]int{u.section, u.row, u.position}] = true
	}
	add := func(section, row, count int) {
		for position := range count {
			if !exists[[3]int{section, row, position}] {
				e.units = append(e.units, modelUnit{section: section, row: row, position: position})
			}
		}
	}
	for s, section := range spec.Sections {
		add(s, 0, int(section.Places))
		for r, row := range section.Rows {
			add(s, r, int(row.Seats))
		}
	}
	for u := range e.units {
		e.units[u].tier, e.units[u].allocation = tierIn(&spec, e.units[u]), allocationIn(&spec, e.units[u])
	}
}

// compatible says whether a description may follow another: title, prices, rules and allocations are free; tiers,
// sections and rows may be appended, places added; all else stays.
func compatible(old, new *command.EventSpec) bool {
	if new.Name != old.Name || new.Currency != old.Currency || len(new.Tiers) < len(old.Tiers) || len(new.Sections) < len(old.Sections) {
		return false
	}
	for i, t := range old.Tiers {
		if new.Tiers[i].Name != t.Name {
			return false
		}
	}
	for i, o := range old.Sections {
		n := new.Sections[i]
		if n.Name != o.Name || n.Tier != o.Tier || (o.Places == 0) != (n.Places == 0) || n.Places < o.Places || len(n.Rows) < len(o.Rows) {
			return false
		}
		for j, row := range o.Rows {
			if n.Rows[j] != row {
				return false
			}
		}
	}
	return true
}

// tierIn and allocationIn look up in the description what describe notes at the unit.
func tierIn(spec *command.EventSpec, at modelUnit) holdfast.TierIndex {
	section := spec.Sections[at.section]
	if len(section.Rows) > 0 && section.Rows[at.row].Tier != holdfast.AnyTier {
		return section.Rows[at.row].Tier
	}
	return section.Tier
}

func allocationIn(spec *command.EventSpec, at modelUnit) holdfast.AllocationIndex {
	for i, a := range spec.Allocations {
		for _, span := range a.Spans {
			if int(span.Section) == at.section && int(span.Row) == at.row && int(span.First) <= at.position && at.position <= int(span.Last) {
				return holdfast.AllocationIndex(i + 1)
			}
		}
	}
	return holdfast.Public
}

func (e *modelEvent) general(u holdfast.SeatIndex) bool {
	return len(e.spec.Sections[e.units[u].section].Rows) == 0
}

// put brings units into a state; each that was in another raises the revision.
func (e *modelEvent) put(units []holdfast.SeatIndex, h *modelHold, state holdfast.SeatState) {
	for _, u := range units {
		if e.units[u].state != state {
			e.revision++
			e.cameFree = e.cameFree || state == holdfast.Free
		}
		e.units[u].state, e.units[u].hold = state, h
	}
}

// takenOf gives those of the units that belong to somebody.
func (e *modelEvent) takenOf(units []holdfast.SeatIndex) (taken []holdfast.SeatIndex) {
	for _, u := range units {
		if e.units[u].hold != nil {
			taken = append(taken, u)
		}
	}
	return taken
}

// counts counts the units of those that are asked for, by state.
func (e *modelEvent) counts(of func(u holdfast.SeatIndex) bool) (counts fsm.Counts) {
	for u := range holdfast.SeatIndex(len(e.units)) {
		if of(u) {
			counts[e.units[u].state]++
		}
	}
	return counts
}

// has says whether the event has all that the wants name, and nothing is named twice.
func (e *modelEvent) has(allocation holdfast.AllocationIndex, wants []command.Want) bool {
	named := map[holdfast.SeatIndex]bool{}
	for _, w := range wants {
		known := int(w.Section) < len(e.spec.Sections)
		switch w.Kind {
		case command.WantSeats:
			for _, u := range w.Seats {
				if int(u) >= len(e.units) || named[u] {
					return false
				}
				named[u] = true
			}
		case command.WantBest:
			if w.Section != holdfast.AnySection && (!known || e.spec.Sections[w.Section].Places > 0) || w.Tier != holdfast.AnyTier && int(w.Tier) >= len(e.spec.Tiers) {
				return false
			}
		case command.WantGeneral:
			if !known || e.spec.Sections[w.Section].Places == 0 {
				return false
			}
		}
	}
	return int(allocation) <= len(e.spec.Allocations)
}

// modelAsk is what a Hold or a Swap wants.
type modelAsk struct {
	allocation holdfast.AllocationIndex
	wants      []command.Want
	own        []holdfast.SeatIndex // units that the swapping hold has
	tidy       bool                 // the event has the rule against orphans
}

func (e *modelEvent) ask(allocation holdfast.AllocationIndex, wants []command.Want, own []holdfast.SeatIndex) modelAsk {
	return modelAsk{allocation, wants, own, e.rules().NoOrphans}
}

func (a modelAsk) named() (units []holdfast.SeatIndex) {
	for _, w := range a.wants {
		units = append(units, w.Seats...)
	}
	return units
}

type modelPick struct {
	outcome holdfast.Outcome
	units   []holdfast.SeatIndex
}

// pick decides what an ask gets: all, or the first refusal.
func (e *modelEvent) pick(a modelAsk) modelPick {
	got := e.pickNamed(a)
	if got.outcome != holdfast.OK {
		return got
	}
	for _, w := range a.wants {
		if w.Kind == command.WantSeats {
			continue
		}
		units := e.pickAny(a, w, got.units)
		if units == nil {
			return modelPick{outcome: e.shortage(a, w, got.units)}
		}
		got.units = append(got.units, units...)
	}
	if e.tidier(a) != nil {
		return modelPick{outcome: holdfast.SeatOrphaned}
	}
	return got
}

// pickNamed takes the units that are named, if all can be had.
func (e *modelEvent) pickNamed(a modelAsk) modelPick {
	refusals := []holdfast.Outcome{}
	for _, u := range a.named() {
		if o := e.shade(a, u); o != holdfast.OK {
			refusals = append(refusals, o)
		}
	}
	if len(refusals) > 0 {
		return modelPick{outcome: slices.Min(refusals)} // these four are in order of their numbers
	}
	return modelPick{holdfast.OK, a.named()}
}

// shade says why a unit cannot be had.
func (e *modelEvent) shade(a modelAsk, u holdfast.SeatIndex) holdfast.Outcome {
	switch {
	case e.units[u].allocation != a.allocation:
		return holdfast.SeatNotForYou
	case slices.Contains(a.own, u):
		return holdfast.OK
	}
	return map[holdfast.SeatState]holdfast.Outcome{
		holdfast.Free: holdfast.OK, holdfast.Held: holdfast.SeatHeld, holdfast.Paying: holdfast.SeatInPayment,
		holdfast.Sold: holdfast.SeatSold, holdfast.Blocked: holdfast.SeatNotForYou,
	}[e.units[u].state]
}

// refused lists the named units that are not to be had.
func (e *modelEvent) refused(a modelAsk) (units []holdfast.SeatIndex) {
	for _, u := range a.named() {
		if e.shade(a, u) != holdfast.OK && !slices.Contains(a.own, u) {
			units = append(units, u)
		}
	}
	return units
}

// freeFor says whether a unit counts as free for an ask that has chosen some already. Allocations do not matter.
func (e *modelEvent) freeFor(a modelAsk, chosen []holdfast.SeatIndex) func(holdfast.SeatIndex) bool {
	return func(u holdfast.SeatIndex) bool {
		return (e.units[u].state == holdfast.Free || slices.Contains(a.own, u)) && !slices.Contains(chosen, u)
	}
}

// fits says whether a want that names no units could take one of this kind.
func (e *modelEvent) fits(a modelAsk, w command.Want, u holdfast.SeatIndex) bool {
	return e.units[u].allocation == a.allocation && e.general(u) == (w.Kind == command.WantGeneral) &&
		(w.Section == holdfast.AnySection || int(w.Section) == e.units[u].section) &&
		(w.Kind == command.WantGeneral || w.Tier == holdfast.AnyTier || w.Tier == e.units[u].tier)
}

// shortage says whether a want that got nothing may hope.
func (e *modelEvent) shortage(a modelAsk, w command.Want, chosen []holdfast.SeatIndex) holdfast.Outcome {
	free, others := 0, 0
	for u := range holdfast.SeatIndex(len(e.units)) {
		switch state := e.units[u].state; {
		case !e.fits(a, w, u) || slices.Contains(chosen, u):
		case e.freeFor(a, chosen)(u):
			free++
		case state == holdfast.Held || state == holdfast.Paying:
			others++
		}
	}
	if others > 0 && free+others >= int(w.Count) {
		return holdfast.NotEnough
	}
	return holdfast.SoldOut
}

// pickAny takes units for a want that names none; nil if there are not enough.
func (e *modelEvent) pickAny(a modelAsk, w command.Want, chosen []holdfast.SeatIndex) (units []holdfast.SeatIndex) {
	free := e.freeFor(a, chosen)
	if w.Kind == command.WantGeneral {
		for u := range holdfast.SeatIndex(len(e.units)) {
			if len(units) < int(w.Count) && e.fits(a, w, u) && free(u) {
				units = append(units, u)
			}
		}
	} else {
		units = e.pickBest(a, w, chosen)
	}
	if len(units) < int(w.Count) {
		return nil
	}
	return units
}

// pickBest is the rule for the best seats: the first row with a run that is long enough; without one, and unless
// they must be adjacent, the longest run of the first row that has one as long, and so on with what is left.
func (e *modelEvent) pickBest(a modelAsk, w command.Want, chosen []holdfast.SeatIndex) (units []holdfast.SeatIndex) {
	rows := slices.DeleteFunc(e.rows(), func(row []holdfast.SeatIndex) bool { return !e.fitsRow(a, w, row) })
	for left := int(w.Count); left > 0; {
		var run []holdfast.SeatIndex
		for n := left; n > 0 && run == nil; n-- {
			if w.Adjacent && n < left {
				return nil
			}
			for _, row := range rows {
				if run == nil {
					run = e.bestRun(a, row, n, row[0]+row[len(row)-1], slices.Concat(chosen, units))
				}
			}
		}
		if run == nil {
			return nil
		}
		units = append(units, run...)
		left -= len(run)
	}
	return units
}

func (e *modelEvent) fitsRow(a modelAsk, w command.Want, row []holdfast.SeatIndex) bool {
	return slices.ContainsFunc(row, func(u holdfast.SeatIndex) bool { return e.fits(a, w, u) })
}

// rows lists the rows of seats: sections in the order of the description, the front row first.
func (e *modelEvent) rows() (rows [][]holdfast.SeatIndex) {
	for s, section := range e.spec.Sections {
		for r := range section.Rows {
			rows = append(rows, e.row(s, r))
		}
	}
	return rows
}

func (e *modelEvent) row(section, row int) (units []holdfast.SeatIndex) {
	for u, at := range e.units {
		if at.section == section && at.row == row {
			units = append(units, holdfast.SeatIndex(u))
		}
	}
	return units
}

// runs lists every run of n seats of a row that are free and of the asked allocation.
func (e *modelEvent) runs(a modelAsk, row []holdfast.SeatIndex, n int, chosen []holdfast.SeatIndex) (runs [][]holdfast.SeatIndex) {
	free := e.freeFor(a, chosen)
	for i := 0; i+n <= len(row); i++ {
		if !slices.ContainsFunc(row[i:i+n], func(u holdfast.SeatIndex) bool { return !free(u) || e.units[u].allocation != a.allocation }) {
			runs = append(runs, row[i:i+n])
		}
	}
	return runs
}

// bestRun gives the best run of n in a row: one that orphans no seat before one that does where that is a rule, then
// the one whose middle is nearest, then the one with lower numbers. twiceMiddle is twice the wanted middle.
func (e *modelEvent) bestRun(a modelAsk, row []holdfast.SeatIndex, n int, twiceMiddle holdfast.SeatIndex, chosen []holdfast.SeatIndex) []holdfast.SeatIndex {
	runs := e.runs(a, row, n, chosen)
	if len(runs) == 0 {
		return nil
	}
	orphans := func(run []holdfast.SeatIndex) int {
		if a.tidy && e.orphans(a, row, run, chosen) {
			return 1
		}
		return 0
	}
	far := func(run []holdfast.SeatIndex) int {
		middle := int(run[0]) + int(run[n-1])
		return max(middle-int(twiceMiddle), int(twiceMiddle)-middle)
	}
	return slices.MinFunc(runs, func(x, y []holdfast.SeatIndex) int {
		return cmp.Or(cmp.Compare(orphans(x), orphans(y)), cmp.Compare(far(x), far(y)), cmp.Compare(x[0], y[0]))
	})
}

// orphans says whether taking these seats of a row leaves a free seat alone that was not alone before.
func (e *modelEvent) orphans(a modelAsk, row, take, chosen []holdfast.SeatIndex) bool {
	alone := func(i int, free func(holdfast.SeatIndex) bool) bool {
		return free(row[i]) && (i == 0 || !free(row[i-1])) && (i == len(row)-1 || !free(row[i+1]))
	}
	before, after := e.freeFor(a, chosen), e.freeFor(a, slices.Concat(chosen, take))
	for i := range row {
		if alone(i, after) && !alone(i, before) {
			return true
		}
	}
	return false
}

// tidier gives what could be named instead of what is named and breaks the rule against orphans; nil if it does not.
func (e *modelEvent) tidier(a modelAsk) (instead []holdfast.SeatIndex) {
	if !a.tidy {
		return nil
	}
	broken := false
	for _, units := range e.byRow(a.named()) {
		row := e.row(e.units[units[0]].section, e.units[units[0]].row)
		best := units
		if !e.general(units[0]) && e.orphans(a, row, units, nil) {
			run := e.bestRun(a, row, len(units), units[0]+units[len(units)-1], nil)
			if run != nil && !e.orphans(a, row, run, nil) {
				best, broken = run, true
			}
		}
		instead = append(instead, best...)
	}
	if !broken {
		return nil
	}
	return instead
}

// byRow parts units by their rows, in order of number.
func (e *modelEvent) byRow(units []holdfast.SeatIndex) (rows [][]holdfast.SeatIndex) {
	var last modelUnit
	for i, u := range slices.Sorted(slices.Values(units)) {
		if at := e.units[u]; i == 0 || at.section != last.section || at.row != last.row {
			rows, last = append(rows, nil), at
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], u)
	}
	return rows
}

// near gives as many units as are named, all together and free, near one that is not to be had: in its row near the
// named ones, else in the nearest row of its section and tier, near that row's middle. Of general admission any do.
func (e *modelEvent) near(a modelAsk, missed holdfast.SeatIndex) (units []holdfast.SeatIndex) {
	a.own = nil // what one has is no alternative
	named, at := a.named(), e.units[missed]
	if e.general(missed) {
		return e.pickAny(a, command.Want{Kind: command.WantGeneral, Section: holdfast.SectionIndex(at.section), Count: uint8(len(named))}, nil)
	}
	row := e.row(at.section, at.row)
	var here []holdfast.SeatIndex
	for _, u := range named {
		if slices.Contains(row, u) {
			here = append(here, u)
		}
	}
	if run := e.bestRun(a, row, len(named), slices.Min(here)+slices.Max(here), nil); run != nil {
		return run
	}
	var others [][]holdfast.SeatIndex
	for r := range e.spec.Sections[at.section].Rows {
		other := e.row(at.section, r)
		if e.units[other[0]].tier == at.tier && len(e.runs(a, other, len(named), nil)) > 0 {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		return nil
	}
	far := func(row []holdfast.SeatIndex) int { return max(e.units[row[0]].row-at.row, at.row-e.units[row[0]].row) }
	nearest := slices.MinFunc(others, func(x, y []holdfast.SeatIndex) int {
		return cmp.Or(cmp.Compare(far(x), far(y)), cmp.Compare(e.units[x[0]].row, e.units[y[0]].row))
	})
	return e.bestRun(a, nearest, len(named), nearest[0]+nearest[len(nearest)-1], nil)
}
