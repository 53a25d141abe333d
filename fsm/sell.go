package fsm

import (
	"bytes"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// sell makes a hold an order. It is decided whatever the state of the sale: who could hold may pay. Where the event
// takes its money through the shard, the capture is owed from the same entry on.
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
	payment := m.currentPayment(h)
	if h.State == holdfast.HoldSold && !m.paysAgain(h, c) {
		return m.soldBefore(e, h, c)
	}
	if o := m.maySell(e, h, c, payment); o != holdfast.OK {
		return o
	}

	switch {
	case h.State == holdfast.HoldSold:
		m.sellAgain(e, slot, payment, c.Payment)
	case !e.checkout.Given():
		m.makeOrder(e, slot, orderRecord{As: c.As, State: holdfast.OrderPaid}, plainBill(h.Amount), c.Payment)
	case c.As == command.SalePaid:
		m.sellPaid(e, slot, payment, c.Payment)
	default:
		m.sellUnpaid(e, slot, payment, c)
	}
	return holdfast.OK
}

func (m *Machine) tellSell(c *command.Sell, o holdfast.Outcome) { m.tellHeld(c.Hold, o) }

// paysAgain reports whether the sale is of an order whose capture failed.
func (m *Machine) paysAgain(h *holdRecord, c *command.Sell) bool {
	return m.state.orders.at(h.Order).State == holdfast.OrderUnpaid && c.As == command.SalePaid
}

// maySell says whether a hold may be sold so.
func (m *Machine) maySell(e *event, h *holdRecord, c *command.Sell, payment uint32) holdfast.Outcome {
	paid, rules := c.As == command.SalePaid, e.checkout.Given()
	free := payment != 0 && m.state.payments.at(payment).free() // an attempt that costs nothing is in nobody's hands
	switch inPayment := h.State != holdfast.HoldOpen; {
	case !paid && inPayment && !(free && c.As == command.SaleFree):
		return holdfast.HoldInPayment
	case paid && (!inPayment || c.Attempt != h.Attempt):
		return holdfast.AttemptStale
	case c.Amount != e.money(m.dueAmount(e, h, c.As, payment)) && !planted.Is(planted.AmountUnchecked):
		return holdfast.AmountMismatch
	case paid && !rules && m.findPayment([]byte(c.Payment)) != 0, paid && rules && !m.mayAttach(payment, c.Payment):
		return holdfast.PaymentReused
	case c.As == command.SaleFree && !free && h.Amount != 0, paid && free:
		return holdfast.PaymentRequired
	case !rules:
		return holdfast.OK
	case paid && m.state.suspended:
		return holdfast.PaymentsPaused
	case paid && !m.state.payments.at(payment).open():
		return holdfast.AttemptOver
	case paid && (c.Mode != e.checkout.Mode || c.Account != e.checkout.Account):
		return holdfast.PaymentForeign
	case c.As == command.SaleInvoiced && !e.checkout.Invoices:
		return holdfast.InvoiceRefused
	}
	return holdfast.OK
}

// dueAmount is what a sale of this kind must take. A free sale takes no money, whatever the hold costs.
func (m *Machine) dueAmount(e *event, h *holdRecord, as command.SaleKind, payment uint32) int64 {
	switch {
	case as == command.SaleFree:
		return 0
	case as == command.SaleInvoiced && e.checkout.Given():
		return m.quote(e, h, nil).TotalMinor
	case payment != 0:
		return m.state.payments.at(payment).Quote.TotalMinor
	}
	return h.Amount
}

// sellPaid sells what an attempt was authorised for, or has paid already if its method captures at once.
func (m *Machine) sellPaid(e *event, slot, payment uint32, ref string) {
	m.attach(payment, ref)
	p := m.state.payments.at(payment)
	order := m.makeOrder(e, slot, orderRecord{As: command.SalePaid}, billOfPayment(p), ref)
	m.standOn(order, payment)
}

// sellAgain lets an order whose capture failed stand on another payment.
func (m *Machine) sellAgain(e *event, slot, payment uint32, ref string) {
	m.attach(payment, ref)
	order := m.state.holds.at(slot).Order
	m.byPayment.drop(hash64(m.seed, m.state.orders.at(order).ref()), order)
	o := m.state.orders.edit(order)
	o.Ref = [holdfast.PaymentRefBytesMax]byte{}
	o.RefBytes = uint8(copy(o.Ref[:], ref))
	m.byPayment.add(hash64(m.seed, o.ref()), order)
	if c := m.state.payments.at(payment).Contact; c != (holdfast.ContactID{}) {
		m.editBill(order).Contact = c
	}
	m.due.drop(slot)
	m.state.holds.edit(slot).Deadline = 0
	m.standOn(order, payment)
}

// standOn makes an order stand on a payment: its money is to be captured, or is here.
func (m *Machine) standOn(order, payment uint32) {
	m.dropEffect(m.state.payments.at(payment).Effect)
	p := m.state.payments.edit(payment)
	p.Order = order
	m.state.orders.edit(order).Payment = payment
	if p.Capture == holdfast.CaptureAtOnce {
		p.Captured = p.Quote.TotalMinor
		m.becomes(payment, holdfast.PaymentCaptured)
		m.paid(order)
	} else {
		m.becomes(payment, holdfast.PaymentCapturing)
		m.state.orders.edit(order).State = holdfast.OrderCapturing
		m.owe(payment, holdfast.EffectCapture, false)
	}
	m.balance(payment)
}

// paid makes an order's ticket valid, as far as anything of it is live.
func (m *Machine) paid(order uint32) {
	o := m.state.orders.edit(order)
	o.State = holdfast.OrderPaid
	if m.liveUnits(o) == 0 {
		o.State = holdfast.OrderRefunded
		return
	}
	m.tellTopic(order, holdfast.TopicPaid)
}

// sellUnpaid sells without a payment: free, or by invoice.
func (m *Machine) sellUnpaid(e *event, slot, payment uint32, c *command.Sell) {
	h := *m.state.holds.at(slot)
	o, bill := orderRecord{As: c.As, State: holdfast.OrderPaid}, billRecord{Quote: m.quote(e, &h, nil)}
	if payment != 0 {
		p := *m.state.payments.at(payment)
		bill, o.Counted = billOfPayment(&p), p.Counted
		m.state.payments.edit(payment).Counted = false // the order's now
		m.dropEffect(p.Effect)
		m.dropPayment(payment)
	}
	order := m.makeOrder(e, slot, o, bill, c.Payment)
	m.tellTopic(order, holdfast.TopicPaid)
}

// billOfPayment is the bill of an order that a payment buys.
func billOfPayment(p *paymentRecord) billRecord {
	return billRecord{Quote: p.Quote, Promo: p.Promo, Contact: p.Contact}
}

// makeOrder makes the hold in a slot an order, and its units sold.
func (m *Machine) makeOrder(e *event, slot uint32, o orderRecord, bill billRecord, ref string) (order uint32) {
	h := m.state.holds.at(slot)
	from, _ := unitState(h.State)
	o.SoldAtMs, o.Hold, o.RefBytes = m.state.wallMs, slot, uint8(len(ref))
	copy(o.Ref[:], ref)
	bill.Live, bill.Fee = bill.Quote.TotalMinor, bill.Quote.FeeMinor
	if taxed := bill.Quote.SeatsMinor - bill.Quote.DiscountMinor + bill.Quote.FeeMinor; taxed > 0 {
		bill.Fee += share(bill.Quote.TaxMinor, bill.Quote.FeeMinor, taxed) // the tax on the fees goes with them
	}
	m.state.keepBill(&o, &bill, h.Amount)

	m.settle(slot)
	sold := m.state.holds.edit(slot)
	sold.State, sold.Deadline = holdfast.HoldSold, 0
	order = m.addOrder(e, o)
	m.state.holds.edit(slot).Order = order
	m.moveAll(e, slot, from, holdfast.Sold)
	return order
}

// soldBefore answers a sale of what is sold: the same contents are the same sale.
func (m *Machine) soldBefore(e *event, h *holdRecord, c *command.Sell) holdfast.Outcome {
	order := m.state.orders.at(h.Order)
	attempt := h.Attempt
	if c.As != command.SalePaid {
		attempt = 0
	}
	total := m.state.billOf(order).Quote.TotalMinor
	if order.Payment != 0 {
		total = m.state.payments.at(order.Payment).Quote.TotalMinor
	}
	switch {
	case order.State == holdfast.OrderUnpaid || order.State == holdfast.OrderCancelled:
	case c.As == order.As && c.Attempt == attempt && c.Amount == e.money(total) && c.Payment == string(order.ref()):
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
	buyer := m.state.holds.at(o.Hold).Buyer
	m.ordersOf.count(buyer)
	if m.state.buyers.at(buyer).State != noPlace {
		m.bought(m.state.holds.at(o.Hold))
	}
	return slot
}
