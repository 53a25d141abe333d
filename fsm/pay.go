package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// beginPayment freezes what is to be paid, before any provider is asked for it: the units cannot change any more,
// and the hold has until the pay deadline. A further attempt condemns the one before it; the deadline stays. An
// order whose capture failed is paid again in the same way.
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
	again := c.Attempt == h.Attempt
	switch {
	case m.state.buyers.at(h.Buyer).ID != c.Buyer && !planted.Is(planted.OwnerUnchecked):
		return holdfast.HoldNotYours
	case h.State == holdfast.HoldClosing || h.State == holdfast.HoldCancelling:
		return holdfast.HoldInPayment
	case h.State == holdfast.HoldSold && m.state.orders.at(h.Order).State != holdfast.OrderUnpaid:
		return holdfast.HoldAlreadySold
	case !again && c.Attempt != h.Attempt+1:
		return holdfast.AttemptStale
	case !e.checkout.Given() && (h.Amount == 0 || c.Amount != e.money(h.Amount)):
		return holdfast.AmountMismatch
	}
	var quote command.Quote
	if e.checkout.Given() {
		if quote, o = m.mayPay(e, h, c, again); o != holdfast.OK {
			return o
		}
	}

	first := h.State == holdfast.HoldOpen
	if e.checkout.Given() && !again {
		m.beginAttempt(e, slot, c, quote)
	}
	m.state.holds.edit(slot).Attempt = c.Attempt
	if first {
		window := e.rules.PayWindowMs
		if c.Capture == holdfast.CaptureAtOnce {
			window = e.checkout.AtOnceMs
		}
		m.state.holds.edit(slot).State = holdfast.HoldPaying
		m.postpone(slot, m.state.clock+micros(window))
		m.moveAll(e, slot, holdfast.Held, holdfast.Paying)
	}
	return holdfast.OK
}

func (m *Machine) tellBeginPayment(c *command.BeginPayment, o holdfast.Outcome) {
	m.tellHeld(c.Hold, o)
}

// mayPay says what an attempt costs, and whether it may begin.
func (m *Machine) mayPay(e *event, h *holdRecord, c *command.BeginPayment, again bool) (q command.Quote, o holdfast.Outcome) {
	now := m.currentPayment(h)
	promo := (*command.Promo)(nil)
	if c.Promo != (holdfast.PromoCode{}) {
		promo = e.checkout.Promo(c.Promo)
	}
	q = m.quote(e, h, promo)
	if again && now != 0 {
		q = m.state.payments.at(now).Quote
	}
	known := promo != nil || c.Promo == (holdfast.PromoCode{}) || again
	switch {
	case known && c.Amount != e.money(q.TotalMinor):
		return q, holdfast.AmountMismatch
	case m.state.suspended:
		return q, holdfast.PaymentsPaused
	case again:
		return q, m.sameAttempt(now, c)
	case c.Attempt > holdfast.AttemptsMax:
		return q, holdfast.AttemptsExhausted
	case known && q.TotalMinor > 0 && q.TotalMinor < e.checkout.LeastMinor:
		return q, holdfast.AmountTooSmall
	case !known:
		return q, holdfast.PromoUnknown
	case promo != nil && h.State != holdfast.HoldSold && !m.mayUse(e, promo, m.counts(now, c.Promo)):
		return q, holdfast.PromoUsedUp
	}
	return q, holdfast.OK
}

// quote gives what a hold costs; of an order that is to be paid again what of it is live, as it was frozen.
func (m *Machine) quote(e *event, h *holdRecord, promo *command.Promo) command.Quote {
	if h.State == holdfast.HoldSold {
		live := m.state.billOf(m.state.orders.at(h.Order)).Live
		return command.Quote{SeatsMinor: live, TotalMinor: live}
	}
	return e.checkout.Quote(h.Amount, int(h.Count), promo)
}

// sameAttempt answers an attempt that was begun before.
func (m *Machine) sameAttempt(payment uint32, c *command.BeginPayment) holdfast.Outcome {
	if payment == 0 {
		return holdfast.AttemptOver
	}
	switch p := m.state.payments.at(payment); {
	case p.Promo != c.Promo || p.Contact != c.Contact || p.Capture != max(c.Capture, holdfast.CaptureManual):
		return holdfast.AttemptStale
	case !p.open():
		return holdfast.AttemptOver
	}
	return holdfast.OK
}

// counts reports whether a use of the code is counted for a payment.
func (m *Machine) counts(payment uint32, code holdfast.PromoCode) bool {
	return payment != 0 && m.state.payments.at(payment).Counted && m.state.payments.at(payment).Promo == code
}

// beginAttempt condemns the attempt before, and records the new one.
func (m *Machine) beginAttempt(e *event, slot uint32, c *command.BeginPayment, q command.Quote) {
	h := *m.state.holds.at(slot)
	m.leaveAttempt(&h)
	p := paymentRecord{
		Hold: h.ID, Buyer: c.Buyer, Contact: c.Contact, Quote: q, Attempt: c.Attempt, Event: e.place, Prices: h.Prices, Units: h.Count,
		State: holdfast.PaymentBegun, Capture: max(c.Capture, holdfast.CaptureManual),
	}
	if h.State != holdfast.HoldSold {
		p.Promo = c.Promo
	}
	if p.Capture == holdfast.CaptureAtOnce {
		p.Seats = m.state.putChunks(packSeats(e.unitsOf(&h, nil)))
	}
	payment := m.addPayment(p)
	m.count(payment)
	m.balance(payment)
}

// leaveAttempt ends the attempt that a hold is at, when the hold ends unsold or another attempt begins: one that may
// still sell is condemned, and its cancelling owed, in this very entry.
func (m *Machine) leaveAttempt(h *holdRecord) {
	slot := m.currentPayment(h)
	if slot == 0 {
		return
	}
	switch p := m.state.payments.at(slot); {
	case p.open():
		m.condemn(slot)
	case p.Order == 0:
		m.uncount(slot)
	}
}

// attachPayment notes a payment's reference.
func (m *Machine) attachPayment(c *command.AttachPayment) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot := m.findAttempt(c.Hold, c.Attempt)
	switch {
	case slot != 0 && m.state.payments.at(slot).Event == e.place && !m.mayAttach(slot, c.Payment):
		return holdfast.PaymentReused
	case slot == 0 || m.state.payments.at(slot).Event != e.place:
		return holdfast.PaymentUnknown
	}

	m.attach(slot, c.Payment)
	return holdfast.OK
}

func (m *Machine) tellAttachPayment(c *command.AttachPayment, o holdfast.Outcome) {
	m.tellHeld(c.Hold, o)
}

// failPayment takes the provider's word that no money comes of an attempt.
func (m *Machine) failPayment(c *command.FailPayment) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot := m.findAttempt(c.Hold, c.Attempt)
	known := slot != 0 && m.state.payments.at(slot).Event == e.place
	switch {
	case known && !m.mayAttach(slot, c.Payment):
		return holdfast.PaymentReused
	case !known:
		return holdfast.PaymentUnknown
	}

	switch p := m.state.payments.at(slot); p.State {
	case holdfast.PaymentCaptured, holdfast.PaymentReturned:
		return holdfast.PaymentCurrent
	case holdfast.PaymentVoided, holdfast.PaymentFailed:
		return holdfast.OK
	}
	m.attach(slot, c.Payment)
	m.failed(slot)
	return holdfast.OK
}

func (m *Machine) tellFailPayment(c *command.FailPayment, o holdfast.Outcome) { m.tellHeld(c.Hold, o) }

// failed ends a payment of which nothing comes. A hold that only waited for it ends; an order that stood on it is
// unpaid.
func (m *Machine) failed(slot uint32) {
	p := *m.state.payments.at(slot)
	m.dropEffect(p.Effect)
	m.becomes(slot, holdfast.PaymentFailed)
	if p.State == holdfast.PaymentCapturing {
		m.unpaid(slot)
		return
	}
	m.endWaiting(p.Hold, p.Attempt)
	m.letGo(p.Hold)
}

// endWaiting ends the hold at this attempt, if it only waits for what comes of it: it is closing or cancelling.
func (m *Machine) endWaiting(hold holdfast.HoldID, attempt holdfast.Attempt) {
	slot := m.findHold(hold)
	if slot == 0 {
		return
	}
	h := m.state.holds.at(slot)
	if h.Attempt == attempt && (h.State == holdfast.HoldClosing || h.State == holdfast.HoldCancelling) {
		m.lapse(slot)
	}
}
