package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Restore makes a machine from a snapshot, which must be all of r. The number of outcomes that it remembers is the
// snapshot's, not cfg's: it is part of what all replicas decide by.
//
// A snapshot that is damaged, of another shard, or newer than this version knows, is an error, and costs no more
// memory than there are bytes of it. What has the right checksums is believed, except where it would lead a machine
// to places that do not exist; whether it makes sense is for Check to say.
func Restore(cfg Config, r io.Reader) (*Machine, error) {
	format, err := readHead(r)
	if err != nil {
		return nil, err
	}
	f := newFrameReader(r)
	f.format = format
	m := New(cfg)
	seed := m.state.read(f, cfg.Shard)
	if err := f.finish(); err != nil {
		return nil, err
	}
	if err := m.state.validate(); err != nil {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "restore", Err: err,
			Message: "the snapshot contradicts itself and is of no use: take another, or that of another member"}
	}
	m.derive(seed)
	return m, nil
}

// readHead reads magic and format, which stand before the first frame and are the same for all formats.
func readHead(r io.Reader) (format uint32, err error) {
	fault := func(format string, args ...any) (uint32, error) {
		return 0, &holdfast.Error{Kind: holdfast.Invalid, Op: "restore", Field: "format", Message: fmt.Sprintf(format, args...)}
	}
	head := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, head); err == io.EOF || err == io.ErrUnexpectedEOF {
		return fault("not a snapshot: it ends before it begins")
	} else if err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	number, ok := bytes.CutPrefix(head, []byte(snapshotMagic))
	if !ok {
		return fault("not a snapshot of a shard: it begins with %q", head)
	}
	if format = binary.LittleEndian.Uint32(number); format == 0 || format > snapshotFormat {
		return fault("a snapshot of format %d, this version knows up to %d: upgrade this node", format, snapshotFormat)
	}
	return format, nil
}

// read reads what write wrote. It gives a seed for the machine's hashes.
func (s *state) read(f *frameReader, shard holdfast.ShardID) (seed uint64) {
	f.begin(partMachine)
	seed = seedOf(f.rest)
	s.memory.seed, s.ended.seed = seed, seed
	if of := holdfast.ShardID(f.u32()); of != shard {
		f.fail("it is of shard %s, and not of %s", of, shard)
	}
	s.index = f.u64()
	s.clock = holdfast.Clock(f.u64())
	s.wallMs = int64(f.u64())
	s.sweep = f.u32()
	s.memory.max = f.count("outcomes to remember", math.MaxInt32)
	for range f.count("events", holdfast.EventsPerShardMax) {
		f.begin(partEvent)
		if e := readEvent(f); f.err == nil {
			s.events = append(s.events, e)
		}
	}
	readSlab(f, partHolds, &s.holds, (*holdRecord).read)
	readSlab(f, partOrders, &s.orders, s.readOrder)
	readSlab(f, partBuyers, &s.buyers, (*buyerRecord).read)
	f.begin(partMemory)
	s.memory.read(f, s.clock)
	f.begin(partEnded)
	s.ended.read(f)
	if f.format == formatFirst {
		return seed
	}
	s.readLines(f)
	s.readPayments(f)
	return seed
}

func readEvent(f *frameReader) *event {
	e := &event{id: holdfast.EventID(f.u32()), sale: holdfast.SaleState(f.u8()), version: f.u32(), revision: holdfast.Revision(f.u64())}
	packed := f.long(f.count("bytes of description", holdfast.SpecBytesMax))
	e.current = f.u16()
	lists := f.count("price lists", priceListsMax)
	if f.err != nil {
		return nil
	}
	spec, err := command.DecodeSpec(packed)
	if err != nil {
		f.fail("the description: %v", err)
		return nil
	}
	e.spec = &spec
	for range lists {
		list := make([]int64, len(spec.Tiers))
		for tier := range list {
			list[tier] = int64(f.u64())
		}
		e.prices = append(e.prices, list)
	}
	if e.id == 0 || e.sale > holdfast.SaleClosed || int(e.current) >= len(e.prices) {
		f.fail("event %d is %s at price list %d of %d", e.id, e.sale, e.current, len(e.prices))
	}
	e.units.read(f, &spec)
	return e
}

func (v *inventory) read(f *frameReader, spec *command.EventSpec) {
	var grown []command.Growth
	units := uint64(0) // or rows: never less than what they grow to
	for range f.count("steps of growth", holdfast.UnitsPerEventMax) {
		g := command.Growth{Section: holdfast.SectionIndex(f.u16()), Count: f.u32()}
		if units += uint64(g.Count); units > holdfast.UnitsPerEventMax {
			f.fail("it grows to %d rows and places", units)
		}
		if f.err != nil {
			return
		}
		grown = append(grown, g)
	}
	geometry, ok := restoredGeometry(spec, grown)
	if !ok {
		f.fail("the units do not grow to what is described")
		return
	}
	v.geometry = geometry
	v.each.grow(geometry.len())
	for u := range uint32(geometry.len()) {
		if f.err != nil {
			return
		}
		*v.each.edit(u) = unit{word: f.u32(), next: f.u32()}
	}
}

// readSlab reads what writeSlab wrote. The slots that are free must hang together in one stack.
func readSlab[T any](f *frameReader, part uint8, s *slab[T], read func(*T, *frameReader)) {
	f.begin(part)
	readSlabHere(f, s, read)
}

// readSlabHere is readSlab of a part that was begun.
func readSlabHere[T any](f *frameReader, s *slab[T], read func(*T, *frameReader)) {
	slots := uint32(f.count("slots", slotsMax))
	s.free = f.u32()
	unused := uint32(0)
	for slot := uint32(1); slot <= slots && f.err == nil; slot++ {
		s.records.grow(int(slot))
		s.next.grow(int(slot))
		next := f.u32()
		*s.next.edit(slot - 1) = next
		switch {
		case next == slotInUse:
			read(s.edit(slot), f)
			s.inUse++
		case next <= slots:
			unused++
		default:
			f.fail("slot %d leads to %d", slot, next)
		}
	}
	at, passed := s.free, uint32(0)
	for ; at != 0 && f.err == nil; passed++ {
		if at > slots || s.holds(at) || passed == unused {
			f.fail("the free slots are not one stack")
			return
		}
		at = *s.next.at(at - 1)
	}
	if passed != unused {
		f.fail("of %d slots %d are free, and %d in the stack", slots, unused, passed)
	}
}

func (h *holdRecord) read(f *frameReader) {
	h.ID = f.id16()
	h.Deadline = holdfast.Clock(f.u64())
	h.Amount = int64(f.u64())
	h.Buyer = f.u32()
	h.First = holdfast.SeatIndex(f.u32())
	h.Order = f.u32()
	h.Newer = f.u32()
	h.Older = f.u32()
	h.Attempt = holdfast.Attempt(f.u32())
	h.Event = f.u16()
	h.Prices = f.u16()
	h.Count = f.u8()
	h.State = holdfast.HoldState(f.u8())
	h.Extended = f.flag()
}

func (b *buyerRecord) read(f *frameReader) {
	b.ID = f.id16()
	b.CoolUntil = holdfast.Clock(f.u64())
	b.Units = f.u32()
	b.Newest = f.u32()
	b.Event = f.u16()
	if f.format == formatFirst {
		return
	}
	if b.State = f.u8(); b.State == noPlace {
		return
	}
	b.Deferrals = f.u8()
	b.SessionEnds, b.IdleEnds = holdfast.Clock(f.u64()), holdfast.Clock(f.u64())
	b.Number, b.Position = holdfast.PlaceNumber(f.u32()), holdfast.Position(f.u32())
	b.Returns = f.u32()
}

func (m *memory) read(f *frameReader, clock holdfast.Clock) {
	m.oldest = spanAt(clock)
	all := f.count("outcomes", m.max)
	for from := m.oldest; m.count < all && f.err == nil; {
		span, n := f.u64(), f.count("outcomes of one span", all-m.count)
		if span < from || span-m.oldest >= generationsMax || n == 0 {
			f.fail("%d outcomes of span %d, after %d", n, span, from)
			return
		}
		from = span + 1
		m.recent = min(n, 1<<20) // so that add makes room, but not for whatever a number says
		for range n {
			e := ending{rest: [idRestBytes]byte(f.take(idRestBytes)), outcome: holdfast.Outcome(f.u8()), fingerprint: f.u32()}
			if e.outcome == undecided {
				f.fail("a command is remembered that was not decided")
			}
			if f.err != nil {
				return
			}
			m.add(rememberedID(span, &e), e.fingerprint, e.outcome)
		}
	}
}

func (e *ended) read(f *frameReader) {
	for range f.count("ended holds", endedMax) {
		id, how := f.id16(), holdfast.Outcome(f.u8())
		if how != holdfast.HoldLapsed && how != holdfast.HoldReleased {
			f.fail("a hold ended as %s", how)
		}
		if f.err != nil {
			return
		}
		e.add(id, how)
	}
}

// validate looks that whatever names something names something that is there.
func (s *state) validate() error {
	if int(s.sweep) > s.buyers.slots() {
		return fmt.Errorf("the sweep is at buyer %d of %d", s.sweep, s.buyers.slots())
	}
	seen := map[holdfast.EventID]bool{}
	for _, e := range s.events {
		if seen[e.id] {
			return fmt.Errorf("%s is there twice", e.id)
		}
		seen[e.id] = true
		for u := range holdfast.SeatIndex(e.units.len()) {
			is, owner := e.units.state(u), e.units.owner(u)
			next := e.units.next(u)
			if is >= holdfast.SeatStates || taken(is) != s.holds.holds(owner) || owner != 0 && !taken(is) ||
				next != NoSeat && int(next) >= e.units.len() {
				return fmt.Errorf("%s unit %d is %s by slot %d, followed by %d", e.id, u, is, owner, next)
			}
		}
	}
	for slot, h := range s.holds.all() {
		if !s.validHold(slot, h) {
			return fmt.Errorf("the hold in slot %d is impossible: %+v", slot, *h)
		}
	}
	for slot, o := range s.orders.all() {
		if !s.holds.holds(o.Hold) || s.holds.at(o.Hold).Order != slot || o.As < command.SalePaid || o.As > command.SaleInvoiced {
			return fmt.Errorf("the order in slot %d is of slot %d, which is not it, or a sale of kind %d", slot, o.Hold, o.As)
		}
	}
	for slot, b := range s.buyers.all() {
		if int(b.Event) >= len(s.events) || b.Newest != 0 && !s.holds.holds(b.Newest) {
			return fmt.Errorf("the buyer in slot %d is of event %d with hold %d", slot, b.Event, b.Newest)
		}
	}
	if err := s.validateLines(); err != nil {
		return err
	}
	return s.validatePayments()
}

func (s *state) validHold(slot uint32, h *holdRecord) bool {
	if _, known := unitState(h.State); !known || int(h.Event) >= len(s.events) || !s.buyers.holds(h.Buyer) {
		return false
	}
	e, unit := s.events[h.Event], h.First
	for range h.Count {
		if int(unit) >= e.units.len() || e.units.owner(unit) != slot {
			return false
		}
		unit = e.units.next(unit)
	}
	sold := h.State == holdfast.HoldSold
	return (h.Count > 0 || sold) && h.Count <= holdfast.UnitsPerHoldMax && unit == NoSeat && int(h.Prices) < len(e.prices) &&
		(h.Newer == 0 || s.holds.holds(h.Newer)) && (h.Older == 0 || s.holds.holds(h.Older)) &&
		sold == s.orders.holds(h.Order) && (sold || h.Order == 0) && s.validDeadline(h)
}

// validDeadline reports whether a hold waits for a time that is to come, if it is one that waits.
func (s *state) validDeadline(h *holdRecord) bool {
	return h.Deadline > s.clock || h.Deadline == 0 && (h.State == holdfast.HoldSold || h.State == holdfast.HoldCancelling)
}
