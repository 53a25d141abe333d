package fsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSlabAgainstAMap adds, writes and drops at random, and compares with a map and a plain stack of free slots.
func TestSlabAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slab[uint64]
		want := map[uint32]uint64{}
		var free []uint32
		next := uint32(1)
		anySlot := func(t *rapid.T) uint32 {
			if len(want) == 0 {
				t.Skip("empty")
			}
			return rapid.SampledFrom(sortedKeys(want)).Draw(t, "slot")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				v := rapid.Uint64().Draw(t, "record")
				slot, expect := s.add(v), next
				if n := len(free); n > 0 {
					expect, free = free[n-1], free[:n-1]
				} else {
					next++
				}
				if slot != expect {
					t.Fatalf("slot %d was given out, want %d", slot, expect)
				}
				want[slot] = v
			},
			"edit": func(t *rapid.T) {
				slot := anySlot(t)
				*s.edit(slot)++
				want[slot]++
			},
			"drop": func(t *rapid.T) {
				slot := anySlot(t)
				s.drop(slot)
				delete(want, slot)
				free = append(free, slot)
			},
			"": func(t *rapid.T) {
				if s.live() != len(want) {
					t.Fatalf("%d records, want %d", s.live(), len(want))
				}
				got := map[uint32]uint64{}
				last := uint32(0)
				for slot, v := range s.all() {
					if slot <= last {
						t.Fatalf("slot %d comes after %d", slot, last)
					}
					got[slot], last = *v, slot
				}
				if len(got) != len(want) {
					t.Fatalf("%v, want %v", got, want)
				}
				for slot, v := range want {
					if got[slot] != v || *s.at(slot) != v {
						t.Fatalf("slot %d holds %d, want %d", slot, got[slot], v)
					}
				}
			},
		})
	})
}

func TestSlabRefusesWhatIsNotThere(t *testing.T) {
	var s slab[uint64]
	s.add(7)
	gone := s.add(8)
	s.drop(gone)
	for name, bug := range map[string]func(){
		"read of none":     func() { *s.at(0)++ },
		"write of none":    func() { *s.edit(0)++ },
		"drop of none":     func() { s.drop(0) },
		"second drop":      func() { s.drop(gone) },
		"drop beyond last": func() { s.drop(99) },
	} {
		if !panics(bug) {
			t.Errorf("%s went through", name)
		}
	}
}

func sortedKeys[V any](m map[uint32]V) []uint32 {
	keys := make([]uint32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
