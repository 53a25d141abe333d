package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// beginPayment freezes what is to be paid, before any provider is asked for it: the units cannot change any more,
// and the hold has until the pay deadline. A further attempt condemns the one before it; the deadline stays.
func (m *Machine) beginPayment(c *command.BeginPayment) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot, o := m.lookHold(e, c.Hold)
	if o != holdfast.OK {
		return o
	}
	h := m.state.holds.at(slot)
	switch again := c.Attempt == h.Attempt; {
	case m.state.buyers.at(h.Buyer).ID != c.Buyer:
		return holdfast.HoldNotYours
	case h.State == holdfast.HoldClosing:
		return holdfast.HoldInPayment
	case h.State == holdfast.HoldSold:
		return holdfast.HoldAlreadySold
	case !again && c.Attempt != h.Attempt+1:
		return holdfast.AttemptStale
	case h.Amount == 0 || c.Amount != e.money(h.Amount):
		return holdfast.AmountMismatch
	}

	first, deadline := h.State == holdfast.HoldOpen, m.state.clock+micros(e.rules.PayWindowMs)

	m.state.holds.edit(slot).Attempt = c.Attempt
	if first {
		m.state.holds.edit(slot).State = holdfast.HoldPaying
		m.postpone(slot, deadline)
		m.moveAll(e, slot, holdfast.Held, holdfast.Paying)
	}
	return holdfast.OK
}

func (m *Machine) tellBeginPayment(c *command.BeginPayment, o holdfast.Outcome) {
	m.tellHeld(c.Hold, o)
}
