package fsm

import (
	"encoding/binary"

	"github.com/holdfast-db/holdfast"
)

// The outbox: what the shard owes the world outside, written by the same entry that decided it, and done at least
// once by workers who read it from the leader (see docs/payments.md). Of a payment one effect is outstanding at a
// time. What is due is kept in order of urgency, and what waits for its time in a wheel, so that Apply costs the same
// however much is owed.

// effectRecord is one effect until it is done. It may be parked, never dropped undone, except for mails and
// notifications, after the retention.
type effectRecord struct {
	ID        holdfast.EffectID
	NotBefore holdfast.Clock // not to be tried before
	LatestMs  int64          // wall clock: a capture is to be done by then; a parked mail was parked then
	Amount    int64          // what is to be moved
	Payment   uint32         // slot in payments; 0: it is about an order
	Order     uint32         // slot in orders; 0: about a payment without one
	Tries     uint16
	Event     uint16 // place in events
	Kind      holdfast.EffectKind
	State     holdfast.EffectState
	Topic     holdfast.Topic // of a mail or a notification
	Urgent    bool           // seats wait for it
	CodeBytes uint8
	_         [3]uint8
	Code      [codeBytesMax]byte // of the last failure
}

const (
	codeBytesMax = 32

	// captureWithinMs is how long after the sale a capture is to be done at the latest: authorisations of cards last
	// seven days at Stripe, and a day is for people.
	captureWithinMs = 6 * 86_400_000

	// A try that ends without an answer is repeated after a second, then two, four, … up to an hour. After triesMax it
	// is parked: with an hour between them that is two days of a provider that does not answer.
	backoffMicros    = 1_000_000
	backoffMicrosMax = 3_600_000_000
	triesMax         = 60
)

func (x *effectRecord) code() []byte { return x.Code[:x.CodeBytes] }

// owe puts an effect about a payment in the outbox. One of a former life is parked at once: somebody must look first.
func (m *Machine) owe(payment uint32, kind holdfast.EffectKind, urgent bool) uint32 {
	p := m.state.payments.edit(payment)
	assert(p.Effect == 0, "a payment has two effects outstanding")
	x := effectRecord{Payment: payment, Order: p.Order, Event: p.Event, Kind: kind, Urgent: urgent, State: holdfast.EffectOwed}
	switch kind {
	case holdfast.EffectCapture:
		x.Amount, x.LatestMs = p.Quote.TotalMinor, m.state.wallMs+captureWithinMs
	case holdfast.EffectRefund:
		x.Amount = p.Owed
	}
	if p.Life != m.state.incarnation {
		x.State = holdfast.EffectParked
	}
	p.Effect = m.addEffect(x)
	return p.Effect
}

// addEffect gives an effect its number and puts it where it will be found.
func (m *Machine) addEffect(x effectRecord) uint32 {
	m.state.effectLast++
	x.ID, x.NotBefore = m.state.effectLast, m.state.clock
	slot := m.state.effects.add(x)
	m.byEffect.add(m.hashEffect(x.ID), slot)
	m.enqueue(slot)
	if m.last.answer {
		m.last.result.Effect = x.ID
	}
	return slot
}

// dropEffect takes an effect out of the outbox: it is done, or another takes its place. Slot 0 is none.
func (m *Machine) dropEffect(slot uint32) {
	if slot == 0 {
		return
	}
	x := *m.state.effects.at(slot)
	m.dequeue(slot)
	if x.Payment != 0 {
		m.state.payments.edit(x.Payment).Effect = 0
	}
	m.byEffect.drop(m.hashEffect(x.ID), slot)
	m.state.effects.drop(slot)
}

// findEffect gives the slot of an effect; 0 if there is none.
func (m *Machine) findEffect(id holdfast.EffectID) uint32 {
	return m.byEffect.find(m.hashEffect(id), func(slot uint32) bool { return m.state.effects.at(slot).ID == id })
}

func (m *Machine) hashEffect(id holdfast.EffectID) uint64 {
	return hash64(m.seed, binary.LittleEndian.AppendUint64(nil, uint64(id)))
}

// enqueue puts an effect among those that are due, or among those that wait; one that is parked is in neither.
func (m *Machine) enqueue(slot uint32) {
	x := m.state.effects.at(slot)
	switch {
	case x.State == holdfast.EffectParked:
		m.parked++
	case x.NotBefore > m.state.clock:
		m.waiting.add(slot, x.NotBefore)
	default:
		m.ready.add(slot, rankOf(x))
	}
}

// dequeue is the opposite.
func (m *Machine) dequeue(slot uint32) {
	switch x := m.state.effects.at(slot); {
	case x.State == holdfast.EffectParked:
		m.parked--
	case m.waiting.waits(slot):
		m.waiting.drop(slot)
	default:
		m.ready.drop(slot, rankOf(x))
	}
}

// ripen moves the effects whose time has come.
func (m *Machine) ripen() {
	m.ripe = m.waiting.due(m.state.clock, m.ripe[:0], func(slot uint32) (id holdfast.HoldID) {
		binary.BigEndian.PutUint64(id[:], uint64(m.state.effects.at(slot).ID))
		return id
	})
	for _, slot := range m.ripe {
		m.waiting.drop(slot)
		m.ready.add(slot, rankOf(m.state.effects.at(slot)))
	}
}

// rankOf says how urgent an effect is: looks first, since a buyer waits, then what seats wait for, captures by their
// latest time, cancelling, refunds, mails, notifications; and within these the older first.
func rankOf(x *effectRecord) rank {
	r := rank{id: uint64(x.ID)}
	switch {
	case x.Kind == holdfast.EffectLook:
		r.class = 0
	case x.Urgent:
		r.class = 1
	case x.Kind == holdfast.EffectCapture:
		r.class, r.at = 2, uint64(x.LatestMs)
	default:
		r.class = uint8(x.Kind)
	}
	return r
}

// tryAgain makes an effect wait for its next try, or parks it when there were enough.
func (m *Machine) tryAgain(slot uint32, code string) {
	m.note(slot, code)
	if m.state.effects.at(slot).Tries >= triesMax {
		m.park(slot)
		return
	}
	m.dequeue(slot)
	x := m.state.effects.edit(slot)
	x.State = holdfast.EffectOwed
	x.NotBefore = m.state.clock + holdfast.Clock(min(backoffMicros<<min(x.Tries-1, 12), backoffMicrosMax))
	m.enqueue(slot)
}

// note counts a try and keeps what it ended with.
func (m *Machine) note(slot uint32, code string) {
	x := m.state.effects.edit(slot)
	x.Code = [codeBytesMax]byte{}
	x.CodeBytes = uint8(copy(x.Code[:], code))
	x.Tries += min(1, ^x.Tries)
}

// park takes an effect out of what is tried, until somebody asks for it.
func (m *Machine) park(slot uint32) {
	if m.state.effects.at(slot).State == holdfast.EffectParked {
		return
	}
	m.dequeue(slot)
	x := m.state.effects.edit(slot)
	x.State = holdfast.EffectParked
	if x.Payment == 0 {
		x.LatestMs = m.state.wallMs
	}
	m.enqueue(slot)
}

// unpark makes an effect owed and due now, whatever it was.
func (m *Machine) unpark(slot uint32) {
	m.dequeue(slot)
	x := m.state.effects.edit(slot)
	x.State, x.Tries, x.NotBefore = holdfast.EffectOwed, 0, m.state.clock
	m.enqueue(slot)
}

// sweepEffects forgets parked mails and notifications after the retention. What money hangs on is never forgotten.
func (m *Machine) sweepEffects(commands int) {
	effects := &m.state.effects
	for range min(sweepPerEntry+sweepPerCommand*commands, effects.slots()) {
		if m.state.sweepEffect++; int(m.state.sweepEffect) > effects.slots() {
			m.state.sweepEffect = 1
		}
		if slot := m.state.sweepEffect; effects.holds(slot) {
			if x := effects.at(slot); x.Payment == 0 && x.State == holdfast.EffectParked && x.LatestMs+retentionMs <= m.state.wallMs {
				m.dropEffect(slot)
			}
		}
	}
}

// tellTopic owes the buyer a mail and the organizer a notification, if they want them.
func (m *Machine) tellTopic(order uint32, topic holdfast.Topic) {
	o := m.state.orders.at(order)
	e := m.state.events[m.state.holds.at(o.Hold).Event]
	if !e.spec.Checkout.Given() {
		return
	}
	x := effectRecord{Order: order, Event: e.place, Topic: topic, State: holdfast.EffectOwed}
	if m.state.billOf(o).Contact != (holdfast.ContactID{}) {
		x.Kind = holdfast.EffectReceipt
		m.addEffect(x)
	}
	if e.spec.Checkout.Notify {
		x.Kind = holdfast.EffectNotify
		m.addEffect(x)
	}
}
