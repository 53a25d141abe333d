package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// expire ends what is due at the hold clock: an open hold lapses; one in payment goes on for the grace, in which
// an authorisation that was given in time still sells it; when the grace is over it is closed; an order that was not
// paid again gives its seats back. They go in order of deadline, then of id, so that every replica's changes are in the
// same order.
func (m *Machine) expire() {
	if planted.Is(planted.IgnoredExpiry) {
		return
	}
	now := m.state.clock
	if planted.Is(planted.EarlyExpiry) {
		now += aTick
	}
	m.lapsed = m.due.due(now, m.lapsed[:0], func(slot uint32) holdfast.HoldID { return m.state.holds.at(slot).ID })
	if planted.Is(planted.MapOrder) {
		m.lapsed = inMapOrder(m.lapsed)
	}
	for _, slot := range m.lapsed {
		h := m.state.holds.at(slot)
		switch h.State {
		case holdfast.HoldOpen:
			m.lapse(slot)
		case holdfast.HoldPaying:
			m.closing(slot)
		case holdfast.HoldClosing:
			m.close(slot)
		case holdfast.HoldSold:
			m.unsell(slot)
		default:
			fail("hold %s is due and %s", h.ID, h.State)
		}
	}
}

// No hold goes through payment and grace within one entry: the grace is longer than a step.
const _ = uint(holdfast.GraceMax - holdfast.StepMax - 1)

// closing lets a hold in payment go on for the grace, and has somebody look at its payment. One whose attempt the
// provider gave up waits for nothing, and lapses.
func (m *Machine) closing(slot uint32) {
	h := *m.state.holds.at(slot)
	payment := m.currentPayment(&h)
	if payment != 0 && !m.state.payments.at(payment).open() {
		m.lapse(slot)
		return
	}
	m.postpone(slot, h.Deadline.Add(holdfast.GraceMax))
	m.state.holds.edit(slot).State = holdfast.HoldClosing
	if payment != 0 && !m.state.payments.at(payment).free() {
		m.owe(payment, holdfast.EffectLook, true)
	}
}

// close ends a hold whose grace is over: the attempt is condemned, the seats are free and the cancelling is owed, all
// at once. Only where the buyer's confirmation alone takes the money do the seats wait for the provider's answer.
func (m *Machine) close(slot uint32) {
	payment := m.currentPayment(m.state.holds.at(slot))
	if payment == 0 || m.state.payments.at(payment).Capture != holdfast.CaptureAtOnce || m.state.payments.at(payment).free() {
		m.lapse(slot)
		return
	}
	m.due.drop(slot)
	h := m.state.holds.edit(slot)
	h.State, h.Deadline = holdfast.HoldCancelling, 0
	m.dropEffect(m.state.payments.at(payment).Effect)
	m.owe(payment, holdfast.EffectVoid, true)
}

// lapse ends a hold at its deadline. Its buyer cools down, against who would freeze seats by holding them again
// and again.
func (m *Machine) lapse(slot uint32) {
	h := *m.state.holds.at(slot)
	m.end(slot, holdfast.HoldLapsed)
	if h.Deadline == 0 || h.Deadline > m.state.clock { // it ended by the provider's word
		h.Deadline = m.state.clock
	}
	m.coolDown(m.state.events[h.Event], h.Buyer, h.Deadline)
}
