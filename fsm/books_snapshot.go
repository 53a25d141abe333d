package fsm

import (
	"fmt"
	"math"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The parts of a snapshot about payments: since format 2.

func (s *state) writePayments(f *frameWriter) {
	f.begin(partOutbox)
	f.u32(uint32(s.incarnation))
	f.flag(s.suspended)
	f.u64(uint64(s.effectLast))
	f.u32(s.sweepPayment)
	f.u32(s.sweepEffect)
	writeSlab(f, partPayments, &s.payments, (*paymentRecord).write)
	writeSlab(f, partEffects, &s.effects, (*effectRecord).write)
	writeSlab(f, partPromos, &s.promos, (*promoRecord).write)
	writeSlab(f, partPersons, &s.persons, (*personRecord).write)
	writeSlab(f, partChunks, &s.chunks, (*chunkRecord).write)
}

func (s *state) readPayments(f *frameReader) {
	f.begin(partOutbox)
	s.incarnation = holdfast.Incarnation(f.u32())
	s.suspended = f.flag()
	s.effectLast = holdfast.EffectID(f.u64())
	s.sweepPayment, s.sweepEffect = f.u32(), f.u32()
	readSlab(f, partPayments, &s.payments, (*paymentRecord).read)
	readSlab(f, partEffects, &s.effects, (*effectRecord).read)
	readSlab(f, partPromos, &s.promos, (*promoRecord).read)
	readSlab(f, partPersons, &s.persons, (*personRecord).read)
	readSlab(f, partChunks, &s.chunks, (*chunkRecord).read)
}

func writeQuote(f *frameWriter, q *command.Quote) {
	for _, v := range [...]int64{q.SeatsMinor, q.DiscountMinor, q.FeeMinor, q.TaxMinor, q.TaxIncludedMinor, q.TotalMinor} {
		f.u64(uint64(v))
	}
}

func readQuote(f *frameReader) (q command.Quote) {
	for _, v := range [...]*int64{&q.SeatsMinor, &q.DiscountMinor, &q.FeeMinor, &q.TaxMinor, &q.TaxIncludedMinor, &q.TotalMinor} {
		*v = int64(f.u64())
	}
	return q
}

func (p *paymentRecord) write(f *frameWriter) {
	f.raw(p.Hold[:])
	f.raw(p.Buyer[:])
	f.raw(p.Promo[:])
	f.raw(p.Contact[:])
	writeQuote(f, &p.Quote)
	for _, v := range [...]int64{p.Captured, p.Kept, p.Owed, p.Refunded, p.ChargedBack, p.Overdrawn, p.BegunMs, p.EndedMs} {
		f.u64(uint64(v))
	}
	f.u32(p.Order)
	f.u32(p.Effect)
	f.u32(p.Seats)
	f.u32(uint32(p.Attempt))
	f.u32(uint32(p.Life))
	f.u16(p.Event)
	f.u16(p.Prices)
	f.u8(p.Units)
	f.u8(uint8(p.State))
	f.u8(uint8(p.Capture))
	f.u8(uint8(p.Dispute))
	f.flag(p.Stray)
	f.flag(p.Counted)
	f.u8(p.RefBytes)
	f.raw(p.ref())
}

func (p *paymentRecord) read(f *frameReader) {
	p.Hold, p.Buyer, p.Promo, p.Contact = f.id16(), f.id16(), f.id16(), f.id16()
	p.Quote = readQuote(f)
	for _, v := range [...]*int64{&p.Captured, &p.Kept, &p.Owed, &p.Refunded, &p.ChargedBack, &p.Overdrawn, &p.BegunMs, &p.EndedMs} {
		*v = int64(f.u64())
	}
	p.Order, p.Effect, p.Seats, p.Attempt, p.Life = f.u32(), f.u32(), f.u32(), holdfast.Attempt(f.u32()), holdfast.Incarnation(f.u32())
	p.Event, p.Prices, p.Units = f.u16(), f.u16(), f.u8()
	p.State, p.Capture, p.Dispute = holdfast.PaymentState(f.u8()), holdfast.CaptureMethod(f.u8()), holdfast.DisputeState(f.u8())
	p.Stray, p.Counted = f.flag(), f.flag()
	p.RefBytes = readRef(f, &p.Ref)
}

// readRef reads the length of a payment's reference and the reference.
func readRef(f *frameReader, ref *[holdfast.PaymentRefBytesMax]byte) (n uint8) {
	if n = f.u8(); int(n) > len(ref) {
		f.fail("a payment's reference of %d bytes", n)
		return 0
	}
	readRaw(f, ref[:n])
	return n
}

// readRaw reads bytes in pieces that take allows.
func readRaw(f *frameReader, to []byte) {
	for len(to) > 0 {
		n := min(len(to), takeMax)
		copy(to, f.take(n))
		to = to[n:]
	}
}

func (x *effectRecord) write(f *frameWriter) {
	f.u64(uint64(x.ID))
	f.u64(uint64(x.NotBefore))
	f.u64(uint64(x.LatestMs))
	f.u64(uint64(x.Amount))
	f.u32(x.Payment)
	f.u32(x.Order)
	f.u16(x.Tries)
	f.u16(x.Event)
	f.u8(uint8(x.Kind))
	f.u8(uint8(x.State))
	f.u8(uint8(x.Topic))
	f.flag(x.Urgent)
	f.u8(x.CodeBytes)
	f.raw(x.code())
}

func (x *effectRecord) read(f *frameReader) {
	x.ID, x.NotBefore, x.LatestMs, x.Amount = holdfast.EffectID(f.u64()), holdfast.Clock(f.u64()), int64(f.u64()), int64(f.u64())
	x.Payment, x.Order, x.Tries, x.Event = f.u32(), f.u32(), f.u16(), f.u16()
	x.Kind, x.State, x.Topic, x.Urgent = holdfast.EffectKind(f.u8()), holdfast.EffectState(f.u8()), holdfast.Topic(f.u8()), f.flag()
	if x.CodeBytes = f.u8(); x.CodeBytes > codeBytesMax {
		f.fail("an effect's code of %d bytes", x.CodeBytes)
		x.CodeBytes = 0
	}
	readRaw(f, x.Code[:x.CodeBytes])
}

func (p *promoRecord) write(f *frameWriter) {
	f.raw(p.Code[:])
	f.u32(p.Uses)
	f.u16(p.Event)
}

func (p *promoRecord) read(f *frameReader) { p.Code, p.Uses, p.Event = f.id16(), f.u32(), f.u16() }

func (p *personRecord) write(f *frameWriter) {
	f.raw(p.Hold[:])
	f.u32(p.First)
	f.u16(p.Bytes)
}

func (p *personRecord) read(f *frameReader) { p.Hold, p.First, p.Bytes = f.id16(), f.u32(), f.u16() }

func (c *chunkRecord) write(f *frameWriter) {
	f.u32(c.Next)
	f.raw(c.Bytes[:])
}

func (c *chunkRecord) read(f *frameReader) {
	c.Next = f.u32()
	readRaw(f, c.Bytes[:])
}

// writeOrder writes what a sale adds to its hold, as format 1 had it, and then what came with format 2.
func (s *state) writeOrder(o *orderRecord, f *frameWriter) {
	b := s.billOf(o)
	f.u64(uint64(o.SoldAtMs))
	f.u32(o.Hold)
	f.u8(uint8(o.As))
	f.u8(o.RefBytes)
	f.raw(o.ref())
	f.u8(uint8(o.State))
	f.flag(o.Counted)
	f.u32(o.Payment)
	writeQuote(f, &b.Quote)
	f.u64(uint64(b.Live))
	f.u64(uint64(b.Fee))
	f.u64(b.Dead)
	f.raw(b.Promo[:])
	f.raw(b.Contact[:])
}

// readOrder reads an order. Those of format 1 cost what their units cost, were paid, and stand on no payment of ours.
func (s *state) readOrder(o *orderRecord, f *frameReader) {
	o.SoldAtMs = int64(f.u64())
	o.Hold = f.u32()
	o.As = command.SaleKind(f.u8())
	o.RefBytes = readRef(f, &o.Ref)
	if f.format == formatFirst {
		o.State = holdfast.OrderPaid
		return
	}
	o.State, o.Counted, o.Payment = holdfast.OrderState(f.u8()), f.flag(), f.u32()
	b := billRecord{Quote: readQuote(f)}
	b.Live, b.Fee, b.Dead = int64(f.u64()), int64(f.u64()), f.u64()
	b.Promo, b.Contact = f.id16(), f.id16()
	if f.err == nil && s.holds.holds(o.Hold) { // else it is found out that there is no such hold
		s.keepBill(o, &b, s.holds.at(o.Hold).Amount)
	}
}

// derivePayments works out from a state that was restored whatever no snapshot holds of payments.
func (m *Machine) derivePayments() {
	m.byRef, m.byAttempt = index{}, newIndex(m.state.payments.live(), nil)
	for slot := range m.state.payments.all() {
		m.indexPayment(slot)
	}
	m.byEffect, m.ready, m.waiting, m.parked = newIndex(m.state.effects.live(), nil), ranking{}, wheel{passed: m.state.clock}, 0
	for slot, x := range m.state.effects.all() {
		m.byEffect.add(m.hashEffect(x.ID), slot)
		m.enqueue(slot)
	}
	m.byPromo, m.byPerson = index{}, index{}
	for slot, p := range m.state.promos.all() {
		m.byPromo.add(m.hashPromo(p.Event, p.Code), slot)
	}
	for slot, p := range m.state.persons.all() {
		m.byPerson.add(hash16(m.seed, p.Hold), slot)
	}
}

// validatePayments looks that whatever names something names something that is there, as validate does.
func (s *state) validatePayments() error {
	if int(s.sweepPayment) > s.payments.slots() || int(s.sweepEffect) > s.effects.slots() {
		return fmt.Errorf("the sweeps are at payment %d and effect %d", s.sweepPayment, s.sweepEffect)
	}
	chunks := 0
	for slot, p := range s.payments.all() {
		if int(p.Event) >= len(s.events) || p.Order != 0 && !s.orders.holds(p.Order) || p.Effect != 0 && !s.effects.holds(p.Effect) ||
			int(p.Prices) >= len(s.events[p.Event].prices) || p.Units > holdfast.UnitsPerHoldMax ||
			p.Capture < holdfast.CaptureManual || p.Capture > holdfast.CaptureAtOnce {
			return fmt.Errorf("the payment in slot %d is impossible: %+v", slot, *p)
		}
		n, ok := s.chain(p.Seats)
		if chunks += n; !ok || p.Seats != 0 && n != chunksFor(4*int(p.Units)) || !s.haveUnits(p) {
			return fmt.Errorf("the payment in slot %d has no units", slot)
		}
	}
	for slot, x := range s.effects.all() {
		if int(x.Event) >= len(s.events) || x.Payment != 0 && !s.payments.holds(x.Payment) || x.Order != 0 && !s.orders.holds(x.Order) ||
			x.Payment == 0 && x.Order == 0 || x.State < holdfast.EffectOwed || x.State > holdfast.EffectParked ||
			x.Kind < holdfast.EffectLook || x.Kind > holdfast.EffectNotify || x.NotBefore > math.MaxUint64/2 {
			return fmt.Errorf("the effect in slot %d is impossible: %+v", slot, *x)
		}
	}
	for slot, p := range s.promos.all() {
		if int(p.Event) >= len(s.events) {
			return fmt.Errorf("the promotion in slot %d is of event %d", slot, p.Event)
		}
	}
	for slot, p := range s.persons.all() {
		n, ok := s.chain(p.First)
		if chunks += n; !ok || n != chunksFor(int(p.Bytes)) {
			return fmt.Errorf("the person in slot %d has %d chunks", slot, n)
		}
	}
	for slot, o := range s.orders.all() {
		if o.Payment != 0 && !s.payments.holds(o.Payment) {
			return fmt.Errorf("the order in slot %d stands on payment %d", slot, o.Payment)
		}
	}
	if chunks != s.chunks.live() {
		return fmt.Errorf("%d chunks, %d in chains", s.chunks.live(), chunks)
	}
	return nil
}

func chunksFor(bytes int) int { return (bytes + chunkBytes - 1) / chunkBytes }

// chain counts the chunks that hang on one; false when they lead to what is not there, or in a circle.
func (s *state) chain(first uint32) (n int, ok bool) {
	for at := first; at != 0; at = s.chunks.at(at).Next {
		if n++; !s.chunks.holds(at) || n > s.chunks.live() {
			return n, false
		}
	}
	return n, true
}

// haveUnits reports whether the event has the units that a payment was for.
func (s *state) haveUnits(p *paymentRecord) bool {
	for _, u := range s.seatsOf(p, nil) {
		if int(u) >= s.events[p.Event].units.len() {
			return false
		}
	}
	return true
}
