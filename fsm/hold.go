package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// hold takes all units of the wants for the buyer, or none.
func (m *Machine) hold(c *command.Hold) holdfast.Outcome {
	id := holdfast.HoldID(c.ID)
	assert(m.findHold(id) == 0, "a hold's command is decided twice")

	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	if e.sale != holdfast.SaleOpen {
		return notOpen(e.sale)
	}
	if m.state.suspended {
		return holdfast.EventPaused
	}
	buyer := m.findBuyer(e, c.Buyer)
	if e.lined {
		if o := m.gate(e, buyer); o != holdfast.OK {
			return o
		}
	}
	if !e.has(c.Allocation, c.Wants) {
		return holdfast.WantInvalid
	}
	if planted.Is(planted.PartialHold) {
		c.Wants = available(e, c.Wants)
	}
	count := wanted(c.Wants)
	if count > uint32(e.rules.SeatsPerHold) {
		return holdfast.HoldTooLarge
	}
	if o := m.mayHold(e, buyer, count); o != holdfast.OK {
		return o
	}
	if o := m.choice.choose(&e.units, &ask{allocation: c.Allocation, wants: c.Wants, noOrphans: e.rules.NoOrphans}); o != holdfast.OK {
		return o
	}

	prices := e.current
	amount := e.total(prices, m.choice.units)
	deadline := m.state.clock + micros(e.rules.HoldTTLMs)

	if buyer == 0 {
		buyer = m.addBuyer(e, c.Buyer)
	}
	slot := m.addHold(holdRecord{
		ID: id, Deadline: deadline, Amount: amount, Buyer: buyer, Event: e.place, Prices: prices,
		Count: uint8(count), State: holdfast.HoldOpen,
	})
	m.give(e, slot, m.choice.units)
	m.state.buyers.edit(buyer).Units += count
	return holdfast.OK
}

func (m *Machine) tellHold(c *command.Hold, o holdfast.Outcome) {
	if o == holdfast.OK {
		m.tellOf(holdfast.HoldID(c.ID))
	}
	if e := m.event(c.Event); e != nil {
		m.tellBuyer(e, c.Buyer, o)
		m.tellSeats(e, &ask{allocation: c.Allocation, wants: c.Wants, noOrphans: e.rules.NoOrphans}, o)
	}
}

// notOpen says why nothing can be held while a sale is in this state.
func notOpen(sale holdfast.SaleState) holdfast.Outcome {
	switch sale {
	case holdfast.SaleDraft:
		return holdfast.EventNotOpen
	case holdfast.SalePaused:
		return holdfast.EventPaused
	default:
		return holdfast.EventClosed
	}
}
