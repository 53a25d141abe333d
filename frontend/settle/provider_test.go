package settle_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// TestTheProviderIsNotAsItShouldBe runs every kind of trouble through a whole evening: buyers pay while it lasts.
func TestTheProviderIsNotAsItShouldBe(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{
		"down for a minute":           {Do: sandbox.Down, ForMs: 60_000},
		"answering after 30 s":        {Do: sandbox.Slow, ForMs: 60_000, AfterMs: 30_000},
		"500 after having done it":    {Do: sandbox.ErrorAfter, ForMs: 60_000},
		"500 before having done it":   {Do: sandbox.ErrorBefore, ForMs: 60_000},
		"connections break after it":  {Do: sandbox.DropAfter, ForMs: 60_000},
		"rate-limiting":               {Do: sandbox.RateLimit, ForMs: 60_000},
		"busy with the same":          {Do: sandbox.Busy, ForMs: 60_000},
		"unavailable at every second": {Do: sandbox.Unavailable, ForMs: 60_000},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
				var all []begun
				for buyer := range byte(6) {
					b := w.must(w.begin(buyer+1, 1, manual))
					all = append(all, b)
				}
				leaves := w.must(w.begin(9, 1, manual))
				if err := w.bank.SetFaults(fault); err != nil {
					t.Fatal(err)
				}
				for _, b := range all {
					w.pay(b, "pm_card_visa")
					time.Sleep(5 * time.Second)
				}
				w.settled(2 * time.Hour)
				for _, b := range all {
					if o := w.order(b); o.State != holdfast.OrderPaid {
						t.Errorf("a buyer who paid in time has an order that is %v", o.State)
					}
				}
				if o := w.order(leaves); o.State != 0 {
					t.Errorf("who left has an order that is %v", o.State)
				}
			})
		})
	}
}

func TestHintsAreAnsweredByWhatBecameOfThem(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		stats := w.worker.Stats()
		paid := w.must(w.begin(1, 1, manual))
		w.pay(paid, "pm_card_visa")
		w.await("the order is paid", 5*time.Second, func() bool { return w.order(paid).State == holdfast.OrderPaid })
		w.await("both hints are taken", time.Minute, func() bool { return stats.HintsTaken.Load() >= 2 })

		// Without a leader the provider is told to come again, quickly, and it does.
		w.cluster.FailNext(&holdfast.Error{Kind: holdfast.Unavailable, Message: "no leader"}, 1000)
		b := w.must(begunBefore(w, 2))
		began := time.Now()
		w.pay(b, "pm_card_visa")
		w.await("a hint is put off", 10*time.Second, func() bool { return stats.HintsLater.Load() > 0 })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v to be told to come again", took)
		}
		w.cluster.FailNext(nil, 0)
		w.await("the order is paid", time.Minute, func() bool { return w.order(b).State == holdfast.OrderPaid })

		// Another cluster's payment in the same account, and one of a former life, are nobody's business here.
		for _, key := range []payment.Key{{Cluster: "other", Event: w.event.ID, Hold: holdfast.HoldID{7}, Attempt: 1},
			{Cluster: paid.quote.Cluster, Incarnation: 7, Event: w.event.ID, Hold: holdfast.HoldID{7}, Attempt: 1},
			{Cluster: paid.quote.Cluster, Event: 77, Hold: holdfast.HoldID{7}, Attempt: 1}} {
			foreign := stats.HintsForeign.Load()
			p, err := w.provider.Create(t.Context(), payment.Intent{Key: key, Amount: paid.quote.Total, Capture: manual, Since: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			w.pay(begun{paying: p}, "pm_card_visa")
			w.await("it is known as foreign", time.Minute, func() bool { return stats.HintsForeign.Load() > foreign })
			if now, err := w.provider.Look(t.Context(), p.Ref); err != nil || now.Status != payment.StatusAuthorised {
				t.Errorf("somebody else's payment was touched: %+v, %v", now, err)
			}
		}

		// A forged one is refused.
		var failure *payment.Error
		if err := w.worker.Hint(t.Context(), []byte(`{"id":"evt_1"}`), "t=1,v1=00"); !errors.As(err, &failure) || failure.Kind != payment.Forged {
			t.Errorf("a forged hint gave %v", err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for code := range w.hints {
			if code != http.StatusOK && code != http.StatusServiceUnavailable {
				t.Errorf("hints were answered %v", w.hints)
			}
		}
	})
}

// begunBefore begins an attempt while batches fail: it lets some through first.
func begunBefore(w *world, buyer byte) (begun, error) {
	w.cluster.FailNext(nil, 0)
	b, err := w.begin(buyer, 1, manual)
	w.cluster.FailNext(&holdfast.Error{Kind: holdfast.Unavailable, Message: "no leader"}, 1000)
	return b, err
}

// TestAPaymentWhoseReferenceWasLostIsFound: the edge died between making the payment and telling the shard.
func TestAPaymentWhoseReferenceWasLostIsFound(t *testing.T) {
	for name, late := range map[string]time.Duration{"while its key is remembered": 0, "after a day": 25 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, sandbox.Config{Webhooks: sandbox.Webhooks{LostPerMille: 1000}}, func(t *testing.T, w *world) {
				h, err := w.client.Hold(t.Context(), client.HoldRequest{Event: w.event, Buyer: holdfast.BuyerID{1}, Wants: places(1)})
				if err != nil {
					t.Fatal(err)
				}
				q, err := w.client.Quote(t.Context(), w.event, h.ID, holdfast.PromoCode{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.client.BeginPayment(t.Context(), client.PaymentRequest{Event: w.event, Buyer: h.Buyer, Hold: h.ID, Attempt: 1, Amount: q.Total}); err != nil {
					t.Fatal(err)
				}
				key := payment.Key{Cluster: q.Cluster, Event: w.event.ID, Hold: h.ID, Attempt: 1}
				p, err := w.provider.Create(t.Context(), payment.Intent{Key: key, Amount: q.Total, Capture: manual, Since: time.Now()})
				if err != nil {
					t.Fatal(err)
				}
				if late > 0 {
					w.halt() // nobody settles for a day
				}
				w.pay(begun{paying: p}, "pm_card_visa")
				time.Sleep(late)
				if late > 0 {
					w.start()
				}
				w.settled(20 * time.Minute)
				want := holdfast.OrderPaid
				if late > 0 {
					want = 0 // its time was over
				}
				if o := w.order(begun{hold: h}); o.State != want {
					t.Errorf("the order is %v, want %v", o.State, want)
				}
				if n := len(w.bank.Books()); n != 1 {
					t.Errorf("%d payments at the provider, want the one", n)
				}
			})
		})
	}
}

// TestOtherAccountsEffectsAreLeftAlone: a worker with another account's keys would find no payment, and say so.
func TestOtherAccountsEffectsAreLeftAlone(t *testing.T) {
	inWorld(t, sandbox.Config{Account: "acct_other"}, func(t *testing.T, w *world) {
		h, err := w.client.Hold(t.Context(), client.HoldRequest{Event: w.event, Buyer: holdfast.BuyerID{1}, Wants: places(1)})
		if err != nil {
			t.Fatal(err)
		}
		q, err := w.client.Quote(t.Context(), w.event, h.ID, holdfast.PromoCode{})
		if err != nil || q.Account != "acct_sandbox" {
			t.Fatalf("%+v, %v", q, err)
		}
		if _, err := w.client.BeginPayment(t.Context(), client.PaymentRequest{Event: w.event, Buyer: h.Buyer, Hold: h.ID, Attempt: 1, Amount: q.Total}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		owed := 0
		w.cluster.Machine(w.event.Shard, func(m *fsm.Machine) { owed = m.Stats().Effects })
		if stats := w.worker.Stats(); owed != 1 || stats.Done.Load()+stats.Failed.Load()+stats.Retried.Load() != 0 {
			t.Errorf("%d effects are owed, and the other account's worker acknowledged %d, %d, %d", owed, stats.Done.Load(), stats.Failed.Load(), stats.Retried.Load())
		}
	})
}

// TestEveryDifferenceIsNamed makes each kind of difference by hand and reads its name.
func TestEveryDifferenceIsNamed(t *testing.T) {
	paid := func(w *world) begun {
		b := w.must(w.begin(1, 1, manual))
		w.pay(b, "pm_card_visa")
		w.await("the order is paid", time.Minute, func() bool { return w.order(b).State == holdfast.OrderPaid })
		return b
	}
	stranger := func(w *world, status string, hold holdfast.HoldID) {
		q := w.must(w.begin(2, 1, manual)).quote
		w.offline()
		p, err := w.provider.Create(w.ctx, payment.Intent{Key: payment.Key{Cluster: q.Cluster, Event: w.event.ID, Hold: hold, Attempt: 1}, Amount: q.Total,
			Capture: manual, Since: time.Now()})
		if err != nil {
			w.t.Fatal(err)
		}
		w.pay(begun{paying: p}, "pm_card_visa")
		if status == "captured" {
			if err := w.bank.Act(p.Ref, sandbox.ActCapture, sandbox.Arguments{}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	over := func(w *world, act sandbox.Act) {
		b := w.must(w.begin(1, 1, manual))
		if err := w.client.FailPayment(w.ctx, client.AttemptRef{Event: w.event, Hold: b.hold.ID, Attempt: 1, Payment: string(b.paying.Ref)}); err != nil {
			w.t.Fatal(err)
		}
		w.offline()
		w.pay(b, "pm_card_visa")
		if act != "" {
			if err := w.bank.Act(b.paying.Ref, act, sandbox.Arguments{}); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	act := func(w *world, b begun, act sandbox.Act, with sandbox.Arguments) {
		w.offline()
		if err := w.bank.Act(b.paying.Ref, act, with); err != nil {
			w.t.Fatal(err)
		}
	}
	for kind, make := range map[string]func(*world){
		"charged_unknown":    func(w *world) { stranger(w, "captured", holdfast.HoldID{9}) },
		"authorised_unknown": func(w *world) { stranger(w, "", holdfast.HoldID{9}) },
		"charged_over":       func(w *world) { over(w, sandbox.ActCapture) },
		"authorised_over":    func(w *world) { over(w, "") },
		"refunded_outside":   func(w *world) { act(w, paid(w), sandbox.ActRefund, sandbox.Arguments{AmountMinor: 100}) },
		"dispute_differs":    func(w *world) { act(w, paid(w), sandbox.ActDispute, sandbox.Arguments{}) },
		"refund_missing": func(w *world) {
			b := paid(w)
			w.refund(b)
			w.await("the refund is made", time.Minute, func() bool { return w.order(b).RefundedMinor > 0 })
			act(w, b, sandbox.ActFailRefunds, sandbox.Arguments{})
		},
	} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
				make(w)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r, err := w.worker.Reconcile(ctx, w.event, settleSpan)
				if err != nil || len(r.Differences) != 1 || string(r.Differences[0].Kind) != kind || r.Differences[0].Repair == "" {
					t.Fatalf("got %+v, %v", r.Differences, err)
				}
				switch kind {
				case "refunded_outside", "refund_missing":
					return // people have to decide
				}
				span := settleSpan
				span.Repair = true
				if r, err = w.worker.Reconcile(ctx, w.event, span); err != nil || len(r.Differences) != 1 || !r.Differences[0].Repaired {
					t.Fatalf("the repair says %+v, %v", r.Differences, err)
				}
				w.await("the difference is gone", 5*time.Minute, func() bool {
					r, err := w.worker.Reconcile(w.ctx, w.event, settleSpan)
					return err == nil && len(r.Differences) == 0
				})
			})
		})
	}
}

// TestTheWorkerReconcilesByItself: it finds money whose webhook was lost, has the shard deal with it, and counts.
func TestTheWorkerReconcilesByItself(t *testing.T) {
	inWorld(t, sandbox.Config{Webhooks: sandbox.Webhooks{LostPerMille: 1000}}, func(t *testing.T, w *world) {
		w.reconcileEvery = 10 * time.Minute
		w.halt()
		w.start()
		b := w.must(w.begin(1, 1, manual))
		if err := w.client.FailPayment(w.ctx, client.AttemptRef{Event: w.event, Hold: b.hold.ID, Attempt: 1, Payment: string(b.paying.Ref)}); err != nil {
			t.Fatal(err)
		}
		w.pay(b, "pm_card_visa")
		w.await("the money is given back", 20*time.Minute, func() bool { return w.bank.Books()[0].Status == "canceled" })
		stats := w.worker.Stats()
		w.await("a reconciliation finds nothing", 40*time.Minute, func() bool { return stats.Reconciled.Load() > 0 && stats.Differences.Load() == 0 })
		if stats.Strays.Load() != 1 || stats.ReconcileFailures.Load() != 0 {
			t.Errorf("%d strays, %d failures", stats.Strays.Load(), stats.ReconcileFailures.Load())
		}
		w.settled(10 * time.Minute)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(w.worker.Collectors()...)
		families, err := registry.Gather()
		if err != nil || len(families) < 10 {
			t.Errorf("%d families of metrics, %v", len(families), err)
		}
	})
}

// TestSeatsThatHangOnAnAnswerAreSeen: a method that takes money at once, a provider that does not cancel, and nobody who pays. The seats
// stay in cancelling, which no difference shows.
func TestSeatsThatHangOnAnAnswerAreSeen(t *testing.T) {
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		w.reconcileEvery = 10 * time.Minute
		w.halt()
		w.start()
		stats := w.worker.Stats()
		if err := w.bank.SetFaults(sandbox.Fault{Do: sandbox.Unavailable, Op: "cancel"}); err != nil {
			t.Fatal(err)
		}
		b := w.must(w.begin(1, 2, atOnce))
		w.await("it is told that an attempt waits for two hours", 4*time.Hour, func() bool { return stats.WaitingSeconds.Load() > 7200 })
		if h, err := w.client.GetHold(w.ctx, w.event, b.hold.ID); err != nil || h.State != holdfast.HoldCancelling || stats.Differences.Load() != 0 {
			t.Errorf("the hold is %s, %v, and there are %d differences", h.State, err, stats.Differences.Load())
		}
		if err := w.bank.SetFaults(); err != nil {
			t.Fatal(err)
		}
		w.await("nothing waits any more", 4*time.Hour, func() bool { return stats.WaitingSeconds.Load() == 0 })
		w.settled(10 * time.Minute)
	})
}
