package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// What settlement workers and operators ask: what a shard owes the world, which calls to the provider may be made, and
// what the shard knows of the money.

// Effect is something that a shard wants done outside: see holdfast.EffectKind.
type Effect struct {
	ID      holdfast.EffectID
	Event   EventRef // number and shard
	Kind    holdfast.EffectKind
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt
	Payment string         // the provider's reference; empty while it is not known
	Amount  holdfast.Money // what is to be moved: of a capture and a refund
	// What the payment is for, how it takes its money, and when the attempt began on the shard's wall clock: with them
	// it is found at the provider when its reference got lost.
	Total  holdfast.Money
	Method holdfast.CaptureMethod
	Begun  time.Time
	Life   holdfast.Incarnation // in which it began
	// RefundedMinor was given back of the payment before.
	RefundedMinor int64

	NotBefore holdfast.Clock // on the hold clock
	Latest    time.Time      // by the shard's wall clock; zero: none
	Urgent    bool           // seats wait for it
	Parked    bool           // nobody carries it out until RetryEffect
	Tries     int
	Code      string         // with what it was last put off
	Topic     holdfast.Topic // of a receipt or a notification
}

// Identity is what every key at a payment provider begins with: whose payment it is.
type Identity struct {
	Cluster     string
	Incarnation holdfast.Incarnation
}

// LeaseRequest asks for effects of one shard.
type LeaseRequest struct {
	Shard  holdfast.ShardID
	Worker string                // unique among workers
	Number uint64                // of the question: a worker's later ones have higher numbers
	Kinds  []holdfast.EffectKind // that the worker carries out
	// Whose payments it can touch. Effects of events with another account, or another mode, are left to others.
	Account string
	Mode    holdfast.PaymentMode
	Max     int                 // more effects at most; 0: only give back
	Have    []holdfast.EffectID // what the worker still has in hand; it has finished with all others
	Wait    time.Duration       // how long to wait when none is due
}

// Lease is what a worker was given. The effects are its own until it ends; after that another worker may have them.
type Lease struct {
	Identity
	Effects []Effect
	For     time.Duration // counted from before the request was sent
	Stamp   Stamp
}

// LeaseEffects gives due effects to a worker for a while, the most urgent first. It is to be called again whenever the
// worker has finished with some.
func (c *Client) LeaseEffects(ctx context.Context, q LeaseRequest) (Lease, error) {
	const op = "lease effects"
	if q.Shard == holdfast.Directory {
		return Lease{}, named(op, invalid("shard", "the directory has no effects"))
	}
	ask := &api.LeaseRequest{Shard: uint32(q.Shard), Worker: q.Worker, Number: q.Number, Account: q.Account, Mode: uint32(q.Mode), Max: uint32(max(q.Max, 0)), WaitMs: uint32(q.Wait.Milliseconds())}
	for _, kind := range q.Kinds {
		ask.Kinds |= 1 << kind
	}
	for _, id := range q.Have {
		ask.Have = append(ask.Have, uint64(id))
	}
	r := c.reading(ctx, q.Shard, nil)
	r.patience = readPatience + q.Wait
	answer, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.LeaseResponse, error) {
		return api.NewSettlementClient(conn).Lease(ctx, ask)
	})
	if failure != nil {
		return Lease{}, named(op, failure)
	}
	given := Lease{Identity: Identity{answer.GetCluster(), holdfast.Incarnation(answer.GetIncarnation())},
		For: time.Duration(answer.GetLeaseMs()) * time.Millisecond, Stamp: stampOf(answer.GetStamp())}
	for _, e := range answer.GetEffects() {
		given.Effects = append(given.Effects, effectOf(q.Shard, e))
	}
	return given, nil
}

func effectOf(shard holdfast.ShardID, e *api.Effect) Effect {
	effect := Effect{ID: holdfast.EffectID(e.GetId()), Event: EventRef{ID: holdfast.EventID(e.GetEvent()), Shard: shard},
		Kind: holdfast.EffectKind(e.GetKind()), Attempt: holdfast.Attempt(e.GetAttempt()), Payment: e.GetPayment(),
		Amount: holdfast.Money{AmountMinor: e.GetAmountMinor(), Currency: holdfast.Currency(e.GetCurrency())},
		Total:  holdfast.Money{AmountMinor: e.GetTotalMinor(), Currency: holdfast.Currency(e.GetCurrency())},
		Method: holdfast.CaptureMethod(e.GetMethod()), Begun: timeOf(e.GetBegunMs()), Life: holdfast.Incarnation(e.GetLife()), RefundedMinor: e.GetRefundedMinor(),
		NotBefore: holdfast.Clock(e.GetNotBeforeUs()), Latest: timeOf(e.GetLatestMs()), Urgent: e.GetUrgent(), Parked: e.GetParked(),
		Tries: int(e.GetTries()), Code: e.GetCode(), Topic: holdfast.Topic(e.GetTopic())}
	copy(effect.Hold[:], e.GetHold())
	return effect
}

// timeOf keeps "none" apart from 1970.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// GrantRequest asks for acts at a payment provider. Acts are counted by class, the most urgent first: what the classes
// are is package payment's.
type GrantRequest struct {
	Account                         string // whose acts
	ReadsPerSecond, WritesPerSecond uint32 // what the provider allows it
	Burst                           time.Duration
	Want, Back                      []uint32 // Back: granted before, and not begun
	Limited                         bool     // the provider has refused a request for too many
}

// Grant is how many acts may be begun now, and for how long that holds; or, when none may, when to ask again.
type Grant struct {
	Acts  []uint32
	For   time.Duration
	Again time.Duration
}

// GrantActs draws acts at a payment provider from the cluster's one budget.
func (c *Client) GrantActs(ctx context.Context, q GrantRequest) (Grant, error) {
	r := c.reading(ctx, holdfast.Directory, nil)
	answer, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.GrantResponse, error) {
		return api.NewSettlementClient(conn).Grant(ctx, &api.GrantRequest{Account: q.Account, ReadsPerSecond: q.ReadsPerSecond,
			WritesPerSecond: q.WritesPerSecond, BurstMs: uint32(q.Burst.Milliseconds()), Want: q.Want, Back: q.Back, Limited: q.Limited})
	})
	if failure != nil {
		return Grant{}, named("grant acts", failure)
	}
	return Grant{Acts: answer.GetGranted(), For: time.Duration(answer.GetValidMs()) * time.Millisecond,
		Again: time.Duration(answer.GetAgainMs()) * time.Millisecond}, nil
}

// effectsPage is how many effects one call lists.
const effectsPage = 1000

// Effects lists what a shard owes the world, by number. It reads in pages: what is decided or done meanwhile may be
// missing or listed. An error ends the sequence.
func (c *Client) Effects(ctx context.Context, shard holdfast.ShardID, opts ...ReadOption) iter.Seq2[Effect, error] {
	return func(yield func(Effect, error) bool) {
		for from := uint64(1); from != 0; {
			r := c.reading(ctx, shard, opts)
			answer, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.EffectsResponse, error) {
				return api.NewSettlementClient(conn).Effects(ctx, &api.EffectsRequest{Shard: uint32(shard), From: from, Max: effectsPage, Consistency: r.consistency()})
			})
			if failure != nil {
				yield(Effect{}, named("list effects", failure))
				return
			}
			for _, e := range answer.GetEffects() {
				if !yield(effectOf(shard, e), nil) {
					return
				}
			}
			from = answer.GetNext()
		}
	}
}

// Payment is one attempt to pay, as the shard knows it.
type Payment struct {
	Hold    holdfast.HoldID
	Event   EventRef
	Attempt holdfast.Attempt
	Ref     string // the provider's reference; empty while it is not known
	State   holdfast.PaymentState
	Method  holdfast.CaptureMethod
	Amount  holdfast.Money // frozen
	// In the same currency: what was taken, is owed back, was given back, and was taken back by a bank.
	CapturedMinor, OwedMinor, RefundedMinor, ChargedBackMinor int64
	Dispute                                                   holdfast.DisputeState // 0: none
	Begun                                                     time.Time             // the shard's wall clock
	Ordered                                                   bool                  // an order stands on it
	Stray                                                     bool                  // no attempt of ours began it
	Life                                                      holdfast.Incarnation  // in which it began
	Effect                                                    holdfast.EffectID     // what is owed about it now; 0: nothing
	EffectParked                                              bool                  // and nobody tries it any more
}

// Ledger is an event's money, in minor units: Captured + Capturing + Overdrawn = Live + Kept + Owed + Refunded +
// ChargedBack.
type Ledger struct {
	Currency    holdfast.Currency
	Captured    int64
	Capturing   int64 // sold, and its capture not acknowledged
	Live        int64 // lines of orders that were paid and not refunded
	Kept        int64 // fees of refunded lines
	Owed        int64 // refunds that are not made yet
	Refunded    int64
	ChargedBack int64
	Overdrawn   int64 // taken back by banks beyond what was left
	Unpaid      int64 // orders whose capture failed, in no payment's books
	Outside     int64 // orders sold by invoice, or without rules for payments
}

// Book is all that a shard knows of an event's payments, as of one index.
type Book struct {
	Identity
	Event EventRef
	Wall  time.Time // the shard's wall clock
	// Suspended: no payment begins until the books are reconciled.
	Suspended bool
	Ledger    Ledger
	Payments  []Payment
	Stamp     Stamp
}

// paymentsMax bounds what Payments takes into memory: an event of the largest size, each unit paid for twice.
const paymentsMax = 2 * holdfast.UnitsPerEventMax

// Payments reads an event's payments from one consistent cut.
func (c *Client) Payments(ctx context.Context, event EventRef, opts ...ReadOption) (Book, error) {
	const op = "list payments"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return Book{}, named(op, failure)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := c.reading(ctx, event.Shard, opts)
	for {
		book, failure := r.book(ctx, event)
		if failure == nil {
			return book, nil
		}
		if !r.again(ctx, failure) {
			return Book{}, named(op, failure)
		}
	}
}

// book reads all pages from one member.
func (r *reading) book(ctx context.Context, event EventRef) (Book, *holdfast.Error) {
	conn, failure := r.member(ctx)
	if failure != nil {
		return Book{}, failure
	}
	pages, err := api.NewSettlementClient(conn).Payments(ctx, &api.PaymentsRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: r.consistency()})
	if err != nil {
		return Book{}, statusOf(err)
	}
	book := Book{Event: event}
	for {
		page, err := pages.Recv()
		if errors.Is(err, io.EOF) {
			return book, nil
		} else if err != nil {
			return Book{}, statusOf(err)
		}
		book.Identity = Identity{page.GetCluster(), holdfast.Incarnation(page.GetIncarnation())}
		book.Wall, book.Stamp = timeOf(page.GetWallMs()), stampOf(page.GetStamp())
		book.Suspended, book.Ledger = page.GetSuspended(), ledgerOf(page.GetLedger())
		if len(book.Payments)+len(page.GetPayments()) > paymentsMax {
			return Book{}, &holdfast.Error{Kind: holdfast.Internal, Shard: event.Shard, Message: "more payments than an event can have"}
		}
		for _, p := range page.GetPayments() {
			book.Payments = append(book.Payments, paymentOf(event, p))
		}
	}
}

func ledgerOf(l *api.Ledger) Ledger {
	return Ledger{Currency: holdfast.Currency(l.GetCurrency()), Captured: l.GetCapturedMinor(), Capturing: l.GetCapturingMinor(), Live: l.GetLiveMinor(),
		Kept: l.GetKeptMinor(), Owed: l.GetOwedMinor(), Refunded: l.GetRefundedMinor(), ChargedBack: l.GetChargedBackMinor(),
		Overdrawn: l.GetOverdrawnMinor(), Unpaid: l.GetUnpaidMinor(), Outside: l.GetOutsideMinor()}
}

func paymentOf(event EventRef, p *api.Payment) Payment {
	payment := Payment{Event: event, Attempt: holdfast.Attempt(p.GetAttempt()), Ref: p.GetPayment(), State: holdfast.PaymentState(p.GetState()),
		Method:        holdfast.CaptureMethod(p.GetMethod()),
		Amount:        holdfast.Money{AmountMinor: p.GetAmountMinor(), Currency: holdfast.Currency(p.GetCurrency())},
		CapturedMinor: p.GetCapturedMinor(), OwedMinor: p.GetOwedMinor(), RefundedMinor: p.GetRefundedMinor(), ChargedBackMinor: p.GetChargedBackMinor(),
		Dispute: holdfast.DisputeState(p.GetDispute()), Begun: timeOf(p.GetBegunMs()), Ordered: p.GetOrdered(), Stray: p.GetStray(), Life: holdfast.Incarnation(p.GetLife()),
		Effect: holdfast.EffectID(p.GetEffect()), EffectParked: p.GetParked()}
	copy(payment.Hold[:], p.GetHold())
	return payment
}

// Quote is what a hold costs, line by line. BeginPayment must be for exactly Total.
type Quote struct {
	Identity
	Lines   []command.Line
	Total   holdfast.Money
	Refused holdfast.Outcome     // with what BeginPayment would be refused; 0: not
	Attempt holdfast.Attempt     // the hold's current one; 0: none
	Mode    holdfast.PaymentMode // of the event; 0: it has no rules for payments
	Account string               // the provider's account that has to take the money
	Stamp   Stamp
}

// Quote tells what a hold would cost with a promotion code; zero: none.
func (c *Client) Quote(ctx context.Context, event EventRef, hold holdfast.HoldID, promo holdfast.PromoCode, opts ...ReadOption) (Quote, error) {
	const op = "quote"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return Quote{}, named(op, failure)
	}
	r := c.reading(ctx, event.Shard, opts)
	q, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.QuoteResponse, error) {
		return api.NewSettlementClient(conn).Quote(ctx, &api.QuoteRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Hold: hold[:], Promo: promo[:],
			Consistency: r.consistency()})
	})
	if failure != nil {
		return Quote{}, named(op, failure)
	}
	quote := Quote{Identity: Identity{q.GetCluster(), holdfast.Incarnation(q.GetIncarnation())},
		Total:   holdfast.Money{AmountMinor: q.GetTotalMinor(), Currency: holdfast.Currency(q.GetCurrency())},
		Refused: holdfast.Outcome(q.GetRefused()), Attempt: holdfast.Attempt(q.GetAttempt()),
		Mode: holdfast.PaymentMode(q.GetMode()), Account: q.GetAccount(), Stamp: stampOf(q.GetStamp())}
	for _, l := range q.GetLines() {
		quote.Lines = append(quote.Lines, command.Line{Kind: holdfast.LineKind(l.GetKind()), AmountMinor: l.GetAmountMinor()})
	}
	return quote, nil
}

// Shards lists the shards that sell.
func (c *Client) Shards(ctx context.Context) ([]holdfast.ShardID, error) {
	deadline := c.deadline(ctx)
	var wait retry.Backoff
	for {
		failure := c.routes.learn(ctx, deadline)
		if failure == nil {
			if shards := c.routes.shards(); len(shards) > 0 {
				return shards, nil
			}
			failure = &holdfast.Error{Kind: holdfast.Unavailable, Message: "no shard has a leader"}
		}
		if !c.sleep(ctx, &wait, deadline, failure.RetryAfter) {
			return nil, named("list shards", failure)
		}
	}
}
