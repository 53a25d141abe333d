package stripe

import (
	"cmp"
	"strconv"
	"time"

	api "github.com/stripe/stripe-go/v76"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// units is by how much Stripe's amounts are larger than ours: it counts the two currencies that lost their decimals
// as if they still had two, of which both must be 0.
func units(c holdfast.Currency) int64 {
	if c == "isk" || c == "ugx" {
		return 100
	}
	return 1
}

func toStripe(m holdfast.Money) *int64 { return api.Int64(m.AmountMinor * units(m.Currency)) }

func fromStripe(amount int64, c api.Currency) holdfast.Money {
	currency := holdfast.Currency(c)
	return holdfast.Money{AmountMinor: amount / units(currency), Currency: currency}
}

var statuses = map[api.PaymentIntentStatus]payment.Status{
	api.PaymentIntentStatusRequiresPaymentMethod: payment.StatusOpen,
	api.PaymentIntentStatusRequiresConfirmation:  payment.StatusOpen,
	api.PaymentIntentStatusRequiresAction:        payment.StatusAction,
	api.PaymentIntentStatusProcessing:            payment.StatusProcessing,
	api.PaymentIntentStatusRequiresCapture:       payment.StatusAuthorised,
	api.PaymentIntentStatusSucceeded:             payment.StatusCaptured,
	api.PaymentIntentStatusCanceled:              payment.StatusCancelled,
}

// paymentOf reads a payment off an intent, and refuses one of the other mode: live and test money never mix.
func (c *Client) paymentOf(op string, in *api.PaymentIntent) (payment.Payment, error) {
	if in.Livemode != (c.mode == holdfast.ModeLive) {
		return payment.Payment{}, &payment.Error{Kind: payment.WrongAccount, Op: op, Message: "the payment is of the other mode, live or test, than the key"}
	}
	status, known := statuses[in.Status]
	if !known {
		return payment.Payment{}, refuse(op, "the payment is in a state that this version does not know: "+strconv.Quote(string(in.Status)))
	}
	key, _ := payment.ParseKey(in.Metadata[MetadataKey])
	p := payment.Payment{
		Ref: payment.Ref(in.ID), Key: key, Mode: c.mode, Status: status, Capture: holdfast.CaptureAtOnce,
		Amount: fromStripe(in.Amount, in.Currency), CapturedMinor: fromStripe(in.AmountReceived, in.Currency).AmountMinor,
		Created: time.Unix(in.Created, 0).UTC(), ClientSecret: payment.Hide(in.ClientSecret),
	}
	if in.CaptureMethod == api.PaymentIntentCaptureMethodManual {
		p.Capture = holdfast.CaptureManual
	}
	if e := in.LastPaymentError; e != nil {
		p.Failure = payment.Failure{Code: string(e.Code), Decline: string(e.DeclineCode)}
	}
	if charge := in.LatestCharge; charge != nil && charge.Object != "" { // an object, not only its id
		p.RefundedMinor = fromStripe(charge.AmountRefunded, in.Currency).AmountMinor
		if d := charge.PaymentMethodDetails; d != nil && d.Card != nil && d.Card.CaptureBefore > 0 {
			p.CaptureBefore = time.Unix(d.Card.CaptureBefore, 0).UTC()
		}
	}
	return p, nil
}

var disputeStates = map[api.DisputeStatus]holdfast.DisputeState{
	api.DisputeStatusNeedsResponse: holdfast.DisputeOpened, api.DisputeStatusUnderReview: holdfast.DisputeOpened,
	api.DisputeStatusWarningNeedsResponse: holdfast.DisputeOpened, api.DisputeStatusWarningUnderReview: holdfast.DisputeOpened,
	api.DisputeStatusWon: holdfast.DisputeWon, api.DisputeStatusWarningClosed: holdfast.DisputeWon,
	api.DisputeStatusLost: holdfast.DisputeLost,
}

func refundOf(in *api.Refund) payment.Refund {
	r := payment.Refund{
		Ref: in.ID, Amount: fromStripe(in.Amount, in.Currency), Status: payment.RefundPending,
		Failure: string(in.FailureReason), Created: time.Unix(in.Created, 0).UTC(),
	}
	if in.PaymentIntent != nil {
		r.Payment = payment.Ref(in.PaymentIntent.ID)
	}
	r.Key, _ = payment.ParseKey(in.Metadata[MetadataKey])
	if effect, err := holdfast.ParseEffectID(in.Metadata[MetadataEffect]); err == nil && !r.Key.IsZero() {
		r.Effect = effect
	}
	switch in.Status {
	case api.RefundStatusSucceeded:
		r.Status = payment.RefundDone
	case api.RefundStatusFailed, api.RefundStatusCanceled:
		r.Status = payment.RefundFailed
	}
	return r
}

// heldMost orders the payments of one key: what holds most money, or may come to, is first.
func heldMost(a, b payment.Payment) int {
	weight := map[payment.Status]int{
		payment.StatusCaptured: 5, payment.StatusAuthorised: 4, payment.StatusProcessing: 3, payment.StatusAction: 2, payment.StatusOpen: 1,
	}
	return cmp.Or(cmp.Compare(weight[b.Status], weight[a.Status]), a.Created.Compare(b.Created), cmp.Compare(a.Ref, b.Ref))
}
