package fsm

import (
	"encoding/binary"
	"math/bits"
	"testing"

	"pgregory.net/rapid"
)

// TestIndexAgainstAMap adds and drops slots whose hashes are few, equal or crowded together at either end, which is
// where a table without a wrap could go wrong, while it grows through several sizes.
func TestIndexAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := index{spare: &spareds[uint64]{}}
		hashes := map[uint32]uint64{} // by slot
		next := uint32(1)
		draw := rapid.OneOf(
			rapid.Uint64(),
			rapid.Uint64Range(0, 3<<32),
			rapid.Uint64Range(1<<64-1-3<<32, 1<<64-1),
			rapid.Map(rapid.Uint64Range(0, 30), func(v uint64) uint64 { return v << 59 }),
		)
		add := func(hash uint64) {
			x.add(hash, next)
			hashes[next] = hash
			next++
		}
		check := func(t *rapid.T, slot uint32) {
			if got := x.find(hashes[slot], func(s uint32) bool { return s == slot }); got != slot {
				t.Fatalf("slot %d is found as %d", slot, got)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) { add(draw.Draw(t, "hash")) },
			"add many": func(t *rapid.T) {
				from := rapid.Uint64().Draw(t, "from")
				for i := range uint64(rapid.IntRange(0, 2500).Draw(t, "many")) {
					add(hash64(from, binary.LittleEndian.AppendUint64(nil, i)))
				}
			},
			"drop many": func(t *rapid.T) {
				every := rapid.Uint32Range(1, 5).Draw(t, "every")
				for _, slot := range sortedKeys(hashes) {
					if slot%every == 0 {
						x.drop(hashes[slot], slot)
						delete(hashes, slot)
					}
				}
			},
			"drop": func(t *rapid.T) {
				if len(hashes) == 0 {
					t.Skip("empty")
				}
				slot := rapid.SampledFrom(sortedKeys(hashes)).Draw(t, "slot")
				x.drop(hashes[slot], slot)
				if got := x.find(hashes[slot], func(s uint32) bool { return s == slot }); got != 0 {
					t.Fatalf("slot %d was dropped and is found", slot)
				}
				delete(hashes, slot)
			},
			"": func(t *rapid.T) {
				if x.len() != len(hashes) {
					t.Fatalf("%d slots, want %d", x.len(), len(hashes))
				}
				for slot := 1 + uint32(x.len())%7; slot < next; slot += 1 + next/300 {
					if _, in := hashes[slot]; in {
						check(t, slot)
					}
				}
				if got := x.find(draw.Draw(t, "stranger"), func(uint32) bool { return false }); got != 0 {
					t.Fatalf("slot %d is found of which same said no", got)
				}
			},
		})
	})
}

// TestIndexGrowsInSteps adds three hundred thousand and looks that growing moves a few cells at each add, not a
// table, and that neither table gets fuller than searches stay short.
func TestIndexGrowsInSteps(t *testing.T) {
	var x index
	grown, most := 0, uint32(0)
	for i := range uint32(300_000) {
		old, moved := x.old.size, x.moved
		x.add(hash64(1, binary.LittleEndian.AppendUint32(nil, i)), i+1)
		if old == 0 && x.old.size != 0 {
			grown++
		}
		if x.old.size > 0 && x.old.size == old {
			most = max(most, x.moved-moved)
		}
		if load := uint64(x.len()) * 100 / uint64(x.now.size); x.now.size > cellsMin && (load < 53 || load > 81) {
			t.Fatalf("with %d slots the table is %d %% full", x.len(), load)
		}
		if i%10_000 == 0 {
			if run := max(longestRun(&x.now), longestRun(&x.old)); run > 600 {
				t.Errorf("with %d slots %d cells stand side by side", x.len(), run)
			}
		}
	}
	if grown < 8 {
		t.Errorf("the table grew %d times, which does not try much", grown)
	}
	if most > 600 {
		t.Errorf("one add moved %d cells", most)
	}
}

func longestRun(c *cells) (longest int) {
	run := 0
	for i := range uint32(len(c.pages) * cellPage) {
		if run++; c.at(i) == 0 {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

func TestIndexRefusesWhatIsNotThere(t *testing.T) {
	var x index
	x.add(5, 1)
	for name, bug := range map[string]func(){
		"slot none":     func() { x.add(7, 0) },
		"other hash":    func() { x.drop(6<<32, 1) },
		"other slot":    func() { x.drop(5, 2) },
		"dropped twice": func() { x.drop(5, 1); x.drop(5, 1) },
	} {
		if !panics(bug) {
			t.Errorf("%s went through", name)
		}
	}
}

// TestHashesAvalanche flips every bit of many keys and of the seed: each is to move half of the 32 bits that the
// index uses, give or take.
func TestHashesAvalanche(t *testing.T) {
	const keys = 400
	for bit := range 128 + 64 {
		moved := 0
		for k := range uint64(keys) {
			var id [16]byte
			binary.LittleEndian.PutUint64(id[:], k)
			seed := uint64(9)
			before := hash16(seed, id)
			if bit < 128 {
				id[bit/8] ^= 1 << (bit % 8)
			} else {
				seed ^= 1 << (bit - 128)
			}
			moved += bits.OnesCount32(uint32((before ^ hash16(seed, id)) >> 32))
		}
		if moved < keys*13 || moved > keys*19 {
			t.Errorf("bit %d moves %d of 3200 half-bits", bit, moved/(keys/200))
		}
	}
	if hash64(1, []byte{0}) == hash64(1, []byte{0, 0}) || hash64(1, nil) == hash64(2, nil) {
		t.Error("the length or the seed is not in the hash")
	}
	long := make([]byte, 64)
	seen := map[uint64]bool{hash64(1, long): true}
	for i := range long {
		long[i]++
		if h := hash64(1, long); seen[h] {
			t.Errorf("byte %d of a long key is not in the hash", i)
		} else {
			seen[h] = true
		}
	}
}

func BenchmarkIndex(b *testing.B) {
	const records = 1 << 20
	var x index
	hash := func(i uint32) uint64 { return hash16(3, [16]byte(binary.BigEndian.AppendUint32(make([]byte, 12), i))) }
	for i := range uint32(records) {
		x.add(hash(i), i+1)
	}
	b.Run("find", func(b *testing.B) {
		for i := range uint32(b.N) {
			want := i*2654435761%records + 1
			if x.find(hash(want-1), func(s uint32) bool { return s == want }) != want {
				b.Fatal("lost")
			}
		}
	})
	b.Run("find nothing", func(b *testing.B) {
		for i := range uint32(b.N) {
			if x.find(hash(i+records), func(s uint32) bool { return false }) != 0 {
				b.Fatal("found")
			}
		}
	})
	b.Run("drop and add", func(b *testing.B) {
		for i := range uint32(b.N) {
			slot := i*2654435761%records + 1
			x.drop(hash(slot-1), slot)
			x.add(hash(slot-1), slot)
		}
	})
	b.Run("add to grow", func(b *testing.B) {
		var x index
		for i := range uint32(b.N) {
			x.add(hash(i), i+1)
		}
	})
}
