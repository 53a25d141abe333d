package fsm

import (
	"encoding/binary"
	"maps"
	"testing"

	"github.com/holdfast-db/holdfast"
	"pgregory.net/rapid"
)

type remembered struct {
	outcome     holdfast.Outcome
	fingerprint uint32
}

// TestMemoryAgainstAMap remembers commands of all validities, moves the clock by small steps and by leaps, and asks
// for repeats, for other contents and for strangers. Cuts must list what was remembered when they were taken.
func TestMemoryAgainstAMap(t *testing.T) {
	const max = 300
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory(max)
		m.seed = rapid.Uint64().Draw(t, "seed")
		var clock holdfast.Clock
		want := map[holdfast.CommandID]remembered{}
		random := rapid.SliceOfN(rapid.Byte(), 10, 10)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				until := clock + holdfast.Clock(rapid.OneOf(rapid.Uint64Range(0, 1000), rapid.Uint64Range(0, 60_000_000)).Draw(t, "validity"))
				id := holdfast.NewCommandID(until, [10]byte(random.Draw(t, "random")))
				if _, twice := want[id]; twice || m.full() || id.ValidUntil() < clock {
					t.Skip("not to be remembered")
				}
				r := remembered{holdfast.Outcome(rapid.Byte().Draw(t, "outcome")), rapid.Uint32().Draw(t, "fingerprint")}
				m.add(id, r.fingerprint, r.outcome)
				want[id] = r
			},
			"step": func(t *rapid.T) {
				clock += holdfast.Clock(rapid.OneOf(rapid.Uint64Range(0, 500_000), rapid.Uint64Range(0, 1<<36)).Draw(t, "step"))
				m.forget(clock)
				maps.DeleteFunc(want, func(id holdfast.CommandID, _ remembered) bool { return spanOf(id) < spanAt(clock) })
				for id := range want {
					if id.ValidUntil() < clock-min(clock, spanMs*1000) {
						t.Fatalf("%s is long over", id)
					}
				}
			},
			"stranger": func(t *rapid.T) {
				id := holdfast.CommandID(append(rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "validity"), random.Draw(t, "random")...))
				if _, known := want[id]; known {
					t.Skip("no stranger")
				}
				if _, found, _ := m.look(id, 0); found {
					t.Fatalf("%s was never there and is remembered", id)
				}
			},
			"cut": func(t *rapid.T) {
				l := new(lease)
				c := m.cut(l)
				got := map[holdfast.CommandID]remembered{}
				for i := range c.generations {
					for j := range uint32(c.generations[i].endings.len()) {
						e := c.generations[i].endings.at(j)
						id := append(binary.BigEndian.AppendUint64(nil, c.generations[i].span)[3:], e.rest[:]...)
						got[holdfast.CommandID(id)] = remembered{e.outcome, e.fingerprint}
					}
				}
				if !maps.Equal(got, want) {
					t.Fatalf("a cut lists %v, want %v", got, want)
				}
				l.released.Store(true)
			},
			"": func(t *rapid.T) {
				if m.len() != len(want) || m.full() != (len(want) >= max) {
					t.Fatalf("%d remembered (full: %t), want %d", m.len(), m.full(), len(want))
				}
				for id, r := range want {
					if o, found, same := m.look(id, r.fingerprint); !found || !same || o != r.outcome {
						t.Fatalf("%s gives %s, found %t, same %t; want %s", id, o, found, same, r.outcome)
					}
					if _, found, same := m.look(id, r.fingerprint+1); !found || same {
						t.Fatalf("%s with other contents: found %t, same %t", id, found, same)
					}
				}
			},
		})
	})
}

// TestMemoryIsWhole fills generations as a rush does, checks that everything is there until its span is over, and
// that the pages of those forgotten are used again, and are given up when the rush is over.
func TestMemoryIsWhole(t *testing.T) {
	const perSpan, spans = 20_000, 8
	m := newMemory(10_000_000)
	id := func(span, i int) holdfast.CommandID {
		var random [10]byte
		binary.BigEndian.PutUint32(random[:], uint32(i))
		return holdfast.NewCommandID(holdfast.Clock(span)*spanMs*1000, random)
	}
	for span := range 3 * spans {
		m.forget(holdfast.Clock(span) * spanMs * 1000)
		for i := range perSpan {
			m.add(id(span+spans-1, i), uint32(i), holdfast.OK)
		}
		for i := range perSpan {
			at := max(span, spans-1)
			if _, found, same := m.look(id(at, i), uint32(i)); !found || !same {
				t.Fatalf("outcome %d of span %d is lost in span %d", i, at, span)
			}
		}
		if _, found, _ := m.look(id(span-1, 1), 1); found && span > spans {
			t.Fatalf("span %d is remembered in span %d", span-1, span)
		}
	}
	endings, places := 0, 0
	for i := range m.generations {
		endings += (m.generations[i].endings.len()*endingBytes + pageBytes - 1) / pageBytes
		for _, page := range m.generations[i].places.now.pages {
			if page != nil {
				places++
			}
		}
	}
	if bytes := (endings*pageBytes + places*cellPageBytes) / m.len(); bytes < 24 || bytes > 32 {
		t.Errorf("an outcome takes %d bytes, want 24 to 32", bytes)
	}
	for span := 3 * spans; span < 5*spans; span++ {
		m.forget(holdfast.Clock(span) * spanMs * 1000)
	}
	spare := len(m.spareEndings.free)*pageBytes + len(m.spareCells.free)*cellPageBytes
	if m.len() != 0 || spare == 0 || spare > 2*spareBytes {
		t.Errorf("%d outcomes and %d bytes of spare pages are left of the rush", m.len(), spare)
	}
}

func TestMemoryRefusesWhatCannotBe(t *testing.T) {
	m := newMemory(1)
	m.forget(1_000_000_000)
	fresh := func(until holdfast.Clock) holdfast.CommandID { return holdfast.NewCommandID(until, [10]byte{}) }
	if !panics(func() { m.add(fresh(1_000_000_000-spanMs*1000), 0, holdfast.OK) }) {
		t.Error("a command that is over was remembered")
	}
	if !panics(func() { m.add(fresh(1_000_000_000+generationsMax*spanMs*1000), 0, holdfast.OK) }) {
		t.Error("a command that is valid for too long was remembered")
	}
	m.add(fresh(1_000_000_000), 0, holdfast.OK)
	if !m.full() || !panics(func() { m.add(fresh(1_000_001_000), 0, holdfast.OK) }) {
		t.Error("more was remembered than there is room for")
	}
}

// TestEndedAgainstAList is small beside the ring's size until the ring turns: so it begins near the end.
func TestEndedAgainstAList(t *testing.T) {
	e := newEnded()
	how := func(i uint32) holdfast.Outcome {
		return []holdfast.Outcome{holdfast.HoldLapsed, holdfast.HoldReleased}[i%2]
	}
	const all = endedMax + endedMax/2
	for i := range uint32(all) {
		e.add(scrambledID(i), how(i))
	}
	view := e.cut(new(lease))
	e.add(scrambledID(all), how(all))
	for i := range uint32(all + 1) {
		got, ok := e.look(scrambledID(i))
		if kept := i > all-endedMax; ok != kept || ok && got != how(i) {
			t.Fatalf("hold %d of %d: %s, %t", i, all, got, ok)
		}
	}
	if e.len() != endedMax {
		t.Errorf("%d are remembered, want %d", e.len(), endedMax)
	}
	if oldest := view.ring.at(view.next).ID; oldest != scrambledID(all-endedMax) {
		t.Errorf("the oldest in the cut is %s", oldest)
	}
}

func BenchmarkMemory(b *testing.B) {
	const perMs = 100 // commands; a rush of 100,000 a second, each valid for 30 s
	m := newMemory(6_500_000)
	var ids []holdfast.CommandID
	add := func(i int) {
		var random [10]byte
		binary.LittleEndian.PutUint64(random[:], hash64(1, binary.LittleEndian.AppendUint32(nil, uint32(i))))
		clock := holdfast.Clock(i/perMs) * 1000
		id := holdfast.NewCommandID(clock+30_000_000, random)
		if i%perMs == 0 {
			m.forget(clock)
		}
		if _, found, _ := m.look(id, 1); !found {
			m.add(id, 1, holdfast.OK)
		}
		if len(ids) < 1<<16 {
			ids = append(ids, id)
		}
		ids[i%len(ids)] = id
	}
	n := 0
	for ; n < 3_100_000; n++ {
		add(n)
	}
	b.Run("look and add", func(b *testing.B) {
		for range b.N {
			add(n)
			n++
		}
	})
	b.Run("repeat", func(b *testing.B) {
		for i := range b.N {
			m.look(ids[i%len(ids)], 1)
		}
	})
	b.Run("cut", func(b *testing.B) {
		for range b.N {
			l := new(lease)
			m.cut(l)
			l.released.Store(true)
		}
	})
}
