package fsm

import (
	"crypto/sha256"
	"io"

	"github.com/holdfast-db/holdfast"
)

// A snapshot is the bytes of a machine's state, and the state hash is their SHA-256. Both are canonical: two
// machines that applied the same entries write the same bytes, however often either was restored in between. So
// everything that decides what a machine does later is in it, the order of free slots and the place of the sweep
// too; and what can be worked out from the rest (indexes, counters, the wheel, what is free) is not.
//
// It begins with snapshotMagic and the number of its format, and goes on with frames (frame.go), whose parts come
// in the order of the constants below. A version of holdfast reads the formats up to its own, and stops at a newer one.

const (
	snapshotMagic  = "holdfast snapshot\n"
	snapshotFormat = 2

	// formatFirst has no lines, no places in the records of buyers, and no payments.
	formatFirst = 1
)

// The parts of a snapshot. The numbers are in snapshots: they are only ever appended.
const (
	partMachine uint8 = 1
	partEvent   uint8 = 2 // one for each
	partHolds   uint8 = 3
	partOrders  uint8 = 4
	partBuyers  uint8 = 5
	partMemory  uint8 = 6
	partEnded   uint8 = 7
	partLine    uint8 = 16 // one for each event that has one
	partReturns uint8 = 17

	partOutbox   uint8 = 32
	partPayments uint8 = 33
	partEffects  uint8 = 34
	partPromos   uint8 = 35
	partPersons  uint8 = 36
	partChunks   uint8 = 37

	partEnd uint8 = 255
)

func partName(part uint8) string {
	switch part {
	case partMachine:
		return "machine"
	case partEvent:
		return "event"
	case partHolds:
		return "holds"
	case partOrders:
		return "orders"
	case partBuyers:
		return "buyers"
	case partMemory:
		return "memory"
	case partEnded:
		return "ended"
	case partLine:
		return "line"
	case partReturns:
		return "returns"
	case partOutbox:
		return "outbox"
	case partPayments:
		return "payments"
	case partEffects:
		return "effects"
	case partPromos:
		return "promotions"
	case partPersons:
		return "persons"
	case partChunks:
		return "chunks"
	case partEnd:
		return "end"
	}
	return "unknown"
}

// WriteTo writes the snapshot. It gives the number of bytes written.
func (c *Cut) WriteTo(w io.Writer) (int64, error) {
	if c.lease.released.Load() {
		fail("a cut is written that was released")
	}
	head := append([]byte(snapshotMagic), snapshotFormat, 0, 0, 0)
	n, err := w.Write(head)
	if err != nil {
		return int64(n), err
	}
	f := newFrameWriter(w)
	c.state.write(f, c.shard)
	frames, err := f.finish()
	return int64(n) + frames, err
}

// Digest is the state hash: the SHA-256 of what WriteTo writes.
func (c *Cut) Digest() (digest [32]byte) {
	h := sha256.New()
	if _, err := c.WriteTo(h); err != nil {
		fail("a hash refuses what is written to it: %v", err)
	}
	h.Sum(digest[:0])
	return digest
}

func (s *state) write(f *frameWriter, shard holdfast.ShardID) {
	f.begin(partMachine)
	f.u32(uint32(shard))
	f.u64(s.index)
	f.u64(uint64(s.clock))
	f.u64(uint64(s.wallMs))
	f.u32(s.sweep)
	f.u32(uint32(s.memory.max))
	f.u32(uint32(len(s.events)))
	for _, e := range s.events {
		f.begin(partEvent)
		e.write(f)
	}
	writeSlab(f, partHolds, &s.holds, (*holdRecord).write)
	writeSlab(f, partOrders, &s.orders, s.writeOrder)
	writeSlab(f, partBuyers, &s.buyers, (*buyerRecord).write)
	f.begin(partMemory)
	s.memory.write(f)
	f.begin(partEnded)
	s.ended.write(f)
	s.writeLines(f)
	s.writePayments(f)
}

func (e *event) write(f *frameWriter) {
	f.u32(uint32(e.id))
	f.u8(uint8(e.sale))
	f.u32(e.version)
	f.u64(uint64(e.revision))
	spec := e.spec.Append(nil)
	f.u32(uint32(len(spec)))
	f.long(spec)
	f.record()
	f.u16(e.current)
	f.u32(uint32(len(e.prices)))
	for _, list := range e.prices {
		for _, price := range list {
			f.record()
			f.u64(uint64(price))
		}
	}
	f.record()
	f.u32(uint32(len(e.units.geometry.grown)))
	for _, g := range e.units.geometry.grown {
		f.record()
		f.u16(uint16(g.Section))
		f.u32(g.Count)
	}
	for u := range uint32(e.units.len()) {
		f.record()
		f.u32(e.units.each.at(u).word)
		f.u32(e.units.each.at(u).next)
	}
}

// writeSlab writes a part of records by slot, each behind the word that says that there is one; of a free slot only
// the word, which leads to the slot that is to be used after it.
func writeSlab[T any](f *frameWriter, part uint8, s *slab[T], write func(*T, *frameWriter)) {
	f.begin(part)
	f.u32(uint32(s.slots()))
	f.u32(s.free)
	for slot := uint32(1); slot <= uint32(s.slots()); slot++ {
		f.record()
		f.u32(*s.next.at(slot - 1))
		if s.holds(slot) {
			write(s.at(slot), f)
		}
	}
}

func (h *holdRecord) write(f *frameWriter) {
	f.raw(h.ID[:])
	f.u64(uint64(h.Deadline))
	f.u64(uint64(h.Amount))
	f.u32(h.Buyer)
	f.u32(uint32(h.First))
	f.u32(h.Order)
	f.u32(h.Newer)
	f.u32(h.Older)
	f.u32(uint32(h.Attempt))
	f.u16(h.Event)
	f.u16(h.Prices)
	f.u8(h.Count)
	f.u8(uint8(h.State))
	f.flag(h.Extended)
}

func (b *buyerRecord) write(f *frameWriter) {
	f.raw(b.ID[:])
	f.u64(uint64(b.CoolUntil))
	f.u32(b.Units)
	f.u32(b.Newest)
	f.u16(b.Event)
	f.u8(b.State)
	if b.State == noPlace {
		return
	}
	f.u8(b.Deferrals)
	f.u64(uint64(b.SessionEnds))
	f.u64(uint64(b.IdleEnds))
	f.u32(uint32(b.Number))
	f.u32(uint32(b.Position))
	f.u32(b.Returns)
}

// write writes the generations by span, and each one's outcomes in the order in which they came.
func (m *memory) write(f *frameWriter) {
	f.u32(uint32(m.count))
	for span := m.oldest; span < m.oldest+generationsMax; span++ {
		endings := &m.generations[span%generationsMax].endings
		if endings.len() == 0 {
			continue
		}
		f.record()
		f.u64(span)
		f.u32(uint32(endings.len()))
		for i := range uint32(endings.len()) {
			e := endings.at(i)
			f.record()
			f.raw(e.rest[:])
			f.u8(uint8(e.outcome))
			f.u32(e.fingerprint)
		}
	}
}

// write writes the ring from its oldest on, so that where it begins in memory does not show.
func (e *ended) write(f *frameWriter) {
	n := uint32(e.ring.len())
	f.u32(n)
	for i := range n {
		h := e.ring.at((e.next + i) % n)
		f.record()
		f.raw(h.ID[:])
		f.u8(uint8(h.How))
	}
}
