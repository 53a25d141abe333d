package frontend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// An order whose capture failed for good is paid again by whoever has its link, until its time is over and its seats go
// back. The shard freezes the amount and the attempt first, as at the first time.

// errAttemptOver says that no money can come of an attempt any more: the provider's payment was cancelled, or failed.
var errAttemptOver = &refusal{http.StatusConflict, "payment_over", "nothing came of this attempt to pay, and nothing was taken: pay again", "", 0}

// unpaidHold reads what an order that is to be paid again is paid by.
func (s *Server) unpaidHold(ctx context.Context, c *room, o client.Order) (client.Hold, error) {
	if o.State != holdfast.OrderUnpaid {
		return client.Hold{}, &client.Refusal{Op: "pay again", Outcome: holdfast.HoldAlreadySold}
	}
	if s.cfg.Payments == nil {
		return client.Hold{}, errNoPayments
	}
	return s.cfg.Client.GetHold(ctx, c.ref, o.ID.Hold())
}

// againOf names the attempt by which an order is paid again.
func (s *Server) againOf(c *room, h client.Hold) PaymentBegin {
	c.board.mu.RLock()
	rules := c.board.event.Spec.Checkout.WithDefaults()
	c.board.mu.RUnlock()
	passed := time.Duration(rules.PayAgainMs)*time.Millisecond - h.Remaining
	return PaymentBegin{Event: c.ref, Hold: h.ID, Attempt: h.Attempt, Amount: h.Amount, Since: s.now().Add(-max(passed, 0) - holdfast.GraceMax)}
}

// payAgain begins an attempt, or goes on with the one that is under way.
func (s *Server) payAgain(ctx context.Context, c *room, o client.Order) (b begun, err error) {
	if b.hold, err = s.unpaidHold(ctx, c, o); err != nil {
		return b, err
	}
	b.secret, err = s.cfg.Payments.Begin(ctx, s.againOf(c, b.hold))
	if !errors.Is(err, errAttemptOver) {
		return b, err
	}
	q, err := s.cfg.Client.Quote(ctx, c.ref, b.hold.ID, holdfast.PromoCode{})
	if err != nil {
		return b, err
	}
	b.hold, err = s.cfg.Client.BeginPayment(ctx, client.PaymentRequest{Event: c.ref, Buyer: o.Buyer, Hold: b.hold.ID, Attempt: b.hold.Attempt + 1,
		Amount: q.Total, Contact: o.Contact})
	if err != nil {
		return b, err
	}
	b.secret, err = s.cfg.Payments.Begin(ctx, s.againOf(c, b.hold))
	return b, err
}

// confirmAgain looks how it stands.
func (s *Server) confirmAgain(ctx context.Context, c *room, o client.Order) (confirmOut, error) {
	if o.State == holdfast.OrderCapturing || o.State == holdfast.OrderPaid {
		return s.confirmOf(c, o.ID.Hold(), 0, PaymentVerdict{State: PaymentSold}), nil
	}
	h, err := s.unpaidHold(ctx, c, o)
	if err != nil {
		return confirmOut{}, err
	}
	verdict, err := s.cfg.Payments.Look(ctx, c.ref, h, s.againOf(c, h).Since)
	return s.confirmOf(c, h.ID, h.Remaining, verdict), err
}

// orderPays is an order's link with which its buyer pays again.
func (s *Server) orderPays(event holdfast.EventID, id holdfast.OrderID) string {
	return "/o/" + orderName(event, id) + "/pay?t=" + s.cfg.Secret.orderToken(event, id)
}

func (s *Server) postPayAgain(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	if err == nil {
		err = s.payable(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	b, err := s.payAgain(r.Context(), c, order)
	if err != nil {
		s.failIn(w, r, err, c.ref.ID)
		return
	}
	public := s.cfg.Payments.Public()
	s.json(w, http.StatusOK, checkoutOut{Quote: againQuote(b.hold), Attempt: uint32(b.hold.Attempt), ClientSecret: b.secret, RemainingMs: b.hold.Remaining.Milliseconds(),
		Provider: public.Provider, PublishableKey: public.PublishableKey, TestMode: public.TestMode})
}

// againQuote is what is left to pay of an order: its lines are in the order.
func againQuote(h client.Hold) quoteOut {
	return quoteOut{Lines: []quoteLineOut{{Text: "Your order", Count: len(h.Seats), AmountMinor: h.Amount.AmountMinor}}, Total: h.Amount}
}

func (s *Server) postConfirmAgain(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out, err := s.confirmAgain(r.Context(), c, order)
	if err != nil {
		s.failIn(w, r, err, c.ref.ID)
		return
	}
	s.json(w, http.StatusOK, out)
}

// payAgainForm begins to pay again; the page behind it asks for the card.
func (s *Server) payAgainForm(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	g := s.guest(w, r)
	if err == nil {
		err = s.checkCSRF(&g.visitor, r.PostFormValue("csrf"))
	}
	if err == nil {
		err = s.payable(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	to := s.orderPays(c.ref.ID, order.ID)
	if _, err := s.payAgain(r.Context(), c, order); err != nil {
		_, body := verdict(err, c.ref.ID)
		s.refused(body.Code)
		s.setNotice(w, page.NoticeFailure, capital(body.Message)+".")
		to = s.cfg.Secret.OrderPath(c.ref.ID, order.ID)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// payAgainPage asks for a card, or leads to the order when nothing is to be paid. It begins nothing: a program that follows
// links must not.
func (s *Server) payAgainPage(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	back := func() { http.Redirect(w, r, s.cfg.Secret.OrderPath(c.ref.ID, order.ID), http.StatusSeeOther) }
	h, err := s.unpaidHold(r.Context(), c, order)
	if err != nil {
		back()
		return
	}
	out, err := s.confirmAgain(r.Context(), c, order)
	if err == nil && (out.Order != "" || out.State == "failed") {
		back()
		return
	}
	g := s.guest(w, r)
	g.room, g.view = c, c.board.look(s.now())
	if err == nil && out.Message != "" {
		g.frame.Notice = &page.Notice{Kind: page.NoticeRefusal, Text: out.Message}
	}
	v := page.CheckoutView{Event: g.head(), State: page.CheckoutPaying, Hold: *g.pageHold(h), Total: h.Amount,
		Confirm: "/api/v1/orders/" + orderName(c.ref.ID, order.ID) + "/confirm?t=" + s.cfg.Secret.orderToken(c.ref.ID, order.ID)}
	for _, l := range againQuote(h).Lines {
		v.Lines = append(v.Lines, page.Line{Text: l.Text, Count: l.Count, Amount: g.money(l.AmountMinor)})
	}
	v.Pay = s.pagePay(s.cfg.PublicURL + s.orderPays(c.ref.ID, order.ID))
	if v.Pay.ClientSecret, err = s.cfg.Payments.Begin(r.Context(), s.againOf(c, h)); err != nil {
		_, body := verdict(err, c.ref.ID)
		s.setNotice(w, page.NoticeFailure, capital(body.Message)+".")
		back()
		return
	}
	g.needs.Pay, v.Frame = v.Pay, g.frame
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Checkout(w, v) })
}

// pagePay is what a page needs to know of the provider.
func (s *Server) pagePay(returnURL string) page.Pay {
	public := s.cfg.Payments.Public()
	pay := page.Pay{Provider: public.Provider, PublishableKey: public.PublishableKey, TestMode: public.TestMode, SandboxURL: public.SandboxURL, ReturnURL: returnURL}
	for _, m := range public.Methods {
		pay.Methods = append(pay.Methods, page.SandboxMethod{ID: m.ID, Text: m.Text})
	}
	return pay
}
