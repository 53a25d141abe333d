package fsm

import "github.com/holdfast-db/holdfast"

// The table of holds. A hold is found by its id, is due in the wheel until it is sold, and stands in its buyer's
// chain as long; these change in the functions below only.

// findHold gives the slot of a hold or an order; 0 if there is none.
func (m *Machine) findHold(id holdfast.HoldID) uint32 {
	return m.byHold.find(hash16(m.seed, id), func(slot uint32) bool { return m.state.holds.at(slot).ID == id })
}

// addHold puts a new hold in the table, without units.
func (m *Machine) addHold(h holdRecord) uint32 {
	buyer := m.state.buyers.edit(h.Buyer)
	h.Older = buyer.Newest
	slot := m.state.holds.add(h)
	if h.Older != 0 {
		m.state.holds.edit(h.Older).Newer = slot
	}
	buyer.Newest = slot
	if buyer.State != noPlace {
		m.holdMade(&h)
	}
	m.byHold.add(hash16(m.seed, h.ID), slot)
	m.due.add(slot, h.Deadline)
	m.state.events[h.Event].holds++
	return slot
}

// settle takes a hold out of what only holds that are not sold are in.
func (m *Machine) settle(slot uint32) {
	h := m.state.holds.edit(slot)
	if h.Older != 0 {
		m.state.holds.edit(h.Older).Newer = h.Newer
	}
	if h.Newer != 0 {
		m.state.holds.edit(h.Newer).Older = h.Older
	} else {
		m.state.buyers.edit(h.Buyer).Newest = h.Older
	}
	h.Newer, h.Older = 0, 0
	if m.due.waits(slot) { // one that is cancelling does not
		m.due.drop(slot)
	}
	m.state.events[h.Event].holds--
}

// end gives a hold's units back and forgets it, but for how it ended.
func (m *Machine) end(slot uint32, how holdfast.Outcome) {
	h := *m.state.holds.at(slot)
	from, _ := unitState(h.State)

	m.leaveAttempt(&h)
	m.settle(slot)
	m.moveAll(m.state.events[h.Event], slot, from, holdfast.Free)
	m.state.buyers.edit(h.Buyer).Units -= uint32(h.Count)
	m.byHold.drop(hash16(m.seed, h.ID), slot)
	m.letGo(h.ID)
	m.state.holds.drop(slot)
	m.state.ended.add(h.ID, how)
	if m.state.buyers.at(h.Buyer).State != noPlace {
		m.holdEnded(&h, how)
	}
}

// postpone moves a hold's deadline.
func (m *Machine) postpone(slot uint32, deadline holdfast.Clock) {
	m.due.drop(slot)
	m.state.holds.edit(slot).Deadline = deadline
	m.due.add(slot, deadline)
}

// give gives a hold these units, in this order. Those that it has already stay as they are.
func (m *Machine) give(e *event, slot uint32, units []holdfast.SeatIndex) {
	for _, unit := range units {
		if e.units.owner(unit) != slot {
			m.move(e, unit, holdfast.Free, holdfast.Held, slot)
		}
	}
	e.units.chain(units)
	m.state.holds.edit(slot).First = units[0]
}

// moveAll brings all units of a hold from one state into another.
func (m *Machine) moveAll(e *event, slot uint32, from, to holdfast.SeatState) {
	h := m.state.holds.at(slot)
	unit := h.First
	for range h.Count {
		next := e.units.next(unit)
		m.move(e, unit, from, to, slot)
		unit = next
	}
	assert(unit == NoSeat, "a hold has more units than it counts")
}

// move brings one unit into another state and makes it known. The event's inventory keeps the counters.
func (m *Machine) move(e *event, unit holdfast.SeatIndex, from, to holdfast.SeatState, slot uint32) {
	e.units.move(unit, from, to, slot)
	e.revision++
	if to == holdfast.Free {
		m.noteReturn(e)
	}
	m.last.changes = append(m.last.changes, Change{Event: e.id, Revision: e.revision, Seat: unit, State: to, Sale: e.sale})
}

// unitsOf appends the units of a hold, in the order in which they were taken.
func (e *event) unitsOf(h *holdRecord, to []holdfast.SeatIndex) []holdfast.SeatIndex {
	unit := h.First
	for range h.Count {
		to = append(to, unit)
		unit = e.units.next(unit)
	}
	return to
}

// lookHold finds the hold that a command other than Hold is about. The slot is 0 when the outcome is not OK.
func (m *Machine) lookHold(e *event, id holdfast.HoldID) (slot uint32, o holdfast.Outcome) {
	slot = m.findHold(id)
	if slot != 0 && m.state.holds.at(slot).Event == e.place {
		return slot, holdfast.OK
	}
	if how, ok := m.state.ended.look(id); slot == 0 && ok {
		return 0, how
	}
	return 0, holdfast.HoldUnknown
}

// tellOf tells of a hold or an order what there is to tell now. Of one that is gone only the id is left.
func (m *Machine) tellOf(id holdfast.HoldID) {
	r := &m.last.result
	r.Hold = id
	slot := m.findHold(id)
	if slot == 0 {
		return
	}
	h := m.state.holds.at(slot)
	e := m.state.events[h.Event]
	r.Deadline, r.Attempt = h.Deadline, h.Attempt
	r.Amount = e.money(m.state.amountOf(h, m.currentPayment(h)))
	if h.State == holdfast.HoldSold && e.checkout.Given() {
		r.OrderState = m.state.orders.at(h.Order).State
	}
	r.Seats = e.unitsOf(h, r.Seats)
}

// tellHeld tells of the hold that a command other than Hold was about, unless it is none of the buyer's business.
func (m *Machine) tellHeld(id holdfast.HoldID, o holdfast.Outcome) {
	switch o {
	case holdfast.EventUnknown, holdfast.HoldUnknown, holdfast.HoldNotYours:
	default:
		m.tellOf(id)
	}
}
