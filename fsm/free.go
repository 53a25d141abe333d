package fsm

import (
	"math/bits"
	"slices"

	"github.com/holdfast-db/holdfast"
)

// freeUnits finds free units without looking at those that are not. It is worked out from the units' words, and is
// in no snapshot.
//
// A bit for each unit says that it may be taken. While a command is being decided, its own units may be lent and
// those that it has chosen be taken; afterwards the bits say again what the words say.
//
// Above the bits stand bounds: for each strip, for each block of strips of a class, and for each class, a number
// that the longest run of free units in it does not exceed. A unit that becomes free raises its bounds at once; a
// unit that is taken leaves them, and a search that finds less than they promise lowers them. So every strip that
// is looked at in vain was paid for by a unit that became free, and a search over a section that is sold out but
// for its last row passes over all the others, 64 strips in one step. What a search finds depends on the bits
// alone: replicas whose bounds differ agree.
type freeUnits struct {
	bits   []uint64
	runs   []uint8 // by place in geometry.order
	blocks []uint8 // of blockStrips strips of one class
	tops   []uint8 // by class
}

const (
	// blockStrips is how many strips share a bound: about the square root of the rows of a large section.
	blockStrips = 64

	// runMax is the longest run that is told from longer ones: no want is for more.
	runMax = holdfast.UnitsPerHoldMax
)

// Runs fit their bytes.
const _ = uint(255 - runMax)

func newFreeUnits(g *geometry) freeUnits {
	blocks := uint32(0)
	if n := len(g.classes); n > 0 {
		last := &g.classes[n-1]
		blocks = last.block(last.to-1) + 1
	}
	return freeUnits{bits: make([]uint64, (g.units+63)/64), runs: make([]uint8, len(g.order)),
		blocks: make([]uint8, blocks), tops: make([]uint8, len(g.classes))}
}

// block gives the block of a place in order.
func (c *class) block(place uint32) uint32 { return c.blocks + (place-c.from)/blockStrips }

func (f *freeUnits) set(u uint32)      { f.bits[u/64] |= 1 << (u % 64) }
func (f *freeUnits) clear(u uint32)    { f.bits[u/64] &^= 1 << (u % 64) }
func (f *freeUnits) has(u uint32) bool { return f.bits[u/64]>>(u%64)&1 != 0 }

// nextFree gives the first free unit in [from, to); to if there is none.
func (f *freeUnits) nextFree(from, to uint32) uint32 { return f.scan(from, to, 0) }

// nextTaken gives the first unit in [from, to) that is not free; to if there is none.
func (f *freeUnits) nextTaken(from, to uint32) uint32 { return f.scan(from, to, ^uint64(0)) }

func (f *freeUnits) scan(from, to uint32, flip uint64) uint32 {
	if from >= to {
		return to
	}
	w := from / 64
	word := (f.bits[w] ^ flip) >> (from % 64) << (from % 64)
	for word == 0 {
		if w++; w*64 >= to {
			return to
		}
		word = f.bits[w] ^ flip
	}
	return min(w*64+uint32(bits.TrailingZeros64(word)), to)
}

// runStart gives the first unit of the run of free units that ends at u, looking back no further than from.
func (f *freeUnits) runStart(u, from uint32) uint32 {
	for u > from {
		w, last := (u-1)/64, (u-1)%64
		if taken := ^f.bits[w] << (63 - last); taken != 0 {
			return max(from, u-uint32(bits.LeadingZeros64(taken)))
		}
		u = w * 64
	}
	return from
}

// longest gives the length of the longest run of free units in [from, to), or enough if there is one as long.
func (f *freeUnits) longest(from, to, enough uint32) (length uint32) {
	for u := f.nextFree(from, to); u < to; {
		end := f.nextTaken(u+1, to)
		if length = max(length, end-u); length >= enough {
			return enough
		}
		u = f.nextFree(end+1, to)
	}
	return length
}

// give makes a unit of strip s one that may be taken.
func (v *inventory) give(u, s uint32) {
	f, g := &v.free, v.geometry
	f.set(u)
	from, to := g.strips[s].first, g.stripEnd(s)
	if uint32(f.runs[g.strips[s].place]) >= min(to-from, runMax) {
		return // the bounds are as high as they can be
	}
	begin := f.runStart(u, max(from, u-min(u, runMax)))
	end := f.nextTaken(u+1, min(to, u+runMax))
	v.raise(s, uint8(min(end-begin, runMax)))
}

// raise sees to it that the bounds over strip s are at least run.
func (v *inventory) raise(s uint32, run uint8) {
	f, at := &v.free, &v.geometry.strips[s]
	c := &v.geometry.classes[at.class]
	for _, bound := range []*uint8{&f.runs[at.place], &f.blocks[c.block(at.place)], &f.tops[at.class]} {
		*bound = max(*bound, run)
	}
}

// measure works out the bounds over strip s from its bits.
func (v *inventory) measure(s uint32) {
	v.raise(s, uint8(v.free.longest(v.geometry.strips[s].first, v.geometry.stripEnd(s), runMax)))
}

// agree makes the unit's bit say again what its word says.
func (v *inventory) agree(u holdfast.SeatIndex) {
	if v.state(u) == holdfast.Free {
		v.give(uint32(u), v.geometry.strip(u))
	} else {
		v.free.clear(uint32(u))
	}
}

// runAt gives the longest run of free units in the strip at a place, or enough if there is one as long. It lowers
// the strip's bound to what it finds.
func (v *inventory) runAt(place, enough uint32) uint32 {
	s := v.geometry.order[place]
	n := v.free.longest(v.geometry.strips[s].first, v.geometry.stripEnd(s), enough)
	if n < enough {
		v.free.runs[place] = uint8(n)
	}
	return n
}

// lower brings a block's bound down to what its strips have.
func (f *freeUnits) lower(block, from, to uint32) {
	f.blocks[block] = slices.Max(f.runs[from:to])
}

// longestIn gives the first strip of a class with the longest run of free units, as far as runs are longer than
// more and no longer than enough: a run that is long enough ends the search. length is 0 if there is none.
func (v *inventory) longestIn(classNo int, more, enough uint32) (length, strip uint32) {
	f, c := &v.free, &v.geometry.classes[classNo]
	if uint32(f.tops[classNo]) <= more {
		return 0, 0
	}
	best, top := more, uint8(0)
	for from := c.from; from < c.to; from += blockStrips {
		block, to := c.block(from), min(from+blockStrips, c.to)
		if uint32(f.blocks[block]) > best {
			for place := from; place < to; place++ {
				if uint32(f.runs[place]) <= best {
					continue
				}
				if n := v.runAt(place, enough); n > best {
					best, length, strip = n, n, v.geometry.order[place]
				}
				if length == enough {
					return length, strip
				}
			}
			f.lower(block, from, to)
		}
		top = max(top, f.blocks[block])
	}
	f.tops[classNo] = top
	return length, strip
}

// firstBehind gives the first place at or behind place, in its class, with a run of n free units; c.to if there is none.
func (v *inventory) firstBehind(c *class, place, n uint32) uint32 {
	for place < c.to {
		block := c.block(place)
		begin := c.from + (block-c.blocks)*blockStrips
		end := min(begin+blockStrips, c.to)
		if uint32(v.free.blocks[block]) >= n {
			for ; place < end; place++ {
				if uint32(v.free.runs[place]) >= n && v.runAt(place, n) == n {
					return place
				}
			}
			v.free.lower(block, begin, end)
		}
		place = end
	}
	return c.to
}

// lastBefore gives the last place before place, in its class, with a run of n free units; c.to if there is none.
func (v *inventory) lastBefore(c *class, place, n uint32) uint32 {
	for place > c.from {
		block := c.block(place - 1)
		begin := c.from + (block-c.blocks)*blockStrips
		end := min(begin+blockStrips, c.to)
		if uint32(v.free.blocks[block]) >= n {
			for ; place > begin; place-- {
				if uint32(v.free.runs[place-1]) >= n && v.runAt(place-1, n) == n {
					return place - 1
				}
			}
			v.free.lower(block, begin, end)
		}
		place = begin
	}
	return c.to
}
