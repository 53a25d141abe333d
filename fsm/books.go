package fsm

import (
	"iter"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What can be asked about money: quotes, payments, effects, and the books of an event.

// EffectView is one effect as of one index.
type EffectView struct {
	ID          holdfast.EffectID
	Event       holdfast.EventID
	Kind        holdfast.EffectKind
	State       holdfast.EffectState
	Topic       holdfast.Topic // of a receipt or a notification
	Hold        holdfast.HoldID
	Order       holdfast.OrderID // zero when no order stands on the payment
	Attempt     holdfast.Attempt // with Hold, Incarnation and Event what the provider's keys are made of
	Incarnation holdfast.Incarnation
	Payment     string // the provider's reference; empty while it is not known
	Capture     holdfast.CaptureMethod
	BegunMs     int64          // wall clock of the entry that began the attempt
	Refunded    int64          // what was given back of the payment before, in minor units
	Amount      holdfast.Money // what is to be moved; of a Look or a Void what the payment is for
	Contact     holdfast.ContactID
	NotBefore   holdfast.Clock
	LatestMs    int64 // of a capture: wall clock by which it is to be done
	Tries       int
	Urgent      bool // seats wait for it
	Mode        holdfast.PaymentMode
	Account     string
	Code        string // of the last failure
}

// PaymentView is one attempt to pay, with its ledger, as of one index.
type PaymentView struct {
	Hold        holdfast.HoldID
	Event       holdfast.EventID
	Attempt     holdfast.Attempt
	Incarnation holdfast.Incarnation
	Payment     string // the provider's reference; empty while it is not known
	State       holdfast.PaymentState
	Capture     holdfast.CaptureMethod
	Amount      holdfast.Money // frozen; of a stray what was reported
	Order       holdfast.OrderID
	BegunMs     int64 // wall clock
	Stray       bool  // no attempt of ours began it
	Dispute     holdfast.DisputeState
	Effect      holdfast.EffectID // outstanding; 0: none
	Parked      bool              // the effect is
	Ledger      Ledger
}

// Ledger says where money is, in minor units. At every index
//
//	Captured + Capturing + Overdrawn = Live + Kept + Owed + Refunded + ChargedBack
//
// for each payment, and so for all of an event: I8.
type Ledger struct {
	Captured    int64
	Capturing   int64 // sold, and its capture not acknowledged
	Live        int64 // lines of orders that were paid and not refunded
	Kept        int64 // fees of lines that were refunded
	Owed        int64 // refunds that are not made yet
	Refunded    int64
	ChargedBack int64
	Overdrawn   int64 // taken back by banks beyond what was left
	Unpaid      int64 // lines of orders whose capture failed, in no payment's books
	Outside     int64 // lines of orders that were sold by invoice, or without Checkout rules
}

// QuoteView is what a hold costs.
type QuoteView struct {
	Lines    []command.Line
	Total    holdfast.Money
	Mode     holdfast.PaymentMode // 0: the event has no Checkout rules
	Account  string
	TooSmall bool // less than the provider takes
}

// Quote says what a hold, or an order that is to be paid again, costs with a promotion code; zero for none. The
// outcome is what BeginPayment would say to the hold and the code.
func (m *Machine) Quote(event holdfast.EventID, hold holdfast.HoldID, code holdfast.PromoCode) (QuoteView, holdfast.Outcome) {
	e := m.event(event)
	if e == nil {
		return QuoteView{}, holdfast.EventUnknown
	}
	slot, o := m.lookHold(e, hold)
	if o != holdfast.OK {
		return QuoteView{}, o
	}
	h := m.state.holds.at(slot)
	if h.State == holdfast.HoldSold && m.state.orders.at(h.Order).State != holdfast.OrderUnpaid {
		return QuoteView{}, holdfast.HoldAlreadySold
	}
	var promo *command.Promo
	if code != (holdfast.PromoCode{}) {
		if promo = e.checkout.Promo(code); promo == nil {
			return QuoteView{}, holdfast.PromoUnknown
		}
		if h.State != holdfast.HoldSold && !m.mayUse(e, promo, m.counts(m.currentPayment(h), code)) {
			return QuoteView{}, holdfast.PromoUsedUp
		}
	}
	q := m.quote(e, h, promo)
	return QuoteView{Lines: q.Lines(), Total: e.money(q.TotalMinor), Mode: e.checkout.Mode, Account: e.checkout.Account,
		TooSmall: q.TotalMinor > 0 && q.TotalMinor < e.checkout.LeastMinor}, holdfast.OK
}

// DueEffects visits up to max effects that may be tried now, the most urgent first, until visit says no. Whoever
// leases them out skips what is leased.
func (m *Machine) DueEffects(max int, visit func(EffectView) bool) {
	m.ready.visit(func(slot uint32) bool {
		max--
		return max >= 0 && visit(m.state.effect(slot))
	})
}

// Effects gives up to max effects by number, from one on.
func (m *Machine) Effects(from holdfast.EffectID, max int) (views []EffectView) {
	return m.state.effectsFrom(from, max)
}

// Effect gives one effect.
func (m *Machine) Effect(id holdfast.EffectID) (EffectView, bool) {
	if slot := m.findEffect(id); slot != 0 {
		return m.state.effect(slot), true
	}
	return EffectView{}, false
}

// Payment gives the payment with a provider's reference.
func (m *Machine) Payment(ref string) (PaymentView, bool) {
	if slot := m.findRef([]byte(ref)); slot != 0 {
		return m.state.payment(slot), true
	}
	return PaymentView{}, false
}

// Attempt gives the payment that an attempt began.
func (m *Machine) Attempt(hold holdfast.HoldID, attempt holdfast.Attempt) (PaymentView, bool) {
	if slot := m.findAttempt(hold, attempt); slot != 0 {
		return m.state.payment(slot), true
	}
	return PaymentView{}, false
}

// Incarnation gives the cluster's life, and whether it is paused until its books are reconciled.
func (m *Machine) Incarnation() (holdfast.Incarnation, bool) {
	return m.state.incarnation, m.state.suspended
}

// Ledger adds up the books of an event. It walks all payments and orders: prefer Cut.Ledger where commands wait.
func (m *Machine) Ledger(event holdfast.EventID) Ledger { return m.state.books(event) }

// Ledger adds up the books of an event.
func (c *Cut) Ledger(event holdfast.EventID) Ledger { return c.state.books(event) }

// Effects gives up to max effects by number, from one on.
func (c *Cut) Effects(from holdfast.EffectID, max int) []EffectView {
	return c.state.effectsFrom(from, max)
}

// Payments gives the payments of an event, for reconciliation.
func (c *Cut) Payments(event holdfast.EventID) iter.Seq[PaymentView] {
	return func(yield func(PaymentView) bool) {
		for slot, p := range c.state.payments.all() {
			if c.state.events[p.Event].id == event && !yield(c.state.payment(slot)) {
				return
			}
		}
	}
}

func (s *state) effectsFrom(from holdfast.EffectID, max int) (views []EffectView) {
	type numbered struct {
		id   holdfast.EffectID
		slot uint32
	}
	var found []numbered
	for slot, x := range s.effects.all() {
		if x.ID >= from {
			found = append(found, numbered{x.ID, slot})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return int(int64(a.id) - int64(b.id)) })
	for _, f := range found[:min(max, len(found))] {
		views = append(views, s.effect(f.slot))
	}
	return views
}

func (s *state) effect(slot uint32) EffectView {
	x := s.effects.at(slot)
	e := s.events[x.Event]
	v := EffectView{ID: x.ID, Event: e.id, Kind: x.Kind, State: x.State, Topic: x.Topic, Amount: e.money(x.Amount), NotBefore: x.NotBefore,
		LatestMs: x.LatestMs, Tries: int(x.Tries), Urgent: x.Urgent, Code: string(x.code()), Mode: e.checkout.Mode, Account: e.checkout.Account}
	if x.Order != 0 {
		o := s.orders.at(x.Order)
		v.Hold = s.holds.at(o.Hold).ID
		v.Order, v.Contact = v.Hold.Order(), s.billOf(o).Contact
	}
	if x.Payment != 0 {
		p := s.payments.at(x.Payment)
		v.Hold, v.Attempt, v.Incarnation, v.Payment, v.Capture = p.Hold, p.Attempt, p.Life, string(p.ref()), p.Capture
		v.BegunMs, v.Refunded = p.BegunMs, p.Refunded
		if x.Amount == 0 {
			v.Amount = e.money(p.Quote.TotalMinor)
		}
	}
	return v
}

func (s *state) payment(slot uint32) PaymentView {
	p := s.payments.at(slot)
	e := s.events[p.Event]
	v := PaymentView{Hold: p.Hold, Event: e.id, Attempt: p.Attempt, Incarnation: p.Life, Payment: string(p.ref()), State: p.State, Capture: p.Capture,
		Amount: e.money(p.Quote.TotalMinor), BegunMs: p.BegunMs, Stray: p.Stray, Dispute: p.Dispute, Ledger: s.ledgerOf(p)}
	if p.Order != 0 {
		v.Order = p.Hold.Order()
	}
	if p.Effect != 0 {
		x := s.effects.at(p.Effect)
		v.Effect, v.Parked = x.ID, x.State == holdfast.EffectParked
	}
	return v
}

func (s *state) ledgerOf(p *paymentRecord) Ledger {
	l := Ledger{Captured: p.Captured, Kept: p.Kept, Owed: p.Owed, Refunded: p.Refunded, ChargedBack: p.ChargedBack, Overdrawn: p.Overdrawn}
	l.Capturing = p.committed() - p.Captured
	if p.Order != 0 {
		l.Live = s.billOf(s.orders.at(p.Order)).Live
	}
	return l
}

func (s *state) books(event holdfast.EventID) (sum Ledger) {
	for _, p := range s.payments.all() {
		if s.events[p.Event].id != event {
			continue
		}
		l := s.ledgerOf(p)
		sum.Captured, sum.Capturing, sum.Live, sum.Kept = sum.Captured+l.Captured, sum.Capturing+l.Capturing, sum.Live+l.Live, sum.Kept+l.Kept
		sum.Owed, sum.Refunded, sum.ChargedBack, sum.Overdrawn = sum.Owed+l.Owed, sum.Refunded+l.Refunded, sum.ChargedBack+l.ChargedBack, sum.Overdrawn+l.Overdrawn
	}
	for _, o := range s.orders.all() {
		switch {
		case s.events[s.holds.at(o.Hold).Event].id != event || o.Payment != 0:
		case o.State == holdfast.OrderUnpaid:
			sum.Unpaid += s.billOf(o).Live
		default:
			sum.Outside += s.billOf(o).Live
		}
	}
	return sum
}

// amountOf gives what is to be paid for a hold, or was for an order. payment is the slot of the hold's current one.
func (s *state) amountOf(h *holdRecord, payment uint32) int64 {
	switch {
	case h.State == holdfast.HoldSold:
		return s.billOf(s.orders.at(h.Order)).Quote.TotalMinor
	case payment != 0:
		return s.payments.at(payment).Quote.TotalMinor
	}
	return h.Amount
}
