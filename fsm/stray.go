package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// strayMoney treats money at the provider that no order stands on. It is found by the payment's reference, so each
// payment is treated once, and the payment that an order stands on is never touched.
func (m *Machine) strayMoney(c *command.StrayMoney) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	payment := m.strayPayment(c)
	switch {
	case c.Amount.Currency != e.spec.Currency:
		return holdfast.AmountMismatch
	case payment != 0 && m.state.payments.at(payment).Event != e.place:
		return holdfast.PaymentReused
	case !e.checkout.Given() || c.Mode != e.checkout.Mode || c.Account != e.checkout.Account:
		return holdfast.PaymentForeign
	case payment != 0 && m.good(payment):
		return holdfast.PaymentCurrent
	}

	if payment == 0 {
		payment = m.addPayment(m.strangePayment(e, c))
	}
	m.attach(payment, c.Payment)
	switch p := m.state.payments.at(payment); {
	case p.State == holdfast.PaymentCaptured || p.State == holdfast.PaymentReturned: // treated before
	case c.Captured:
		m.takeStray(payment, c.Amount.AmountMinor)
	case p.State != holdfast.PaymentCondemned:
		m.becomes(payment, holdfast.PaymentCondemned)
		m.owe(payment, holdfast.EffectVoid, false)
	}
	return holdfast.OK
}

// strangePayment is the record of a payment that no attempt of ours is known for.
func (m *Machine) strangePayment(e *event, c *command.StrayMoney) paymentRecord {
	return paymentRecord{Hold: c.Hold, Attempt: c.Attempt, Event: e.place, Stray: true, State: holdfast.PaymentVoided, Capture: holdfast.CaptureManual,
		Quote: command.Quote{TotalMinor: c.Amount.AmountMinor}}
}

func (m *Machine) tellStrayMoney(c *command.StrayMoney, o holdfast.Outcome) {
	if payment := m.strayPayment(c); payment != 0 && o == holdfast.OK {
		if p := m.state.payments.at(payment); p.Effect != 0 {
			m.last.result.Effect = m.state.effects.at(p.Effect).ID
		}
		m.tellOf(c.Hold)
	}
}

// strayPayment finds the payment that is meant: by its reference, or as the attempt that has none yet.
func (m *Machine) strayPayment(c *command.StrayMoney) uint32 {
	if slot := m.findRef([]byte(c.Payment)); slot != 0 {
		return slot
	}
	if slot := m.findAttempt(c.Hold, c.Attempt); slot != 0 && m.state.payments.at(slot).RefBytes == 0 && !m.state.payments.at(slot).free() {
		return slot
	}
	return 0
}

// good reports whether a payment is no stray: an order stands on it, or it may still sell.
func (m *Machine) good(payment uint32) bool {
	p := m.state.payments.at(payment)
	return p.open() || p.Order != 0
}

// takeStray enters money that was taken for nothing, and buys the same seats for it, or owes it back.
func (m *Machine) takeStray(payment uint32, amount int64) {
	p := *m.state.payments.at(payment)
	m.dropEffect(p.Effect)
	m.state.payments.edit(payment).Captured = amount
	m.becomes(payment, holdfast.PaymentCaptured)
	if !p.Stray { // a hold does not wait for what no attempt of its began
		m.endWaiting(p.Hold, p.Attempt)
	}
	if m.rescue(payment) {
		return
	}
	m.letGo(p.Hold)
	m.state.payments.edit(payment).Owed = amount
	m.balance(payment)
	m.oweRefund(payment)
}

// rescue sells the seats of an attempt whose money arrived after its hold had ended, if every check of a hold passes
// again: the event is on sale, exactly these seats are free and may be had together, the buyer has room for them, and
// the amount is what was frozen. The cool-down is not asked: it is against holding without paying.
func (m *Machine) rescue(payment uint32) bool {
	p := *m.state.payments.at(payment)
	e := m.state.events[p.Event]
	if p.Seats == 0 || p.Captured != p.Quote.TotalMinor || m.findHold(p.Hold) != 0 || e.sale != holdfast.SaleOpen {
		return false
	}
	seats := m.state.seatsOf(&p, nil)
	wants := [1]command.Want{{Kind: command.WantSeats, Count: p.Units, Seats: seats}}
	allocation := holdfast.AllocationIndex(e.units.geometry.allocation(seats[0]))
	buyer := m.findBuyer(e, p.Buyer)
	if o := m.mayHold(e, buyer, uint32(p.Units)); o != holdfast.OK && o != holdfast.BuyerCoolingDown {
		return false
	}
	if buyer != 0 && uint32(p.Units) > e.left(m.state.buyers.at(buyer).Units) {
		return false
	}
	if promo := e.checkout.Promo(p.Promo); p.Promo != (holdfast.PromoCode{}) && (promo == nil || !m.mayUse(e, promo, false)) {
		return false
	}
	if m.choice.choose(&e.units, &ask{allocation: allocation, wants: wants[:], noOrphans: e.rules.NoOrphans}) != holdfast.OK {
		return false
	}

	if buyer == 0 {
		buyer = m.addBuyer(e, p.Buyer)
	}
	slot := m.addHold(holdRecord{
		ID: p.Hold, Deadline: m.state.clock + 1, Amount: e.total(p.Prices, seats), Buyer: buyer, Event: e.place, Prices: p.Prices,
		Attempt: p.Attempt, Count: p.Units, State: holdfast.HoldOpen,
	})
	m.give(e, slot, seats)
	m.state.buyers.edit(buyer).Units += uint32(p.Units)
	m.count(payment)
	order := m.makeOrder(e, slot, orderRecord{As: command.SalePaid}, billOfPayment(&p), string(p.ref()))
	m.state.payments.edit(payment).Order = order
	m.state.orders.edit(order).Payment = payment
	m.balance(payment)
	m.paid(order)
	return true
}

// dispute enters what a bank says about a payment. While it is open the ticket is suspended and nothing is refunded.
// What is lost is taken from what is live first, then from what was kept, then from what is owed and not on its way.
func (m *Machine) dispute(c *command.Dispute) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot := m.findRef([]byte(c.Payment))
	known := slot != 0 && m.state.payments.at(slot).Event == e.place
	switch {
	case known && (c.Amount.Currency != e.spec.Currency || c.Amount.AmountMinor > m.state.payments.at(slot).committed()):
		return holdfast.AmountMismatch
	case !known:
		return holdfast.PaymentUnknown
	}
	p := m.state.payments.at(slot)
	if p.State != holdfast.PaymentCaptured && p.State != holdfast.PaymentReturned {
		return holdfast.OrderNotPaid
	}
	if p.Dispute == holdfast.DisputeLost || p.Dispute == c.State {
		return holdfast.OK
	}

	m.state.payments.edit(slot).Dispute = c.State
	if effect := p.Effect; effect != 0 {
		if c.State == holdfast.DisputeOpened {
			m.park(effect)
		} else {
			m.unpark(effect)
		}
	}
	if c.State == holdfast.DisputeLost {
		m.takeBack(slot, c.Amount.AmountMinor)
	}
	if p := m.state.payments.at(slot); p.Order != 0 && c.State == holdfast.DisputeOpened {
		m.tellTopic(p.Order, holdfast.TopicDisputed)
	}
	m.oweRefund(slot)
	m.balance(slot)
	return holdfast.OK
}

func (m *Machine) tellDispute(c *command.Dispute, o holdfast.Outcome) {
	if slot := m.findRef([]byte(c.Payment)); slot != 0 && o == holdfast.OK {
		m.tellOf(m.state.payments.at(slot).Hold)
	}
}

// takeBack enters what a bank took back.
func (m *Machine) takeBack(payment uint32, amount int64) {
	p := m.state.payments.edit(payment)
	p.ChargedBack += amount
	take := func(from *int64, most int64) {
		n := min(amount, most)
		*from, amount = *from-n, amount-n
	}
	if p.Order != 0 {
		bill := m.editBill(p.Order)
		take(&bill.Live, bill.Live)
		bill.Fee = min(bill.Fee, bill.Live)
	}
	take(&p.Kept, p.Kept)
	onItsWay := int64(0)
	if p.Effect != 0 {
		onItsWay = m.state.effects.at(p.Effect).Amount
	}
	take(&p.Owed, p.Owed-onItsWay)
	p.Overdrawn += amount
}
