package sandbox

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// The objects of the books, in Stripe's JSON of API version 2023-10-16. What is not in that JSON is unexported.

type intent struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	Amount             int64             `json:"amount"`
	AmountCapturable   int64             `json:"amount_capturable"`
	AmountReceived     int64             `json:"amount_received"`
	CanceledAt         *int64            `json:"canceled_at"`
	CancellationReason *string           `json:"cancellation_reason"`
	CaptureMethod      string            `json:"capture_method"`
	ClientSecret       string            `json:"client_secret"`
	ConfirmationMethod string            `json:"confirmation_method"`
	Created            int64             `json:"created"`
	Currency           string            `json:"currency"`
	LastPaymentError   *apiError         `json:"last_payment_error"`
	LatestCharge       any               `json:"latest_charge"` // an id; the charge itself where it was expanded
	Livemode           bool              `json:"livemode"`
	Metadata           map[string]string `json:"metadata"`
	NextAction         *nextAction       `json:"next_action"`
	PaymentMethod      *string           `json:"payment_method"`
	PaymentMethodTypes []string          `json:"payment_method_types"`
	Status             string            `json:"status"`

	inner intentInner
}

// intentInner is what only the sandbox knows of an intent.
type intentInner struct {
	Method    string `json:"method,omitempty"`     // the id of what the buyer pays with
	DueMs     int64  `json:"due_ms,omitempty"`     // when the bank answers, or the authorisation ends
	ReturnURL string `json:"return_url,omitempty"` // where the buyer goes after authenticating
}

type nextAction struct {
	Type          string         `json:"type"`
	RedirectToURL *redirectToURL `json:"redirect_to_url,omitempty"`
}

type redirectToURL struct {
	ReturnURL string `json:"return_url"`
	URL       string `json:"url"`
}

type charge struct {
	ID                   string            `json:"id"`
	Object               string            `json:"object"`
	Amount               int64             `json:"amount"`
	AmountCaptured       int64             `json:"amount_captured"`
	AmountRefunded       int64             `json:"amount_refunded"`
	Captured             bool              `json:"captured"`
	Created              int64             `json:"created"`
	Currency             string            `json:"currency"`
	Disputed             bool              `json:"disputed"`
	FailureCode          *string           `json:"failure_code"`
	Livemode             bool              `json:"livemode"`
	Metadata             map[string]string `json:"metadata"`
	Paid                 bool              `json:"paid"`
	PaymentIntent        string            `json:"payment_intent"`
	PaymentMethod        string            `json:"payment_method"`
	PaymentMethodDetails map[string]any    `json:"payment_method_details"`
	Refunded             bool              `json:"refunded"`
	Status               string            `json:"status"`
}

type refund struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Charge        string            `json:"charge"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	FailureReason string            `json:"failure_reason,omitempty"`
	Metadata      map[string]string `json:"metadata"`
	PaymentIntent string            `json:"payment_intent"`
	Reason        *string           `json:"reason"`
	Status        string            `json:"status"`

	dueMs int64 // when it gets to its end
}

type dispute struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Charge        string            `json:"charge"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	Livemode      bool              `json:"livemode"`
	Metadata      map[string]string `json:"metadata"`
	PaymentIntent string            `json:"payment_intent"`
	Reason        string            `json:"reason"`
	Status        string            `json:"status"`
}

// The states of an intent.
const (
	needsMethod  = "requires_payment_method"
	needsAction  = "requires_action"
	needsCapture = "requires_capture"
	processing   = "processing"
	succeeded    = "succeeded"
	canceled     = "canceled"
)

// books is all that the sandbox remembers, but for idempotency keys and webhooks under way.
type books struct {
	serial    uint64
	intents   map[string]*intent
	order     []*intent // of creation
	places    map[string]int
	charges   map[string]*charge
	refunds   map[string]*refund
	refundsOf map[string][]*refund // of an intent, in order of creation
	disputes  map[string]*dispute
	disputeOf map[string]*dispute // of an intent
	random    *rand.Rand
}

func newBooks(seed uint64) *books {
	return &books{
		intents: map[string]*intent{}, places: map[string]int{}, charges: map[string]*charge{}, refunds: map[string]*refund{},
		refundsOf: map[string][]*refund{}, disputes: map[string]*dispute{}, disputeOf: map[string]*dispute{},
		random: rand.New(rand.NewPCG(seed, 0x5eed)),
	}
}

// id makes an id that no object of these books has, after a restart too.
func (b *books) id(prefix string) string {
	b.serial++
	return fmt.Sprintf("%s_%08dS%012x", prefix, b.serial, b.random.Uint64()&0xffff_ffff_ffff)
}

func (b *books) putIntent(in *intent) {
	if b.intents[in.ID] == nil {
		b.places[in.ID] = len(b.order)
		b.order = append(b.order, in)
	} else {
		b.order[b.places[in.ID]] = in
	}
	b.intents[in.ID] = in
}

func (b *books) putRefund(r *refund) {
	of := b.refundsOf[r.PaymentIntent]
	if i := slices.IndexFunc(of, func(have *refund) bool { return have.ID == r.ID }); i >= 0 {
		of[i] = r
	} else {
		b.refundsOf[r.PaymentIntent] = append(of, r)
	}
	b.refunds[r.ID] = r
}

func (b *books) putDispute(d *dispute) {
	b.disputes[d.ID] = d
	b.disputeOf[d.PaymentIntent] = d
}

// chargeOf is an intent's latest charge, nil if nobody paid yet.
func (b *books) chargeOf(in *intent) *charge {
	id, _ := in.LatestCharge.(string)
	return b.charges[id]
}

// Entry is one payment of the books, as Books exports it.
type Entry struct {
	Payment       string `json:"payment"`
	Key           string `json:"key"` // the metadata holdfast_key
	Status        string `json:"status"`
	Currency      string `json:"currency"`
	AmountMinor   int64  `json:"amount"`
	CapturedMinor int64  `json:"captured"`
	RefundedMinor int64  `json:"refunded"` // of it, refunds under way included, failed ones not
	DisputedMinor int64  `json:"disputed"` // taken back by a dispute that is open or lost
	Refunds       int    `json:"refunds"`
	CreatedMs     int64  `json:"created_ms"`
}

func (b *books) entries() []Entry {
	list := make([]Entry, 0, len(b.order))
	for _, in := range b.order {
		e := Entry{
			Payment: in.ID, Key: in.Metadata["holdfast_key"], Status: in.Status, Currency: in.Currency, AmountMinor: in.Amount,
			CapturedMinor: in.AmountReceived, Refunds: len(b.refundsOf[in.ID]), CreatedMs: in.Created * 1000,
		}
		if c := b.chargeOf(in); c != nil {
			e.RefundedMinor = c.AmountRefunded
		}
		if d := b.disputeOf[in.ID]; d != nil && d.Status != "won" {
			e.DisputedMinor = d.Amount
		}
		list = append(list, e)
	}
	return list
}
