package fsm

import (
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Which units a want gets. It depends on nothing but the event's description and the units' states, so every
// replica chooses the same.
//
// A want for named units gets these. A want for general admission gets the free places with the lowest numbers of
// its section and allocation.
//
// A want for the best gets seats of its allocation and, where it names them, of its section and tier:
//
//  1. Sections count in the order of the description, rows in the order of their section, the front first. The
//     first row that has a run of as many free seats side by side as are wanted is the row.
//  2. In that row, with the rule against orphans, a run that leaves no seat alone goes before one that does
//     (see orphan.go).
//  3. Of several runs the one whose middle is nearest the row's middle; of two as near, the one with the lower
//     numbers.
//  4. When no row has such a run and the seats need not be adjacent, the longest run that there is, of the
//     first row that has one as long, is taken as it is by rules 2 and 3; then the rest is looked for in the
//     same way.
//
// Seats of another allocation end a run. A row of an update that was added to a section is its last.

// ask is what a command wants.
type ask struct {
	allocation holdfast.AllocationIndex
	wants      []command.Want // what they name exists, and no unit is named twice
	noOrphans  bool
	own        []holdfast.SeatIndex // units that the asking hold has: they count as free
}

// choice is what an ask gets. Its slices are used again from one command to the next.
type choice struct {
	units []holdfast.SeatIndex // all the units: the named ones first, then want by want
	taken []holdfast.SeatIndex // named units that are not to be had
	near  []holdfast.SeatIndex // units that could be asked for instead of the named ones
	named []holdfast.SeatIndex // scratch: the named units by number
}

// choose decides which units the wants get, each want keeping off those that wants before it got. Of the wants that
// name no units the first that cannot be satisfied gives the refusal: those after it are not looked at, since what
// they would get depends on it. It changes nothing, and leaves units empty unless it answers OK.
func (c *choice) choose(v *inventory, a *ask) holdfast.Outcome {
	c.units, c.near = c.units[:0], c.near[:0]
	v.lend(a.own)
	o := c.chooseNamed(v, a)
	orphans := o == holdfast.OK && a.noOrphans && c.orphans(v, a)
	for i := range a.wants {
		if w := &a.wants[i]; o == holdfast.OK && w.Kind != command.WantSeats {
			o = c.chooseAny(v, a, w)
		}
	}
	if o == holdfast.OK && orphans {
		o = holdfast.SeatOrphaned
	}
	v.settle(c.units)
	v.settle(a.own)
	if o != holdfast.OK {
		c.units = c.units[:0]
	}
	return o
}

// explain fills taken and near for an ask that was refused with o, from the units' states as they are now.
func (c *choice) explain(v *inventory, a *ask, o holdfast.Outcome) {
	c.units, c.taken, c.near = c.units[:0], c.taken[:0], c.near[:0]
	switch o {
	case holdfast.SeatNotForYou, holdfast.SeatSold, holdfast.SeatInPayment, holdfast.SeatHeld:
		for i := range a.wants {
			for _, u := range a.wants[i].Seats {
				if v.shade(u, a) != holdfast.OK && !slices.Contains(a.own, u) && len(c.taken) < command.ResultSeatsMax {
					c.taken = append(c.taken, u)
				}
			}
		}
		if len(c.taken) > 0 {
			c.sortNamed(a)
			c.nearTo(v, a, c.taken[0])
		}
	case holdfast.SeatOrphaned:
		v.lend(a.own)
		if c.chooseNamed(v, a) != holdfast.OK || !a.noOrphans || !c.orphans(v, a) {
			c.near = c.near[:0]
		}
		v.settle(c.units)
		v.settle(a.own)
	}
}

// lend makes units that may be taken of those that the asking hold has, until settle.
func (v *inventory) lend(own []holdfast.SeatIndex) {
	for _, u := range own {
		v.give(uint32(u), v.geometry.strip(u))
	}
}

// settle ends what lend and choosing did to the bits of free units.
func (v *inventory) settle(units []holdfast.SeatIndex) {
	for _, u := range units {
		v.agree(u)
	}
}

// shade says whether a unit is to be had, and if not, why.
func (v *inventory) shade(u holdfast.SeatIndex, a *ask) holdfast.Outcome {
	if v.geometry.allocation(u) != a.allocation {
		return holdfast.SeatNotForYou
	}
	if v.free.has(uint32(u)) {
		return holdfast.OK
	}
	switch v.state(u) {
	case holdfast.Sold:
		return holdfast.SeatSold
	case holdfast.Paying:
		return holdfast.SeatInPayment
	case holdfast.Held:
		if planted.Is(planted.DoubleSell) && alone(v, u, a) {
			return holdfast.OK
		}
		return holdfast.SeatHeld
	case holdfast.Blocked:
		return holdfast.SeatNotForYou
	}
	fail("unit %d is named twice, or the index of free units has lost it", u)
	return 0
}

// chooseNamed chooses the units that the wants name. Of several reasons why not it gives the one that goes first.
func (c *choice) chooseNamed(v *inventory, a *ask) holdfast.Outcome {
	refusal := holdfast.OK
	for i := range a.wants {
		for _, u := range a.wants[i].Seats {
			switch o := v.shade(u, a); {
			case o == holdfast.OK:
				v.free.clear(uint32(u))
				c.units = append(c.units, u)
			case refusal == holdfast.OK || o < refusal:
				refusal = o
			}
		}
	}
	return refusal
}

// chooseAny chooses the units of a want that names none.
func (c *choice) chooseAny(v *inventory, a *ask, w *command.Want) holdfast.Outcome {
	before := len(c.units)
	if w.Kind == command.WantGeneral {
		c.units = v.pickGeneral(c.units, a.allocation, w.Section, uint32(w.Count))
	} else {
		c.units = v.pickBest(c.units, a, w)
	}
	if len(c.units)-before == int(w.Count) {
		return holdfast.OK
	}
	return v.shortage(a, w, c.units[:before])
}

// shortage says what a want that cannot be satisfied may hope for: others' units that may return, if there are any
// and they would be enough with the free ones; chosen are those that wants before it got.
func (v *inventory) shortage(a *ask, w *command.Want, chosen []holdfast.SeatIndex) holdfast.Outcome {
	var fit, others int
	from, to := v.geometry.classesOf(a.allocation, w.Section)
	for c := from; c < to; c++ {
		if v.geometry.classes[c].fits(w) {
			returning := int(v.counts[c][holdfast.Held] + v.counts[c][holdfast.Paying])
			fit += int(v.counts[c][holdfast.Free]) + returning
			others += returning
		}
	}
	fit -= v.countFitting(a, w, chosen)
	others -= v.countFitting(a, w, a.own)
	if others > 0 && fit >= int(w.Count) {
		return holdfast.NotEnough
	}
	return holdfast.SoldOut
}

// countFitting counts those of the units that would satisfy the want.
func (v *inventory) countFitting(a *ask, w *command.Want, units []holdfast.SeatIndex) (n int) {
	for _, u := range units {
		c := &v.geometry.classes[v.geometry.class(u)]
		if c.allocation == a.allocation && (w.Section == holdfast.AnySection || w.Section == c.section) && c.fits(w) {
			n++
		}
	}
	return n
}

// fits reports whether a class in a want's allocation and section is one that the want may take from.
func (c *class) fits(w *command.Want) bool {
	if w.Kind == command.WantGeneral {
		return c.general
	}
	return !c.general && (w.Tier == holdfast.AnyTier || w.Tier == c.tier)
}

// pickGeneral takes count free places, or as many as there are.
func (v *inventory) pickGeneral(units []holdfast.SeatIndex, a holdfast.AllocationIndex, s holdfast.SectionIndex, count uint32) []holdfast.SeatIndex {
	from, to := v.geometry.classesOf(a, s)
	for from < to && count > 0 {
		n, strip := v.longestIn(from, 0, 1)
		if n == 0 {
			break
		}
		end := v.geometry.stripEnd(strip)
		u := v.free.nextFree(v.geometry.strips[strip].first, end)
		for ; u < end && count > 0; count-- {
			v.free.clear(u)
			units = append(units, holdfast.SeatIndex(u))
			u = v.free.nextFree(u+1, end)
		}
	}
	return units
}

// pickBest takes the best seats for a want, or as many as there are.
func (v *inventory) pickBest(units []holdfast.SeatIndex, a *ask, w *command.Want) []holdfast.SeatIndex {
	for left := uint32(w.Count); left > 0; {
		least := uint32(1)
		if w.Adjacent {
			least = left
		}
		n, row := v.bestRow(a, w, least, left)
		if n == 0 {
			break
		}
		r := &v.geometry.rows[row]
		run := v.fit(r, aim{allocation: a.allocation, count: n, middle: r.middle(), noOrphans: a.noOrphans})
		assert(run.found, "a row has lost a run of free seats")
		for u := run.first; u < run.first+n; u++ {
			v.free.clear(u)
			units = append(units, holdfast.SeatIndex(u))
		}
		left -= n
	}
	return units
}

// bestRow gives the first row with the longest run of free seats for a want, of least seats and up to most.
func (v *inventory) bestRow(a *ask, w *command.Want, least, most uint32) (length, row uint32) {
	classes, strips := v.geometry.classes, v.geometry.strips
	from, to := v.geometry.classesOf(a.allocation, w.Section)
	for best := least - 1; from < to && best < most; {
		// Tiers of one section share its rows, so that the front one may be of any of them.
		before := best
		for section := classes[from].section; from < to && classes[from].section == section; from++ {
			if uint32(v.free.tops[from]) <= before || !classes[from].fits(w) {
				continue
			}
			n, strip := v.longestIn(from, before, most)
			if n > best || n > 0 && n == best && strips[strip].row < row {
				best, length, row = n, n, strips[strip].row
			}
		}
	}
	return length, row
}

// middle gives the sum of the numbers of a row's first and last unit: twice its middle.
func (r *row) middle() uint32 { return 2*r.first + uint32(r.count) - 1 }

// aim is a run of seats that is looked for in a row.
type aim struct {
	allocation holdfast.AllocationIndex
	count      uint32
	middle     uint32 // twice the place that its middle should be near
	noOrphans  bool   // prefer a run that leaves no seat alone
}

// spot is where it was found.
type spot struct {
	found   bool
	first   uint32
	orphans bool   // it leaves a seat alone
	far     uint32 // twice how far its middle is from the one wanted
}

// fit finds the run of free seats in a row whose middle is nearest to a place.
func (v *inventory) fit(r *row, w aim) (best spot) {
	g, f := v.geometry, &v.free
	for s, end := r.strips, r.first+uint32(r.count); g.strips[s].first < end; s++ {
		if g.classes[g.strips[s].class].allocation != w.allocation {
			continue
		}
		stripEnd := g.stripEnd(s)
		for u := f.nextFree(g.strips[s].first, stripEnd); u < stripEnd; {
			next := f.nextTaken(u+1, stripEnd)
			if next-u >= w.count {
				best = better(best, v.fitIn(r, w, u, next))
			}
			u = f.nextFree(next+1, stripEnd)
		}
	}
	return best
}

// better gives the better of two runs. The second was found, and has the higher numbers.
func better(a, b spot) spot {
	if !a.found || a.orphans && !b.orphans || a.orphans == b.orphans && b.far < a.far {
		return b
	}
	return a
}

// fitIn finds the best place for the wanted run in the free seats from begin to end.
func (v *inventory) fitIn(r *row, w aim, begin, end uint32) (best spot) {
	last := end - w.count // where it may begin at the latest
	ideal := min(max((int64(w.middle)-int64(w.count)+1)>>1, int64(begin)), int64(last))
	// The two places that would leave one seat alone are the only ones to keep off, so of five about the ideal
	// one is the best.
	for first := max(ideal-2, int64(begin)); first <= min(ideal+2, int64(last)); first++ {
		at := spot{found: true, first: uint32(first), far: distance(2*uint32(first)+w.count-1, w.middle)}
		at.orphans = w.noOrphans && v.leavesOrphan(r, uint32(first), uint32(first)+w.count)
		best = better(best, at)
	}
	return best
}

func distance(a, b uint32) uint32 { return max(a, b) - min(a, b) }

// sortNamed lists the units that the wants name by number.
func (c *choice) sortNamed(a *ask) {
	c.named = c.named[:0]
	for i := range a.wants {
		c.named = append(c.named, a.wants[i].Seats...)
	}
	slices.Sort(c.named)
}

// nearTo finds as many units as were named, all together, near one that was not to be had: in its row near the
// named ones, else in the nearest row of its section and tier. For general admission any places of its section do.
func (c *choice) nearTo(v *inventory, a *ask, u holdfast.SeatIndex) {
	g, count := v.geometry, uint32(len(c.named))
	if count > holdfast.UnitsPerHoldMax {
		return
	}
	r := g.row(u)
	if g.general[r.section] {
		if c.near = v.pickGeneral(c.near, a.allocation, r.section, count); len(c.near) < int(count) {
			v.settle(c.near)
			c.near = c.near[:0]
		}
		v.settle(c.near)
		return
	}
	w := aim{allocation: a.allocation, count: count, middle: c.middleIn(r), noOrphans: a.noOrphans}
	at := v.fit(r, w)
	if !at.found {
		if r = v.nearestRow(r, a.allocation, count); r == nil {
			return
		}
		w.middle = r.middle()
		at = v.fit(r, w)
	}
	for first := at.first; first < at.first+count; first++ {
		c.near = append(c.near, holdfast.SeatIndex(first))
	}
}

// middleIn gives twice the middle of the named units in a row.
func (c *choice) middleIn(r *row) uint32 {
	from, _ := slices.BinarySearch(c.named, holdfast.SeatIndex(r.first))
	to, _ := slices.BinarySearch(c.named, holdfast.SeatIndex(r.first+uint32(r.count)))
	return uint32(c.named[from] + c.named[to-1])
}

// nearestRow gives the row nearest to r, of the same section and tier, that has a run of count free seats of the
// allocation; of two as near, the one in front. nil if there is none.
func (v *inventory) nearestRow(r *row, a holdfast.AllocationIndex, count uint32) *row {
	g := v.geometry
	classNo, ok := slices.BinarySearch(g.keys, classKey(a, r.section, r.tier))
	if !ok || uint32(v.free.tops[classNo]) < count {
		return nil
	}
	c := &g.classes[classNo]
	order := g.order[c.from:c.to]
	skip, _ := slices.BinarySearch(order, r.strips)
	place := c.from + uint32(skip)
	rowOf := func(place uint32) *row { return &g.rows[g.strips[g.order[place]].row] }

	front, back := v.lastBefore(c, place, count), v.firstBehind(c, place, count)
	switch {
	case front == c.to && back == c.to:
		return nil
	case back == c.to, front != c.to && r.ordinal-rowOf(front).ordinal <= rowOf(back).ordinal-r.ordinal:
		return rowOf(front)
	}
	return rowOf(back)
}
