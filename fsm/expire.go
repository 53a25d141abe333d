package fsm

import "github.com/holdfast-db/holdfast"

// expire ends what is due at the hold clock: an open hold lapses; one in payment goes on for the grace, in which
// an authorisation that was given in time still sells it; when the grace is over it has lapsed too. They go in
// order of deadline, then of id, so that every replica's changes are in the same order.
func (m *Machine) expire() {
	m.lapsed = m.due.due(m.state.clock, m.lapsed[:0], func(slot uint32) holdfast.HoldID { return m.state.holds.at(slot).ID })
	for _, slot := range m.lapsed {
		h := m.state.holds.at(slot)
		switch h.State {
		case holdfast.HoldOpen, holdfast.HoldClosing:
			m.lapse(slot)
		case holdfast.HoldPaying:
			m.postpone(slot, h.Deadline.Add(holdfast.GraceMax))
			m.state.holds.edit(slot).State = holdfast.HoldClosing
		default:
			fail("hold %s is due and %s", h.ID, h.State)
		}
	}
}

// No hold goes through payment and grace within one entry: the grace is longer than a step.
const _ = uint(holdfast.GraceMax - holdfast.StepMax - 1)

// lapse ends a hold at its deadline. Its buyer cools down, against who would freeze seats by holding them again
// and again.
func (m *Machine) lapse(slot uint32) {
	h := *m.state.holds.at(slot)
	m.end(slot, holdfast.HoldLapsed)
	m.coolDown(m.state.events[h.Event], h.Buyer, h.Deadline)
}
