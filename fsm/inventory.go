package fsm

import (
	"fmt"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Counts says how many units are in each state.
type Counts [holdfast.SeatStates]uint32

// inventory is the state of every unit of one event: eight bytes for each that a snapshot keeps, in pages that a
// cut can share, and what is worked out from them to decide fast. move is the one function that changes a unit's
// state, and the counters with it.
type inventory struct {
	each     pages[unit]
	geometry *geometry

	// Worked out from the above, by rebuild. A cut has none of it.
	counts []Counts // by class; all that is counted is a sum of these
	free   freeUnits
}

// unit is what a snapshot keeps of a unit. Both are in one place, since whoever moves a unit reads both, and in a
// large house that is what takes the time.
type unit struct {
	// word has the unit's state, in the low stateBits, and above them the slot of the hold or order that it belongs
	// to; 0 if it is free or blocked.
	word uint32
	// next leads through the units of one hold: one more than the number of the next; 0 after the last one, and for
	// units that belong to none.
	next uint32
}

const (
	stateBits = 3
	stateMask = 1<<stateBits - 1
	ownerMax  = 1<<(32-stateBits) - 1
)

// Every state fits its bits.
const _ = uint(stateMask + 1 - holdfast.SeatStates)

// wordOf packs a unit's state and its owner, which a free or blocked unit does not have.
func wordOf(s holdfast.SeatState, owner uint32) uint32 {
	if s == holdfast.Free || s == holdfast.Blocked {
		owner = 0
	}
	return owner<<stateBits | uint32(s)
}

// moves says into which states a unit may move from each.
var moves = [holdfast.SeatStates]uint8{
	holdfast.Free:    1<<holdfast.Held | 1<<holdfast.Blocked,
	holdfast.Held:    1<<holdfast.Free | 1<<holdfast.Paying | 1<<holdfast.Sold,
	holdfast.Paying:  1<<holdfast.Free | 1<<holdfast.Sold,
	holdfast.Sold:    1 << holdfast.Free,
	holdfast.Blocked: 1 << holdfast.Free,
}

// extend takes over the geometry of a new or changed description, whose new units are free.
func (v *inventory) extend(g *geometry) {
	assert(g.len() >= v.len(), "an inventory shrinks")
	v.each.grow(g.len())
	v.rebuild(g)
}

// rebuild works out from the units' words all that a snapshot does not keep. It visits every unit: some
// milliseconds for a million.
func (v *inventory) rebuild(g *geometry) {
	assert(v.len() == g.len(), "an inventory has other units than its geometry")
	v.geometry = g
	v.counts = make([]Counts, len(g.classes))
	v.free = newFreeUnits(g)
	for s := range g.strips[:len(g.strips)-1] {
		counts := &v.counts[g.strips[s].class]
		for u := g.strips[s].first; u < g.stripEnd(uint32(s)); u++ {
			state := v.state(holdfast.SeatIndex(u))
			assert(state < holdfast.SeatStates, "a unit is in no known state")
			counts[state]++
			if state == holdfast.Free {
				v.free.set(u)
			}
		}
		v.measure(uint32(s))
	}
}

// cut freezes the units. The frozen copy can be read with state, owner, next and states, from another goroutine.
func (v *inventory) cut(l *lease) inventory {
	return inventory{each: v.each.cut(l), geometry: v.geometry}
}

// len gives the number of units.
func (v *inventory) len() int { return v.each.len() }

func (v *inventory) state(u holdfast.SeatIndex) holdfast.SeatState {
	return holdfast.SeatState(v.each.at(uint32(u)).word & stateMask)
}

// owner gives the slot of the hold or order that a unit belongs to; 0 for none.
func (v *inventory) owner(u holdfast.SeatIndex) uint32 {
	return v.each.at(uint32(u)).word >> stateBits
}

// states appends the state of every unit, a byte for each.
func (v *inventory) states(b []byte) []byte {
	for u := range v.len() {
		b = append(b, byte(v.state(holdfast.SeatIndex(u))))
	}
	return b
}

// move brings a unit from one state into another. owner is the slot of the hold that it belongs to before, after,
// or both; 0 if it is free or blocked on either side. Where the unit is not what the caller believes it to be, the
// machine stops: two owners of a seat are worse than none.
func (v *inventory) move(u holdfast.SeatIndex, from, to holdfast.SeatState, owner uint32) {
	if word := v.each.at(uint32(u)).word; word != wordOf(from, owner) && !planted.Is(planted.DoubleSell) {
		fail("unit %d is %s of %d, not %s of %d", u, holdfast.SeatState(word&stateMask), word>>stateBits, from, owner)
	}
	if moves[from]>>to&1 == 0 {
		fail("unit %d would go from %s to %s", u, from, to)
	}
	free := from == holdfast.Free || to == holdfast.Free
	blocked := from == holdfast.Blocked || to == holdfast.Blocked
	if owner > ownerMax || (owner == 0) != (free && blocked) {
		fail("unit %d would go from %s to %s with owner %d", u, from, to, owner)
	}
	moved := v.each.edit(uint32(u))
	moved.word = wordOf(to, owner)
	if to == holdfast.Free {
		moved.next = 0
	}

	s := v.geometry.strip(u)
	counts := &v.counts[v.geometry.strips[s].class]
	assert(counts[from] > 0, "a counter falls below zero")
	counts[from]--
	counts[to]++
	if planted.Is(planted.CounterOff) && from == holdfast.Paying && to == holdfast.Free {
		counts[to]--
	}
	switch holdfast.Free {
	case from:
		v.free.clear(uint32(u))
	case to:
		v.give(uint32(u), s)
	}
}

// chain links the units of one hold in this order. They must belong to it already.
func (v *inventory) chain(units []holdfast.SeatIndex) {
	for i, u := range units {
		next := uint32(0)
		if i+1 < len(units) {
			next = uint32(units[i+1]) + 1
		}
		if v.each.at(uint32(u)).next != next {
			v.each.edit(uint32(u)).next = next
		}
	}
}

// next gives the unit of the same hold that follows in its chain; NoSeat after the last.
func (v *inventory) next(u holdfast.SeatIndex) holdfast.SeatIndex {
	return holdfast.SeatIndex(v.each.at(uint32(u)).next - 1) // 0, none, wraps to NoSeat
}

// total counts all units.
func (v *inventory) total() (sum Counts) {
	for c := range v.counts {
		sum.add(&v.counts[c])
	}
	return sum
}

// bySection counts the units of each section.
func (v *inventory) bySection() []Counts {
	sums := make([]Counts, len(v.geometry.general))
	for c := range v.counts {
		sums[v.geometry.classes[c].section].add(&v.counts[c])
	}
	return sums
}

// byTier counts the units of each tier.
func (v *inventory) byTier() []Counts {
	sums := make([]Counts, v.geometry.tiers)
	for c := range v.counts {
		sums[v.geometry.classes[c].tier].add(&v.counts[c])
	}
	return sums
}

// byAllocation counts the units of each allocation, Public first.
func (v *inventory) byAllocation() []Counts {
	sums := make([]Counts, v.geometry.parts)
	for c := range v.counts {
		sums[v.geometry.classes[c].allocation].add(&v.counts[c])
	}
	return sums
}

func (c *Counts) add(d *Counts) {
	for s := range c {
		c[s] += d[s]
	}
}

// check compares all that is worked out with the units' words, and tells of each difference.
func (v *inventory) check() (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if v.geometry.len() != v.len() {
		complain("%d units have %d places", v.len(), v.geometry.len())
		return wrong
	}
	counts := make([]Counts, len(v.counts))
	for s := range v.geometry.order {
		at := v.geometry.strips[s]
		for u := at.first; u < v.geometry.stripEnd(uint32(s)); u++ {
			state := v.state(holdfast.SeatIndex(u))
			if state >= holdfast.SeatStates {
				complain("unit %d is in state %d", u, state)
				continue
			}
			counts[at.class][state]++
			if v.free.has(u) != (state == holdfast.Free) {
				complain("unit %d is %s, and the index of free units has it otherwise", u, state)
			}
			if owned := v.owner(holdfast.SeatIndex(u)) != 0; owned == (state == holdfast.Free || state == holdfast.Blocked) {
				complain("unit %d is %s with owner %d", u, state, v.owner(holdfast.SeatIndex(u)))
			} else if !owned && v.each.at(u).next != 0 {
				complain("unit %d belongs to nobody and is followed by %d", u, v.next(holdfast.SeatIndex(u)))
			}
		}
		c := &v.geometry.classes[at.class]
		longest := uint8(v.free.longest(at.first, v.geometry.stripEnd(uint32(s)), runMax))
		if run, block, top := v.free.runs[at.place], v.free.blocks[c.block(at.place)], v.free.tops[at.class]; run < longest || block < run || top < block {
			complain("strip %d has a run of %d, bounded by %d, %d and %d", s, longest, run, block, top)
		}
	}
	for c := range counts {
		if counts[c] != v.counts[c] {
			complain("class %d counts %v, its units %v", c, v.counts[c], counts[c])
		}
	}
	return wrong
}
