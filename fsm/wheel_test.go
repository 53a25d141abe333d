package fsm

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/holdfast-db/holdfast"
	"pgregory.net/rapid"
)

// wheelModel is the wheel as one would write it without a thought of speed.
type wheelModel map[uint32]holdfast.Clock

func (m wheelModel) due(clock holdfast.Clock, idOf func(uint32) holdfast.HoldID) []uint32 {
	var slots []uint32
	for _, slot := range sortedKeys(m) {
		if m[slot] <= clock {
			slots = append(slots, slot)
		}
	}
	slices.SortFunc(slots, func(a, b uint32) int {
		if m[a] != m[b] {
			return int(int64(m[a]) - int64(m[b]))
		}
		idA, idB := idOf(a), idOf(b)
		return bytes.Compare(idA[:], idB[:])
	})
	return slots
}

// scrambledID orders holds otherwise than their slots do.
func scrambledID(slot uint32) (id holdfast.HoldID) {
	binary.BigEndian.PutUint32(id[:], slot*2654435761)
	return id
}

// TestWheelAgainstAModel lets holds wait for instants near and turns away, drops some, lets others come again, and
// moves the clock by steps small and far too large.
func TestWheelAgainstAModel(t *testing.T) {
	const turn = bucketMicros * bucketsMax
	rapid.Check(t, func(t *rapid.T) {
		var w wheel
		want := wheelModel{}
		clock := holdfast.Clock(rapid.Uint64Range(0, 3*turn).Draw(t, "clock"))
		w.due(clock, nil, scrambledID)
		next := uint32(1)
		after := rapid.OneOf(
			rapid.SampledFrom([]uint64{0, 1, bucketMicros, turn - bucketMicros, turn, turn + 1, 5 * turn}),
			rapid.Uint64Range(0, 4*bucketMicros), rapid.Uint64Range(0, 3*turn))
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				at := clock + 1 + holdfast.Clock(after.Draw(t, "after"))
				for range rapid.IntRange(1, 5).Draw(t, "many") {
					w.add(next, at)
					want[next] = at
					next++
				}
			},
			"drop": func(t *rapid.T) {
				if len(want) == 0 {
					t.Skip("empty")
				}
				slot := rapid.SampledFrom(sortedKeys(want)).Draw(t, "slot")
				w.drop(slot)
				delete(want, slot)
			},
			"step": func(t *rapid.T) {
				clock += holdfast.Clock(after.Draw(t, "step"))
				got, expect := w.due(clock, nil, scrambledID), want.due(clock, scrambledID)
				if !slices.Equal(got, expect) {
					t.Fatalf("due at %d are %v, want %v", clock, got, expect)
				}
				for i, slot := range got {
					w.drop(slot)
					delete(want, slot)
					if i%3 == 0 { // as a payment's deadline goes over into its grace
						want[slot] = clock + 15_000_000
						w.add(slot, want[slot])
					}
				}
			},
			"": func(t *rapid.T) {
				if w.len() != len(want) {
					t.Fatalf("%d wait, want %d", w.len(), len(want))
				}
				for slot, at := range want {
					if !w.waits(slot) || w.until(slot) != at {
						t.Fatalf("slot %d waits %t for %d, want %d", slot, w.waits(slot), w.until(slot), at)
					}
				}
			},
		})
	})
}

func TestWheelRefusesWhatCannotBe(t *testing.T) {
	var w wheel
	w.add(1, 100)
	w.due(50, nil, scrambledID)
	for name, bug := range map[string]func(){
		"an instant that is past": func() { w.add(2, 49) },
		"slot none":               func() { w.add(0, 100) },
		"waiting twice":           func() { w.add(1, 200) },
		"dropping a stranger":     func() { w.drop(7) },
	} {
		if !panics(bug) {
			t.Errorf("%s went through", name)
		}
	}
}

func BenchmarkWheel(b *testing.B) {
	const holds = 500_000
	var w wheel
	var clock holdfast.Clock
	var due []uint32
	for slot := range uint32(holds) {
		w.add(slot+1, holdfast.Clock(300_000_000+slot*600))
	}
	b.Run("step of 5 ms", func(b *testing.B) { // in which some 8 of half a million come due, and go round again
		for range b.N {
			clock += 5000
			due = w.due(clock, due[:0], scrambledID)
			for _, slot := range due {
				w.drop(slot)
				w.add(slot, clock+300_000_000)
			}
		}
	})
	b.Run("move", func(b *testing.B) {
		for i := range uint32(b.N) {
			slot := i*2654435761%holds + 1
			w.drop(slot)
			w.add(slot, clock+300_000_000+holdfast.Clock(i))
		}
	})
}
