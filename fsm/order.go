package fsm

import (
	"math/bits"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What becomes of an order: its money comes, or does not, is refunded, or taken back by a bank; its seats stay, or go
// back on sale.

// unpaid is what an order becomes whose capture failed for good: its ticket is suspended, and it may be paid again
// until a deadline. What was to be refunded of it needs no refund.
func (m *Machine) unpaid(payment uint32) {
	p := m.state.payments.edit(payment)
	order := p.Order
	p.Order, p.Owed, p.Kept = 0, 0, 0
	m.balance(payment)

	o := m.state.orders.edit(order)
	o.Payment = 0
	if m.liveUnits(o) == 0 {
		o.State = holdfast.OrderRefunded
		m.uncount(payment)
		return
	}
	o.State = holdfast.OrderUnpaid
	e := m.state.events[m.state.holds.at(o.Hold).Event]
	m.state.holds.edit(o.Hold).Deadline = m.state.clock + micros(e.checkout.PayAgainMs)
	m.due.add(o.Hold, m.state.holds.at(o.Hold).Deadline)
	if p := m.state.payments.edit(payment); p.Counted {
		p.Counted, o.Counted = false, true // the order's, until it is unsold
	}
	m.tellTopic(order, holdfast.TopicUnpaid)
}

// unsell gives back the seats of an order that was not paid in time.
func (m *Machine) unsell(slot uint32) {
	h := *m.state.holds.at(slot)
	m.leaveAttempt(&h)
	m.due.drop(slot)
	m.state.holds.edit(slot).Deadline = 0
	m.returnUnits(slot, func(int) bool { return true })
	o, bill := m.state.orders.edit(h.Order), m.editBill(h.Order)
	bill.Live, bill.Fee = 0, 0
	o.State = holdfast.OrderCancelled
	if o.Counted {
		o.Counted = false
		m.giveBackUse(h.Event, bill.Promo)
	}
	m.tellTopic(h.Order, holdfast.TopicCancelled)
}

// returnUnits puts those units of an order back on sale of which back says yes, by their place in its chain.
func (m *Machine) returnUnits(slot uint32, back func(place int) bool) {
	h := *m.state.holds.at(slot)
	e := m.state.events[h.Event]
	bill := m.editBill(h.Order)
	m.own = e.unitsOf(&h, m.own[:0])
	stay, dead, amount, gone := m.own[:0:len(m.own)], uint64(0), int64(0), []holdfast.SeatIndex(nil)
	for place, unit := range m.own {
		if back(place) {
			gone = append(gone, unit)
			continue
		}
		dead |= bill.Dead >> place & 1 << len(stay)
		amount += e.prices[h.Prices][e.units.geometry.tier(unit)]
		stay = append(stay, unit)
	}
	for _, unit := range gone {
		m.move(e, unit, holdfast.Sold, holdfast.Free, slot)
	}
	bill.Dead = dead
	changed := m.state.holds.edit(slot)
	changed.Count, changed.Amount, changed.First = uint8(len(stay)), amount, NoSeat
	if len(stay) > 0 {
		e.units.chain(stay)
		changed.First = stay[0]
	}
	m.state.buyers.edit(h.Buyer).Units -= uint32(len(gone))
}

// refund makes the money of an order's seats owed to the buyer, before anybody gives it back, and lets the seats go
// if that is wanted: their resale waits for this entry and not for a bank.
func (m *Machine) refund(c *command.Refund) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot := m.findHold(c.Order.Hold())
	if slot == 0 || m.state.holds.at(slot).Event != e.place || m.state.holds.at(slot).State != holdfast.HoldSold {
		return holdfast.OrderUnknown
	}
	h := m.state.holds.at(slot)
	o := m.state.orders.at(h.Order)
	if o.State == holdfast.OrderCancelled {
		return holdfast.OrderNotPaid
	}
	if o.Payment != 0 && m.state.payments.at(o.Payment).Dispute == holdfast.DisputeOpened {
		return holdfast.OrderDisputed
	}
	chosen, ok := m.choose(e, h, o, c)
	if !ok {
		return holdfast.SeatNotInOrder
	}

	m.refundUnits(e, slot, chosen, c.Reason)
	if c.ReturnSeats {
		m.returnUnits(slot, func(place int) bool { return chosen>>place&1 != 0 })
	}
	m.afterRefund(slot)
	return holdfast.OK
}

func (m *Machine) tellRefund(c *command.Refund, o holdfast.Outcome) {
	if o != holdfast.EventUnknown && o != holdfast.OrderUnknown {
		m.tellOf(c.Order.Hold())
	}
}

// choose gives the units that a refund names, as bits by their place in the order's chain. One that was refunded
// and kept its seat may be named again to let the seat go.
func (m *Machine) choose(e *event, h *holdRecord, o *orderRecord, c *command.Refund) (chosen uint64, ok bool) {
	m.own = e.unitsOf(h, m.own[:0])
	refunded := m.state.billOf(o).Dead
	if len(c.Seats) == 0 {
		if all := ^uint64(0) >> (64 - len(m.own)); len(m.own) > 0 {
			chosen = all &^ refunded
			if c.ReturnSeats {
				chosen = all
			}
		}
		return chosen, true
	}
	for _, unit := range c.Seats {
		place := -1
		for i := range m.own {
			if m.own[i] == unit {
				place = i
			}
		}
		if place < 0 || chosen>>place&1 != 0 || refunded>>place&1 != 0 && !c.ReturnSeats {
			return 0, false
		}
		chosen |= 1 << place
	}
	return chosen, true
}

// refundUnits takes the chosen units' share out of what is live. Each unit's share of it goes by the units' prices,
// half up, one after the other, so that the last gets what is left and nothing is lost to rounding.
func (m *Machine) refundUnits(e *event, slot uint32, chosen uint64, reason holdfast.RefundReason) {
	h := m.state.holds.at(slot)
	bill := m.editBill(h.Order)
	o := m.state.orders.at(h.Order)
	prices := e.prices[h.Prices]
	weight := int64(0) // of the live units
	for place, unit := range m.own {
		if bill.Dead>>place&1 == 0 {
			weight += prices[e.units.geometry.tier(unit)]
		}
	}
	live, owed, kept := m.liveUnits(o), int64(0), int64(0)
	for place, unit := range m.own {
		if chosen>>place&1 == 0 || bill.Dead>>place&1 != 0 {
			continue
		}
		price := prices[e.units.geometry.tier(unit)]
		amount, fee := bill.Live, bill.Fee
		if live > 1 {
			amount, fee = share(bill.Live-bill.Fee, price, weight), share(bill.Fee, price, weight)
			amount += fee
		}
		bill.Live, bill.Fee = bill.Live-amount, bill.Fee-fee
		if reason == holdfast.RefundBuyer && e.checkout.KeepFees {
			kept, amount = kept+fee, amount-fee
		}
		owed += amount
		bill.Dead |= 1 << place
		weight -= price
		live--
	}
	if o.Payment != 0 {
		p := m.state.payments.edit(o.Payment)
		p.Owed, p.Kept = p.Owed+owed, p.Kept+kept
	}
}

// share gives amount × part / whole, rounded half up; 0 of nothing. The product may have 128 bits.
func share(amount, part, whole int64) int64 {
	if whole == 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(amount), uint64(part))
	lo, carry := bits.Add64(lo, uint64(whole)/2, 0)
	q, _ := bits.Div64(hi+carry, lo, uint64(whole))
	return int64(q)
}

// afterRefund brings an order of which lines were refunded into the state that fits, and sends what is owed on its
// way when nothing else is under way for the payment.
func (m *Machine) afterRefund(slot uint32) {
	h := *m.state.holds.at(slot)
	o := m.state.orders.edit(h.Order)
	if m.liveUnits(o) == 0 {
		switch o.State {
		case holdfast.OrderPaid:
			o.State = holdfast.OrderRefunded
		case holdfast.OrderUnpaid:
			o.State = holdfast.OrderRefunded
			m.leaveAttempt(&h)
			m.due.drop(slot)
			m.state.holds.edit(slot).Deadline = 0
		}
	} else if o.State == holdfast.OrderUnpaid {
		m.requote(&h)
	}
	if o.Payment != 0 {
		m.oweRefund(o.Payment)
		m.balance(o.Payment)
	}
}

// requote condemns an attempt to pay an order again of which less is live than was frozen for it.
func (m *Machine) requote(h *holdRecord) {
	if slot := m.currentPayment(h); slot != 0 && m.state.payments.at(slot).open() {
		m.condemn(slot)
	}
}

// oweRefund puts what is owed of a payment in the outbox, unless something is outstanding for it: the capture must be
// acknowledged first, and one refund after the other is made.
func (m *Machine) oweRefund(payment uint32) {
	if p := m.state.payments.at(payment); p.Owed > 0 && p.Effect == 0 && p.State == holdfast.PaymentCaptured && p.Dispute != holdfast.DisputeOpened {
		m.owe(payment, holdfast.EffectRefund, false)
	}
}
