package fsm

import (
	"math/bits"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// checkPayments looks that the books add up, that everything owed is in the outbox, and that nothing else is.
func (c *checker) checkPayments() {
	strays, refs := 0, 0
	for slot, p := range c.state.payments.all() {
		if int(p.Event) >= len(c.state.events) || p.Order != 0 && !c.state.orders.holds(p.Order) || p.Effect != 0 && !c.state.effects.holds(p.Effect) {
			c.require(false, RuleMoney, "payment %q names event %d, order %d or effect %d, which are not there", p.ref(), p.Event, p.Order, p.Effect)
			continue
		}
		c.require(c.state.ledger(slot, p), RuleMoney, "payment %q of %s does not add up: %+v", p.ref(), p.Hold, c.state.ledgerOf(p))
		c.require(p.Order != 0 || p.State != holdfast.PaymentCapturing, RuleMoney, "payment %q is to be captured, and no order stands on it", p.ref())
		c.checkOwed(p)
		if p.Stray {
			strays++
		} else {
			found := c.findAttempt(p.Hold, p.Attempt)
			c.require(found == slot, RuleIndex, "attempt %d of %s in slot %d is found in %d", p.Attempt, p.Hold, slot, found)
		}
		if p.RefBytes > 0 {
			refs++
			found := c.findRef(p.ref())
			c.require(found == slot, RulePayment, "payment %q in slot %d is found in %d", p.ref(), slot, found)
		}
	}
	c.require(c.byAttempt.len() == c.state.payments.live()-strays, RuleIndex, "%d attempts, %d in the index", c.state.payments.live()-strays, c.byAttempt.len())
	c.require(c.byRef.len() == refs, RuleIndex, "%d references, %d in the index", refs, c.byRef.len())
	c.checkEffects()
	c.checkBooks()
	c.checkPromos()
}

// checkOwed looks that what a payment's state asks for is in the outbox, and nothing that its state forbids.
func (c *checker) checkOwed(p *paymentRecord) {
	kind := holdfast.EffectKind(0)
	if p.Effect != 0 {
		kind = c.state.effects.at(p.Effect).Kind
	}
	hold := holdfast.HoldState(0)
	if slot := c.findHold(p.Hold); slot != 0 && !p.Stray && c.state.holds.at(slot).Attempt == p.Attempt {
		hold = c.state.holds.at(slot).State
	}
	ok := false
	switch p.State {
	case holdfast.PaymentBegun:
		current := hold != 0
		switch hold {
		case holdfast.HoldClosing:
			ok = kind == holdfast.EffectLook || kind == 0
		case holdfast.HoldCancelling:
			ok = kind == holdfast.EffectVoid && p.Capture == holdfast.CaptureAtOnce
		default:
			ok = kind == 0 && current
		}
	case holdfast.PaymentCondemned:
		ok = kind == holdfast.EffectVoid
	case holdfast.PaymentCapturing:
		ok = kind == holdfast.EffectCapture
	case holdfast.PaymentCaptured:
		ok = kind == holdfast.EffectRefund && p.Owed > 0 || kind == 0 && (p.Owed == 0 || p.Dispute == holdfast.DisputeOpened)
		ok = ok && (p.Order != 0 || p.Owed > 0)
	case holdfast.PaymentVoided, holdfast.PaymentFailed, holdfast.PaymentReturned:
		ok = kind == 0 && p.EndedMs > 0 && p.Order == 0
	}
	c.require(ok, RuleOutbox, "payment %q of %s, attempt %d, is %s, its hold %s, and owed is %s", p.ref(), p.Hold, p.Attempt, p.State, hold, kind)
}

// checkEffects looks at every effect by itself.
func (c *checker) checkEffects() {
	parked := 0
	for slot, x := range c.state.effects.all() {
		found := c.findEffect(x.ID)
		c.require(found == slot, RuleIndex, "%s in slot %d is found in %d", x.ID, slot, found)
		aboutMoney := x.Kind >= holdfast.EffectLook && x.Kind <= holdfast.EffectRefund
		c.require(aboutMoney == (x.Payment != 0) && x.ID <= c.state.effectLast, RuleOutbox, "%s is a %s about payment %d", x.ID, x.Kind, x.Payment)
		if x.Payment != 0 {
			owns := c.state.payments.holds(x.Payment) && c.state.payments.at(x.Payment).Effect == slot
			c.require(owns, RuleOutbox, "%s is about a payment that has another effect", x.ID)
			if owns && x.Kind == holdfast.EffectRefund {
				p := c.state.payments.at(x.Payment)
				c.require(x.Amount > 0 && x.Amount <= p.Owed && p.Order == x.Order, RuleMoney, "%s gives back %d, owed are %d", x.ID, x.Amount, p.Owed)
			}
			if owns && x.Kind == holdfast.EffectCapture {
				p := c.state.payments.at(x.Payment)
				c.require(x.Amount == p.Quote.TotalMinor && p.Order == x.Order, RuleMoney, "%s takes %d, sold was for %d", x.ID, x.Amount, p.Quote.TotalMinor)
			}
		}
		if x.State == holdfast.EffectParked {
			parked++
		}
		c.require(x.State == holdfast.EffectParked || x.NotBefore <= c.state.clock || c.waiting.waits(slot) && c.waiting.until(slot) == x.NotBefore,
			RuleOutbox, "%s waits until %d, and not so in the wheel", x.ID, x.NotBefore)
	}
	ready, last := 0, rank{}
	c.ready.visit(func(slot uint32) bool {
		if !c.state.effects.holds(slot) {
			c.require(false, RuleOutbox, "slot %d is due and there is no effect in it", slot)
			return false
		}
		x := c.state.effects.at(slot)
		r := rankOf(x)
		c.require(x.State == holdfast.EffectOwed && x.NotBefore <= c.state.clock, RuleOutbox, "%s is due, and is %s until %d", x.ID, x.State, x.NotBefore)
		c.require(ready == 0 || last.before(r), RuleOutbox, "%s is due out of order", x.ID)
		last = r
		ready++
		return true
	})
	c.require(parked == c.parked && ready == c.ready.len() && parked+ready+c.waiting.len() == c.state.effects.live(), RuleOutbox,
		"%d effects: %d due, %d wait, %d parked, counted %d", c.state.effects.live(), ready, c.waiting.len(), parked, c.parked)
}

// checkBooks looks at every order of an event with Checkout rules: money equals seats.
func (c *checker) checkBooks() {
	for slot, o := range c.state.orders.all() {
		if !c.state.holds.holds(o.Hold) || int(c.state.holds.at(o.Hold).Event) >= len(c.state.events) {
			continue // said before
		}
		h := c.state.holds.at(o.Hold)
		rules := c.state.events[h.Event].checkout.Given()
		c.require(o.State >= holdfast.OrderCapturing && o.State <= holdfast.OrderCancelled, RuleMoney, "%s is in state %d", h.ID.Order(), o.State)
		if o.Bill != 0 && !c.state.bills.holds(o.Bill) {
			continue // said before
		}
		b := c.state.billOf(o)
		live := int(h.Count) - bits.OnesCount64(b.Dead)
		c.require(b.Fee >= 0 && b.Fee <= b.Live && bits.Len64(b.Dead) <= int(h.Count), RuleMoney, "%s has %d live, of it fees %d, and %b dead of %d", h.ID.Order(), b.Live, b.Fee, b.Dead, h.Count)
		c.require(live > 0 || b.Live == 0, RuleMoney, "%s has no live seats, and %d", h.ID.Order(), b.Live)
		state := holdfast.PaymentState(0)
		if o.Payment != 0 && c.state.payments.holds(o.Payment) && c.state.payments.at(o.Payment).Order == slot {
			state = c.state.payments.at(o.Payment).State
		}
		paid, ok := rules && o.As == command.SalePaid, false
		switch o.State {
		case holdfast.OrderCapturing:
			ok = paid && state == holdfast.PaymentCapturing
		case holdfast.OrderPaid:
			ok = live > 0 && (paid && state == holdfast.PaymentCaptured || !paid && o.Payment == 0)
		case holdfast.OrderUnpaid:
			ok = paid && o.Payment == 0 && live > 0 && h.Deadline > 0
		case holdfast.OrderRefunded:
			ok = live == 0 && (state == holdfast.PaymentCaptured || o.Payment == 0)
		case holdfast.OrderCancelled:
			ok = o.Payment == 0 && h.Count == 0 && b.Live == 0
		}
		c.require(ok, RuleMoney, "%s is %s with %d live seats, sold as kind %d, on payment %d, which is %s", h.ID.Order(), o.State, live, o.As, o.Payment, state)
		c.require((h.Deadline > 0) == (o.State == holdfast.OrderUnpaid), RuleHold, "%s is %s and waits until %d", h.ID.Order(), o.State, h.Deadline)
	}
}

// checkPromos counts the uses of promotion codes.
func (c *checker) checkPromos() {
	uses := map[promoRecord]uint32{} // only looked up
	for _, p := range c.state.payments.all() {
		if p.Counted {
			uses[promoRecord{Code: p.Promo, Event: p.Event}]++
		}
	}
	for _, o := range c.state.orders.all() {
		if o.Counted && c.state.holds.holds(o.Hold) && (o.Bill == 0 || c.state.bills.holds(o.Bill)) {
			uses[promoRecord{Code: c.state.billOf(o).Promo, Event: c.state.holds.at(o.Hold).Event}]++
		}
	}
	for slot, p := range c.state.promos.all() {
		found := c.findPromo(p.Event, p.Code)
		c.require(found == slot, RuleIndex, "%s in slot %d is found in %d", p.Code, slot, found)
		c.require(p.Uses > 0 && uses[promoRecord{Code: p.Code, Event: p.Event}] == p.Uses, RulePromo, "%s is counted %d times, and used %d times",
			p.Code, p.Uses, uses[promoRecord{Code: p.Code, Event: p.Event}])
	}
	c.require(len(uses) == c.state.promos.live() && c.byPromo.len() == c.state.promos.live(), RulePromo, "%d codes are in use, %d counted", len(uses), c.state.promos.live())
	chunks := 0
	for slot, p := range c.state.persons.all() {
		found := c.findPerson(p.Hold)
		c.require(found == slot, RuleIndex, "what is known of %s in slot %d is found in %d", p.Hold, slot, found)
		c.require(c.findHold(p.Hold) != 0 || c.hopeOf(p.Hold) != 0, RulePerson, "somebody is known for %s, which is gone and does not come back", p.Hold)
		chunks += chunksFor(int(p.Bytes))
	}
	for _, p := range c.state.payments.all() {
		if p.Seats != 0 {
			chunks += chunksFor(4 * int(p.Units))
		}
	}
	c.require(chunks == c.state.chunks.live() && c.byPerson.len() == c.state.persons.live(), RuleIndex, "%d chunks, %d used", c.state.chunks.live(), chunks)
}
