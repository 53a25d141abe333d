package fsm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Benchmarks of the machine alone: no log, no network. One round is a million commands of a crowd on one event of
// a million seats, in entries of a thousand, 2 ms apart: half a million a second.
//
//	go test ./fsm -run '^$' -bench Apply -benchtime 3x
const (
	benchSeats    = 1 << 20
	benchRowSeats = 32
	benchEntry    = 1000
	benchStep     = 2000 // µs
	benchValidMs  = 30_000
)

// crowd packs entries of commands, and knows what the clock will be when they are applied.
type crowd struct {
	random  *rand.Rand
	index   uint64
	clock   holdfast.Clock
	step    uint32 // µs between entries
	validMs uint32 // validity of the ids
	entries [][]byte
	packing []byte
	packed  int
}

func newCrowd() *crowd {
	return &crowd{random: rand.New(rand.NewPCG(1, 2)), clock: 1_000_000, step: benchStep, validMs: benchValidMs}
}

func (c *crowd) newID() holdfast.CommandID {
	var random [10]byte
	binary.LittleEndian.PutUint64(random[:], c.random.Uint64())
	binary.LittleEndian.PutUint16(random[8:], uint16(c.random.Uint32()))
	return holdfast.NewCommandID(c.clock+micros(c.validMs), random)
}

func (c *crowd) newBuyer() (id holdfast.BuyerID) {
	binary.LittleEndian.PutUint64(id[:], c.random.Uint64())
	binary.LittleEndian.PutUint64(id[8:], c.random.Uint64())
	return id
}

// add packs a command, and finishes the entry when it is full.
func (c *crowd) add(cmd command.Command) {
	head := cmd.Head()
	head.Event = theEvent
	if head.ID == (holdfast.CommandID{}) {
		head.ID = c.newID()
	}
	if c.packed == 0 {
		c.packing = command.BeginEntry(nil)
	}
	c.packing = cmd.Append(c.packing)
	if c.packed++; c.packed == benchEntry {
		c.finish()
	}
}

func (c *crowd) finish() {
	if c.packed > 0 {
		c.clock += holdfast.Clock(c.step)
		c.entries = append(c.entries, command.FinishEntry(c.packing, c.step, 0, c.packed))
		c.packed = 0
	}
}

// arena is an event of a million seats in two hundred sections.
func arena() command.EventSpec {
	spec := command.EventSpec{
		Name: "arena", Currency: "eur", Tiers: []command.Tier{{Name: "one", PriceMinor: 5000}, {Name: "two", PriceMinor: 3000}},
		Rules: command.Rules{SeatsPerBuyer: 8},
	}
	const sections = 256
	for i := range sections {
		s := command.Section{Name: fmt.Sprint(i), Tier: holdfast.TierIndex(i % 2)}
		for j := range benchSeats / sections / benchRowSeats {
			s.Rows = append(s.Rows, command.Row{Label: fmt.Sprint(j), Seats: benchRowSeats, Tier: holdfast.AnyTier})
		}
		spec.Sections = append(spec.Sections, s)
	}
	return spec
}

// open makes a machine whose event is on sale, at the clock at which crowds begin.
func open(b *testing.B) *Machine {
	m := New(Config{})
	put, sale := &command.PutEvent{Spec: arena()}, &command.SetSale{State: holdfast.SaleOpen}
	put.Event, sale.Event = theEvent, theEvent
	sale.ID = holdfast.CommandID{15: 1}
	out := command.Output{Answer: true}
	m.Apply(1, command.FinishEntry(sale.Append(put.Append(command.BeginEntry(nil))), 0, 0, 2), &out)
	for m.Clock() < newCrowd().clock {
		m.Apply(m.Index()+1, command.FinishEntry(command.BeginEntry(nil), 500_000, 0, 0), &out)
	}
	return m
}

// run applies the entries from the one at from on again and again, each round by a new machine.
func (c *crowd) run(b *testing.B, from int, answer bool) {
	c.finish()
	out := command.Output{Answer: answer}
	var m *Machine
	commands, at := 0, len(c.entries)
	var before, after runtime.MemStats
	mallocs, cpu := uint64(0), int64(0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		m = open(b)
		for at = 0; at < from; at++ {
			m.Apply(m.Index()+1, c.entries[at], &out)
		}
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		cpu -= threadCPU()
		for ; at < len(c.entries); at++ {
			m.Apply(m.Index()+1, c.entries[at], &out)
			commands += benchEntry
		}
		cpu += threadCPU()
		b.StopTimer()
		runtime.ReadMemStats(&after)
		mallocs += after.Mallocs - before.Mallocs
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(commands), "ns/command")
	b.ReportMetric(float64(mallocs)/float64(commands), "allocs/command")
	b.ReportMetric(float64(cpu)/float64(commands), "cpu-ns/command")
	b.ReportMetric(0, "ns/op")
	stats := m.Stats()
	b.ReportMetric(float64(stats.Holds), "holds")
	b.ReportMetric(float64(stats.Orders), "orders")
}

func both(b *testing.B, run func(b *testing.B, answer bool)) {
	b.Run("leader", func(b *testing.B) { run(b, true) })
	b.Run("follower", func(b *testing.B) { run(b, false) })
}

// BenchmarkApplyHold holds single seats in random order, each of them once.
func BenchmarkApplyHold(b *testing.B) {
	c := newCrowd()
	for _, seat := range c.random.Perm(benchSeats) {
		c.add(&command.Hold{Buyer: c.newBuyer(), Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(seat)}}}})
	}
	both(b, func(b *testing.B, answer bool) { c.run(b, 0, answer) })
}

// BenchmarkApplyLose holds seats that are held: 50,000 of them, by a million others.
func BenchmarkApplyLose(b *testing.B) {
	c := newCrowd()
	hold := func(seat int) {
		c.add(&command.Hold{Buyer: c.newBuyer(), Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(seat)}}}})
	}
	for seat := range 50_000 {
		hold(seat)
	}
	for range benchSeats {
		hold(c.random.IntN(50_000))
	}
	both(b, func(b *testing.B, answer bool) { c.run(b, 50, answer) })
}

// BenchmarkApplyBest holds the best two seats side by side, until all are held.
func BenchmarkApplyBest(b *testing.B) {
	c := newCrowd()
	for range benchSeats / 2 {
		c.add(&command.Hold{Buyer: c.newBuyer(), Wants: []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2, Adjacent: true}}})
	}
	both(b, func(b *testing.B, answer bool) { c.run(b, 0, answer) })
}

// BenchmarkApplySell sells what was held before, for money.
func BenchmarkApplySell(b *testing.B) {
	c := newCrowd()
	const n = 250_000
	holds, buyers := make([]holdfast.HoldID, n), make([]holdfast.BuyerID, n)
	amount := func(i int) holdfast.Money { return eur([]int64{5000, 3000}[i/(benchSeats/256)%2]) }
	for i := range n {
		id := c.newID()
		holds[i], buyers[i] = holdfast.HoldID(id), c.newBuyer()
		c.add(&command.Hold{Header: command.Header{ID: id}, Buyer: buyers[i], Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(i)}}}})
	}
	c.finish()
	held := len(c.entries)
	for _, i := range c.random.Perm(n) {
		c.add(&command.BeginPayment{Buyer: buyers[i], Hold: holds[i], Attempt: 1, Amount: amount(i)})
	}
	c.finish()
	paying := len(c.entries)
	for _, i := range c.random.Perm(n) {
		c.add(&command.Sell{Hold: holds[i], As: command.SalePaid, Attempt: 1, Amount: amount(i), Payment: fmt.Sprintf("pi_%024d", i)})
	}
	b.Run("begin", func(b *testing.B) {
		begins := *c
		begins.finish()
		begins.entries = begins.entries[:paying]
		both(b, func(b *testing.B, answer bool) { begins.run(b, held, answer) })
	})
	b.Run("sell", func(b *testing.B) {
		both(b, func(b *testing.B, answer bool) { c.run(b, paying, answer) })
	})
}

// BenchmarkApplySteady holds and releases: what is alive stays as much as it is, so nothing need be allocated.
func BenchmarkApplySteady(b *testing.B) {
	c := newCrowd()
	type holding struct {
		id    holdfast.HoldID
		buyer holdfast.BuyerID
	}
	var live []holding
	const kept = 100_000
	for i := range 2_000_000 {
		h := holding{holdfast.HoldID(c.newID()), c.newBuyer()}
		live = append(live, h)
		c.add(&command.Hold{Header: command.Header{ID: holdfast.CommandID(h.id)}, Buyer: h.buyer,
			Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(i % benchSeats)}}}})
		if len(live) > kept {
			c.add(&command.Release{Buyer: live[0].buyer, Hold: live[0].id})
			live = live[1:]
		}
	}
	both(b, func(b *testing.B, answer bool) { c.run(b, 2000, answer) })
}

// BenchmarkHeap weighs a machine in the middle of an on-sale: a million seats, half a million holds, a minute of
// 100,000 commands a second remembered, and a cut that a snapshot reads while the next seconds' commands come.
//
//	go test ./fsm -run '^$' -bench Heap -benchtime 1x
func BenchmarkHeap(b *testing.B) {
	const (
		holds   = 500_000
		second  = 100_000
		seconds = 60
	)
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / 1e6
	}
	for range b.N {
		held := make([]command.Release, 0, holds)
		empty := heap()
		m, c, out := open(b), newCrowd(), command.Output{Answer: true}
		c.step = 1_000_000 / (second / benchEntry)
		c.validMs = uint32((holdfast.ValidityMax - holdfast.StepMax).Milliseconds())
		apply := func() {
			for _, entry := range c.entries {
				m.Apply(m.Index()+1, entry, &out)
			}
			c.entries = c.entries[:0]
		}
		for i := range second * seconds {
			hold := &command.Hold{Header: command.Header{ID: c.newID()}, Buyer: c.newBuyer()}
			seat := holdfast.SeatIndex(i)
			if i < holds {
				held = append(held, command.Release{Buyer: hold.Buyer, Hold: holdfast.HoldID(hold.ID)})
			} else {
				seat = holdfast.SeatIndex(c.random.IntN(holds)) // is held
			}
			hold.Wants = []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{seat}}}
			c.add(hold)
			apply()
		}
		before := heap()
		cut := m.Cut()
		for i, at := range c.random.Perm(holds)[:holds/2] { // touches nearly every page of holds, buyers and units
			c.add(&held[at])
			if i%2 == 0 {
				c.add(&command.Mark{})
			}
			apply()
		}
		after := heap()
		stats := m.Stats()
		b.ReportMetric(before-empty, "MB")
		b.ReportMetric(after-empty, "MB-with-cut")
		b.ReportMetric(float64(stats.Remembered), "outcomes")
		cut.Release()
	}
}

// BenchmarkPutEvent creates an event of a million seats, and changes its title: that long claims wait.
func BenchmarkPutEvent(b *testing.B) {
	put := func(b *testing.B, m *Machine, expect uint32, title string) {
		c := &command.PutEvent{Header: command.Header{Event: theEvent}, Expect: expect, Spec: arena()}
		c.Spec.Title = title
		c.ID = holdfast.NewCommandID(m.Clock()+1_000_000, [10]byte{1})
		entry := command.FinishEntry(c.Append(command.BeginEntry(nil)), 0, 0, 1)
		b.StartTimer()
		m.Apply(m.Index()+1, entry, &command.Output{Answer: true})
		b.StopTimer()
		if o := m.last.result.Outcome; o != holdfast.OK {
			b.Fatal(o.String())
		}
	}
	b.Run("create", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			put(b, New(Config{}), 0, "")
		}
	})
	b.Run("update", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			put(b, open(b), 1, "another")
		}
	})
}
