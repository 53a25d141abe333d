package sandbox

import "strings"

// Method is a test payment method: what a buyer pays with, and what happens then.
type Method struct {
	ID     string // as in payment_method
	Number string // as typed into a card form; empty for what is not a card
	Type   string // card, ideal, sepa_debit. Only cards can be authorised without being captured
	Says   string // what happens, for people

	code, decline string // confirm is declined
	action        bool   // the buyer has to authenticate
	late          bool   // the bank answers LateAfter, in the meantime the payment is processing
	lateDecline   bool   // and then with no
	captureFails  bool
	disputed      bool // DisputeAfter the money was taken
	refund        refundCourse
	hangs         bool // confirm does its work at once, and answers HangFor later
	short         bool // authorised for ShortFor only
}

// refundCourse is what becomes of refunds.
type refundCourse uint8

const (
	refundAtOnce      refundCourse = iota
	refundPending                  // pending, RefundAfter done
	refundPendingFail              // pending, RefundAfter failed
	refundDoneFail                 // done, RefundAfter failed after all
)

// methods are all there are. The names and numbers that Stripe has too do what they do there.
var methods = []Method{
	{ID: "pm_card_visa", Number: "4242424242424242", Type: "card", Says: "succeeds"},
	{ID: "pm_card_visa_chargeDeclined", Number: "4000000000000002", Type: "card", Says: "is declined", code: "card_declined", decline: "generic_decline"},
	{ID: "pm_card_visa_chargeDeclinedInsufficientFunds", Number: "4000000000009995", Type: "card", Says: "is declined: insufficient funds", code: "card_declined", decline: "insufficient_funds"},
	{ID: "pm_card_chargeDeclinedExpiredCard", Number: "4000000000000069", Type: "card", Says: "is declined: expired", code: "expired_card", decline: "expired_card"},
	{ID: "pm_card_authenticationRequired", Number: "4000002760003184", Type: "card", Says: "needs the buyer to authenticate, then succeeds", action: true},
	{ID: "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", Number: "4000008260003178", Type: "card",
		Says: "needs the buyer to authenticate, and is declined then", action: true, code: "card_declined", decline: "insufficient_funds"},
	{ID: "pm_card_createDispute", Number: "4000000000000259", Type: "card", Says: "succeeds, and is disputed 30 s after the money was taken", disputed: true},
	{ID: "pm_card_pendingRefund", Number: "4000000000007726", Type: "card", Says: "succeeds; refunds are pending for 30 s", refund: refundPending},
	{ID: "pm_card_refundFail", Number: "4000000000005126", Type: "card", Says: "succeeds; refunds are done, and fail 30 s later", refund: refundDoneFail},
	{ID: "pm_sandbox_refundPendingFail", Number: "4000990000000012", Type: "card", Says: "succeeds; refunds are pending for 30 s, and fail then", refund: refundPendingFail},
	{ID: "pm_sandbox_late", Number: "4000990000000020", Type: "card", Says: "is processing for 20 s, and succeeds then", late: true},
	{ID: "pm_sandbox_lateDecline", Number: "4000990000000038", Type: "card", Says: "is processing for 20 s, and is declined then", late: true, lateDecline: true, code: "card_declined", decline: "generic_decline"},
	{ID: "pm_sandbox_captureFail", Number: "4000990000000046", Type: "card", Says: "is authorised; every capture is declined", captureFails: true},
	{ID: "pm_sandbox_hang", Number: "4000990000000053", Type: "card", Says: "succeeds; the buyer's browser gets its answer 90 s later", hangs: true},
	{ID: "pm_sandbox_shortAuthorisation", Number: "4000990000000061", Type: "card", Says: "is authorised for 2 minutes only", short: true},
	{ID: "pm_sandbox_ideal", Type: "ideal", Says: "takes the money at once, after the buyer went to the bank's page", action: true},
	{ID: "pm_sandbox_debit", Type: "sepa_debit", Says: "takes the money at once; processing for 20 s", late: true},
	{ID: "pm_sandbox_debitFail", Type: "sepa_debit", Says: "processing for 20 s, and fails then", late: true, lateDecline: true, code: "payment_method_provider_decline", decline: "insufficient_funds"},
}

// Methods lists the test payment methods, in the order of the reference.
func Methods() []Method { return append([]Method(nil), methods...) }

// methodByID finds a method by its id, its number (blanks are ignored), or its type with the prefix "type:".
func methodByID(name string) (Method, bool) {
	name = strings.ReplaceAll(name, " ", "")
	for _, m := range methods {
		if name != "" && (m.ID == name || m.Number == name) || name == "type:"+m.Type && m.Type != "card" {
			return m, true
		}
	}
	return Method{}, false
}
