package fsm

import (
	"bytes"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// sell makes a hold an order. It is decided whatever the state of the sale: who could hold may pay.
func (m *Machine) sell(c *command.Sell) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot, o := m.lookHold(e, c.Hold)
	if o != holdfast.OK {
		return o
	}
	h := m.state.holds.at(slot)
	if h.State == holdfast.HoldSold {
		return m.soldBefore(e, h, c)
	}
	due := h.Amount // a free sale takes no money, whatever the hold costs
	if c.As == command.SaleFree {
		due = 0
	}
	switch inPayment := h.State != holdfast.HoldOpen; {
	case c.As != command.SalePaid && inPayment:
		return holdfast.HoldInPayment
	case c.As == command.SalePaid && (!inPayment || c.Attempt != h.Attempt):
		return holdfast.AttemptStale
	case c.Amount != e.money(due):
		return holdfast.AmountMismatch
	case c.As == command.SalePaid && m.findPayment([]byte(c.Payment)) != 0:
		return holdfast.PaymentReused
	case c.As == command.SaleFree && h.Amount != 0:
		return holdfast.PaymentRequired
	}

	from, _ := unitState(h.State)
	order := orderRecord{SoldAtMs: m.state.wallMs, Hold: slot, As: c.As, RefBytes: uint8(len(c.Payment))}
	copy(order.Ref[:], c.Payment)

	m.settle(slot)
	sold := m.state.holds.edit(slot)
	sold.State, sold.Deadline = holdfast.HoldSold, 0
	sold.Order = m.addOrder(e, order)
	m.moveAll(e, slot, from, holdfast.Sold)
	return holdfast.OK
}

func (m *Machine) tellSell(c *command.Sell, o holdfast.Outcome) { m.tellHeld(c.Hold, o) }

// soldBefore answers a sale of what is sold: the same contents are the same sale.
func (m *Machine) soldBefore(e *event, h *holdRecord, c *command.Sell) holdfast.Outcome {
	order := m.state.orders.at(h.Order)
	if c.As == order.As && c.Attempt == h.Attempt && c.Amount == e.money(h.Amount) && c.Payment == string(order.ref()) {
		return holdfast.OK
	}
	return holdfast.HoldAlreadySold
}

// The table of orders. Orders are never dropped. One that was paid is found by its payment's reference, so that no
// payment buys twice.

// findPayment gives the slot of the order that a payment is attached to; 0 if there is none.
func (m *Machine) findPayment(ref []byte) uint32 {
	return m.byPayment.find(hash64(m.seed, ref), func(slot uint32) bool { return bytes.Equal(m.state.orders.at(slot).ref(), ref) })
}

// addOrder puts an order in the table.
func (m *Machine) addOrder(e *event, o orderRecord) uint32 {
	slot := m.state.orders.add(o)
	if o.As == command.SalePaid {
		m.byPayment.add(hash64(m.seed, o.ref()), slot)
	}
	e.orders++
	if h := m.state.holds.at(o.Hold); m.state.buyers.at(h.Buyer).State != noPlace {
		m.bought(h)
	}
	return slot
}
