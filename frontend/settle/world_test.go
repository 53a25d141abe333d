package settle_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// world is a cluster, a bank, and a settlement worker between them, in one bubble of virtual time.
type world struct {
	t        *testing.T
	ctx      context.Context
	cluster  *clienttest.Cluster
	client   *client.Client
	bank     *sandbox.Server
	provider payment.Provider
	event    client.EventRef
	capacity int

	mu     sync.Mutex
	worker *settle.Worker // nil while none runs
	stop   func()         // ends it and waits
	step   func(ctx context.Context, step string) error
	hints  map[int]int // webhooks by the status that they were answered with
	online bool        // webhooks reach the worker

	reconcileEvery time.Duration // of the workers that start from now on; at first never, so that nothing is mended unseen
}

// inWorld runs a test in a bubble. Time passes on the cluster's clocks as it does in the bubble.
func inWorld(t *testing.T, cfg sandbox.Config, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC))) // when clienttest's wall clock begins
		w := &world{t: t, ctx: t.Context(), hints: map[int]int{}, online: true, reconcileEvery: -1}
		w.cluster = clienttest.New(t, clienttest.Config{})
		w.client = w.cluster.Client()
		w.openBank(cfg)
		defer w.bank.Close()
		w.event, w.capacity = w.cluster.LoadEvent(concert(func(*command.EventSpec) {})), 40
		ticking, done := context.WithCancel(context.Background())
		var ticker sync.WaitGroup
		ticker.Go(func() { w.tick(ticking) })
		defer ticker.Wait()
		defer done()
		w.start()
		defer func() { w.halt() }()
		test(t, w)
	})
}

func concert(change func(*command.EventSpec)) command.EventSpec {
	spec := command.EventSpec{Name: "concert", Currency: "eur", Tiers: []command.Tier{{Name: "one", PriceMinor: 5000}},
		Sections: []command.Section{{Name: "Floor", Places: 40}},
		Rules:    command.Rules{HoldTTLMs: 120_000, PayWindowMs: 180_000, SkipCoolDown: true, ManyOpenHolds: true},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: "acct_sandbox", FeePerUnitMinor: 150, TaxBps: 1900, TaxIncluded: true, LeastMinor: 50,
			PayAgainMs: 600_000, AtOnceMs: 180_000}}
	change(&spec)
	return spec
}

func (w *world) openBank(cfg sandbox.Config) {
	w.t.Helper()
	hook := payment.Hide("whsec_sandboxsandboxsandbox")
	cfg.Endpoints = []sandbox.Endpoint{{URL: "http://frontend/webhooks", Secret: hook}}
	cfg.Transport = hookTransport{w}
	if cfg.ReadsPerSecond == 0 {
		cfg.ReadsPerSecond, cfg.WritesPerSecond = 100, 100
	}
	bank, err := sandbox.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	secret, _ := bank.Keys()
	provider, err := stripe.New(stripe.Config{Key: secret, Backend: "http://bank", Transport: bank.Transport(), WebhookSecrets: []payment.Secret{hook}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.bank, w.provider = bank, provider
}

func (w *world) tick(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(250 * time.Millisecond)
		w.cluster.Advance(250 * time.Millisecond)
	}
}

// hookTransport carries webhooks to whatever worker runs.
type hookTransport struct{ w *world }

func (h hookTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	h.w.mu.Lock()
	worker, online := h.w.worker, h.w.online
	h.w.mu.Unlock()
	if worker == nil || !online {
		return nil, errors.New("nobody listens")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	in := httptest.NewRequestWithContext(r.Context(), r.Method, "/webhooks", io.NopCloser(newReader(body)))
	in.Header = r.Header
	worker.HintHandler("Stripe-Signature").ServeHTTP(rec, in)
	h.w.mu.Lock()
	h.w.hints[rec.Code]++
	h.w.mu.Unlock()
	return rec.Result(), nil
}

// start starts a worker, as a new process would.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	worker, err := settle.New(ctx, settle.Config{Client: w.client, Provider: w.provider, Name: "w" + time.Now().Format("150405.000000"), Calls: 16, Logger: testLog(), ReconcileEvery: w.reconcileEvery,
		Step: func(ctx context.Context, step string) error {
			w.mu.Lock()
			hook := w.step
			w.mu.Unlock()
			if hook == nil {
				return ctx.Err()
			}
			return hook(ctx, step)
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = worker.Run(ctx) })
	stop := func() {
		cancel()
		running.Wait()
		worker.Close()
	}
	w.mu.Lock()
	w.worker, w.stop = worker, stop
	w.mu.Unlock()
}

// testLog is the worker's log when somebody wants to see it.
func testLog() *slog.Logger {
	if os.Getenv("HOLDFAST_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// halt ends the worker.
func (w *world) halt() {
	w.mu.Lock()
	stop := w.stop
	w.worker, w.stop = nil, nil
	w.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (w *world) onStep(hook func(ctx context.Context, step string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step = hook
}

// begun is an attempt of a buyer that has reached the provider.
type begun struct {
	hold   client.Hold
	quote  client.Quote
	paying payment.Payment
}

// begin holds places, begins an attempt and makes its payment, as an edge does.
func (w *world) begin(buyer byte, places uint8, capture holdfast.CaptureMethod) (b begun, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	id := holdfast.BuyerID{buyer}
	b.hold, err = w.client.Hold(ctx, client.HoldRequest{Event: w.event, Buyer: id, Wants: []command.Want{{Kind: command.WantGeneral, Count: places}}})
	if err != nil {
		return b, err
	}
	return b, w.attempt(ctx, &b, 1, capture)
}

func (w *world) attempt(ctx context.Context, b *begun, number holdfast.Attempt, capture holdfast.CaptureMethod) (err error) {
	if b.quote, err = w.client.Quote(ctx, w.event, b.hold.ID, holdfast.PromoCode{}); err != nil {
		return err
	}
	since := time.Now()
	if _, err := w.client.BeginPayment(ctx, client.PaymentRequest{Event: w.event, Buyer: b.hold.Buyer, Hold: b.hold.ID, Attempt: number, Amount: b.quote.Total,
		Capture: capture}); err != nil {
		return err
	}
	key := payment.Key{Cluster: b.quote.Cluster, Incarnation: b.quote.Incarnation, Event: w.event.ID, Hold: b.hold.ID, Attempt: number}
	for try := 0; try < 5; try++ {
		if b.paying, err = w.provider.Create(ctx, payment.Intent{Key: key, Amount: b.quote.Total, Capture: capture, Since: since}); !payment.KindOf(err).Again() {
			break
		}
		time.Sleep(time.Second)
	}
	if err != nil {
		return err
	}
	return w.client.AttachPayment(ctx, client.AttemptRef{Event: w.event, Hold: b.hold.ID, Attempt: number, Payment: string(b.paying.Ref)})
}

// offline lets the webhooks that are on their way arrive, and no further ones.
func (w *world) offline() {
	time.Sleep(2 * time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.online = false
}

// must is for buyers whom nothing may go wrong with.
func (w *world) must(b begun, err error) begun {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// pay tries to pay at the bank.
func (w *world) pay(b begun, method string) {
	w.t.Helper()
	err := w.bank.Act(b.paying.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: method})
	var failure *payment.Error
	if errors.As(err, &failure) && failure.Code != "card_declined" {
		w.t.Fatal(err)
	}
}

func (w *world) order(b begun) client.Order {
	w.t.Helper()
	o, err := w.client.GetOrder(w.ctx, w.event, b.hold.ID.Order())
	if err != nil && !errors.Is(err, holdfast.NotFound) {
		w.t.Fatal(err)
	}
	return o
}

// await lets time pass until a condition holds.
func (w *world) await(what string, within time.Duration, condition func() bool) {
	w.t.Helper()
	for end := time.Now().Add(within); !condition(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("waited %v until %s", within, what)
		}
	}
}

// quiet reports whether nothing is held, in payment, owed, or to be paid again.
func (w *world) quiet() bool {
	quiet := false
	w.cluster.Machine(w.event.Shard, func(m *fsm.Machine) {
		s := m.Stats()
		quiet = s.Holds == 0 && s.Effects == 0
		cut := m.Cut()
		defer cut.Release()
		for o := range cut.Orders(w.event.ID) {
			quiet = quiet && o.State != holdfast.OrderUnpaid
		}
	})
	return quiet
}

// settled lets everything come to its end and then holds the money against the seats: the bank's books against the
// orders, and a reconciliation that finds nothing.
func (w *world) settled(within time.Duration) settle.Report {
	w.t.Helper()
	w.await("everything is settled", within, w.quiet)
	ctx, cancel := context.WithTimeout(w.ctx, time.Hour)
	defer cancel()
	r, err := w.worker.Reconcile(ctx, w.event, settle.Span{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range r.Differences {
		w.t.Errorf("the books differ: %+v", d)
	}
	if r.Settling != 0 {
		w.t.Errorf("%d payments are under way when all is settled", r.Settling)
	}
	w.moneyEqualsSeats()
	return r
}

// moneyEqualsSeats looks at the bank's own books, which know nothing of how we settle.
func (w *world) moneyEqualsSeats() {
	w.t.Helper()
	paid, charged, sold := map[holdfast.HoldID]int64{}, map[holdfast.HoldID]int64{}, 0
	for o, err := range w.client.Orders(w.ctx, w.event) {
		if err != nil {
			w.t.Fatal(err)
		}
		if o.State == holdfast.OrderPaid {
			paid[o.ID.Hold()] = o.Amount.AmountMinor - o.RefundedMinor
		}
		if o.State != holdfast.OrderCancelled && o.State != holdfast.OrderRefunded {
			sold += len(o.Seats) - len(o.Refunded)
		}
		if o.State == holdfast.OrderCapturing || o.State == holdfast.OrderUnpaid {
			w.t.Errorf("order %s is %s when all is settled", o.ID, o.State)
		}
	}
	for _, e := range w.bank.Books() {
		key, err := payment.ParseKey(e.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Status == "requires_capture" {
			w.t.Errorf("payment %s of %s is authorised when all is settled", e.Payment, key.Hold)
		}
		charged[key.Hold] += e.CapturedMinor - e.RefundedMinor
	}
	for hold, amount := range charged {
		if amount != paid[hold] {
			w.t.Errorf("%s was charged %d and has seats for %d", hold, amount, paid[hold])
		}
	}
	for hold, amount := range paid {
		if amount != charged[hold] {
			w.t.Errorf("%s has seats for %d and was charged %d", hold, amount, charged[hold])
		}
	}
	e, err := w.client.Event(w.ctx, w.event)
	if err != nil {
		w.t.Fatal(err)
	}
	if e.Total.Sold != sold || e.Total.Free != w.capacity-sold {
		w.t.Errorf("%d sold and %d free of %d, with %d in orders", e.Total.Sold, e.Total.Free, w.capacity, sold)
	}
}

var settleSpan settle.Span

func places(n uint8) []command.Want {
	return []command.Want{{Kind: command.WantGeneral, Count: n}}
}
