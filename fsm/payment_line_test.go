package fsm

import (
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// newPaidQueue is a sale with a line and with Checkout rules: two seats, and one visitor with a session.
func newPaidQueue(t *testing.T) *queue {
	q := &queue{shard: newCheckout(t)}
	spec := hall()
	spec.Line = command.LineRules{Enabled: true, IdleMs: 600_000, OfferMs: 60_000}
	spec.Checkout = command.Checkout{Mode: holdfast.ModeTest, Account: "acct", AtOnceMs: 5_000, PayAgainMs: 5_000}
	spec.Rules.PayWindowMs = 5_000
	q.must(holdfast.OK, &command.PutEvent{Expect: 1, Spec: spec})
	q.must(holdfast.OK, &command.OpenLine{Secret: holdfast.LineSecret{1}})
	q.join(1)
	q.must(holdfast.OK, &command.Draw{})
	q.join(2)
	q.must(holdfast.OK, &command.Admit{Count: 1})
	q.redeem(holdfast.OK, 0)
	q.blockAllBut(1, 2)
	return q
}

// begins holds both seats and begins to pay for them; somebody else waits for what comes back, if anybody does.
func (q *queue) begins(capture holdfast.CaptureMethod, returns bool) command.Result {
	r := q.must(holdfast.OK, holdBy(lineKey(0), 1, 2))
	c := begin(r, 1)
	c.Buyer, c.Capture = lineKey(0).Buyer(), capture
	q.must(holdfast.OK, c)
	if returns {
		q.must(holdfast.OK, &command.JoinReturns{Proof: q.proof(1), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2})
	}
	return r
}

// offered wants both seats to be offered to who waits.
func (q *queue) offered() {
	q.Helper()
	h, ok := q.m.Hold(offerID(theEvent, 1))
	if !ok || h.Buyer != lineKey(1).Buyer() || len(h.Seats) != 2 {
		q.Errorf("offered is %+v: %t", h, ok)
	}
}

// TestWhatMoneyGivesBackIsOffered: seats that return because nobody paid, or because of a refund, go to who waits for
// them, as any others do.
func TestWhatMoneyGivesBackIsOffered(t *testing.T) {
	t.Run("when the grace is over", func(t *testing.T) {
		q := newPaidQueue(t)
		q.begins(holdfast.CaptureManual, true)
		q.wait(5_000 + 15_000)
		q.offered()
	})
	t.Run("when the provider cancelled", func(t *testing.T) {
		q := newPaidQueue(t)
		q.begins(holdfast.CaptureAtOnce, true)
		q.wait(5_000 + 15_000)
		effects := q.m.Effects(1, 10)
		q.must(holdfast.OK, &command.AckEffect{Effect: effects[0].ID, Result: holdfast.EffectDone, Amount: eur(0)})
		q.offered()
	})
	t.Run("when an order was not paid again", func(t *testing.T) {
		q := newPaidQueue(t)
		r := q.begins(holdfast.CaptureManual, true)
		effect := q.must(holdfast.OK, paidBy(r, 1, "pi_1")).Effect
		q.must(holdfast.OK, &command.AckEffect{Effect: effect, Result: holdfast.EffectFailed, Amount: eur(0)})
		q.wait(5_000)
		q.offered()
	})
	t.Run("when an order is refunded", func(t *testing.T) {
		q := newPaidQueue(t)
		r := q.begins(holdfast.CaptureManual, true)
		q.must(holdfast.OK, paidBy(r, 1, "pi_1"))
		q.must(holdfast.OK, &command.Refund{Order: r.Hold.Order(), Reason: holdfast.RefundBuyer, ReturnSeats: true})
		q.offered()
	})
}

// TestNothingIsOfferedWhileBooksAreNotReconciled: nobody could pay for it. It is offered when they are, before anybody
// else can hold it.
func TestNothingIsOfferedWhileBooksAreNotReconciled(t *testing.T) {
	q := newPaidQueue(t)
	q.begins(holdfast.CaptureManual, true)
	q.must(holdfast.OK, &command.SetIncarnation{Incarnation: 1})
	q.wait(5_000 + 15_000)
	if h, ok := q.m.Hold(offerID(theEvent, 1)); ok {
		t.Errorf("offered is %+v", h)
	}
	q.must(holdfast.OK, &command.SetIncarnation{Incarnation: 1, Reconciled: true})
	q.offered()
}

// TestARescueNeedsNoSession: who paid after the session was over gets the seats, if nobody else was offered them.
func TestARescueNeedsNoSession(t *testing.T) {
	for _, returns := range []bool{false, true} {
		q := newPaidQueue(t)
		r := q.begins(holdfast.CaptureAtOnce, returns)
		q.wait(5_000 + 15_000)
		effects := q.m.Effects(1, 10)
		q.must(holdfast.OK, &command.AckEffect{Effect: effects[0].ID, Result: holdfast.EffectDone, Amount: eur(0)})
		q.must(holdfast.OK, &command.StrayMoney{Hold: r.Hold, Attempt: 1, Amount: r.Amount, Captured: true, Mode: holdfast.ModeTest, Account: "acct", Payment: "pi_1"})
		p, _ := q.m.Payment("pi_1")
		want := Ledger{Captured: r.Amount.AmountMinor, Live: r.Amount.AmountMinor}
		if returns {
			want.Live, want.Owed = 0, r.Amount.AmountMinor
		}
		if p.Ledger != want {
			t.Errorf("with somebody who waits %t: %+v", returns, p.Ledger)
		}
		if !returns {
			equal(t, "the place", q.place(0).State, holdfast.PlaceFinished)
		}
	}
}
