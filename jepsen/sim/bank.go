package sim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// bank is the payment provider: the sandbox, reached without sockets. Its webhooks come twice, late, in another order, or
// never.
type bank struct {
	world  *world
	server *sandbox.Server
	secret payment.Secret // of webhooks

	mu       sync.Mutex
	receipts map[holdfast.HoldID]int // that were carried out, by order
}

// till is how a frontend's process takes money.
type till struct {
	*frontend.Settlement
	worker *settle.Worker
}

const bankAccount = "acct_sandbox"

func (w *world) openBank() (err error) {
	b := &bank{world: w, secret: payment.Hide("whsec_sandboxsandboxsandbox"), receipts: map[holdfast.HoldID]int{}}
	cfg := sandbox.Config{
		Account: bankAccount, Seed: w.plan.Seed, Transport: postman{b}, LateAfter: 4 * time.Second, RefundAfter: 5 * time.Second, HangFor: 20 * time.Second,
		Latency:  sandbox.Latency{Base: 20 * time.Millisecond, Mean: 30 * time.Millisecond, Max: time.Second},
		Webhooks: sandbox.Webhooks{Spread: 2 * time.Second, DuplicatesPerMille: 200, LostPerMille: 100},
	}
	for i := range fronts {
		cfg.Endpoints = append(cfg.Endpoints, sandbox.Endpoint{URL: "http://" + hostName(Members+i) + "/webhooks/stripe", Secret: b.secret})
	}
	if b.server, err = sandbox.New(cfg); err != nil {
		return err
	}
	w.bank = b
	return nil
}

// postman carries webhooks to the frontends that run.
type postman struct{ bank *bank }

func (p postman) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	trip()
	for _, f := range p.bank.world.fronts.all {
		if hostName(f.host) != r.URL.Host {
			continue
		}
		l := f.now()
		if l == nil || l.till.Load() == nil {
			break
		}
		failure := l.till.Load().Hint(r.Context(), body, r.Header.Get("Stripe-Signature"))
		if l.ctx.Err() != nil {
			break // it has died meanwhile
		}
		answer := &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}
		if failure != nil {
			answer.StatusCode = http.StatusServiceUnavailable
		}
		return answer, nil
	}
	return nil, errRefused
}

// employ gives a frontend's process its way to take money, and lets its settlement worker work until it dies.
func (b *bank) employ(l *frontLife) {
	secret, _ := b.server.Keys()
	var provider payment.Provider
	provider, err := stripe.New(stripe.Config{Key: secret, Backend: "http://bank", Transport: b.server.Transport(), WebhookSecrets: []payment.Secret{b.secret}})
	if err == nil && b.world.cluster.broken.Provider != nil {
		provider = b.world.cluster.broken.Provider(provider)
	}
	var w *settle.Worker
	if err == nil {
		w, err = settle.New(l.ctx, settle.Config{
			Client: l.client, Provider: provider, Name: hostName(Members + l.number), Calls: 16, ReconcileEvery: reconcileEvery, Logger: b.world.cluster.logger,
			Carriers: map[holdfast.EffectKind]settle.Carrier{holdfast.EffectReceipt: b.carry},
			Step:     func(context.Context, string) error { return l.ctx.Err() }, // a process that has died does nothing more
		})
	}
	if err != nil {
		if l.ctx.Err() == nil {
			b.world.cluster.fail("%s has no way to take money: %v", hostName(Members+l.number), err)
		}
		return
	}
	defer w.Close()
	l.till.Store(&till{frontend.NewSettlement(l.client, provider, w, frontend.PaymentPublic{Provider: "sandbox"}), w})
	_ = w.Run(l.ctx) // it ends with the process
	if n := w.Stats().Differences.Load(); n > 0 {
		b.world.cluster.fail("%s found %d differences between the provider's books and the orders while all was under way", hostName(Members+l.number), n)
	}
}

// reconcileEvery is how often a frontend compares the books. Whatever is under way then, it must find no difference.
const reconcileEvery = 15 * time.Second

// carry sends a receipt.
func (b *bank) carry(_ context.Context, e remote.Effect) error {
	trip()
	if b.world.cluster.broken.Forgetful {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.receipts[e.Hold]++
	b.world.deeds.did("receipts")
	return nil
}

// sent reports whether an order's receipt was sent.
func (b *bank) sent(order holdfast.HoldID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.receipts[order] > 0
}

// fail lets a fault of the provider begin.
func (b *bank) fail(f Fault) (end func()) {
	do, ok := map[Kind]sandbox.Do{ProviderDown: sandbox.Down, ProviderLost: sandbox.DropAfter, ProviderError: sandbox.ErrorAfter, ProviderSlow: sandbox.Slow,
		ProviderLimit: sandbox.RateLimit, ProviderBusy: sandbox.Busy}[f.Kind]
	if !ok {
		panic("no such trouble: " + string(f.Kind))
	}
	set := func(faults ...sandbox.Fault) {
		if err := b.server.SetFaults(faults...); err != nil {
			panic(err) // there are such faults
		}
	}
	set(sandbox.Fault{Do: do, AfterMs: f.Size.Milliseconds()})
	return func() { set() }
}

// charges are the provider's books of an event.
func (b *bank) charges(event holdfast.EventID) (all []history.Charge, err error) {
	for _, e := range b.server.Books() {
		key, err := payment.ParseKey(e.Key)
		if err != nil {
			return nil, err
		}
		if key.Event == event {
			all = append(all, history.Charge{Payment: e.Payment, Event: key.Event, Hold: key.Hold, Attempt: int(key.Attempt), Status: e.Status,
				Captured: e.CapturedMinor, Refunded: e.RefundedMinor})
		}
	}
	return all, nil
}

// till gives a till that is open.
func (w *world) till(ctx context.Context) (*till, error) {
	for ctx.Err() == nil {
		for i := range fronts {
			if l := w.fronts.all[i].now(); l != nil && l.till.Load() != nil {
				return l.till.Load(), nil
			}
		}
		time.Sleep(downPause)
	}
	return nil, errors.Join(errRefused, ctx.Err())
}

// owed are the effects of an event that are about money.
func owed(ctx context.Context, c *remote.Client, event remote.EventRef) (all []remote.Effect, err error) {
	for e, err := range c.Effects(ctx, event.Shard) {
		if err != nil {
			return nil, err
		}
		if e.Event.ID == event.ID && !slices.Contains([]holdfast.EffectKind{holdfast.EffectNotify}, e.Kind) {
			all = append(all, e)
		}
	}
	return all, nil
}
