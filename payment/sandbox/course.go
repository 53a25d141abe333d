package sandbox

import (
	"fmt"
	"slices"
	"time"
)

// The courses that payments take. Everything here is called with the lock held, takes the time from s.now, and tells
// the journal and the webhooks through touch and emit.

// confirm is the buyer paying with a method. A bank's page of ours is under the base, and leads to the return URL.
func (s *Server) confirm(in *intent, m Method, returnURL, base string) *apiError {
	if in.Status != needsMethod {
		return unexpectedState(in, "confirmed")
	}
	if !slices.Contains(in.PaymentMethodTypes, m.Type) {
		return invalid("payment_intent_incompatible_payment_method", "payment_method", "the payment does not take methods of type "+m.Type)
	}
	if m.Type != "card" && in.CaptureMethod == "manual" {
		return invalid("payment_intent_incompatible_payment_method", "payment_method", m.Type+" cannot be authorised without being captured")
	}
	id := m.ID
	in.PaymentMethod, in.LastPaymentError, in.inner.Method, in.inner.ReturnURL = &id, nil, m.ID, returnURL
	switch {
	case m.action:
		in.Status = needsAction
		in.NextAction = &nextAction{Type: "redirect_to_url", RedirectToURL: &redirectToURL{
			ReturnURL: returnURL, URL: base + "/sandbox/authenticate/" + in.ID + "?client_secret=" + in.ClientSecret,
		}}
		s.touch(in)
		s.emit("payment_intent.requires_action", in)
	case m.late:
		in.Status, in.inner.DueMs = processing, s.now().Add(s.cfg.LateAfter).UnixMilli()
		s.touch(in)
		s.emit("payment_intent.processing", in)
		s.plan(in.inner.DueMs, in.ID)
	default:
		return s.answer(in, m)
	}
	return nil
}

// authenticate is the buyer coming back from the bank's page.
func (s *Server) authenticate(in *intent, ok bool) *apiError {
	if in.Status != needsAction {
		return unexpectedState(in, "authenticated")
	}
	in.NextAction = nil
	m, _ := methodByID(in.inner.Method)
	if !ok {
		m.code, m.decline = "payment_intent_authentication_failure", ""
	}
	s.answer(in, m)
	return nil
}

// answer is the bank's word.
func (s *Server) answer(in *intent, m Method) *apiError {
	in.inner.DueMs = 0
	c := &charge{
		ID: s.books.id("ch"), Object: "charge", Amount: in.Amount, Created: s.now().Unix(), Currency: in.Currency, Metadata: in.Metadata,
		PaymentIntent: in.ID, PaymentMethod: m.ID, PaymentMethodDetails: map[string]any{"type": m.Type}, Status: "succeeded", Paid: true,
	}
	in.LatestCharge = c.ID
	if m.code != "" {
		refused := &apiError{Type: "card_error", Code: m.code, DeclineCode: m.decline, Message: "The payment was declined.", status: 402, stored: true}
		code := m.code
		c.Status, c.Paid, c.FailureCode = "failed", false, &code
		in.Status, in.PaymentMethod, in.NextAction, in.LastPaymentError = needsMethod, nil, nil, refused
		s.touch(c, in)
		s.emit("payment_intent.payment_failed", in)
		answer := *refused
		answer.PaymentIntent = in
		return &answer
	}
	if in.CaptureMethod == "automatic" {
		s.touch(c)
		s.take(in, c, m)
		return nil
	}
	lasts := s.cfg.AuthorisedFor
	if m.short {
		lasts = s.cfg.ShortFor
	}
	in.Status, in.AmountCapturable, in.inner.DueMs = needsCapture, in.Amount, s.now().Add(lasts).UnixMilli()
	c.PaymentMethodDetails["card"] = map[string]any{"brand": "visa", "last4": m.Number[len(m.Number)-4:], "capture_before": in.inner.DueMs / 1000}
	s.touch(c, in)
	s.emit("payment_intent.amount_capturable_updated", in)
	s.plan(in.inner.DueMs, in.ID)
	return nil
}

// take moves the money to the merchant.
func (s *Server) take(in *intent, c *charge, m Method) {
	c.Captured, c.AmountCaptured = true, in.Amount
	in.Status, in.AmountReceived, in.AmountCapturable, in.inner.DueMs = succeeded, in.Amount, 0, 0
	if m.disputed {
		in.inner.DueMs = s.now().Add(s.cfg.DisputeAfter).UnixMilli()
		s.plan(in.inner.DueMs, in.ID)
	}
	s.touch(c, in)
	s.emit("payment_intent.succeeded", in)
}

func (s *Server) capture(in *intent, amount int64) *apiError {
	if in.Status != needsCapture {
		return unexpectedState(in, "captured")
	}
	if amount != in.Amount {
		return invalid("amount_too_large", "amount_to_capture", "the sandbox captures in full only")
	}
	m, _ := methodByID(in.inner.Method)
	if m.captureFails {
		return &apiError{Type: "card_error", Code: "card_declined", DeclineCode: "generic_decline", Message: "The bank declined the capture.", PaymentIntent: in, status: 402, stored: true}
	}
	s.take(in, s.books.chargeOf(in), m)
	return nil
}

func (s *Server) cancel(in *intent, reason string) *apiError {
	switch in.Status {
	case succeeded, canceled, processing:
		return unexpectedState(in, "canceled")
	}
	at := s.now().Unix()
	in.Status, in.CanceledAt, in.AmountCapturable, in.NextAction, in.inner.DueMs = canceled, &at, 0, nil, 0
	if reason != "" {
		in.CancellationReason = &reason
	}
	s.touch(in)
	s.emit("payment_intent.canceled", in)
	return nil
}

func (s *Server) refund(in *intent, amount int64, reason string, metadata map[string]string) (*refund, *apiError) {
	c := s.books.chargeOf(in)
	if in.Status != succeeded || c == nil {
		return nil, unexpectedState(in, "refunded")
	}
	d := s.books.disputeOf[in.ID]
	left := c.AmountCaptured - c.AmountRefunded
	if amount == 0 {
		amount = left
	}
	switch {
	case d != nil && d.Status != "won":
		return nil, &apiError{Type: "invalid_request_error", Code: "charge_disputed", Message: "The charge is disputed.", status: 400, stored: true}
	case left == 0:
		return nil, &apiError{Type: "invalid_request_error", Code: "charge_already_refunded", Message: "The charge has already been refunded.", status: 400, stored: true}
	case amount > left:
		return nil, &apiError{Type: "invalid_request_error", Param: "amount", Message: fmt.Sprintf("The refund is greater than the unrefunded amount of %d.", left), status: 400, stored: true}
	}
	m, _ := methodByID(in.inner.Method)
	r := &refund{
		ID: s.books.id("re"), Object: "refund", Amount: amount, Charge: c.ID, Created: s.now().Unix(), Currency: in.Currency,
		Metadata: metadata, PaymentIntent: in.ID, Status: "succeeded",
	}
	if reason != "" {
		r.Reason = &reason
	}
	if m.refund == refundPending || m.refund == refundPendingFail {
		r.Status = "pending"
	}
	if m.refund != refundAtOnce {
		r.dueMs = s.now().Add(s.cfg.RefundAfter).UnixMilli()
		s.plan(r.dueMs, r.ID)
	}
	c.AmountRefunded += amount
	c.Refunded = c.AmountRefunded == c.AmountCaptured
	s.touch(r, c)
	s.emit("charge.refunded", c)
	return r, nil
}

// failRefund sends the money of a refund back to the merchant.
func (s *Server) failRefund(r *refund) {
	if r.Status == "failed" {
		return
	}
	c := s.books.charges[r.Charge]
	c.AmountRefunded -= r.Amount
	c.Refunded = false
	r.Status, r.FailureReason, r.dueMs = "failed", "lost_or_stolen_card", 0
	s.touch(r, c)
	s.emit("charge.refund.updated", r)
}

func (s *Server) openDispute(in *intent) *apiError {
	c := s.books.chargeOf(in)
	if in.Status != succeeded || c == nil || c.Disputed {
		return unexpectedState(in, "disputed")
	}
	c.Disputed = true
	d := &dispute{
		ID: s.books.id("dp"), Object: "dispute", Amount: c.AmountCaptured - c.AmountRefunded, Charge: c.ID, Created: s.now().Unix(), Currency: in.Currency,
		Metadata: map[string]string{}, PaymentIntent: in.ID, Reason: "fraudulent", Status: "needs_response",
	}
	s.touch(d, c)
	s.emit("charge.dispute.created", d)
	return nil
}

func (s *Server) closeDispute(in *intent, won bool) *apiError {
	d := s.books.disputeOf[in.ID]
	if d == nil || d.Status == "won" || d.Status == "lost" {
		return unexpectedState(in, "closed")
	}
	d.Status = "lost"
	if won {
		d.Status = "won"
	}
	s.touch(d)
	s.emit("charge.dispute.closed", d)
	return nil
}

// due does what is due for an object at its time.
func (s *Server) due(id string, ms int64) {
	if r := s.books.refunds[id]; r != nil && r.dueMs == ms {
		m, _ := methodByID(s.books.intents[r.PaymentIntent].inner.Method)
		if m.refund != refundPending {
			s.failRefund(r)
			return
		}
		r.Status, r.dueMs = "succeeded", 0
		s.touch(r)
		s.emit("charge.refund.updated", r)
	}
	in := s.books.intents[id]
	if in == nil || in.inner.DueMs != ms {
		return
	}
	m, _ := methodByID(in.inner.Method)
	switch in.Status {
	case processing:
		if !m.lateDecline {
			m.code = ""
		}
		s.answer(in, m)
	case needsCapture:
		s.cancel(in, "automatic")
	case succeeded:
		in.inner.DueMs = 0
		s.touch(in)
		s.openDispute(in)
	}
}

func (s *Server) now() time.Time { return time.Now().Add(s.ahead) }
