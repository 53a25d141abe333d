package sandbox

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// apiError is an error as Stripe's API shows it.
type apiError struct {
	Type          string  `json:"type"`
	Code          string  `json:"code,omitempty"`
	DeclineCode   string  `json:"decline_code,omitempty"`
	Message       string  `json:"message"`
	Param         string  `json:"param,omitempty"`
	PaymentIntent *intent `json:"payment_intent,omitempty"`

	status int
	stored bool // the work had begun: remembered under the idempotency key
}

func invalid(code, param, message string) *apiError {
	return &apiError{Type: "invalid_request_error", Code: code, Param: param, Message: message, status: http.StatusBadRequest}
}

func missing(what, id string) *apiError {
	return &apiError{Type: "invalid_request_error", Code: "resource_missing", Message: fmt.Sprintf("No such %s: '%.80s'", what, id), status: http.StatusNotFound}
}

func unexpectedState(in *intent, wish string) *apiError {
	return &apiError{
		Type: "invalid_request_error", Code: "payment_intent_unexpected_state", PaymentIntent: in, status: http.StatusBadRequest, stored: true,
		Message: "This PaymentIntent cannot be " + wish + " because it has a status of " + in.Status + ".",
	}
}

var (
	errServer   = &apiError{Type: "api_error", Message: "An error occurred in the sandbox, as it was told to.", status: http.StatusInternalServerError, stored: true}
	errDown     = &apiError{Type: "api_error", Message: "The sandbox is not available, as it was told to.", status: http.StatusServiceUnavailable}
	errTooMany  = &apiError{Type: "invalid_request_error", Code: "rate_limit", Message: "Too many requests.", status: http.StatusTooManyRequests}
	errKeyInUse = &apiError{Type: "idempotency_error", Code: "idempotency_key_in_use", Message: "Another request with this key is under way.", status: http.StatusConflict}
	errKeyOther = &apiError{Type: "idempotency_error", Message: "The key was used with other parameters.", status: http.StatusBadRequest}
)

// request is one call of the API, past authentication.
type request struct {
	form   *form
	id     string // of the object in the path
	public bool   // made with the publishable key: the buyer's browser
	base   string // the sandbox's address, as the caller wrote it
}

// endpoint carries a request out, with the lock held, and gives the object to show.
type endpoint struct {
	op     string
	public bool // also for the publishable key
	do     func(s *Server, r *request) (any, *apiError)
}

var endpoints = map[string]endpoint{
	"POST /v1/payment_intents":              {"create", false, (*Server).createIntent},
	"GET /v1/payment_intents":               {"list", false, (*Server).listIntents},
	"GET /v1/payment_intents/{id}":          {"look", true, (*Server).getIntent},
	"POST /v1/payment_intents/{id}/confirm": {"confirm", true, (*Server).confirmIntent},
	"POST /v1/payment_intents/{id}/capture": {"capture", false, (*Server).captureIntent},
	"POST /v1/payment_intents/{id}/cancel":  {"cancel", false, (*Server).cancelIntent},
	"POST /v1/refunds":                      {"refund", false, (*Server).createRefund},
	"GET /v1/refunds":                       {"refunds", false, (*Server).listRefunds},
	"GET /v1/refunds/{id}":                  {"refunds", false, (*Server).getRefund},
	"GET /v1/disputes":                      {"disputes", false, (*Server).listDisputes},
	"GET /v1/account":                       {"account", false, (*Server).getAccount},
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, e := range endpoints {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, e) })
	}
	mux.HandleFunc("OPTIONS /v1/", func(w http.ResponseWriter, r *http.Request) {
		allowBrowsers(w)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{Type: "invalid_request_error", Message: "Unrecognized request URL: the sandbox has no such part of the API.", status: http.StatusNotFound})
	})
	s.routeAdmin(mux)
	return mux
}

// allowBrowsers lets pages of every origin call, as Stripe does: the client secret is what gives access.
func allowBrowsers(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Stripe-Version")
	w.Header().Set("Access-Control-Max-Age", "300")
}

// serve is one call of the API from its arrival to its answer.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	if e.public {
		allowBrowsers(w)
	}
	w.Header().Set("Stripe-Version", apiVersion)
	r.Body = http.MaxBytesReader(w, r.Body, bodyBytesMax)
	if err := r.ParseForm(); err != nil {
		writeError(w, invalid("", "", "The request could not be read."))
		return
	}
	req := &request{form: newForm(r.Form), id: r.PathValue("id"), base: "http://" + r.Host}
	if r.TLS != nil {
		req.base = "https://" + r.Host
	}
	if refused := s.authenticated(r, e, req); refused != nil {
		writeError(w, refused)
		return
	}
	m, refused := s.admit(w, r, e, req)
	if refused != nil {
		pause(r.Context(), m.latency)
		writeError(w, refused)
		return
	}
	if m.do == Down {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	status, body := s.answered(w, r, e, req, m)
	if m.do == Slow {
		pause(r.Context(), m.slow)
	}
	if with, ok := methodByID(req.form.method()); ok && with.hangs && e.op == "confirm" && status == http.StatusOK {
		pause(r.Context(), s.cfg.HangFor)
	}
	if m.do == DropAfter {
		panic(http.ErrAbortHandler)
	}
	if fromForm(r, e, req) && sendOn(w, r, r.Form.Get("return_url"), body) {
		return
	}
	write(w, status, body)
}

// admit counts the request, draws its fault and its latency, and refuses what comes too fast.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, e endpoint, req *request) (m mishap, refused *apiError) {
	s.locked(func() {
		s.counts.Requests++
		w.Header().Set("Request-Id", s.books.id("req"))
		m.do, m.slow = s.fault(e.op)
		m.latency = s.latency()
		pool := &s.reads
		if r.Method == http.MethodPost {
			pool = &s.writes
		}
		switch {
		case m.do == Unavailable:
			refused = errDown
		case m.do == Busy:
			refused = errKeyInUse
		case m.do == RateLimit, m.do != Down && !req.public && !pool.pass(time.Now()):
			s.counts.Limited++
			w.Header().Set("Retry-After", "1")
			refused = errTooMany
		}
	})
	return m, refused
}

// mishap is what happens to a request beside its work.
type mishap struct {
	do      Do
	slow    time.Duration // of Slow
	latency time.Duration
}

// answered carries the request out once for its idempotency key. The latency is that of the work: as long as it lasts
// the key is in use.
func (s *Server) answered(w http.ResponseWriter, r *http.Request, e endpoint, req *request, m mishap) (status int, body []byte) {
	key := ""
	if r.Method == http.MethodPost && !req.public {
		key = r.Header.Get("Idempotency-Key")
	}
	if len(key) > 255 {
		return render(invalid("", "", "The idempotency key is longer than 255 characters."))
	}
	var mine *remembered
	if key != "" {
		w.Header().Set("Idempotency-Key", key)
		s.locked(func() { mine, status, body = s.begin(w, key, fingerprint(r.Method, r.URL.Path, r.Form.Encode())) })
	}
	pause(r.Context(), m.latency)
	if status != 0 {
		return status, body
	}
	s.locked(func() {
		keep := true
		if m.do == ErrorBefore {
			status, body = render(errServer)
		} else if object, refused := e.do(s, req); refused != nil {
			keep = refused.stored
			status, body = render(refused)
		} else if status, body = renderObject(object); m.do == ErrorAfter {
			status, body = render(errServer)
		}
		if mine != nil {
			s.keys.end(mine, status, body, keep)
			if keep {
				s.journal.add(line{Key: mine})
			}
		}
		if s.journal.flush() != nil {
			status, body = render(errServer)
		}
	})
	return status, body
}

// begin takes an idempotency key for a request, or gives the answer that the key has already.
func (s *Server) begin(w http.ResponseWriter, key, asked string) (mine *remembered, status int, body []byte) {
	have, mine := s.keys.begin(key, asked, s.now())
	switch {
	case have == nil:
		return mine, 0, nil
	case have.underWay:
		status, body = render(errKeyInUse)
	case have.Request != asked:
		status, body = render(errKeyOther)
	default:
		w.Header().Set("Idempotent-Replayed", "true")
		s.counts.Replayed++
		return nil, have.Status, have.Body
	}
	return nil, status, body
}

// authenticated lets the secret key do everything, and the publishable one what the client secret of one payment
// allows.
func (s *Server) authenticated(r *http.Request, e endpoint, req *request) *apiError {
	key, _, basic := r.BasicAuth()
	if !basic {
		key = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if key == "" {
		key = req.form.take("key")
	}
	switch {
	case same(key, s.cfg.SecretKey.Reveal()):
		return nil
	case e.public && same(key, s.cfg.PublishableKey.Reveal()):
		req.public = true
		return nil
	}
	shown := "none"
	if kind, _, ok := strings.Cut(key, "_test_"); ok && len(kind) == 2 {
		shown = kind + "_test_****"
	}
	return &apiError{Type: "invalid_request_error", Message: "Invalid API Key provided: " + shown, status: http.StatusUnauthorized}
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// pause waits, as long as the other side does.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func render(e *apiError) (int, []byte) {
	_, body := renderObject(map[string]any{"error": e})
	return e.status, body
}

func renderObject(object any) (int, []byte) {
	body, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		panic(err) // the objects are ours
	}
	return http.StatusOK, body
}

func writeError(w http.ResponseWriter, e *apiError) {
	status, body := render(e)
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// form is the parameters of a request. Each is taken once; what nobody took is unknown, and refused.
type form struct {
	values url.Values
	taken  map[string]bool
}

func newForm(v url.Values) *form { return &form{values: v, taken: map[string]bool{}} }

func (f *form) take(name string) string {
	f.taken[name] = true
	return f.values.Get(name)
}

// takeList takes name[], or name[0], name[1] and so on.
func (f *form) takeList(name string) (list []string) {
	f.taken[name+"[]"] = true
	list = append(list, f.values[name+"[]"]...)
	for i := range len(f.values) {
		if at := fmt.Sprintf("%s[%d]", name, i); f.values.Has(at) {
			list = append(list, f.take(at))
		}
	}
	return list
}

// takeMap takes name[key].
func (f *form) takeMap(name string) map[string]string {
	found := map[string]string{}
	for at := range f.values {
		if key, ok := strings.CutPrefix(at, name+"["); ok && strings.HasSuffix(key, "]") && key != "]" {
			found[strings.TrimSuffix(key, "]")] = f.take(at)
		}
	}
	return found
}

// rest refuses parameters that nobody took.
func (f *form) rest() *apiError {
	for name := range f.values {
		if !f.taken[name] {
			return invalid("parameter_unknown", name, fmt.Sprintf("Received unknown parameter: %.80s", name))
		}
	}
	return nil
}

// method is what the buyer pays with: a payment method's id, a card's number, or a type that has no number.
func (f *form) method() string {
	if id := f.values.Get("payment_method"); id != "" {
		return id
	}
	if number := f.values.Get("payment_method_data[card][number]"); number != "" {
		return number
	}
	return "type:" + f.values.Get("payment_method_data[type]")
}
