package fsm

import "github.com/holdfast-db/holdfast"

// The rule against orphans: a named choice may not leave a seat alone when it need not.
//
// A seat is alone when it is free and neither neighbour in its row is: both are taken, blocked, or not there
// because the row ends. Free is free here, whichever allocation the seat belongs to. A choice orphans a seat when
// the seat is alone after it, and was not before.
//
// The rule is lenient. It looks at each row by itself: a choice of n seats in a row is refused when it orphans a
// seat there, and the row has n seats side by side, free and of the same allocation, that would not. Where every
// choice of n orphans a seat, each is allowed. Wants for the best are not refused: they keep to the rule where
// their row lets them. Only what is named counts, not what other wants of the same command get.

// leavesOrphan reports whether taking the free seats from first to end of a row would leave a seat alone.
func (v *inventory) leavesOrphan(r *row, first, end uint32) bool {
	return v.aloneBut(r, int64(first)-1, -1) || v.aloneBut(r, int64(end), 1)
}

// aloneBut reports whether a unit of a row is free and its neighbour on one side is not.
func (v *inventory) aloneBut(r *row, u, side int64) bool {
	return v.freeIn(r, u) && !v.freeIn(r, u+side)
}

// freeIn reports whether there is such a unit in a row and it is free.
func (v *inventory) freeIn(r *row, u int64) bool {
	return u >= int64(r.first) && u < int64(r.first)+int64(r.count) && v.free.has(uint32(u))
}

// orphans reports whether the named units, which are chosen, break the rule. near is then what could be named
// instead: for each row that breaks it, the nearest seats side by side that do not.
func (c *choice) orphans(v *inventory, a *ask) (broken bool) {
	c.sortNamed(a)
	for rest := c.named; len(rest) > 0; {
		r := v.geometry.row(rest[0])
		n := 1
		for n < len(rest) && uint32(rest[n]) < r.first+uint32(r.count) {
			n++
		}
		if instead := v.tidier(a, r, rest[:n]); instead.found {
			broken = true
			for i := range n {
				c.near = append(c.near, holdfast.SeatIndex(instead.first)+holdfast.SeatIndex(i))
			}
		} else {
			c.near = append(c.near, rest[:n]...)
		}
		rest = rest[n:]
	}
	if !broken {
		c.near = c.near[:0]
	}
	return broken
}

// tidier finds seats for those chosen in one row that leave none alone, if the chosen ones do.
func (v *inventory) tidier(a *ask, r *row, chosen []holdfast.SeatIndex) (instead spot) {
	if v.geometry.general[r.section] || len(chosen) > holdfast.UnitsPerHoldMax || !v.leaveOrphan(r, chosen) {
		return spot{}
	}
	for _, u := range chosen {
		v.give(uint32(u), v.geometry.strip(u))
	}
	instead = v.fit(r, aim{allocation: a.allocation, count: uint32(len(chosen)),
		middle: uint32(chosen[0] + chosen[len(chosen)-1]), noOrphans: true})
	for _, u := range chosen {
		v.free.clear(uint32(u))
	}
	instead.found = instead.found && !instead.orphans
	return instead
}

// leaveOrphan reports whether seats of a row that are taken already have left one alone.
func (v *inventory) leaveOrphan(r *row, chosen []holdfast.SeatIndex) bool {
	for _, u := range chosen {
		if v.leavesOrphan(r, uint32(u), uint32(u)+1) {
			return true
		}
	}
	return false
}
