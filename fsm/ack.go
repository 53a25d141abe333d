package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// ackEffect takes a worker's word for what came of an effect. Each effect is answered once: whoever comes later finds
// it gone.
func (m *Machine) ackEffect(c *command.AckEffect) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot := m.findEffect(c.Effect)
	if slot == 0 || m.state.effects.at(slot).Event != e.place {
		return holdfast.EffectUnknown
	}
	x := *m.state.effects.at(slot)
	moves := c.Result == holdfast.EffectDone && (x.Kind == holdfast.EffectCapture || x.Kind == holdfast.EffectRefund)
	switch {
	case moves && c.Amount != e.money(x.Amount), c.Amount.AmountMinor != 0 && c.Amount.Currency != e.spec.Currency:
		return holdfast.AmountMismatch
	case x.Payment != 0 && !m.mayAttach(x.Payment, c.Payment):
		return holdfast.PaymentReused
	case x.Kind == holdfast.EffectVoid && c.Amount.AmountMinor > 0 && c.Payment == "" && m.state.payments.at(x.Payment).RefBytes == 0:
		return holdfast.PaymentUnknown // money was taken, and nobody says by which payment
	}

	if x.Payment != 0 {
		m.attach(x.Payment, c.Payment)
	}
	switch c.Result {
	case holdfast.EffectDone:
		m.effectDone(slot)
	case holdfast.EffectFailed:
		m.effectFailed(slot, c)
	case holdfast.EffectRetry:
		m.tryAgain(slot, c.Code)
	}
	return holdfast.OK
}

func (m *Machine) tellAckEffect(c *command.AckEffect, _ holdfast.Outcome) {
	m.last.result.Effect = c.Effect
}

// effectDone enters what was done in the books.
func (m *Machine) effectDone(slot uint32) {
	x := *m.state.effects.at(slot)
	m.dropEffect(slot)
	if x.Payment == 0 {
		return
	}
	p := m.state.payments.edit(x.Payment)
	switch x.Kind {
	case holdfast.EffectCapture:
		p.Captured = x.Amount
		m.becomes(x.Payment, holdfast.PaymentCaptured)
		m.paid(p.Order)
		if planted.Is(planted.RefundLost) {
			break
		}
		m.oweRefund(x.Payment)
	case holdfast.EffectVoid:
		condemned := p.State == holdfast.PaymentCondemned
		m.becomes(x.Payment, holdfast.PaymentVoided)
		if !condemned {
			m.endWaiting(p.Hold, p.Attempt)
		}
		m.letGo(p.Hold)
	case holdfast.EffectRefund:
		p.Owed, p.Refunded = p.Owed-x.Amount, p.Refunded+x.Amount
		if p.Order != 0 {
			m.tellTopic(p.Order, holdfast.TopicRefunded)
		}
		m.oweRefund(x.Payment)
		m.endReturned(x.Payment)
	}
	m.balance(x.Payment)
}

// endReturned ends a payment without an order of which nothing is left.
func (m *Machine) endReturned(payment uint32) {
	if p := m.state.payments.at(payment); p.Order == 0 && p.Owed == 0 && p.State == holdfast.PaymentCaptured {
		m.becomes(payment, holdfast.PaymentReturned)
	}
}

// effectFailed does what follows from the provider's final no. A look that failed has found that nobody has tried to pay. A refund that failed stays owed, and a cancelling of
// which nobody knows why it failed too: parked, with an alarm.
func (m *Machine) effectFailed(slot uint32, c *command.AckEffect) {
	switch x := *m.state.effects.at(slot); {
	case x.Kind == holdfast.EffectLook:
		m.dropEffect(slot)
		m.closeUntried(x.Payment)
	case x.Kind == holdfast.EffectCapture:
		m.failed(x.Payment)
	case x.Kind == holdfast.EffectVoid && c.Amount.AmountMinor > 0:
		m.takenAfterAll(x.Payment, c.Amount.AmountMinor)
	case x.Kind == holdfast.EffectRefund && m.state.payments.at(x.Payment).Overdrawn > 0:
		m.refundedByBank(slot)
	default:
		m.note(slot, c.Code)
		m.park(slot)
	}
}

// closeUntried ends a hold whose time to pay is over, as at the end of the grace: nobody has tried to pay, so nobody is waited for.
// Whether a sale came first is decided here and not at the provider.
func (m *Machine) closeUntried(payment uint32) {
	p := m.state.payments.at(payment)
	slot := m.findHold(p.Hold)
	if slot == 0 {
		return
	}
	if h := m.state.holds.at(slot); h.Attempt == p.Attempt && h.State == holdfast.HoldClosing {
		m.close(slot)
	}
}

// refundedByBank settles a refund that the provider refuses because a bank had taken the money back meanwhile: the
// buyer has it.
func (m *Machine) refundedByBank(slot uint32) {
	payment := m.state.effects.at(slot).Payment
	p := m.state.payments.edit(payment)
	n := min(m.state.effects.at(slot).Amount, p.Overdrawn)
	p.Owed, p.Overdrawn = p.Owed-n, p.Overdrawn-n
	m.dropEffect(slot)
	m.oweRefund(payment)
	m.endReturned(payment)
	m.balance(payment)
}

// takenAfterAll is told when a payment could not be cancelled because its money was taken: a hold that is cancelling
// has its seats still and is sold; of an attempt that was condemned it is stray money.
func (m *Machine) takenAfterAll(payment uint32, amount int64) {
	p := m.state.payments.at(payment)
	slot := m.findHold(p.Hold)
	if p.open() && amount == p.Quote.TotalMinor && slot != 0 && m.state.holds.at(slot).State == holdfast.HoldCancelling {
		m.sellPaid(m.state.events[p.Event], slot, payment, string(p.ref()))
		return
	}
	m.takeStray(payment, amount)
}

// retryEffect makes an effect owed again, due now.
func (m *Machine) retryEffect(c *command.RetryEffect) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot := m.findEffect(c.Effect)
	if slot == 0 || m.state.effects.at(slot).Event != e.place {
		return holdfast.EffectUnknown
	}
	if p := m.state.effects.at(slot).Payment; p != 0 && m.state.payments.at(p).Dispute == holdfast.DisputeOpened {
		return holdfast.OrderDisputed
	}

	m.unpark(slot)
	return holdfast.OK
}

func (m *Machine) tellRetryEffect(c *command.RetryEffect, _ holdfast.Outcome) {
	m.last.result.Effect = c.Effect
}

// setIncarnation begins a new life of the cluster, or ends the pause that it began with.
func (m *Machine) setIncarnation(c *command.SetIncarnation) holdfast.Outcome {
	switch {
	case c.Incarnation < m.state.incarnation, c.Incarnation > m.state.incarnation && c.Reconciled:
		return holdfast.IncarnationStale
	case c.Incarnation == m.state.incarnation:
		if m.state.suspended && c.Reconciled {
			m.state.suspended = false
			for _, e := range m.state.events {
				m.noteReturn(e)
			}
		}
		return holdfast.OK
	}

	m.state.incarnation, m.state.suspended = c.Incarnation, true
	for slot := range m.state.effects.all() {
		m.park(slot)
	}
	return holdfast.OK
}

func (m *Machine) tellSetIncarnation(*command.SetIncarnation, holdfast.Outcome) {}
