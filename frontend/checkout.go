package frontend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Payments is what the checkout asks of the settlement: to make the provider's payment of an attempt that the shard has
// begun, and to look what became of it. Both may be asked any number of times. What is decided is decided in the shard.
type Payments interface {
	// Public says what the browser needs to know of the provider.
	Public() PaymentPublic
	// Begin makes the payment, or finds it. The error wraps errAttemptOver when no money can come of the attempt any more.
	Begin(ctx context.Context, p PaymentBegin) (clientSecret string, err error)
	// Look asks the provider, and tells the shard.
	Look(ctx context.Context, event client.EventRef, hold client.Hold, since time.Time) (PaymentVerdict, error)
	// Hint takes what the provider's webhook brought: answered only after what follows from it is committed.
	Hint(ctx context.Context, body []byte, signature string) error
}

// PaymentPublic is what browsers know of a provider.
type PaymentPublic struct {
	Provider       string // "stripe" or "sandbox"
	PublishableKey string
	TestMode       bool
	SandboxURL     string
	Methods        []PaymentMethod // of the sandbox
}

// PaymentMethod is a test card.
type PaymentMethod struct{ ID, Text string }

// PaymentBegin is an attempt that the shard has begun.
type PaymentBegin struct {
	Event   client.EventRef
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt
	Amount  holdfast.Money
	Since   time.Time // when the attempt was begun, or earlier
}

// PaymentVerdict is how an attempt stands.
type PaymentVerdict struct {
	State PaymentStand
	// Declined says why the provider's last try failed, in its words; the buyer may try another card.
	Declined string
}

// PaymentStand is how an attempt to pay stands.
type PaymentStand uint8

// The ways an attempt stands.
const (
	PaymentPending PaymentStand = 1 // not decided: ask again
	PaymentSold    PaymentStand = 2 // the order exists
	PaymentFailed  PaymentStand = 3 // no money comes of this attempt; another may be made while the hold lasts
)

var errNoPayments = &refusal{http.StatusServiceUnavailable, "payments_unavailable", "nothing can be paid here at the moment; nothing was charged, and your seats stay yours until their time is over", "", 5 * time.Second}

type checkoutIn struct {
	Mail   string `json:"mail"`
	Name   string `json:"name"`
	Method string `json:"method"` // "card"; kept for methods to come
	Promo  string `json:"promo"`
}

// lineOfQuote is one line of what is to be paid.
type quoteLineOut struct {
	Text        string `json:"text"`
	Count       int    `json:"count,omitempty"`
	AmountMinor int64  `json:"amount_minor"`
}

type quoteOut struct {
	Lines []quoteLineOut `json:"lines"`
	Total holdfast.Money `json:"total"`
}

// checkoutOut is the payment that was begun, or the order when nothing is to be paid.
type checkoutOut struct {
	Quote          quoteOut `json:"quote"`
	Attempt        uint32   `json:"attempt,omitempty"`
	Provider       string   `json:"provider,omitempty"`
	PublishableKey string   `json:"publishable_key,omitempty"`
	ClientSecret   string   `json:"client_secret,omitempty"`
	TestMode       bool     `json:"test_mode,omitempty"`
	RemainingMs    int64    `json:"remaining_ms,omitempty"`
	Order          string   `json:"order,omitempty"`
	URL            string   `json:"url,omitempty"`
}

// confirmOut is how the payment stands.
type confirmOut struct {
	State       string `json:"state"` // pending, sold, failed, declined
	Message     string `json:"message,omitempty"`
	Order       string `json:"order,omitempty"`
	URL         string `json:"url,omitempty"`
	RemainingMs int64  `json:"remaining_ms,omitempty"`
	NextPollMs  int64  `json:"next_poll_ms,omitempty"`
}

const confirmPoll = 1500 * time.Millisecond

func (in *checkoutIn) check() (address string, err error) {
	parsed, bad := mail.ParseAddress(in.Mail)
	switch {
	case bad != nil || len(parsed.Address) > 254 || strings.ContainsAny(parsed.Address, "\r\n"):
		return "", invalid("mail", "this is not a mail address")
	case strings.TrimSpace(in.Name) == "" || len(in.Name) > 200:
		return "", invalid("name", "a name of 1 to 200 bytes")
	case in.Method != "" && in.Method != "card":
		return "", invalid("method", "only card is known")
	case len(in.Promo) > 64:
		return "", invalid("promo", "a code of at most 64 bytes")
	}
	return parsed.Address, nil
}

// begun is a payment under way, or an order that needed none.
type begun struct {
	hold   client.Hold
	until  time.Time // when it ends: what the shard said of it, from when it was asked
	quote  quoteOut
	secret string
	order  *client.Order
}

// begin freezes what is to be paid in the shard, and only then has the provider's payment made. Beginning again goes on
// with the attempt under way: it is frozen, and the provider's payment is the same.
func (s *Server) begin(ctx context.Context, o owner, id holdfast.HoldID, in checkoutIn) (begun, error) {
	address, err := in.check()
	if err != nil {
		return begun{}, err
	}
	asked := s.now()
	h, err := s.ownHold(ctx, o, id)
	if err != nil {
		return begun{}, err
	}
	if h.State == holdfast.HoldSold {
		order, err := s.cfg.Client.GetOrder(ctx, o.room.ref, id.Order())
		return begun{hold: h, order: &order}, err
	}
	b := begun{hold: h, until: asked.Add(promised(h))}
	if b.quote, err = s.quote(ctx, o.room, h, in.Promo); err != nil {
		return b, err
	}
	if h.State == holdfast.HoldOpen { // from then on who pays is frozen with what is paid
		if err := s.keepPerson(ctx, o.room.ref, id, address, in.Name); err != nil {
			return b, err
		}
	}
	if b.quote.Total.AmountMinor == 0 && h.State == holdfast.HoldOpen {
		order, err := s.cfg.Client.Sell(ctx, client.SellRequest{Event: o.room.ref, Hold: id, As: command.SaleFree, Amount: b.quote.Total})
		b.order = &order
		return b, err
	}
	if s.cfg.Payments == nil || !o.room.takesMoney() {
		return b, errNoPayments
	}
	if h.State == holdfast.HoldOpen {
		asked = s.now()
		b.hold, err = s.cfg.Client.BeginPayment(ctx, s.paymentRequest(o, h, b.quote.Total, address, in.Promo))
		if err != nil {
			return b, err
		}
		b.until = asked.Add(promised(b.hold))
	}
	b.secret, err = s.cfg.Payments.Begin(ctx, s.paymentOf(o.room, b.hold))
	if !errors.Is(err, errAttemptOver) {
		return b, err
	}
	// Nothing came of the attempt, and the hold lasts: another one. Its deadline stays.
	b.hold, err = s.cfg.Client.BeginPayment(ctx, s.paymentRequest(o, b.hold, b.quote.Total, address, in.Promo))
	if err != nil {
		return b, err
	}
	b.secret, err = s.cfg.Payments.Begin(ctx, s.paymentOf(o.room, b.hold))
	return b, err
}

// paymentOf names the attempt of a hold in payment. When it was begun follows from what is left of the pay window; the
// grace may have run besides.
func (s *Server) paymentOf(c *room, h client.Hold) PaymentBegin {
	c.board.mu.RLock()
	rules := c.board.event.Spec.Rules.WithDefaults()
	c.board.mu.RUnlock()
	passed := time.Duration(rules.PayWindowMs)*time.Millisecond - h.Remaining
	return PaymentBegin{Event: c.ref, Hold: h.ID, Attempt: h.Attempt, Amount: h.Amount, Since: s.now().Add(-max(passed, 0) - holdfast.GraceMax)}
}

func (s *Server) postCheckout(w http.ResponseWriter, r *http.Request) {
	o, id, err := s.holdRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.payable(r); err != nil {
		s.fail(w, r, err)
		return
	}
	var in checkoutIn
	if err := read(r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	b, err := s.begin(r.Context(), o, id, in)
	if err != nil {
		s.failIn(w, r, err, o.room.ref.ID)
		return
	}
	out := checkoutOut{Quote: b.quote}
	if b.order != nil {
		out.Order, out.URL = orderName(o.room.ref.ID, b.order.ID), s.orderURL(o.room.ref.ID, b.order.ID)
		s.json(w, http.StatusOK, out)
		return
	}
	public := s.cfg.Payments.Public()
	out.Attempt, out.ClientSecret, out.RemainingMs = uint32(b.hold.Attempt), b.secret, s.left(b.until).Milliseconds()
	out.Provider, out.PublishableKey, out.TestMode = public.Provider, public.PublishableKey, public.TestMode
	s.json(w, http.StatusOK, out)
}

// payable counts attempts to pay from one address: who tries one card after the other is testing stolen ones.
func (s *Server) payable(r *http.Request) error {
	if wait, ok := s.perPayer.take(household(s.address(r))); !ok {
		s.limited.Add(1)
		return &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: wait, Message: "too many attempts to pay from your address; nothing was charged, and your seats stay yours until their time is over"}
	}
	return nil
}

// promised is how long a hold is its buyer's for certain. The grace behind a pay deadline is not promised to anybody: it is
// for money that is on its way, and ends as soon as none is.
func promised(h client.Hold) time.Duration {
	if h.State == holdfast.HoldClosing || h.State == holdfast.HoldCancelling {
		return 0
	}
	return h.Remaining
}

// left is how long it is until an instant. The provider may take its time to answer, and buyers are told what is left
// after that, not before.
func (s *Server) left(until time.Time) time.Duration { return max(until.Sub(s.now()), 0) }

// confirm looks how the payment of a hold stands.
func (s *Server) confirm(ctx context.Context, o owner, id holdfast.HoldID) (confirmOut, error) {
	asked := s.now()
	h, err := s.ownHold(ctx, o, id)
	if err != nil {
		return confirmOut{}, err
	}
	verdict := PaymentVerdict{State: PaymentPending}
	switch {
	case h.State == holdfast.HoldSold:
		verdict.State = PaymentSold
	case h.State == holdfast.HoldOpen:
		return confirmOut{}, &refusal{http.StatusConflict, "payment_not_begun", "no payment was begun for this hold", "", 0}
	case s.cfg.Payments == nil:
		return confirmOut{}, errNoPayments
	default:
		if verdict, err = s.cfg.Payments.Look(ctx, o.room.ref, h, s.paymentOf(o.room, h).Since); err != nil {
			return confirmOut{}, err
		}
	}
	return s.confirmOf(o.room, id, s.left(asked.Add(promised(h))), verdict), nil
}

// confirmOf says how an attempt stands.
func (s *Server) confirmOf(c *room, id holdfast.HoldID, remaining time.Duration, verdict PaymentVerdict) confirmOut {
	out := confirmOut{State: "pending", RemainingMs: remaining.Milliseconds(), NextPollMs: confirmPoll.Milliseconds()}
	switch {
	case verdict.State == PaymentSold:
		out = confirmOut{State: "sold", Order: orderName(c.ref.ID, id.Order()), URL: s.orderURL(c.ref.ID, id.Order())}
	case verdict.State == PaymentFailed:
		out.State, out.Message, out.NextPollMs = "failed", "The payment did not go through. Nothing was taken.", 0
	case verdict.Declined != "":
		out.State, out.Message, out.NextPollMs = "declined", declineText(verdict.Declined), 0
	}
	return out
}

func (s *Server) postConfirm(w http.ResponseWriter, r *http.Request) {
	o, id, err := s.holdRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out, err := s.confirm(r.Context(), o, id)
	if err != nil {
		s.failIn(w, r, err, o.room.ref.ID)
		return
	}
	s.json(w, http.StatusOK, out)
}

// webhookBytesMax bounds what a provider sends.
const webhookBytesMax = 256 << 10

// webhook takes the provider's hints. It answers 2xx only when what follows is committed, and 503 quickly when that
// cannot be: the provider then sends the hint again.
func (s *Server) webhook(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Payments == nil {
		s.fail(w, r, errNoPayments)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, webhookBytesMax))
	if err != nil {
		s.fail(w, r, invalid("body", "it cannot be read"))
		return
	}
	if err := s.cfg.Payments.Hint(r.Context(), body, r.Header.Get("Stripe-Signature")); err != nil {
		var known *holdfast.Error
		if !errors.As(err, &known) {
			s.log.Warn("a hint of the provider was not taken", "err", err)
		}
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// declineReasons say in words what banks say most. What is not there is said without a reason: a code tells buyers nothing.
var declineReasons = map[string]string{
	"insufficient_funds": "there is not enough money on it", "expired_card": "it has expired",
	"payment_intent_authentication_failure": "the bank was not told that it is you who pays",
}

func declineText(code string) string {
	if why, known := declineReasons[code]; known {
		return "The card was declined: " + why + ". Nothing was taken. Try again, or another one."
	}
	return "The card was declined. Nothing was taken. Try another one."
}
