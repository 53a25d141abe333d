package settle

import (
	"cmp"
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// Reconciliation reads what the provider says of all payments that carry this cluster's name, and what the shard says,
// and names every payment on which they differ. In a healthy system there is none: what is under way is counted apart.
// Neither side stands still meanwhile, so a difference counts only when a second look, a while later, finds it again.

// DifferenceKind says how the books differ.
type DifferenceKind string

// The kinds of differences.
const (
	ChargedUnknown    DifferenceKind = "charged_unknown"     // money was taken for a payment that the shard does not know
	AuthorisedUnknown DifferenceKind = "authorised_unknown"  // money is set aside for one that it does not know
	ChargedOver       DifferenceKind = "charged_over"        // money was taken by an attempt that is over
	AuthorisedOver    DifferenceKind = "authorised_over"     // money is set aside by one that is over
	SoldUnpaid        DifferenceKind = "sold_unpaid"         // an order counts as paid, and the money is not there
	AmountDiffers     DifferenceKind = "amount_differs"      // the payment is for another amount than was frozen
	CapturedDiffers   DifferenceKind = "captured_differs"    // another amount was taken
	RefundedOutside   DifferenceKind = "refunded_outside"    // more was given back than the shard knows of
	RefundMissing     DifferenceKind = "refund_missing"      // less was given back than the shard was told
	DisputeDiffers    DifferenceKind = "dispute_differs"     // the bank says otherwise
	MissingAtProvider DifferenceKind = "missing_at_provider" // the provider does not know a payment that sold an order
	EffectParked      DifferenceKind = "effect_parked"       // something is owed that nobody tries any more
	OrderUnbacked     DifferenceKind = "order_unbacked"      // a paid order stands on no payment
)

var repairs = map[DifferenceKind]string{
	ChargedUnknown:    "payments reconcile --repair: the shard has it refunded, or sells the same seats after all",
	AuthorisedUnknown: "payments reconcile --repair: the shard has it cancelled",
	ChargedOver:       "payments reconcile --repair: the shard has it refunded, or sells the same seats after all",
	AuthorisedOver:    "payments reconcile --repair: the shard has it cancelled",
	SoldUnpaid:        "somebody undid it at the provider, or it is a bug: capture it there while it is authorised; otherwise settle it with the buyer",
	AmountDiffers:     "find out who changed the payment at the provider; refund the order and sell it anew",
	CapturedDiffers:   "find out who captured at the provider; refund or charge the difference there",
	RefundedOutside:   "somebody refunded at the provider: order refund for what was given back; the books follow, and no money moves again",
	RefundMissing:     "a refund failed after it had been accepted: refund it at the provider, or pay the buyer by other means",
	DisputeDiffers:    "payments reconcile --repair: the shard learns what the bank says",
	MissingAtProvider: "check whose keys the workers have; then refund the order or cancel it",
	EffectParked:      "payments retry EFFECT, after its cause has gone",
	OrderUnbacked:     "report it: the shard's books contradict each other",
}

// looks are the kinds that another look repairs.
var looks = []DifferenceKind{ChargedUnknown, AuthorisedUnknown, ChargedOver, AuthorisedOver, DisputeDiffers}

// Difference is one payment on which the books differ.
type Difference struct {
	Kind          DifferenceKind
	Payment       payment.Ref
	Hold          holdfast.HoldID // the order's id too
	Attempt       holdfast.Attempt
	Shard         holdfast.PaymentState // 0: it does not know the payment
	Provider      payment.Status        // 0: it does not know the payment
	ShardMinor    int64                 // what should be there by the shard's books
	ProviderMinor int64                 // what is there
	Currency      holdfast.Currency
	Effect        holdfast.EffectID
	Repair        string // what mends it
	Repaired      bool   // a look was taken
}

// Report is what a reconciliation of one event found.
type Report struct {
	Event       client.EventRef
	From, To    time.Time // of the provider's list
	Index       uint64    // of the shard's log at which its books were read
	Incarnation holdfast.Incarnation
	Known       int       // payments in the shard's books
	Listed      int       // payments of the event at the provider
	Settling    int       // under way: begun, or something is owed about them
	Oldest      time.Time // when the oldest attempt was begun that waits for the provider's word: seats or a buyer's money hang on it; zero: none
	Ledger      client.Ledger
	Captured    int64 // by the provider, minor units
	Refunded    int64
	Differences []Difference
}

// Span says how far back the provider's list is read.
type Span struct {
	// Since is how far back at least; 0: a week. Payments that the shard's books know to be older are found in any case.
	Since  time.Duration
	Repair bool // look again at what a look can mend
}

const (
	sinceDefault = 7 * 24 * time.Hour
	secondLook   = 3 * time.Second // after the first, for what was under way
	listedMax    = 8 << 20         // payments in one list
	looksMax     = 10_000          // of second looks; beyond, the first look counts
)

// Reconcile compares one event's books with the provider's.
func (w *Worker) Reconcile(ctx context.Context, event client.EventRef, span Span) (Report, error) {
	event, err := w.client().Locate(ctx, event)
	if err != nil {
		return Report{}, err
	}
	return w.reconcile(ctx, event, span, nil)
}

// listing is the provider's list of a span, by event.
type listing struct {
	span   payment.Span
	events map[holdfast.EventID][]payment.Payment
}

func (w *Worker) reconcile(ctx context.Context, event client.EventRef, span Span, listed *listing) (Report, error) {
	b, err := w.books(ctx, event)
	if err != nil {
		return Report{}, err
	}
	from := b.from(time.Now().Add(-cmp.Or(span.Since, sinceDefault)))
	if listed == nil || listed.span.From.After(from) {
		if listed, err = w.list(ctx, b.Cluster, from); err != nil {
			return Report{}, err
		}
	}
	r := Report{Event: event, From: listed.span.From, To: listed.span.To, Index: b.Stamp.Index, Incarnation: b.Incarnation, Known: len(b.Payments), Ledger: b.Ledger}
	first := b.compare(listed.events[event.ID], &r)
	if len(first) == 0 {
		return r, nil
	}
	if err := pause(ctx, secondLook); err != nil {
		return r, err
	}
	r.Differences, err = w.again(ctx, event, first)
	if err == nil && span.Repair {
		w.repair(ctx, event, r.Differences)
	}
	return r, err
}

// books are a shard's books of an event, with its paid orders.
type books struct {
	client.Book
	byRef  map[payment.Ref]*client.Payment
	byHold map[holdfast.HoldID][]*client.Payment
	orders []client.Order // sold for a payment that is not in the book
}

func (w *Worker) books(ctx context.Context, event client.EventRef) (*books, error) {
	book, err := w.client().Payments(ctx, event)
	if err != nil {
		return nil, err
	}
	b := &books{Book: book, byRef: make(map[payment.Ref]*client.Payment, len(book.Payments)), byHold: make(map[holdfast.HoldID][]*client.Payment, len(book.Payments))}
	standing := make(map[holdfast.HoldID]bool, len(book.Payments))
	for i := range book.Payments {
		p := &book.Payments[i]
		if p.Ref != "" {
			b.byRef[payment.Ref(p.Ref)] = p
		}
		b.byHold[p.Hold] = append(b.byHold[p.Hold], p)
		standing[p.Hold] = standing[p.Hold] || p.Ordered
	}
	for o, err := range w.client().Orders(ctx, event) {
		if err != nil {
			return nil, err
		}
		if o.As == command.SalePaid && !standing[o.ID.Hold()] && (o.State == holdfast.OrderPaid || o.State == holdfast.OrderCapturing) {
			b.orders = append(b.orders, o)
		}
	}
	return b, nil
}

// from is where the provider's list has to begin: at the earliest payment of the books, or before.
func (b *books) from(since time.Time) time.Time {
	for i := range b.Payments {
		if begun := b.Payments[i].Begun.Add(-clockSlack); !b.Payments[i].Begun.IsZero() && begun.Before(since) {
			since = begun
		}
	}
	return since
}

// list reads the provider's list from then on, of all events of the cluster.
func (w *Worker) list(ctx context.Context, cluster string, from time.Time) (*listing, error) {
	l := &listing{span: payment.Span{From: from, To: time.Now().Add(clockSlack)}, events: map[holdfast.EventID][]payment.Payment{}}
	count := 0
	for after := payment.Cursor(""); ; {
		var page payment.Page
		err := w.call(ctx, payment.Reconciling, "list", func(ctx context.Context) (err error) {
			page, err = w.cfg.Provider.List(ctx, l.span, after)
			return err
		})
		if payment.KindOf(err).Again() && err != nil {
			if pause(ctx, troublePause) == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		for _, p := range page.Payments {
			if p.Key.Cluster == cluster {
				l.events[p.Key.Event] = append(l.events[p.Key.Event], p)
			}
		}
		if count += len(page.Payments); count > listedMax {
			return nil, &holdfast.Error{Kind: holdfast.Overloaded, Op: "reconcile", Message: fmt.Sprintf("the provider lists more than %d payments: look less far back", listedMax)}
		}
		if after = page.Next; after == "" {
			return l, nil
		}
	}
}

// find gives the shard's payment that a provider's payment is.
func (b *books) find(p *payment.Payment) *client.Payment {
	if known := b.byRef[p.Ref]; known != nil {
		return known
	}
	for _, known := range b.byHold[p.Key.Hold] {
		if known.Attempt == p.Key.Attempt && known.Ref == "" {
			return known
		}
	}
	return nil
}

// compare compares all, and counts into the report.
func (b *books) compare(listed []payment.Payment, r *Report) (found []Difference) {
	r.Listed = len(listed)
	seen := make(map[*client.Payment]bool, len(listed))
	for i := range listed {
		p := &listed[i]
		r.Captured += p.CapturedMinor
		r.Refunded += p.RefundedMinor
		known := b.find(p)
		if known != nil {
			seen[known] = true
		}
		// A list does not tell how a dispute stands: whatever is disputed gets a second look.
		if known != nil && known.Dispute != 0 && known.Dispute != holdfast.DisputeLost && p.Dispute.State != 0 {
			found = append(found, difference(DisputeDiffers, known, p))
			continue
		}
		found = add(found, known, p)
	}
	for i := range b.Payments {
		known := &b.Payments[i]
		if settling(known) {
			r.Settling++
		}
		if waits(known) && (r.Oldest.IsZero() || known.Begun.Before(r.Oldest)) {
			r.Oldest = known.Begun
		}
		if !seen[known] {
			found = add(found, known, nil)
		}
	}
	for _, o := range b.orders {
		found = append(found, Difference{Kind: OrderUnbacked, Hold: o.ID.Hold(), Attempt: o.Attempt, Payment: payment.Ref(o.Payment), ShardMinor: o.Amount.AmountMinor,
			Currency: o.Amount.Currency, Repair: repairs[OrderUnbacked]})
	}
	return found
}

// settling reports whether something is under way about a payment.
func settling(p *client.Payment) bool {
	return p.State == holdfast.PaymentBegun || p.Effect != 0
}

// waits reports whether a look, a capture or a cancelling is still to come. A refund may take a bank days.
func waits(p *client.Payment) bool {
	switch p.State {
	case holdfast.PaymentBegun, holdfast.PaymentCondemned, holdfast.PaymentCapturing:
		return !p.Begun.IsZero() && !p.EffectParked
	}
	return false
}

func add(found []Difference, known *client.Payment, p *payment.Payment) []Difference {
	kind := differ(known, p)
	if kind == "" {
		return found
	}
	return append(found, difference(kind, known, p))
}

func difference(kind DifferenceKind, known *client.Payment, p *payment.Payment) Difference {
	d := Difference{Kind: kind, Repair: repairs[kind]}
	if known != nil {
		d.Payment, d.Hold, d.Attempt, d.Shard = payment.Ref(known.Ref), known.Hold, known.Attempt, known.State
		d.ShardMinor, d.Currency, d.Effect = known.CapturedMinor-known.RefundedMinor, known.Amount.Currency, known.Effect
	}
	if p != nil {
		d.Payment, d.Hold, d.Attempt, d.Provider = p.Ref, p.Key.Hold, p.Key.Attempt, p.Status
		d.ProviderMinor, d.Currency = p.CapturedMinor-p.RefundedMinor, p.Amount.Currency
	}
	return d
}

// differ says how the books differ about one payment; empty: not, or something is under way. Either side may be nil.
func differ(known *client.Payment, p *payment.Payment) DifferenceKind {
	switch {
	case known == nil:
		return moneyOf(p, ChargedUnknown, AuthorisedUnknown)
	case known.EffectParked:
		return EffectParked
	case p == nil:
		if known.Ref != "" && (known.State == holdfast.PaymentCaptured || known.State == holdfast.PaymentCapturing) {
			return MissingAtProvider
		}
		return ""
	case p.Amount != known.Amount && known.State != holdfast.PaymentFailed && known.State != holdfast.PaymentVoided:
		return AmountDiffers
	}
	switch known.State {
	case holdfast.PaymentVoided, holdfast.PaymentFailed:
		if settling(known) {
			return ""
		}
		return moneyOf(p, ChargedOver, AuthorisedOver)
	case holdfast.PaymentCaptured, holdfast.PaymentReturned:
		return differCaptured(known, p)
	}
	return "" // begun, condemned, capturing: the shard will look, cancel or capture
}

// moneyOf says which of two it is when there is money at the provider.
func moneyOf(p *payment.Payment, charged, authorised DifferenceKind) DifferenceKind {
	switch {
	case p.Status == payment.StatusAuthorised:
		return authorised
	case p.CapturedMinor > p.RefundedMinor:
		return charged
	}
	return ""
}

func differCaptured(known *client.Payment, p *payment.Payment) DifferenceKind {
	switch {
	case p.Status != payment.StatusCaptured:
		return SoldUnpaid
	case p.CapturedMinor != known.CapturedMinor:
		return CapturedDiffers
	case p.RefundedMinor > known.RefundedMinor+known.OwedMinor:
		return RefundedOutside
	case p.RefundedMinor < known.RefundedMinor:
		return RefundMissing
	case p.Dispute.State != known.Dispute && !(known.Dispute == holdfast.DisputeLost && p.Dispute.State != 0):
		return DisputeDiffers
	}
	return ""
}

// again takes a second look at what differs: at each payment by itself, against books read anew.
func (w *Worker) again(ctx context.Context, event client.EventRef, first []Difference) (found []Difference, err error) {
	b, err := w.books(ctx, event)
	if err != nil {
		return first, err
	}
	for i, d := range first {
		if i >= looksMax {
			return append(found, first[i:]...), nil
		}
		if d.Kind == OrderUnbacked {
			if slices.ContainsFunc(b.orders, func(o client.Order) bool { return o.ID.Hold() == d.Hold }) {
				found = append(found, d)
			}
			continue
		}
		var p *payment.Payment
		if d.Payment != "" {
			now, err := w.clerk.fetch(ctx, attempt{Ref: d.Payment})
			if err == nil {
				p = &now
			} else if payment.KindOf(err) != payment.Missing {
				return first, err
			}
		}
		known := b.byRef[d.Payment]
		if p != nil {
			known = b.find(p)
		}
		if known == nil && p == nil {
			for _, other := range b.byHold[d.Hold] {
				if other.Attempt == d.Attempt {
					known = other
				}
			}
		}
		if known != nil || p != nil {
			found = add(found, known, p)
		}
	}
	return found, nil
}

// repair looks again at what a look can mend.
func (w *Worker) repair(ctx context.Context, event client.EventRef, found []Difference) {
	for i := range found {
		d := &found[i]
		if d.Payment == "" || !slices.Contains(looks, d.Kind) {
			continue
		}
		p, err := w.clerk.fetch(ctx, attempt{Ref: d.Payment})
		if err == nil {
			_, err = w.clerk.judge(ctx, attempt{Event: event, Key: p.Key, Ref: p.Ref, Total: p.Amount, Capture: p.Capture, Begun: p.Created}, p)
		}
		d.Repaired = err == nil
		if err != nil {
			w.log.Warn("a difference is not mended", "payment", string(d.Payment), "kind", string(d.Kind), "error", err)
		}
	}
}

// reconcileNowAndThen reconciles all events of the worker's account until ctx ends, and mends what another look mends.
// Workers do so apart from each other, so that not all read the provider's list at once.
func (w *Worker) reconcileNowAndThen(ctx context.Context) {
	every := w.cfg.ReconcileEvery
	for pause(ctx, every/2+mathrand.N(every)) == nil {
		n, err := w.ReconcileAll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.stats.ReconcileFailures.Add(1)
			w.log.Warn("the books could not be reconciled", "error", err)
			continue
		}
		w.stats.Reconciled.Store(time.Now().UnixMilli())
		w.stats.Differences.Store(int64(n))
		if n > 0 {
			w.log.Error("MONEY AND SEATS DIFFER", "differences", n)
		}
	}
}

// ReconcileAll reconciles every event whose payments are the worker's account's, and counts the differences.
func (w *Worker) ReconcileAll(ctx context.Context) (differences int, err error) {
	account, err := w.whose(ctx)
	if err != nil {
		return 0, err
	}
	events, err := w.client().Events(ctx)
	if err != nil {
		return 0, err
	}
	var listed *listing
	oldest := time.Now()
	for _, e := range events {
		event, err := w.client().Event(ctx, e.EventRef, client.AllowStale())
		if err != nil {
			return differences, err
		}
		if c := event.Spec.Checkout; !c.Given() || c.Account != account || c.Mode != w.mode {
			continue
		}
		if listed == nil {
			id, err := w.identity(ctx, event.Shard)
			if err != nil {
				return differences, err
			}
			if listed, err = w.list(ctx, id.Cluster, time.Now().Add(-sinceDefault)); err != nil {
				return differences, err
			}
		}
		r, err := w.reconcile(ctx, event.EventRef, Span{Repair: true}, listed)
		if err != nil {
			return differences, err
		}
		if !r.Oldest.IsZero() && r.Oldest.Before(oldest) {
			oldest = r.Oldest
		}
		for _, d := range r.Differences {
			w.log.Warn("the books differ", "event", event.Name, "kind", string(d.Kind), "payment", string(d.Payment), "hold", d.Hold.String(),
				"shard_minor", d.ShardMinor, "provider_minor", d.ProviderMinor, "repaired", d.Repaired)
			if !d.Repaired {
				differences++
			}
		}
	}
	w.stats.WaitingSeconds.Store(int64(time.Since(oldest) / time.Second))
	return differences, nil
}
