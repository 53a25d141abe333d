package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/settle"
	"github.com/holdfast-db/holdfast/payment"
)

// Settlement is the checkout's way to the provider: what a buyer waits for is asked here, within the same limits as what
// the worker carries out by itself.
type Settlement struct {
	client   *client.Client
	provider payment.Provider
	worker   *settle.Worker
	public   PaymentPublic
	log      *slog.Logger
	refs     refMemory
}

// NewSettlement puts a worker behind a checkout. public is what browsers are told.
func NewSettlement(c *client.Client, p payment.Provider, w *settle.Worker, public PaymentPublic) *Settlement {
	public.TestMode = p.Mode() != holdfast.ModeLive
	return &Settlement{client: c, provider: p, worker: w, public: public, log: w.Logger()}
}

// Collectors are the worker's counters for a scraper.
func (m *Settlement) Collectors() []prometheus.Collector { return m.worker.Collectors() }

// Public says what browsers need to know of the provider.
func (m *Settlement) Public() PaymentPublic { return m.public }

// Begin makes the provider's payment for an attempt, or finds it, and notes its reference in the shard.
func (m *Settlement) Begin(ctx context.Context, b PaymentBegin) (clientSecret string, err error) {
	p, _, err := m.create(ctx, b)
	if err != nil {
		return "", sayPayment(err)
	}
	ref := client.AttemptRef{Event: b.Event, Hold: b.Hold, Attempt: b.Attempt, Payment: string(p.Ref)}
	if p.Status == payment.StatusCancelled {
		if err := m.client.FailPayment(ctx, ref); err != nil {
			return "", err
		}
		return "", errAttemptOver
	}
	if err := m.client.AttachPayment(ctx, ref); err != nil {
		return "", err
	}
	m.refs.keep(attemptName{b.Hold, b.Attempt}, p.Ref)
	return p.ClientSecret.Reveal(), nil
}

// refMemory remembers what payments attempts have, so that a buyer's polls read one payment each and make none. It forgets
// the older half when it is full; what is forgotten is found by making it again.
type refMemory struct {
	mu         sync.Mutex
	young, old map[attemptName]payment.Ref
}

type attemptName struct {
	hold    holdfast.HoldID
	attempt holdfast.Attempt
}

const refsMax = 1 << 15 // of either half

func (r *refMemory) keep(name attemptName, ref payment.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || len(r.young) >= refsMax {
		r.young, r.old = map[attemptName]payment.Ref{}, r.young
	}
	r.young[name] = ref
}

func (r *refMemory) of(name attemptName) (payment.Ref, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, ok := r.young[name]
	if !ok {
		ref, ok = r.old[name]
	}
	return ref, ok
}

// create makes the payment, or finds the one that was made: the key is the attempt's, so there is one.
func (m *Settlement) create(ctx context.Context, b PaymentBegin) (payment.Payment, client.Identity, error) {
	q, err := m.client.Quote(ctx, b.Event, b.Hold, holdfast.PromoCode{})
	if err != nil {
		return payment.Payment{}, client.Identity{}, err
	}
	if account, mode := m.worker.Account(); account != "" && q.Mode != 0 && (q.Mode != mode || q.Account != account) {
		// The shard would give no seats for it, so no card is asked for.
		m.log.Error("an event's payments belong to another account or mode than the keys; nobody can pay for it here", "event", b.Event.Name, "event_mode", q.Mode.String(), "event_account", q.Account,
			"keys_mode", mode.String(), "keys_account", account)
		return payment.Payment{}, q.Identity, errNoPayments
	}
	if err := m.worker.Grants().Take(ctx, payment.Creating); err != nil {
		return payment.Payment{}, q.Identity, err
	}
	p, err := m.provider.Create(ctx, payment.Intent{
		Key:    payment.Key{Cluster: q.Cluster, Incarnation: q.Incarnation, Event: b.Event.ID, Hold: b.Hold, Attempt: b.Attempt},
		Amount: b.Amount, Capture: holdfast.CaptureManual, Since: b.Since})
	return p, q.Identity, err
}

// find gives the reference of an attempt's payment: from memory, or by making it again, which finds it.
func (m *Settlement) find(ctx context.Context, b PaymentBegin) (payment.Ref, client.Identity, error) {
	name := attemptName{b.Hold, b.Attempt}
	if ref, ok := m.refs.of(name); ok {
		event, err := m.client.Locate(ctx, b.Event)
		if err != nil {
			return "", client.Identity{}, err
		}
		id, err := m.worker.Identity(ctx, event.Shard)
		return ref, id, err
	}
	p, id, err := m.create(ctx, b)
	if err == nil {
		m.refs.keep(name, p.Ref)
	}
	return p.Ref, id, err
}

// Look asks the provider how an attempt stands, and lets that decide in the shard.
func (m *Settlement) Look(ctx context.Context, event client.EventRef, h client.Hold, since time.Time) (PaymentVerdict, error) {
	ref, id, err := m.find(ctx, PaymentBegin{Event: event, Hold: h.ID, Attempt: h.Attempt, Amount: h.Amount, Since: since})
	if err != nil {
		return PaymentVerdict{}, sayPayment(err)
	}
	v, err := m.worker.Look(ctx, ref, id)
	switch {
	case err != nil:
		return PaymentVerdict{}, sayPayment(err)
	case v.Order != nil:
		return PaymentVerdict{State: PaymentSold}, nil
	case v.Pending:
		verdict := PaymentVerdict{State: PaymentPending}
		if p := v.Payment; p.Status == payment.StatusOpen && p.Failure.Code != "" {
			verdict.Declined = orElse(p.Failure.Decline, p.Failure.Code)
		}
		return verdict, nil
	}
	return PaymentVerdict{State: PaymentFailed}, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Hint takes a webhook.
func (m *Settlement) Hint(ctx context.Context, body []byte, signature string) error {
	ctx, cancel := context.WithTimeout(ctx, hintPatience)
	defer cancel()
	return sayPayment(m.worker.Hint(ctx, body, signature))
}

// hintPatience is how long a webhook may wait for its commit: the provider sends it again.
const hintPatience = 4 * time.Second

// sayPayment puts a provider's failure into words for buyers. What the shard said stays as it is.
func sayPayment(err error) error {
	var failure *payment.Error
	if !errors.As(err, &failure) {
		return err
	}
	said := &refusal{http.StatusServiceUnavailable, "payment_" + failure.Kind.String(), "the payment provider does not answer; nothing was charged that would not go back, and your seats stay yours: try again", "", 2 * time.Second}
	switch failure.Kind {
	case payment.Declined:
		said = &refusal{http.StatusPaymentRequired, "payment_declined", "the card was declined; nothing was taken: try another one", "", 0}
	case payment.Limited, payment.Busy:
		said.message = "many people pay at this moment; nothing was charged, and your seats stay yours: try again"
		said.retry = max(failure.RetryAfter, time.Second)
	case payment.Invalid, payment.WrongAccount, payment.Reused, payment.Missing, payment.WrongState:
		said.message = "this cannot be paid here at the moment; nothing was charged that would not go back, and your seats stay yours until their time is over"
	case payment.Forged:
		said = &refusal{http.StatusBadRequest, "payment_forged", "the signature is wrong", "", 0}
	}
	return fmt.Errorf("%w: %w", said, err)
}
