package sandbox

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// The parts of the API, one function for each. They are called with the lock held.

func (s *Server) createIntent(r *request) (any, *apiError) {
	amount, refused := whole(r.form.take("amount"), "amount")
	if refused != nil {
		return nil, refused
	}
	currency := r.form.take("currency")
	method := r.form.take("capture_method")
	types := r.form.takeList("payment_method_types")
	metadata := r.form.takeMap("metadata")
	if refused := r.form.rest(); refused != nil {
		return nil, refused
	}
	if refused := checkAmount(amount, currency); refused != nil {
		return nil, refused
	}
	if method == "" {
		method = "automatic"
	}
	if method != "automatic" && method != "manual" {
		return nil, invalid("", "capture_method", "Invalid capture_method: must be one of automatic or manual")
	}
	if len(types) == 0 {
		types = []string{"card"}
	}
	for _, t := range types {
		if !slices.ContainsFunc(methods, func(m Method) bool { return m.Type == t }) {
			return nil, invalid("", "payment_method_types", "The payment method type is not one of the sandbox's.")
		}
	}
	if len(metadata) > 50 {
		return nil, invalid("", "metadata", "Metadata can have up to 50 keys.")
	}
	for k, v := range metadata {
		if len(k) > 40 || len(v) > 500 {
			return nil, invalid("", "metadata", "Metadata keys can have up to 40 characters, and values up to 500.")
		}
	}
	if len(s.books.order) >= s.cfg.PaymentsMax {
		return nil, errDown
	}
	in := &intent{
		ID: s.books.id("pi"), Object: "payment_intent", Amount: amount, CaptureMethod: method, ConfirmationMethod: "automatic", Created: s.now().Unix(),
		Currency: currency, Metadata: metadata, PaymentMethodTypes: types, Status: needsMethod,
	}
	in.ClientSecret = in.ID + "_secret_" + secretText()
	s.touch(in)
	s.emit("payment_intent.created", in)
	return in, nil
}

// checkAmount holds amounts to what Stripe states, in Stripe's units.
func checkAmount(amount int64, currency string) *apiError {
	m := holdfast.Money{AmountMinor: amount, Currency: holdfast.Currency(currency)}
	if currency == "isk" || currency == "ugx" { // counted with two decimals that must be 0
		if amount%100 != 0 {
			return invalid("", "amount", "Amounts in this currency must be divisible by 100.")
		}
		m.AmountMinor = amount / 100
	}
	if payment.CheckAmount(m) == nil {
		return nil
	}
	code := "amount_too_large"
	if m.AmountMinor < payment.Minimum(m.Currency) {
		code = "amount_too_small"
	}
	return invalid(code, "amount", "The amount cannot be charged in this currency.")
}

func whole(text, param string) (int64, *apiError) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("parameter_invalid_integer", param, "Invalid integer: "+param)
	}
	return n, nil
}

// intent finds the intent of the path. A browser needs its client secret.
func (s *Server) intent(r *request) (*intent, *apiError) {
	in := s.books.intents[r.id]
	secret := r.form.take("client_secret")
	if in == nil || (r.public || secret != "") && !same(secret, in.ClientSecret) {
		return nil, missing("payment_intent", r.id)
	}
	return in, nil
}

// shown gives an intent with its charge in place of the charge's id, where that was asked for. A browser never sees
// metadata.
func (s *Server) shown(r *request, in *intent, prefix string) (*intent, *apiError) {
	view := *in
	for _, what := range r.form.takeList("expand") {
		if what != prefix+"latest_charge" {
			return nil, invalid("", "expand", "The sandbox expands the latest charge only.")
		}
		if c := s.books.chargeOf(in); c != nil {
			view.LatestCharge = c
		}
	}
	if r.public {
		view.Metadata = nil
	}
	return &view, nil
}

func (s *Server) getIntent(r *request) (any, *apiError) {
	in, refused := s.intent(r)
	if refused != nil {
		return nil, refused
	}
	view, refused := s.shown(r, in, "")
	if refused == nil {
		refused = r.form.rest()
	}
	return view, refused
}

func (s *Server) confirmIntent(r *request) (any, *apiError) {
	in, refused := s.intent(r)
	if refused != nil {
		return nil, refused
	}
	m, ok := methodByID(r.form.method())
	if !ok {
		return nil, missing("PaymentMethod", r.form.values.Get("payment_method"))
	}
	returnURL := r.form.take("return_url")
	if refused := s.confirm(in, m, returnURL, r.base); refused != nil {
		if r.public && refused.PaymentIntent != nil {
			shown := *refused
			shown.PaymentIntent, _ = s.shown(r, in, "")
			refused = &shown
		}
		return nil, refused
	}
	return s.shown(r, in, "")
}

func (s *Server) captureIntent(r *request) (any, *apiError) {
	return s.move(r, func(in *intent) *apiError {
		amount := in.Amount
		if text := r.form.take("amount_to_capture"); text != "" {
			var refused *apiError
			if amount, refused = whole(text, "amount_to_capture"); refused != nil {
				return refused
			}
		}
		if refused := r.form.rest(); refused != nil {
			return refused
		}
		return s.capture(in, amount)
	})
}

func (s *Server) cancelIntent(r *request) (any, *apiError) {
	return s.move(r, func(in *intent) *apiError {
		reason := r.form.take("cancellation_reason")
		if refused := r.form.rest(); refused != nil {
			return refused
		}
		if reason != "" && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer", "abandoned"}, reason) {
			return invalid("", "cancellation_reason", "Invalid cancellation_reason.")
		}
		return s.cancel(in, reason)
	})
}

func (s *Server) move(r *request, do func(in *intent) *apiError) (any, *apiError) {
	in, refused := s.intent(r)
	if refused != nil {
		return nil, refused
	}
	if _, refused := s.shown(r, in, ""); refused != nil { // takes what to expand
		return nil, refused
	}
	if refused := do(in); refused != nil {
		return nil, refused
	}
	return s.shown(r, in, "")
}

// page is a part of a list, newest first.
type page struct {
	Object  string `json:"object"`
	Data    []any  `json:"data"`
	HasMore bool   `json:"has_more"`
	URL     string `json:"url"`
}

// limit takes how much of a list is wanted.
func limit(r *request) (int, *apiError) {
	text := r.form.take("limit")
	if text == "" {
		return 10, nil
	}
	n, refused := whole(text, "limit")
	if refused == nil && (n < 1 || n > 100) {
		refused = invalid("", "limit", "The limit is from 1 to 100.")
	}
	return int(n), refused
}

func (s *Server) listIntents(r *request) (any, *apiError) {
	most, refused := limit(r)
	if refused != nil {
		return nil, refused
	}
	from, to := int64(0), int64(1)<<62
	for op, bound := range r.form.takeMap("created") {
		n, refused := whole(bound, "created")
		switch {
		case refused != nil:
			return nil, refused
		case op == "gte":
			from = n
		case op == "lte":
			to = n
		default:
			return nil, invalid("parameter_unknown", "created", "The sandbox knows created[gte] and created[lte].")
		}
	}
	at := len(s.books.order)
	if after := r.form.take("starting_after"); after != "" {
		var ok bool
		if at, ok = s.books.places[after]; !ok {
			return nil, missing("payment_intent", after)
		}
	}
	list := page{Object: "list", Data: []any{}, URL: "/v1/payment_intents"}
	r.form.takeList("expand")
	if refused := r.form.rest(); refused != nil {
		return nil, refused
	}
	for at--; at >= 0 && s.books.order[at].Created >= from; at-- {
		if s.books.order[at].Created > to {
			continue
		}
		if len(list.Data) == most {
			list.HasMore = true
			break
		}
		view, refused := s.shown(r, s.books.order[at], "data.")
		if refused != nil {
			return nil, refused
		}
		list.Data = append(list.Data, view)
	}
	return list, nil
}

func (s *Server) createRefund(r *request) (any, *apiError) {
	id, text, reason := r.form.take("payment_intent"), r.form.take("amount"), r.form.take("reason")
	metadata := r.form.takeMap("metadata")
	if refused := r.form.rest(); refused != nil {
		return nil, refused
	}
	amount := int64(0)
	if text != "" {
		var refused *apiError
		if amount, refused = whole(text, "amount"); refused != nil {
			return nil, refused
		}
		if amount == 0 {
			return nil, invalid("parameter_invalid_integer", "amount", "Invalid positive integer.")
		}
	}
	if reason != "" && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer"}, reason) {
		return nil, invalid("", "reason", "Invalid reason.")
	}
	in := s.books.intents[id]
	if in == nil {
		return nil, missing("payment_intent", id)
	}
	made, refused := s.refund(in, amount, reason, metadata)
	if refused != nil {
		return nil, refused
	}
	return made, nil
}

func (s *Server) listRefunds(r *request) (any, *apiError) {
	most, refused := limit(r)
	if refused != nil {
		return nil, refused
	}
	id, after := r.form.take("payment_intent"), r.form.take("starting_after")
	if refused := r.form.rest(); refused != nil {
		return nil, refused
	}
	if s.books.intents[id] == nil {
		return nil, missing("payment_intent", id)
	}
	list := page{Object: "list", Data: []any{}, URL: "/v1/refunds"}
	skipping := after != ""
	for _, have := range slices.Backward(s.books.refundsOf[id]) {
		switch {
		case skipping:
			skipping = have.ID != after
		case len(list.Data) == most:
			list.HasMore = true
		default:
			list.Data = append(list.Data, have)
		}
	}
	return list, nil
}

func (s *Server) getRefund(r *request) (any, *apiError) {
	if have := s.books.refunds[r.id]; have != nil {
		return have, r.form.rest()
	}
	return nil, missing("refund", r.id)
}

func (s *Server) listDisputes(r *request) (any, *apiError) {
	if _, refused := limit(r); refused != nil {
		return nil, refused
	}
	id := r.form.take("payment_intent")
	if refused := r.form.rest(); refused != nil {
		return nil, refused
	}
	list := page{Object: "list", Data: []any{}, URL: "/v1/disputes"}
	if d := s.books.disputeOf[id]; d != nil {
		list.Data = append(list.Data, d)
	}
	return list, nil
}

func (s *Server) getAccount(r *request) (any, *apiError) {
	if r.public {
		return nil, &apiError{Type: "invalid_request_error", Message: "This needs the secret key.", status: http.StatusForbidden}
	}
	return map[string]any{"id": s.cfg.Account, "object": "account", "charges_enabled": true, "payouts_enabled": true}, r.form.rest()
}
