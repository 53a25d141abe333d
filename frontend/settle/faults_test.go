package settle_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "the first seed of random schedules")
	seedsFlag = flag.Int("seeds", 0, "how many random schedules; 0: a few")
)

var errDied = errors.New("the process died here")

// dying lets the worker die when it comes to a step for the nth time; to any, when no step is named. From there on it does
// nothing any more.
func (w *world) dying(step string, nth int) (died func() bool) {
	var mu sync.Mutex
	count, dead := 0, false
	w.onStep(func(ctx context.Context, at string) error {
		mu.Lock()
		defer mu.Unlock()
		if step == "" || step == at {
			count++
		}
		if dead = dead || count >= nth; dead {
			return errDied
		}
		return ctx.Err()
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return dead
	}
}

// TestAWorkerStartsWhileTheProviderIsDown: whoever restarts a frontend in an outage has a line and holds again, and payments as soon
// as the provider answers. A provider that is silent is not waited for either. Keys that it does not accept are told at once.
func TestAWorkerStartsWhileTheProviderIsDown(t *testing.T) {
	for _, fault := range []sandbox.Fault{{Do: sandbox.Down, ForMs: 60_000}, {Do: sandbox.Slow, AfterMs: 60_000, ForMs: 60_000}} {
		t.Run(string(fault.Do), func(t *testing.T) {
			inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) { w.startIn(fault) })
		})
	}
}

func (w *world) startIn(fault sandbox.Fault) {
	t := w.t
	w.halt()
	b := w.must(w.begin(1, 2, holdfast.CaptureManual))
	w.pay(b, "pm_card_visa")
	if err := w.bank.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.start()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a frontend would have served nobody for %v", took)
	}
	if account, mode := w.worker.Account(); account != "" || mode != holdfast.ModeTest {
		t.Errorf("the account %q, %s, of a provider that does not answer", account, mode)
	}
	w.await("the payment is sold once the provider answers", 5*time.Minute, func() bool {
		_, err := w.client.GetOrder(w.ctx, w.event, b.hold.ID.Order())
		return err == nil
	})
	if account, _ := w.worker.Account(); account == "" {
		t.Error("the account is still not known")
	}
	w.settled(10 * time.Minute)

	strange, err := stripe.New(stripe.Config{Key: payment.Hide("sk_test_another"), Backend: "http://bank", Transport: w.bank.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settle.New(w.ctx, settle.Config{Client: w.client, Provider: strange, Name: "strange"}); payment.KindOf(err) != payment.WrongAccount {
		t.Errorf("keys of nobody: %v", err)
	}
}

// TestAWorkerMayDieBetweenAnyTwoSteps kills it at each of them in turn, and lets another go on minutes later.
func TestAWorkerMayDieBetweenAnyTwoSteps(t *testing.T) {
	var mu sync.Mutex
	steps := map[string]int{}
	inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
		w.onStep(func(ctx context.Context, step string) error {
			mu.Lock()
			defer mu.Unlock()
			steps[step]++
			return ctx.Err()
		})
		w.everyEnding()
		w.await("everything is settled", 45*time.Minute, w.quiet)
		w.onStep(nil)
		w.settled(time.Minute)
	})
	for _, step := range []string{"begin look", "begin capture", "begin void", "begin refund", "after capture", "after void", "after refund", "after look",
		"after sell", "after fail", "after stray", "before ack done", "after ack done", "after ack failed", "after ack retry"} {
		if steps[step] == 0 {
			t.Errorf("nothing comes by %q", step)
		}
	}
	for step, times := range steps {
		for nth := range min(times, 2) {
			t.Run(fmt.Sprint(step, " ", nth+1), func(t *testing.T) {
				inWorld(t, sandbox.Config{}, func(t *testing.T, w *world) {
					died := w.dying(step, nth+1)
					w.everyEnding()
					// How often two looks at one payment meet is chance; that there is a first step of each kind is not.
					for range 600 {
						if died() {
							break
						}
						time.Sleep(time.Second)
					}
					if !died() && nth == 0 {
						t.Fatal("nobody came by")
					}
					time.Sleep(time.Minute)
					w.halt()
					w.onStep(nil)
					w.start()
					w.settled(45 * time.Minute)
				})
			})
		}
	}
}

// everyEnding has buyers who come to every kind of end.
func (w *world) everyEnding() {
	w.t.Helper()
	paid := w.must(w.begin(1, 2, manual))
	w.pay(paid, "pm_card_visa")
	w.must(w.begin(2, 1, manual)) // leaves
	declined := w.must(w.begin(3, 1, manual))
	w.pay(declined, "pm_sandbox_captureFail")
	late := w.must(w.begin(4, 1, manual))
	w.pay(late, "pm_sandbox_late")
	w.must(w.begin(5, 1, atOnce))                                          // leaves
	w.pay(w.must(w.begin(8, 1, manual)), "pm_card_authenticationRequired") // does not come back from the bank's page
	cancelled := w.must(w.begin(6, 1, manual))
	if err := w.bank.Act(cancelled.paying.Ref, sandbox.ActCancel, sandbox.Arguments{}); err != nil {
		w.t.Fatal(err)
	}
	// Two attempts, and the first is paid after it was condemned.
	twice := w.must(w.begin(7, 1, atOnce))
	first := twice.paying
	if err := w.attempt(w.ctx, &twice, 2, atOnce); err != nil {
		w.t.Fatal(err)
	}
	_ = w.bank.Act(first.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: "pm_card_visa"}) // a worker may have cancelled it
	w.pay(twice, "pm_card_visa")
	time.Sleep(20 * time.Second)
	if w.order(paid).State == holdfast.OrderPaid {
		w.refund(paid)
	}
}

func (w *world) refund(b begun) {
	w.t.Helper()
	_, err := w.client.Refund(w.ctx, client.RefundRequest{Event: w.event, Order: b.hold.ID.Order(), ReturnSeats: true, Reason: holdfast.RefundOrganizer})
	var refused *client.Refusal
	if err != nil && !errors.As(err, &refused) {
		w.t.Fatal(err)
	}
}

// TestMoneyEqualsSeatsUnderAnySchedule draws buyers, and faults of everything between them and the seats.
func TestMoneyEqualsSeatsUnderAnySchedule(t *testing.T) {
	seeds := *seedsFlag
	if seeds == 0 {
		seeds = 40
		if testing.Short() {
			seeds = 10
		}
	}
	for seed := *seedFlag; seed < *seedFlag+uint64(seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, sandbox.Config{Seed: seed, Latency: sandbox.Latency{Base: 50 * time.Millisecond, Mean: 300 * time.Millisecond, Max: 5 * time.Second},
				Webhooks: sandbox.Webhooks{Spread: 90 * time.Second, DuplicatesPerMille: 300, LostPerMille: 200}}, func(t *testing.T, w *world) {
				w.schedule(rand.New(rand.NewPCG(seed, 7)))
				w.settled(3 * time.Hour)
			})
		})
	}
}

// schedule runs buyers and faults for some minutes.
func (w *world) schedule(r *rand.Rand) {
	ctx, stop := context.WithTimeout(w.ctx, 6*time.Minute)
	defer stop()
	var running sync.WaitGroup
	for buyer := range byte(12) {
		plan := drawBuyer(r, buyer+1)
		running.Go(func() { w.buyer(plan) })
	}
	running.Go(func() { w.trouble(ctx, rand.New(rand.NewPCG(r.Uint64(), 1))) })
	running.Wait()
	if err := w.bank.SetFaults(); err != nil {
		w.t.Fatal(err)
	}
	w.onStep(nil)
	w.mu.Lock()
	w.online = true
	gone := w.worker == nil
	w.mu.Unlock()
	if gone {
		w.start()
	}
}

// plan is what a buyer will do.
type plan struct {
	buyer    byte
	places   uint8
	capture  holdfast.CaptureMethod
	comes    time.Duration
	thinks   time.Duration // before paying; may be longer than the pay window
	method   string        // empty: leaves
	attempts int
	returns  bool // comes back to the shop after paying
	refunds  bool
}

func drawBuyer(r *rand.Rand, buyer byte) plan {
	methods := []string{"", "pm_card_visa", "pm_card_visa", "pm_card_visa", "pm_card_visa_chargeDeclined", "pm_sandbox_late", "pm_sandbox_lateDecline",
		"pm_sandbox_captureFail", "pm_card_pendingRefund", "pm_sandbox_shortAuthorisation", "pm_sandbox_hang"}
	p := plan{buyer: buyer, places: uint8(1 + r.IntN(3)), capture: manual, comes: time.Duration(r.IntN(120)) * time.Second,
		thinks: time.Duration(r.IntN(60)) * time.Second, method: methods[r.IntN(len(methods))], attempts: 1, returns: r.IntN(2) == 0, refunds: r.IntN(4) == 0}
	if r.IntN(3) == 0 {
		p.capture = atOnce
	}
	if r.IntN(4) == 0 {
		p.thinks = time.Duration(150+r.IntN(120)) * time.Second
	}
	if r.IntN(4) == 0 {
		p.attempts = 2
	}
	return p
}

// buyer does what is planned, as far as the world lets.
func (w *world) buyer(p plan) {
	time.Sleep(p.comes)
	b, err := w.begin(p.buyer, p.places, p.capture)
	if err != nil {
		return // no answer in time, or no seats: this buyer leaves, with whatever was begun
	}
	time.Sleep(p.thinks)
	first := b.paying.Ref
	if p.attempts > 1 && w.attempt(w.ctx, &b, 2, p.capture) != nil {
		return
	}
	if p.method == "" {
		return
	}
	// A bank may refuse: the payment may have been cancelled meanwhile. Both attempts are paid where the bank lets.
	_ = w.bank.Act(b.paying.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: p.method})
	if p.attempts > 1 {
		_ = w.bank.Act(first, sandbox.ActConfirm, sandbox.Arguments{Method: p.method})
	}
	if p.returns {
		w.mu.Lock()
		worker := w.worker
		w.mu.Unlock()
		if worker != nil {
			ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
			_, _ = worker.Look(ctx, b.paying.Ref, b.quote.Identity) // the look that fails is repeated by somebody
			cancel()
		}
	}
	if p.refunds {
		time.Sleep(30 * time.Second)
		w.refund(b)
	}
}

// trouble makes one fault after the other.
func (w *world) trouble(ctx context.Context, r *rand.Rand) {
	ops := []string{"", "create", "look", "list", "confirm", "capture", "cancel", "refund", "refunds"}
	for ctx.Err() == nil {
		time.Sleep(time.Duration(1+r.IntN(10)) * time.Second)
		switch r.IntN(8) {
		case 0, 1, 2:
			dos := sandbox.Dos()
			_ = w.bank.SetFaults(sandbox.Fault{Do: dos[r.IntN(len(dos))], Op: ops[r.IntN(len(ops))], Count: 1 + r.IntN(4)},
				sandbox.Fault{Do: dos[r.IntN(len(dos))], Op: ops[r.IntN(len(ops))], Count: 1 + r.IntN(4)})
		case 3:
			_ = w.bank.SetFaults(sandbox.Fault{Do: sandbox.Down, ForMs: int64(1+r.IntN(60)) * 1000})
		case 4:
			w.cluster.StepDown()
		case 5:
			w.cluster.DropReply(1 + r.IntN(2))
		case 6:
			w.cluster.FailNext(&holdfast.Error{Kind: holdfast.Overloaded, Message: "the queue is full", RetryAfter: 100 * time.Millisecond}, 1+r.IntN(3))
		case 7:
			w.dying("", 1+r.IntN(12))
			time.Sleep(time.Duration(r.IntN(20)) * time.Second)
			w.halt()
			time.Sleep(time.Duration(r.IntN(20)) * time.Second)
			w.onStep(nil)
			w.start()
		}
	}
}
