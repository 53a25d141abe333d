package settle_test

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }

const manual, atOnce = holdfast.CaptureManual, holdfast.CaptureAtOnce

func TestAPaymentBecomesAnOrderThatIsCaptured(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 2, manual))
		w.pay(b, "pm_card_visa")
		w.await("the order is paid", 5*time.Second, func() bool { return w.order(b).State == holdfast.OrderPaid })
		o := w.order(b)
		if o.Amount != b.quote.Total || o.CapturedMinor != 2*5150 || o.Payment != string(b.paying.Ref) {
			t.Errorf("the order is %+v", o)
		}
		r := w.settled(time.Minute)
		if r.Known != 1 || r.Listed != 1 || r.Captured != 2*5150 || r.Ledger.Captured != 2*5150 || r.Ledger.Live != 2*5150 {
			t.Errorf("the reconciliation says %+v", r)
		}
	})
}

func TestWithoutWebhooksTheLookAtTheDeadlineSells(t *testing.T) {
	inWorld(t, sandbox.Config{Webhooks: sandbox.Webhooks{LostPerMille: 1000}}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 1, manual))
		w.pay(b, "pm_card_visa")
		w.await("the order is paid", 4*time.Minute, func() bool { return w.order(b).State == holdfast.OrderPaid })
		w.settled(time.Minute)
	})
}

func TestTheBuyersReturnSells(t *testing.T) {
	inWorld(t, sandbox.Config{Webhooks: sandbox.Webhooks{LostPerMille: 1000}}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 1, manual))
		if v, err := w.worker.Look(t.Context(), b.paying.Ref, b.quote.Identity); err != nil || !v.Pending {
			t.Errorf("before the buyer pays a look says %+v, %v", v, err)
		}
		w.pay(b, "pm_card_visa")
		v, err := w.worker.Look(t.Context(), b.paying.Ref, b.quote.Identity)
		if err != nil || v.Order == nil || v.Order.ID != b.hold.ID.Order() {
			t.Fatalf("a look says %+v, %v", v, err)
		}
		w.settled(time.Minute)
	})
}

func TestAnAbandonedPaymentGivesItsSeatsBackInTime(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 3, manual))
		began := time.Now()
		w.await("the seats are free", 4*time.Minute, func() bool {
			e, err := w.client.Event(w.ctx, w.event)
			return err == nil && e.Total.Free == w.capacity
		})
		// The pay window, a tick or two, and what the provider takes: nobody has tried to pay, so the grace is not waited for.
		if took := time.Since(began); took < 180*time.Second || took > 180*time.Second+2*time.Second {
			t.Errorf("the seats came back after %v", took)
		}
		w.await("the payment is cancelled", time.Minute, func() bool { return w.bank.Books()[0].Status == "canceled" })
		if o := w.order(b); o.State != 0 {
			t.Errorf("an order %+v", o)
		}
		w.settled(time.Minute)
	})
}

// TestWhoPaysAtTheDeadlineHasAnOrderOrNothing: the buyer pays when a worker has seen at the deadline that nobody has tried to, and
// before it does anything about that. Whoever comes first, the payment that a sale stands on is not cancelled.
func TestWhoPaysAtTheDeadlineHasAnOrderOrNothing(t *testing.T) {
	for _, capture := range []holdfast.CaptureMethod{manual, atOnce} {
		inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
			b := w.must(w.begin(1, 2, capture))
			var owed, paid atomic.Bool
			w.onStep(func(ctx context.Context, step string) error {
				switch {
				case step == "begin look":
					owed.Store(true)
				case step == "after look" && owed.Load() && !paid.Swap(true):
					w.pay(b, "pm_card_visa")
					time.Sleep(5 * time.Second) // a hint comes by
				case step == "begin capture":
					time.Sleep(10 * time.Second) // others are before it
				}
				return ctx.Err()
			})
			w.settled(30 * time.Minute)
			if o := w.order(b); o.State != holdfast.OrderPaid {
				t.Errorf("who was sold seats for a payment that was good has an order that is %s", o.State)
			}
		})
	}
}

func TestWhoIsAtTheBanksPageHasTheGrace(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		w.pay(w.must(w.begin(1, 3, manual)), "pm_card_authenticationRequired")
		began := time.Now()
		w.await("the seats are free", 4*time.Minute, func() bool {
			e, err := w.client.Event(w.ctx, w.event)
			return err == nil && e.Total.Free == w.capacity
		})
		if took := time.Since(began); took < 180*time.Second+holdfast.GraceMax {
			t.Errorf("the seats came back after %v", took)
		}
		w.settled(time.Minute)
	})
}

func TestAPaymentThatWasNeverMadeEndsToo(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		h, err := w.client.Hold(t.Context(), client.HoldRequest{Event: w.event, Buyer: holdfast.BuyerID{1}, Wants: places(1)})
		if err != nil {
			t.Fatal(err)
		}
		q, err := w.client.Quote(t.Context(), w.event, h.ID, holdfast.PromoCode{})
		if err != nil {
			t.Fatal(err)
		}
		// The edge dies here, before it asks the provider for anything.
		if _, err := w.client.BeginPayment(t.Context(), client.PaymentRequest{Event: w.event, Buyer: h.Buyer, Hold: h.ID, Attempt: 1, Amount: q.Total}); err != nil {
			t.Fatal(err)
		}
		w.settled(5 * time.Minute)
	})
}

func TestWhatTheBankDoesIsAnswered(t *testing.T) {
	for _, c := range []struct {
		method  string
		capture holdfast.CaptureMethod
		state   holdfast.OrderState // at the end; 0: no order
	}{
		{"pm_card_visa", manual, holdfast.OrderPaid},
		{"pm_card_visa_chargeDeclined", manual, 0},
		{"pm_sandbox_late", manual, holdfast.OrderPaid},
		{"pm_sandbox_lateDecline", manual, 0},
		{"pm_sandbox_captureFail", manual, holdfast.OrderCancelled},
		{"pm_card_visa", atOnce, holdfast.OrderPaid},
	} {
		t.Run(c.method, func(t *testing.T) {
			inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
				b := w.must(w.begin(1, 2, c.capture))
				w.pay(b, c.method)
				w.settled(30 * time.Minute)
				if o := w.order(b); o.State != c.state {
					t.Errorf("the order is %v, want %v", o.State, c.state)
				}
			})
		})
	}
}

func TestAnAuthorisationAfterTheEndIsGivenBack(t *testing.T) {
	inWorld(t, sandbox.Config{LateAfter: 10 * time.Minute}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 2, manual))
		w.pay(b, "pm_sandbox_late")
		w.settled(30 * time.Minute)
		if o := w.order(b); o.State != 0 {
			t.Errorf("an order %+v", o)
		}
	})
}

func TestMoneyThatArrivesAfterAllIsRescued(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 2, atOnce))
		// The worker is gone while the hold ends, and the buyer pays after that.
		w.halt()
		time.Sleep(10 * time.Minute)
		w.pay(b, "pm_card_visa")
		w.start()
		w.settled(30 * time.Minute)
		if o := w.order(b); o.State != holdfast.OrderPaid {
			t.Errorf("seats that were still there were not sold for the money: %v", o.State)
		}
	})
}

func TestRefundsAreMade(t *testing.T) {
	for _, method := range []string{"pm_card_visa", "pm_card_pendingRefund"} {
		t.Run(method, func(t *testing.T) {
			inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
				b := w.must(w.begin(1, 2, manual))
				w.pay(b, method)
				w.await("the order is paid", time.Minute, func() bool { return w.order(b).State == holdfast.OrderPaid })
				_, err := w.client.Refund(t.Context(), client.RefundRequest{Event: w.event, Order: b.hold.ID.Order(), Seats: b.hold.Seats[:1],
					ReturnSeats: true, Reason: holdfast.RefundOrganizer})
				if err != nil {
					t.Fatal(err)
				}
				w.settled(10 * time.Minute)
				if o := w.order(b); o.State != holdfast.OrderPaid || o.RefundedMinor != 5150 || o.CapturedMinor != 2*5150 {
					t.Errorf("after the first half the order is %+v", o)
				}
			})
		})
	}
}

func TestARefundThatFailsStaysOwedWithAnAlarm(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 1, manual))
		w.pay(b, "pm_sandbox_refundPendingFail")
		w.await("the order is paid", time.Minute, func() bool { return w.order(b).State == holdfast.OrderPaid })
		if _, err := w.client.Refund(t.Context(), client.RefundRequest{Event: w.event, Order: b.hold.ID.Order(), ReturnSeats: true, Reason: holdfast.RefundBuyer}); err != nil {
			t.Fatal(err)
		}
		var parked client.Effect
		w.await("the refund is parked", 10*time.Minute, func() bool {
			for e, err := range w.client.Effects(w.ctx, w.event.Shard) {
				if err == nil && e.Parked && e.Kind == holdfast.EffectRefund {
					parked = e
				}
			}
			return parked.Parked
		})
		if o := w.order(b); o.OwedMinor != 5150 {
			t.Errorf("the order is %+v", o)
		}
		r, err := w.worker.Reconcile(t.Context(), w.event, settleSpan)
		if err != nil || len(r.Differences) != 1 || r.Differences[0].Kind != "effect_parked" || r.Differences[0].Effect != parked.ID {
			t.Errorf("the reconciliation says %+v, %v", r.Differences, err)
		}

		// Somebody gives the money back by hand, and has the effect tried again: the books follow.
		if err := w.bank.Act(b.paying.Ref, sandbox.ActRefund, sandbox.Arguments{AmountMinor: 5150}); err != nil {
			t.Fatal(err)
		}
		if err := w.client.RetryEffect(t.Context(), w.event, parked.ID); err != nil {
			t.Fatal(err)
		}
		w.await("the refund is in the books", time.Minute, func() bool { return w.order(b).RefundedMinor == 5150 })
		if books := w.bank.Books()[0]; books.CapturedMinor != 5150 || books.Refunds > 2 {
			t.Errorf("the bank's books say %+v", books)
		}
	})
}

func TestADisputeReachesTheOrder(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 1, manual))
		w.pay(b, "pm_card_createDispute")
		w.await("the order is disputed", 5*time.Minute, func() bool { return w.order(b).Disputed })
		if err := w.bank.Act(b.paying.Ref, sandbox.ActLoseDispute, sandbox.Arguments{}); err != nil {
			t.Fatal(err)
		}
		w.await("the money is gone", 5*time.Minute, func() bool { return w.order(b).ChargedBackMinor == 5150 })
		r, err := w.worker.Reconcile(t.Context(), w.event, settleSpan)
		if err != nil || len(r.Differences) != 0 {
			t.Errorf("the reconciliation says %+v, %v", r.Differences, err)
		}
	})
}

// TestADisputeIsKnownThatCameBeforeTheCaptureWas: the worker that captured died before it said so, and the bank takes the money back
// meanwhile. The shard cannot take the bank's word yet; it must be told again.
func TestADisputeIsKnownThatCameBeforeTheCaptureWas(t *testing.T) {
	inWorld(t, sandbox.Config{DisputeAfter: time.Second}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 1, manual))
		died := w.dying("after capture", 1)
		w.pay(b, "pm_card_createDispute")
		w.await("the money is captured and nobody says so", time.Minute, died)
		w.halt()
		w.onStep(func(ctx context.Context, step string) error {
			if step == "begin capture" {
				time.Sleep(20 * time.Second) // others are before it
			}
			return ctx.Err()
		})
		w.start()
		time.Sleep(3 * time.Second) // the dispute is opened
		if err := w.bank.Act(b.paying.Ref, sandbox.ActLoseDispute, sandbox.Arguments{}); err != nil {
			t.Fatal(err)
		}
		w.await("the money is gone", 30*time.Minute, func() bool { return w.order(b).ChargedBackMinor == 5150 })
	})
}

// TestADisputeThatWasWonIsNotOpenedAgain: who looked while it was open, and says so after somebody has said that it is won.
func TestADisputeThatWasWonIsNotOpenedAgain(t *testing.T) {
	inWorld(t, sandbox.Config{DisputeAfter: time.Second}, func(t *testing.T, w *world) {
		b := w.must(w.begin(1, 1, manual))
		var first atomic.Bool
		w.onStep(func(ctx context.Context, step string) error {
			if step == "before dispute" && !first.Swap(true) {
				if err := w.bank.Act(b.paying.Ref, sandbox.ActWinDispute, sandbox.Arguments{}); err != nil {
					t.Error(err)
				}
				time.Sleep(3 * time.Second) // another has heard of it meanwhile, and has told
			}
			return ctx.Err()
		})
		w.pay(b, "pm_card_createDispute")
		w.await("the dispute is told", time.Minute, first.Load)
		time.Sleep(10 * time.Minute)
		if o := w.order(b); o.Disputed {
			t.Error("the ticket of a dispute that was won is suspended")
		}
	})
}
