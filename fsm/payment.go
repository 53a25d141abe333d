package fsm

import (
	"bytes"
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// The table of payments: one record for each attempt to pay that an event with Checkout rules began, and for each
// stray payment that was reported. What each transition does is in docs/payments.md; the functions that begin with
// a state's change are in the files named after the commands.

// paymentRecord is one attempt to pay, with its ledger. It is dropped when it is over and nothing more can come of it,
// a retention later; that of an order stays with the order.
type paymentRecord struct {
	Hold    holdfast.HoldID
	Buyer   holdfast.BuyerID
	Promo   holdfast.PromoCode // a use of it is counted while Counted
	Contact holdfast.ContactID

	Quote command.Quote // frozen; of a stray that no attempt began only the total

	// The ledger: what was captured is live lines of the order, or one of these. See ledger.
	Captured    int64
	Kept        int64 // fees of refunded lines
	Owed        int64 // refunds that are not made yet, one on its way included
	Refunded    int64
	ChargedBack int64
	Overdrawn   int64 // what a bank took back beyond what was left: lost

	BegunMs int64 // wall clock of the entry that began it
	EndedMs int64 // wall clock at which it came to an end; 0: it has not

	Order   uint32 // slot in orders; 0: none stands on it
	Effect  uint32 // slot in effects: the one that is outstanding; 0: none
	Seats   uint32 // slot of the first chunk with the units; only of methods that capture at once
	Attempt holdfast.Attempt
	Life    holdfast.Incarnation // in which it was begun

	Event    uint16 // place in events
	Prices   uint16 // place in the event's price lists
	Units    uint8  // how many
	State    holdfast.PaymentState
	Capture  holdfast.CaptureMethod
	Dispute  holdfast.DisputeState // 0: there was none
	Stray    bool                  // no attempt of ours began it: only its reference finds it
	Counted  bool                  // a use of Promo is counted for it
	RefBytes uint8
	_        [5]uint8
	Ref      [holdfast.PaymentRefBytesMax]byte
}

// ref gives the provider's reference; empty while it is not known.
func (p *paymentRecord) ref() []byte { return p.Ref[:p.RefBytes] }

// free reports whether nothing is to be paid: then no provider knows of it.
func (p *paymentRecord) free() bool { return p.Quote.TotalMinor == 0 }

// open reports whether it may still sell.
func (p *paymentRecord) open() bool { return p.State == holdfast.PaymentBegun }

// committed is the money that the ledger divides: what was captured, or is to be.
func (p *paymentRecord) committed() int64 {
	if p.State == holdfast.PaymentCapturing {
		return p.Quote.TotalMinor
	}
	return p.Captured
}

// retentionMs is how long a payment that is over is remembered on the wall clock: longer than any provider repeats
// what it has to say about it (Stripe: three days), so that stray money is known again and treated once.
const retentionMs = 4 * 86_400_000

// findRef gives the slot of the payment with a reference; 0 if there is none.
func (m *Machine) findRef(ref []byte) uint32 {
	if len(ref) == 0 {
		return 0
	}
	return m.byRef.find(hash64(m.seed, ref), func(slot uint32) bool { return bytes.Equal(m.state.payments.at(slot).ref(), ref) })
}

// findAttempt gives the slot of the payment that an attempt began; 0 if there is none, as of events without rules.
func (m *Machine) findAttempt(hold holdfast.HoldID, attempt holdfast.Attempt) uint32 {
	return m.byAttempt.find(m.hashAttempt(hold, attempt), func(slot uint32) bool {
		p := m.state.payments.at(slot)
		return p.Attempt == attempt && p.Hold == hold
	})
}

func (m *Machine) hashAttempt(hold holdfast.HoldID, attempt holdfast.Attempt) uint64 {
	return hash16(m.seed+uint64(attempt), hold)
}

// currentPayment gives the slot of the payment that a hold stands on now; 0: none.
func (m *Machine) currentPayment(h *holdRecord) uint32 {
	if h.Attempt == 0 || m.byAttempt.len() == 0 { // as where nobody has Checkout rules
		return 0
	}
	return m.findAttempt(h.ID, h.Attempt)
}

// addPayment puts a payment in the table.
func (m *Machine) addPayment(p paymentRecord) uint32 {
	p.Life, p.BegunMs = m.state.incarnation, m.state.wallMs
	slot := m.state.payments.add(p)
	m.indexPayment(slot)
	return slot
}

// indexPayment makes a payment found by whatever is known of it.
func (m *Machine) indexPayment(slot uint32) {
	p := m.state.payments.at(slot)
	if !p.Stray {
		m.byAttempt.add(m.hashAttempt(p.Hold, p.Attempt), slot)
	}
	if p.RefBytes > 0 {
		m.byRef.add(hash64(m.seed, p.ref()), slot)
	}
}

// dropPayment forgets a payment on which nothing stands.
func (m *Machine) dropPayment(slot uint32) {
	p := m.state.payments.at(slot)
	assert(p.Order == 0 && p.Effect == 0 && !p.Counted, "a payment is forgotten on which something stands")
	if !p.Stray {
		m.byAttempt.drop(m.hashAttempt(p.Hold, p.Attempt), slot)
	}
	if p.RefBytes > 0 {
		m.byRef.drop(hash64(m.seed, p.ref()), slot)
	}
	m.state.dropChunks(p.Seats)
	m.state.payments.drop(slot)
}

// attach notes a payment's reference. It fails when the payment has another, or the reference another payment.
func (m *Machine) attach(slot uint32, ref string) bool {
	p := m.state.payments.at(slot)
	switch {
	case ref == "" || string(p.ref()) == ref:
		return true
	case p.RefBytes > 0 || m.findRef([]byte(ref)) != 0:
		return false
	}
	p = m.state.payments.edit(slot)
	p.RefBytes = uint8(copy(p.Ref[:], ref))
	m.byRef.add(hash64(m.seed, p.ref()), slot)
	return true
}

// mayAttach says what attach would.
func (m *Machine) mayAttach(slot uint32, ref string) bool {
	p := m.state.payments.at(slot)
	return ref == "" || string(p.ref()) == ref || p.RefBytes == 0 && m.findRef([]byte(ref)) == 0
}

// becomes brings a payment into another state. One that is over gets the time.
func (m *Machine) becomes(slot uint32, state holdfast.PaymentState) {
	p := m.state.payments.edit(slot)
	p.State, p.EndedMs = state, 0
	switch state {
	case holdfast.PaymentVoided, holdfast.PaymentFailed, holdfast.PaymentReturned:
		p.EndedMs = m.state.wallMs
	}
}

// condemn ends an attempt that has not sold: it never will. Whatever the provider knows of it is to be cancelled.
func (m *Machine) condemn(slot uint32) {
	p := m.state.payments.at(slot)
	assert(p.open(), "an attempt is condemned that is over")
	m.uncount(slot)
	m.dropEffect(p.Effect)
	if p.free() {
		m.dropPayment(slot)
		return
	}
	m.becomes(slot, holdfast.PaymentCondemned)
	if planted.Is(planted.VoidForgotten) {
		return
	}
	m.owe(slot, holdfast.EffectVoid, false)
}

// ledger says what is wrong with a payment's books: I8, money equals seats.
func (s *state) ledger(slot uint32, p *paymentRecord) bool {
	live := int64(0)
	if p.Order != 0 {
		o := s.orders.at(p.Order)
		if o.Payment != slot {
			return false
		}
		live = s.billOf(o).Live
	}
	moneyIsHere := p.State == holdfast.PaymentCapturing || p.State == holdfast.PaymentCaptured || p.State == holdfast.PaymentReturned
	for _, part := range [...]int64{live, p.Captured, p.Kept, p.Owed, p.Refunded, p.ChargedBack, p.Overdrawn} {
		if part < 0 || part > 0 && !moneyIsHere {
			return false
		}
	}
	return p.committed()+p.Overdrawn == live+p.Kept+p.Owed+p.Refunded+p.ChargedBack
}

// balance asserts I8 for a payment that a command has changed.
func (m *Machine) balance(slot uint32) {
	if slot == 0 {
		return
	}
	if p := m.state.payments.at(slot); !m.state.ledger(slot, p) {
		fail("payment %q of %s, attempt %d, does not add up: %+v", p.ref(), p.Hold, p.Attempt, *p)
	}
}

// sweepPayments looks at some payments with every entry, as sweepBuyers does, and forgets those that are over for
// longer than the retention, unless a hold, or an order that may be paid again, stands on them.
func (m *Machine) sweepPayments(commands int) {
	payments := &m.state.payments
	for range min(sweepPerEntry+sweepPerCommand*commands, payments.slots()) {
		if m.state.sweepPayment++; int(m.state.sweepPayment) > payments.slots() {
			m.state.sweepPayment = 1
		}
		if slot := m.state.sweepPayment; payments.holds(slot) && m.state.forgettable(payments.at(slot)) && !m.stands(payments.at(slot)) {
			m.dropPayment(slot)
		}
	}
}

func (s *state) forgettable(p *paymentRecord) bool {
	return p.EndedMs != 0 && p.EndedMs+retentionMs <= s.wallMs && p.Order == 0 && p.Effect == 0 && !p.Counted
}

// stands reports whether a hold or an unpaid order is at this very attempt.
func (m *Machine) stands(p *paymentRecord) bool {
	slot := m.findHold(p.Hold)
	if slot == 0 {
		return false
	}
	h := m.state.holds.at(slot)
	return h.Attempt == p.Attempt && !p.Stray && (h.State != holdfast.HoldSold || m.state.orders.at(h.Order).State == holdfast.OrderUnpaid)
}

// Chunks keep what is not of a fixed size: the units of an attempt, what is known about a person. Each is a chain.

type chunkRecord struct {
	Next  uint32 // slot of the one that goes on; 0: none
	Bytes [chunkBytes]byte
}

const chunkBytes = 124

// putChunks keeps bytes and gives the slot of the first chunk; 0 for none.
func (s *state) putChunks(b []byte) (first uint32) {
	if len(b) == 0 {
		return 0
	}
	for at := (len(b) - 1) / chunkBytes * chunkBytes; at >= 0; at -= chunkBytes {
		c := chunkRecord{Next: first}
		copy(c.Bytes[:], b[at:])
		first = s.chunks.add(c)
	}
	return first
}

// readChunks appends n bytes of a chain.
func (s *state) readChunks(first uint32, n int, to []byte) []byte {
	for at := first; n > 0; at = s.chunks.at(at).Next {
		take := min(n, chunkBytes)
		to = append(to, s.chunks.at(at).Bytes[:take]...)
		n -= take
	}
	return to
}

func (s *state) dropChunks(first uint32) {
	for at := first; at != 0; {
		next := s.chunks.at(at).Next
		s.chunks.drop(at)
		at = next
	}
}

// seatsOf appends the units that an attempt was for.
func (s *state) seatsOf(p *paymentRecord, to []holdfast.SeatIndex) []holdfast.SeatIndex {
	if p.Seats == 0 {
		return to
	}
	for b := s.readChunks(p.Seats, 4*int(p.Units), nil); len(b) > 0; b = b[4:] {
		to = append(to, holdfast.SeatIndex(binary.LittleEndian.Uint32(b)))
	}
	return to
}

// packSeats packs units for putChunks.
func packSeats(units []holdfast.SeatIndex) (b []byte) {
	for _, u := range units {
		b = binary.LittleEndian.AppendUint32(b, uint32(u))
	}
	return b
}
