package fsm

import (
	"testing"

	"github.com/holdfast-db/holdfast"
	"pgregory.net/rapid"
)

// TestScansAgainstLoops compares the searches over words of bits with loops over units.
func TestScansAgainstLoops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := freeUnits{bits: rapid.SliceOfN(rapid.Custom(drawBits), 1, 6).Draw(t, "bits")}
		units := uint32(64 * len(f.bits))
		from := rapid.Uint32Range(0, units).Draw(t, "from")
		to := rapid.Uint32Range(from, units).Draw(t, "to")
		enough := rapid.Uint32Range(1, runMax).Draw(t, "enough")

		free, taken, start, longest := from, from, to, uint32(0)
		for free < to && !f.has(free) {
			free++
		}
		for taken < to && f.has(taken) {
			taken++
		}
		for start > from && f.has(start-1) {
			start--
		}
		for u, run := from, uint32(0); u < to; u++ {
			if run++; !f.has(u) {
				run = 0
			}
			longest = max(longest, run)
		}
		if got := f.nextFree(from, to); got != free {
			t.Errorf("next free %d, want %d", got, free)
		}
		if got := f.nextTaken(from, to); got != taken {
			t.Errorf("next taken %d, want %d", got, taken)
		}
		if got := f.runStart(to, from); got != start {
			t.Errorf("run starts at %d, want %d", got, start)
		}
		if got := f.longest(from, to, enough); got != min(longest, enough) {
			t.Errorf("longest run %d, want %d", got, min(longest, enough))
		}
	})
}

// drawBits draws words that are empty, full, full but for a bit, or anything.
func drawBits(t *rapid.T) uint64 {
	bit := uint64(1) << rapid.IntRange(0, 63).Draw(t, "bit")
	return rapid.SampledFrom([]uint64{0, ^uint64(0), bit, ^bit, bit - 1, rapid.Uint64().Draw(t, "word")}).Draw(t, "of")
}

// TestBoundsFollow sells a deep section seat by seat, searches in vain, and gives one seat back: only the bounds over
// it may rise, and no further than to what is there.
func TestBoundsFollow(t *testing.T) {
	v := newInventory(t, stadium(1, 3*blockStrips))
	v.hold(func(uint32) bool { return true })
	if n, _ := v.longestIn(0, 0, runMax); n != 0 || v.free.tops[0] != 0 {
		t.Fatalf("sold out, and a run of %d is found; the bound is %d", n, v.free.tops[0])
	}
	row := uint32(blockStrips + 5)
	for _, u := range []uint32{20*row + 8, 20*row + 10, 20*row + 9} {
		v.move(holdfast.SeatIndex(u), holdfast.Held, holdfast.Free, 1)
	}
	for block, want := range []uint8{0, 3, 0} {
		if got := v.free.blocks[block]; got != want {
			t.Errorf("block %d is bounded by %d, want %d", block, got, want)
		}
	}
	if n, strip := v.longestIn(0, 0, runMax); n != 3 || strip != row || v.free.tops[0] != 3 {
		t.Errorf("a run of %d in strip %d, bound %d; want 3 in %d", n, strip, v.free.tops[0], row)
	}
}
