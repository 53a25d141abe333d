package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What is known about the person behind a hold or an order is not the machine's business: it keeps bytes that others
// encrypted, as long as the hold or the order is there, or a payment that may still bring the seats back; or until it
// is told to forget them.

type personRecord struct {
	Hold  holdfast.HoldID
	First uint32 // slot of the first chunk
	Bytes uint16
	_     [2]uint8
}

func (m *Machine) findPerson(hold holdfast.HoldID) uint32 {
	return m.byPerson.find(hash16(m.seed, hold), func(slot uint32) bool { return m.state.persons.at(slot).Hold == hold })
}

// putPerson keeps what is known, in place of what was.
func (m *Machine) putPerson(c *command.PutPerson) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	if _, o := m.lookHold(e, c.Hold); o != holdfast.OK {
		return o
	}

	m.forgetPersonOf(c.Hold)
	slot := m.state.persons.add(personRecord{Hold: c.Hold, First: m.state.putChunks(c.Blob), Bytes: uint16(len(c.Blob))})
	m.byPerson.add(hash16(m.seed, c.Hold), slot)
	return holdfast.OK
}

func (m *Machine) tellPutPerson(*command.PutPerson, holdfast.Outcome) {}

// forgetPerson drops what is known. Nothing to forget is fine.
func (m *Machine) forgetPerson(c *command.ForgetPerson) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot, _ := m.lookHold(e, c.Hold)
	hope := m.hopeOf(c.Hold)
	if slot != 0 || hope != 0 && m.state.payments.at(hope).Event == e.place {
		m.forgetPersonOf(c.Hold)
	}
	return holdfast.OK
}

func (m *Machine) tellForgetPerson(*command.ForgetPerson, holdfast.Outcome) {}

func (m *Machine) forgetPersonOf(hold holdfast.HoldID) {
	slot := m.findPerson(hold)
	if slot == 0 {
		return
	}
	m.state.dropChunks(m.state.persons.at(slot).First)
	m.byPerson.drop(hash16(m.seed, hold), slot)
	m.state.persons.drop(slot)
}

// letGo forgets the person behind a hold that is gone for good. One that a late payment may still rescue becomes an
// order, and its buyer gets a mail.
func (m *Machine) letGo(hold holdfast.HoldID) {
	if m.byPerson.len() > 0 && m.findPerson(hold) != 0 && m.findHold(hold) == 0 && m.hopeOf(hold) == 0 {
		m.forgetPersonOf(hold)
	}
}

// hopeOf gives the slot of a payment that may still rescue a hold: it captures at once, was condemned, and nobody knows
// yet that it was cancelled. 0: there is none.
func (m *Machine) hopeOf(hold holdfast.HoldID) uint32 {
	for attempt := holdfast.Attempt(1); attempt <= holdfast.AttemptsMax; attempt++ {
		slot := m.findAttempt(hold, attempt)
		if slot != 0 && m.state.payments.at(slot).Seats != 0 && m.state.payments.at(slot).State == holdfast.PaymentCondemned {
			return slot
		}
	}
	return 0
}

// Person gives what was put about the person behind a hold or an order.
func (m *Machine) Person(hold holdfast.HoldID) ([]byte, bool) {
	slot := m.findPerson(hold)
	if slot == 0 {
		return nil, false
	}
	p := m.state.persons.at(slot)
	return m.state.readChunks(p.First, int(p.Bytes), nil), true
}
