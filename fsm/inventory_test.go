package fsm

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"pgregory.net/rapid"
)

// TestMoveStopsTheMachineOnDisagreement tries what no caller may ever try.
func TestMoveStopsTheMachineOnDisagreement(t *testing.T) {
	const free, held, paying, sold, blocked = holdfast.Free, holdfast.Held, holdfast.Paying, holdfast.Sold, holdfast.Blocked
	for _, c := range []struct {
		what     string
		is       holdfast.SeatState // of hold 7, if it has an owner
		from, to holdfast.SeatState
		owner    uint32
	}{
		{"a held seat is held again", held, free, held, 8},
		{"a seat is sold that is somebody else's", held, held, sold, 8},
		{"a seat goes back that is somebody else's", held, held, free, 8},
		{"a seat in payment is taken for held", paying, held, sold, 7},
		{"a sold seat is held again", sold, sold, held, 7},
		{"a free seat is sold without a hold", free, free, sold, 7},
		{"a free seat is in payment without a hold", free, free, paying, 7},
		{"a payment ends in a hold", paying, paying, held, 7},
		{"a held seat is blocked", held, held, blocked, 7},
		{"a blocked seat is held", blocked, blocked, held, 7},
		{"a seat is held by nobody", free, free, held, 0},
		{"a seat is blocked by somebody", free, free, blocked, 7},
		{"a seat is freed that is free", free, free, free, 0},
		{"an owner has too large a number", free, free, held, ownerMax + 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			v := newInventory(t, stadium(1, 1))
			bring(v, 5, c.is, 7)
			defer func() {
				err, _ := recover().(error)
				if bug := (*AssertionError)(nil); !errors.As(err, &bug) {
					t.Errorf("no assertion failed: %v", err)
				}
			}()
			v.move(5, c.from, c.to, c.owner)
		})
	}
}

// bring moves a free unit into a state by allowed moves.
func bring(v *inventory, u holdfast.SeatIndex, to holdfast.SeatState, owner uint32) {
	switch to {
	case holdfast.Free:
	case holdfast.Blocked:
		v.move(u, holdfast.Free, holdfast.Blocked, 0)
	default:
		v.move(u, holdfast.Free, holdfast.Held, owner)
		if to != holdfast.Held {
			v.move(u, holdfast.Held, to, owner)
		}
	}
}

func TestCountersAreSumsOverUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		var v inventory
		v.extend(newGeometry(spec, nil))
		h := newPlainHouse(spec)
		for range rapid.IntRange(0, 8).Draw(t, "moves") {
			moveAbout(t, &v, h)
		}
		var total Counts
		sections, tiers, allocations := make([]Counts, len(spec.Sections)), make([]Counts, len(spec.Tiers)), make([]Counts, 1+len(spec.Allocations))
		for u, at := range h.units {
			s := h.state[u]
			total[s]++
			sections[at.section][s]++
			tiers[at.tier][s]++
			allocations[at.allocation][s]++
		}
		if v.total() != total || !slices.Equal(v.bySection(), sections) || !slices.Equal(v.byTier(), tiers) || !slices.Equal(v.byAllocation(), allocations) {
			t.Fatalf("%v %v %v %v; recounted %v %v %v %v", v.total(), v.bySection(), v.byTier(), v.byAllocation(), total, sections, tiers, allocations)
		}
	})
}

func TestAChainLeadsThroughTheUnitsOfAHold(t *testing.T) {
	v := newInventory(t, stadium(1, 1))
	follow := func(first holdfast.SeatIndex) (units []holdfast.SeatIndex) {
		for u := first; int(u) < v.len(); u = v.next(u) {
			units = append(units, u)
		}
		return units
	}
	units := []holdfast.SeatIndex{7, 3, 0, 12}
	for _, u := range units {
		v.move(u, holdfast.Free, holdfast.Held, 1)
	}
	v.chain(units)
	if got := follow(7); !slices.Equal(got, units) {
		t.Errorf("followed %v, want %v", got, units)
	}
	swapped := []holdfast.SeatIndex{12, 7}
	for _, u := range []holdfast.SeatIndex{3, 0} {
		v.move(u, holdfast.Held, holdfast.Free, 1)
	}
	v.chain(swapped)
	if got := follow(12); !slices.Equal(got, swapped) {
		t.Errorf("after a swap followed %v, want %v", got, swapped)
	}
	if wrong := v.check(); len(wrong) > 0 {
		t.Error(wrong)
	}
}

func TestACutStaysAsItWas(t *testing.T) {
	v := newInventory(t, stadium(1, 100))
	v.hold(scattered(3))
	before, l := v.states(nil), &lease{}
	frozen := v.cut(l)
	v.hold(scattered(2))
	v.extend(newGeometry(stadium(2, 100), v.geometry))
	if got := frozen.states(nil); !slices.Equal(got, before) {
		t.Error("the cut changed")
	}
	if frozen.owner(0) == v.owner(0) && frozen.len() == v.len() {
		t.Error("the inventory did not change")
	}
	l.released.Store(true)
}

func TestCheckSeesWhatIsWrong(t *testing.T) {
	for what, damage := range map[string]func(v *inventory){
		"a state flips in memory":        func(v *inventory) { v.each.edit(3).word ^= 1 },
		"a state that is none":           func(v *inventory) { v.each.edit(3).word = 6 },
		"a held seat loses its owner":    func(v *inventory) { v.each.edit(1).word = wordOf(holdfast.Held, 0) },
		"a free seat has an owner":       func(v *inventory) { v.each.edit(3).word = 9 << stateBits },
		"a free seat is in a chain":      func(v *inventory) { v.each.edit(3).next = 2 },
		"a free seat is not to be found": func(v *inventory) { v.free.clear(3) },
		"a held seat is to be found":     func(v *inventory) { v.free.set(1) },
		"a bound is too low for its row": func(v *inventory) { v.free.runs[0] = 1 },
		"a bound is too low for a block": func(v *inventory) { v.free.blocks[0] = 1 },
		"a bound is too low for a class": func(v *inventory) { v.free.tops[0] = 1 },
		"a counter counts what is not":   func(v *inventory) { v.counts[0][holdfast.Sold]++ },
		"a unit is missing":              func(v *inventory) { v.each = pages[unit]{} },
	} {
		v := newInventory(t, stadium(1, 1))
		v.move(1, holdfast.Free, holdfast.Held, 7)
		if wrong := v.check(); len(wrong) > 0 {
			t.Fatal(wrong)
		}
		damage(v)
		if len(v.check()) == 0 {
			t.Errorf("not seen: %s", what)
		}
	}
}

// TestAMillionUnitsFitIn15MB weighs everything about the units of one event, apart from its holds.
func TestAMillionUnitsFitIn15MB(t *testing.T) {
	spec := stadium(10, 5000)
	sponsor := command.Allocation{Name: "sponsor"}
	for s := range spec.Sections {
		for r := range uint16(1000) {
			sponsor.Spans = append(sponsor.Spans, command.Span{Section: holdfast.SectionIndex(s), Row: r, First: 4, Last: 9})
		}
	}
	spec.Allocations = append(spec.Allocations, sponsor)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	v := newInventory(t, spec)
	v.hold(scattered(2))
	if got := heap() - before; v.len() != 1_000_000 || got > 15_000_000 {
		t.Errorf("%d units cost %d bytes", v.len(), got)
	} else {
		t.Logf("%d units cost %d bytes", v.len(), got)
	}
	runtime.KeepAlive(v)
	runtime.KeepAlive(spec)
}
