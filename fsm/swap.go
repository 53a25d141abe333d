package fsm

import (
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// swap gives an open hold the units of the wants in place of those it has, or changes nothing. Its own units count
// as free; deadline and price list stay.
func (m *Machine) swap(c *command.Swap) holdfast.Outcome {
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
	if !e.has(c.Allocation, c.Wants) {
		return holdfast.WantInvalid
	}
	count := wanted(c.Wants)
	if count > uint32(e.rules.SeatsPerHold) {
		return holdfast.HoldTooLarge
	}
	slot, o := m.lookHold(e, c.Hold)
	if o != holdfast.OK {
		return o
	}
	h := m.state.holds.at(slot)
	if o := m.mayChange(h, c.Buyer); o != holdfast.OK {
		return o
	}
	if e.left(m.state.buyers.at(h.Buyer).Units-uint32(h.Count)) < count {
		return holdfast.BuyerOverLimit
	}
	if o := m.choice.choose(&e.units, m.askAgain(e, h, c)); o != holdfast.OK {
		return o
	}

	amount := e.total(h.Prices, m.choice.units)
	more := count - uint32(h.Count) // wraps when it is fewer, and back when it is added
	buyer := h.Buyer

	for _, unit := range m.own {
		if !slices.Contains(m.choice.units, unit) {
			m.move(e, unit, holdfast.Held, holdfast.Free, slot)
		}
	}
	m.give(e, slot, m.choice.units)
	changed := m.state.holds.edit(slot)
	changed.Amount, changed.Count = amount, uint8(count)
	m.state.buyers.edit(buyer).Units += more
	return holdfast.OK
}

// askAgain is what a swap wants. The hold's own units count as free, as long as it can be swapped; h may be nil.
func (m *Machine) askAgain(e *event, h *holdRecord, c *command.Swap) *ask {
	m.own = m.own[:0]
	if h != nil && h.State == holdfast.HoldOpen {
		m.own = e.unitsOf(h, m.own)
	}
	return &ask{allocation: c.Allocation, wants: c.Wants, noOrphans: e.rules.NoOrphans, own: m.own}
}

// tellSwap tells of the hold to its buyer only: refusals of the want go before the question whose hold it is.
func (m *Machine) tellSwap(c *command.Swap, o holdfast.Outcome) {
	e := m.event(c.Event)
	if e == nil {
		return
	}
	slot, found := m.lookHold(e, c.Hold)
	var h *holdRecord
	if slot != 0 && m.state.buyers.at(m.state.holds.at(slot).Buyer).ID == c.Buyer {
		h = m.state.holds.at(slot)
	}
	if h != nil || slot == 0 && found != holdfast.HoldUnknown {
		m.tellHeld(c.Hold, o)
	}
	m.tellBuyer(e, c.Buyer, o)
	m.tellSeats(e, m.askAgain(e, h, c), o)
}
