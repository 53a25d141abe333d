package holdfast

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// EffectID numbers what a shard owes the world, in the order in which it was decided, from 1.
type EffectID uint64

func (id EffectID) String() string { return "eff_" + strconv.FormatUint(uint64(id), 10) }

// ParseEffectID reads what EffectID.String prints.
func ParseEffectID(s string) (EffectID, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "eff_"), 10, 64)
	if err != nil || EffectID(n).String() != s {
		return 0, &Error{Kind: Invalid, Op: "parse effect id", Message: strconv.Quote(s) + " is not an effect id like eff_7"}
	}
	return EffectID(n), nil
}

// Incarnation counts the lives of a cluster. One that was restored from a backup gets a new one, so that nothing it
// says to a payment provider is taken for a repetition of what its former life said.
type Incarnation uint32

// PromoCode is a hash of a promotion code. Zero: none.
type PromoCode [16]byte

// ContactID is a keyed hash of a buyer's mail address. Zero: none.
type ContactID [16]byte

func (c PromoCode) String() string { return "promo_" + hex.EncodeToString(c[:]) }
func (c ContactID) String() string { return "contact_" + hex.EncodeToString(c[:]) }

// ParsePromoCode reads what PromoCode.String prints.
func ParsePromoCode(s string) (PromoCode, error) {
	return parse16[PromoCode]("promo_", "promotion code", s)
}

// ParseContactID reads what ContactID.String prints.
func ParseContactID(s string) (ContactID, error) { return parse16[ContactID]("contact_", "contact", s) }

// EffectKind is what is to be done outside, at least once, by a settlement worker.
type EffectKind uint8

// The kinds of effects. The numbers are in snapshots and on the wire.
const (
	EffectLook    EffectKind = 1 // fetch the payment's state, then Sell or FailPayment
	EffectCapture EffectKind = 2 // take the money of an order
	EffectVoid    EffectKind = 3 // cancel a payment that never sells, or whose hold is cancelling
	EffectRefund  EffectKind = 4 // give back what is owed
	EffectReceipt EffectKind = 5 // mail the buyer
	EffectNotify  EffectKind = 6 // tell the organizer's webhook
)

var effectKindNames = []string{"", "look", "capture", "void", "refund", "receipt", "notify"}

func (k EffectKind) String() string { return name(effectKindNames, "effect_kind_", uint8(k)) }

// EffectState says whether an effect is still tried.
type EffectState uint8

// The states of an effect. One that is done is gone.
const (
	EffectOwed   EffectState = 1
	EffectParked EffectState = 2 // not tried any more until somebody asks for it: an alarm
)

var effectStateNames = []string{"", "owed", "parked"}

func (s EffectState) String() string { return name(effectStateNames, "effect_state_", uint8(s)) }

// EffectResult is what a worker reports about an effect.
type EffectResult uint8

// The results.
const (
	EffectDone   EffectResult = 1 // it is so, whoever made it so
	EffectFailed EffectResult = 2 // the provider said no, for good
	EffectRetry  EffectResult = 3 // not known, or not now: try again later
)

var effectResultNames = []string{"", "done", "failed", "retry"}

func (r EffectResult) String() string { return name(effectResultNames, "effect_result_", uint8(r)) }

// OrderState is where an order is. Whether it is disputed is said apart.
type OrderState uint8

// The states of an order. The numbers are in snapshots and on the wire.
const (
	OrderCapturing OrderState = 1 // sold; its money is authorised and its capture owed
	OrderPaid      OrderState = 2 // the ticket is valid; free and invoiced orders begin here
	OrderUnpaid    OrderState = 3 // the capture failed for good: pay again, or the seats go back
	OrderRefunded  OrderState = 4 // nothing of it is live any more: all is refunded, or owed as a refund, or charged back
	OrderCancelled OrderState = 5 // it was never paid, and its seats went back
)

var orderStateNames = []string{"", "capturing", "paid", "unpaid", "refunded", "cancelled"}

func (s OrderState) String() string { return name(orderStateNames, "order_state_", uint8(s)) }

// PaymentState is where one attempt to pay is. See docs/payments.md for the table.
type PaymentState uint8

// The states of a payment. The numbers are in snapshots and on the wire.
const (
	PaymentBegun     PaymentState = 1 // it may exist at the provider; it sells if it is the hold's current one
	PaymentCondemned PaymentState = 2 // it never sells; its cancelling is owed
	PaymentVoided    PaymentState = 3 // cancelled at the provider
	PaymentFailed    PaymentState = 4 // the provider said that nothing comes of it
	PaymentCapturing PaymentState = 5 // it sold an order; its capture is owed
	PaymentCaptured  PaymentState = 6 // the money is here
	PaymentReturned  PaymentState = 7 // the money was here, and all of it went back
)

var paymentStateNames = []string{"", "begun", "condemned", "voided", "failed", "capturing", "captured", "returned"}

func (s PaymentState) String() string { return name(paymentStateNames, "payment_state_", uint8(s)) }

// PaymentMode says whether money is real.
type PaymentMode uint8

// The modes, of an event for good once its sale opens, and of a provider's account.
const (
	ModeTest PaymentMode = 1
	ModeLive PaymentMode = 2
)

var paymentModeNames = []string{"", "test", "live"}

func (m PaymentMode) String() string { return name(paymentModeNames, "payment_mode_", uint8(m)) }

// CaptureMethod says when a payment's money is taken.
type CaptureMethod uint8

// The methods. Zero stands for CaptureManual.
const (
	CaptureManual CaptureMethod = 1 // authorised first, captured after the sale
	CaptureAtOnce CaptureMethod = 2 // the buyer's confirmation takes it
)

var captureMethodNames = []string{"", "manual", "at_once"}

func (c CaptureMethod) String() string { return name(captureMethodNames, "capture_method_", uint8(c)) }

// DisputeState is what a bank says about a payment.
type DisputeState uint8

// The states of a dispute.
const (
	DisputeOpened DisputeState = 1
	DisputeWon    DisputeState = 2 // by the organizer: the money stays
	DisputeLost   DisputeState = 3 // the money went back
)

var disputeStateNames = []string{"", "opened", "won", "lost"}

func (s DisputeState) String() string { return name(disputeStateNames, "dispute_state_", uint8(s)) }

// RefundReason says whose wish a refund is, which decides about fees.
type RefundReason uint8

// The reasons.
const (
	RefundBuyer     RefundReason = 1 // fees are kept if the event's rules say so
	RefundOrganizer RefundReason = 2 // the event does not take place as sold: fees go back too
)

var refundReasonNames = []string{"", "buyer", "organizer"}

func (r RefundReason) String() string { return name(refundReasonNames, "refund_reason_", uint8(r)) }

// LineKind is what one line of an order is for.
type LineKind uint8

// The lines of an order, in their order.
const (
	LineSeats       LineKind = 1 // the tiers' prices
	LineDiscount    LineKind = 2 // by a promotion code; negative
	LineFee         LineKind = 3
	LineTax         LineKind = 4 // added to the total
	LineTaxIncluded LineKind = 5 // contained in the other lines; not added
)

var lineKindNames = []string{"", "seats", "discount", "fee", "tax", "tax_included"}

func (k LineKind) String() string { return name(lineKindNames, "line_kind_", uint8(k)) }

// Topic is what a receipt or a notification is about.
type Topic uint8

// The topics.
const (
	TopicPaid      Topic = 1 // the ticket is valid
	TopicRefunded  Topic = 2 // a refund was made
	TopicUnpaid    Topic = 3 // the capture failed: pay again
	TopicCancelled Topic = 4 // it was not paid, and the seats went back
	TopicDisputed  Topic = 5 // the ticket is suspended
)

var topicNames = []string{"", "paid", "refunded", "unpaid", "cancelled", "disputed"}

func (t Topic) String() string { return name(topicNames, "topic_", uint8(t)) }

// CurrencyDecimals gives the digits of a currency behind the point, as ISO 4217 has them: how a minor unit is shown.
func CurrencyDecimals(c Currency) int {
	switch c {
	case "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf":
		return 0
	case "bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd":
		return 3
	}
	return 2
}

// name gives the name of a number, or tells the number of one that is newer than this program.
func name(names []string, prefix string, n uint8) string {
	if n > 0 && int(n) < len(names) {
		return names[n]
	}
	return prefix + strconv.Itoa(int(n))
}
