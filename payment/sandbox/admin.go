package sandbox

import (
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/payment"
)

// The sandbox's own part: what a test turns, what a person does in the provider's dashboard, and the page of the bank
// on which a buyer authenticates.

func (s *Server) routeAdmin(mux *http.ServeMux) {
	admin := func(pattern string, do func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
			if refused := s.authenticated(r, endpoint{}, &request{form: newForm(url.Values{})}); refused != nil {
				writeError(w, refused)
				return
			}
			object, err := do(r)
			if err != nil {
				writeError(w, invalid("", "", err.Error()))
				return
			}
			status, body := renderObject(object)
			write(w, status, body)
		})
	}
	admin("POST /sandbox/clock", s.adminClock)
	admin("GET /sandbox/faults", func(*http.Request) (any, error) { return map[string]any{"faults": s.Faults()}, nil })
	admin("PUT /sandbox/faults", s.adminFaults)
	admin("POST /sandbox/endpoints", s.adminEndpoint)
	admin("GET /sandbox/books", func(*http.Request) (any, error) {
		return map[string]any{"account": s.cfg.Account, "now_ms": s.Now().UnixMilli(), "payments": s.Books(), "counts": s.Counts()}, nil
	})
	admin("POST /sandbox/payments/{id}/{act}", s.adminAct)
	mux.HandleFunc("GET /sandbox/methods", func(w http.ResponseWriter, _ *http.Request) {
		allowBrowsers(w)
		status, body := renderObject(map[string]any{"methods": methods})
		write(w, status, body)
	})
	mux.HandleFunc("GET /sandbox/authenticate/{id}", s.bankPage)
	mux.HandleFunc("POST /sandbox/authenticate/{id}", s.bankAnswer)
}

// read reads a JSON body strictly.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if d.Decode(into) != nil {
		return refuse("the body is not the JSON that is expected here; see docs/reference/sandbox.md")
	}
	return nil
}

func (s *Server) adminClock(r *http.Request) (any, error) {
	var in struct {
		AdvanceMs int64 `json:"advance_ms"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.AdvanceMs < 0 || in.AdvanceMs > (366*24*time.Hour).Milliseconds() {
		return nil, refuse("the clock moves ahead, by a year at most")
	}
	s.Advance(time.Duration(in.AdvanceMs) * time.Millisecond)
	return map[string]any{"now_ms": s.Now().UnixMilli()}, nil
}

func (s *Server) adminFaults(r *http.Request) (any, error) {
	var in struct {
		Faults []Fault `json:"faults"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := s.SetFaults(in.Faults...); err != nil {
		return nil, err
	}
	return map[string]any{"faults": s.Faults()}, nil
}

func (s *Server) adminEndpoint(r *http.Request) (any, error) {
	var in struct {
		URL    string `json:"url"`
		Secret string `json:"secret"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if to, err := url.Parse(in.URL); err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" || in.Secret == "" {
		return nil, refuse("an endpoint has an address and a secret")
	}
	return map[string]any{}, s.AddEndpoint(Endpoint{URL: in.URL, Secret: payment.Hide(in.Secret)})
}

// Act is what a person can do to a payment in the dashboard, and what a bank or a buyer can do unasked.
type Act string

// The acts.
const (
	ActConfirm      Act = "confirm"      // pay with Method
	ActAuthenticate Act = "authenticate" // succeed at the bank's page
	ActAbandon      Act = "abandon"      // fail there
	ActCancel       Act = "cancel"
	ActCapture      Act = "capture"
	ActRefund       Act = "refund"       // AmountMinor, 0 for the rest
	ActFailRefunds  Act = "fail_refunds" // all of the payment
	ActDispute      Act = "dispute"
	ActWinDispute   Act = "win_dispute"
	ActLoseDispute  Act = "lose_dispute"
	ActExpire       Act = "expire" // end the authorisation now
)

// Arguments are what some acts need.
type Arguments struct {
	Method      string `json:"method,omitempty"`
	AmountMinor int64  `json:"amount,omitempty"`
}

// Act does something to a payment by hand, past limits and faults.
func (s *Server) Act(ref payment.Ref, act Act, with Arguments) error {
	var refused *apiError
	s.locked(func() { refused = s.act(string(ref), act, with) })
	if refused != nil {
		return &payment.Error{Kind: payment.WrongState, Op: "sandbox " + string(act), Code: refused.Code, Message: refused.Message}
	}
	return nil
}

func (s *Server) act(id string, act Act, with Arguments) (refused *apiError) {
	in := s.books.intents[id]
	if in == nil {
		return missing("payment_intent", id)
	}
	switch act {
	case ActConfirm:
		m, ok := methodByID(with.Method)
		if !ok {
			return missing("PaymentMethod", with.Method)
		}
		return s.confirm(in, m, "", "")
	case ActAuthenticate, ActAbandon:
		return s.authenticate(in, act == ActAuthenticate)
	case ActCancel:
		return s.cancel(in, "requested_by_customer")
	case ActExpire:
		if in.Status != needsCapture {
			return unexpectedState(in, "expired")
		}
		return s.cancel(in, "automatic")
	case ActCapture:
		return s.capture(in, in.Amount)
	case ActRefund:
		_, refused = s.refund(in, with.AmountMinor, "requested_by_customer", map[string]string{})
		return refused
	case ActFailRefunds:
		for _, r := range s.books.refundsOf[id] {
			s.failRefund(r)
		}
		return nil
	case ActDispute:
		return s.openDispute(in)
	case ActWinDispute, ActLoseDispute:
		return s.closeDispute(in, act == ActWinDispute)
	}
	return invalid("", "", "There is no such act.")
}

func (s *Server) adminAct(r *http.Request) (any, error) {
	var with Arguments
	if r.ContentLength != 0 {
		if err := read(r, &with); err != nil {
			return nil, err
		}
	}
	id := r.PathValue("id")
	if err := s.Act(payment.Ref(id), Act(r.PathValue("act")), with); err != nil {
		return nil, err
	}
	var view intent
	s.locked(func() { view = *s.books.intents[id] })
	return view, nil
}

var bankTemplate = template.Must(template.New("bank").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sandbox bank</title>
<body style="font:1rem/1.5 system-ui;max-width:28rem;margin:4rem auto;padding:0 1rem">
<h1>Sandbox bank</h1>
{{if .Waiting}}<p>Do you pay {{.Amount}} {{.Currency}} (minor units)?</p>
<form method="post"><input type="hidden" name="client_secret" value="{{.Secret}}">
<button name="answer" value="yes">Yes, pay</button> <button name="answer" value="no">No</button></form>
{{else}}<p>This payment does not wait for you.</p>{{end}}
</body></html>
`))

func (s *Server) bankPage(w http.ResponseWriter, r *http.Request) {
	req := &request{form: newForm(r.URL.Query()), id: r.PathValue("id"), public: true}
	var view intent
	var refused *apiError
	s.locked(func() {
		var in *intent
		if in, refused = s.intent(req); refused == nil {
			view = *in
		}
	})
	if refused != nil {
		writeError(w, refused)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_ = bankTemplate.Execute(w, map[string]any{
		"Waiting": view.Status == needsAction, "Amount": view.Amount, "Currency": strings.ToUpper(view.Currency), "Secret": view.ClientSecret,
	})
}

// bankAnswer takes the buyer's answer and sends him back to the shop.
func (s *Server) bankAnswer(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
	if r.ParseForm() != nil {
		writeError(w, invalid("", "", "The request could not be read."))
		return
	}
	req := &request{form: newForm(r.Form), id: r.PathValue("id"), public: true}
	var back, secret string
	var refused *apiError
	s.locked(func() {
		var in *intent
		if in, refused = s.intent(req); refused == nil {
			back, secret = in.inner.ReturnURL, in.ClientSecret
			refused = s.authenticate(in, r.Form.Get("answer") == "yes")
		}
	})
	if refused != nil {
		writeError(w, refused)
		return
	}
	to, err := url.Parse(back)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" {
		http.Redirect(w, r, r.URL.Path+"?client_secret="+url.QueryEscape(secret), http.StatusSeeOther)
		return
	}
	query := to.Query()
	query.Set("payment_intent", req.id)
	query.Set("payment_intent_client_secret", secret)
	query.Set("redirect_status", "succeeded")
	if r.Form.Get("answer") != "yes" {
		query.Set("redirect_status", "failed")
	}
	to.RawQuery = query.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}
