// Package payment is the seam between holdfast and whoever moves the money. It holds one small interface, the
// words that its two implementations share, and the arithmetic of a provider's limits.
//
//	payment/stripe       speaks Stripe's HTTP API, to Stripe or to the sandbox
//	payment/sandbox      a stateful server that speaks the part of that API which stripe uses
//	payment/paymenttest  one conformance suite for both
//
// # What a provider promises
//
// Every act is safe to repeat with the same arguments, by anybody and at any time: Create, Capture, Void and
// Refund look first where repeating blindly could do the thing twice. An error of kind Unknown says that the act
// may have happened; the cure is always to repeat the same call. What a webhook says is a hint and never a fact:
// ParseHint gives the name of the payment to look at, and nothing that one could act upon.
//
// The worst that can be left behind is a second payment for one key that nobody can pay, because its client secret
// was given to nobody. Find shows it, and reconciliation names it.
package payment

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Provider is one account at one payment provider. It is safe for concurrent use. Every method fails with *Error
// only, whose kind says what to do.
type Provider interface {
	// Mode says whether the keys move real money.
	Mode() holdfast.PaymentMode
	// Account asks the provider which account the keys belong to, as "acct_1abc".
	Account(ctx context.Context) (string, error)

	// Create makes the payment that Key names, or finds it when it was made before. The answer carries the client
	// secret with which the buyer's browser pays.
	Create(ctx context.Context, in Intent) (Payment, error)
	// Look gives the payment as it is now, with its dispute if there is one.
	Look(ctx context.Context, ref Ref) (Payment, error)
	// Find lists the payments that carry the key and were created in the span, the one that holds most money
	// first. It reads every payment of the span, so it is for those whose reference was lost: a Create with the
	// same Intent finds the reference by one call while the provider remembers the key (see KeyTrusted).
	Find(ctx context.Context, key Key, span Span) ([]Payment, error)
	// Capture takes an authorised payment in full. A payment that is captured already is a success; when it can
	// no longer be captured the error is of kind WrongState and Error.Payment says why.
	Capture(ctx context.Context, act Act) (Payment, error)
	// Void gives an authorisation back, or makes sure that an unpaid payment can never be paid. A payment that is
	// cancelled already is a success. When the cancel lost against the buyer the error is of kind WrongState and
	// Error.Payment holds what he paid.
	Void(ctx context.Context, act Act) (Payment, error)
	// Refund gives back part or all of what was captured, once for each effect. The answer is the effect's one refund
	// as it is now: one that failed is not made again under the same effect. When the payment does not allow it, being
	// refunded or disputed, the error is of kind WrongState.
	Refund(ctx context.Context, act Act) (Refund, error)
	// Refunds lists every refund of a payment, also those that were made in the provider's dashboard.
	Refunds(ctx context.Context, ref Ref) ([]Refund, error)
	// List gives one page of the account's payments that were created in the span, newest first. Of a dispute it tells
	// only that there is or was one.
	List(ctx context.Context, span Span, after Cursor) (Page, error)

	// ParseHint verifies what came to the webhook and says what to look at. Body is exactly what was received.
	ParseHint(body []byte, signature string) (Hint, error)
}

// KeyTrusted is for how long after its first use an idempotency key is relied upon. Stripe may forget keys after
// 24 h, and then executes the request once more; the four hours between are for clocks that differ and for requests
// under way.
const KeyTrusted = 20 * time.Hour

// MustLook reports whether an act that may first have been tried at the given time has to look before it repeats.
// The zero time says that nobody knows.
func MustLook(first, now time.Time) bool { return first.IsZero() || now.Sub(first) >= KeyTrusted }

// Ref is the provider's name of a payment, as "pi_3Mt…": at most holdfast.PaymentRefBytesMax bytes.
type Ref string

// Intent is a payment to be made. All that is sent to the provider follows from Key, Amount and Capture, so that
// whoever repeats it sends the same.
type Intent struct {
	Key     Key
	Amount  holdfast.Money
	Capture holdfast.CaptureMethod // 0: CaptureManual
	Since   time.Time              // wall clock: when BeginPayment was committed; required
}

// Act is one effect on a payment that exists.
type Act struct {
	Payment Ref
	Key     Key
	Amount  holdfast.Money    // what the payment is for; of a refund: what to give back
	Effect  holdfast.EffectID // for Refund: the effect that owes it
	// Since is the wall clock when the effect was committed: no try can be older. The zero time is safe, and costs
	// a look before the act.
	Since time.Time
}

// Status is where a payment is. It never goes back from Captured or Cancelled.
type Status uint8

// The states of a payment at its provider.
const (
	StatusOpen       Status = 1 // waits for the buyer; Payment.Failure says why an earlier try failed
	StatusAction     Status = 2 // waits for something that the buyer has to do, as 3-D Secure
	StatusProcessing Status = 3 // the bank has not decided
	StatusAuthorised Status = 4 // the money is set aside, until CaptureBefore
	StatusCaptured   Status = 5 // the money was taken; part or all may have been given back since
	StatusCancelled  Status = 6 // void: can never take money
)

var statusNames = [...]string{"unknown", "open", "action", "processing", "authorised", "captured", "cancelled"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[0]
}

// Payment is what a provider says about one payment at the moment of asking.
type Payment struct {
	Ref           Ref
	Key           Key // zero when the payment does not carry one of ours
	Mode          holdfast.PaymentMode
	Status        Status
	Capture       holdfast.CaptureMethod
	Amount        holdfast.Money // what was asked for
	CapturedMinor int64          // what was taken
	RefundedMinor int64          // what was given back of it, refunds under way included
	CaptureBefore time.Time      // when an authorisation ends by itself; zero when unknown
	Created       time.Time      // by the provider's clock, in whole seconds
	Failure       Failure        // why the last try of the buyer failed; zero if none did
	Dispute       Dispute        // zero if there is none; in a list only that there is one, which counts as open
	ClientSecret  Secret         // lets a browser pay this payment, and no more
}

// Failure says why an issuer or a bank said no, in the provider's words.
type Failure struct {
	Code    string // as "card_declined"
	Decline string // the issuer's reason, as "insufficient_funds"; often empty
}

// Dispute is a buyer's complaint to his bank.
type Dispute struct {
	State       holdfast.DisputeState // 0: there is none
	AmountMinor int64
}

// RefundStatus is where a refund is.
type RefundStatus uint8

// The states of a refund. A refund that was done can still fail later, when the buyer's bank sends the money back.
const (
	RefundPending RefundStatus = 1
	RefundDone    RefundStatus = 2
	RefundFailed  RefundStatus = 3 // the money is with us again: it is still owed
)

// Refund is money given back.
type Refund struct {
	Ref     string
	Payment Ref
	Amount  holdfast.Money
	Status  RefundStatus
	Key     Key               // of the payment, as the refund carries it; zero when it was not made by holdfast
	Effect  holdfast.EffectID // the effect that owed it; 0 when it was not made by holdfast
	Failure string            // the provider's reason when it failed
	Created time.Time
}

// Span is the time from From to To, both included, by the provider's clock.
type Span struct{ From, To time.Time }

// Cursor is where a list goes on. The empty cursor is its beginning.
type Cursor string

// Page is a part of a list. Next is empty on the last page.
type Page struct {
	Payments []Payment
	Next     Cursor
}

// HintKind says what a webhook was about.
type HintKind uint8

// What webhooks are about.
const (
	HintNone    HintKind = 0 // nothing that concerns us; answer it with success
	HintPayment HintKind = 1 // the payment changed: Look
	HintRefund  HintKind = 2 // a refund of the payment changed: Refunds
	HintDispute HintKind = 3 // a dispute of the payment changed: Look
)

// Hint says that something may have happened to a payment. It may be late, come twice, or after a later one.
type Hint struct {
	ID      string // of the webhook's event
	Type    string // of the webhook's event, in the provider's words
	Kind    HintKind
	Payment Ref
	// Key is the payment's, when the event carries it: events about refunds and disputes do not. A key of another
	// cluster or incarnation is somebody else's payment.
	Key     Key
	Created time.Time
}
