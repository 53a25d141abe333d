package frontend

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
)

// route is one thing that is served.
type route struct {
	pattern string // of http.ServeMux
	class   class
	handler http.HandlerFunc
}

// routes lists everything that is served, and what it is worth when not all can be answered. openapi.yaml describes the
// part below /api, and a test holds the two against each other.
func (s *Server) routes() []route {
	return slices.Concat(s.apiRoutes(), s.pageRoutes(), []route{
		{"POST /webhooks/stripe", keeping, s.webhook},
		{"POST " + edgePath + "{what}", keeping, s.edgeRequest},
		{"GET /livez", keeping, s.livez},
		{"GET /readyz", keeping, s.readyz},
		{"GET /metrics", keeping, s.metrics.serve},
	})
}

func (s *Server) apiRoutes() []route {
	return []route{
		{"GET /api/v1/openapi.json", viewer, s.openAPI},
		{"GET /api/v1/keys", viewer, s.publicKeys},
		{"GET /api/v1/events", viewer, s.listEvents},
		{"GET /api/v1/events/{event}", viewer, s.getEvent},
		{"GET /api/v1/events/{event}/map", viewer, s.getMap},
		{"GET /api/v1/events/{event}/seats", viewer, s.getSeats},
		{"GET /api/v1/events/{event}/stream", viewer, s.stream},
		{"GET /api/v1/events/{event}/draw", viewer, s.getDraw},
		{"GET /api/v1/events/{event}/line/challenge", waiter, s.getChallenge},
		{"POST /api/v1/events/{event}/line", waiter, s.postLine},
		{"GET /api/v1/events/{event}/line/place", waiter, s.getPlace},
		{"DELETE /api/v1/events/{event}/line/place", waiter, s.deletePlace},
		{"POST /api/v1/events/{event}/returns", waiter, s.postReturns},
		{"DELETE /api/v1/events/{event}/returns", waiter, s.deleteReturns},
		{"POST /api/v1/events/{event}/holds", holder, s.postHold},
		{"GET /api/v1/holds/{hold}", holder, s.getHold},
		{"PATCH /api/v1/holds/{hold}", holder, s.patchHold},
		{"DELETE /api/v1/holds/{hold}", holder, s.deleteHold},
		{"POST /api/v1/holds/{hold}/checkout", holder, s.postCheckout},
		{"POST /api/v1/holds/{hold}/confirm", holder, s.postConfirm},
		{"GET /api/v1/orders/{order}", holder, s.getOrder},
		{"GET /api/v1/orders/{order}/tickets", holder, s.getTickets},
		{"POST /api/v1/orders/{order}/pay", holder, s.postPayAgain},
		{"POST /api/v1/orders/{order}/confirm", holder, s.postConfirmAgain},
	}
}

// handler puts together what stands before every handler.
func (s *Server) handler() http.Handler {
	mux, known := http.NewServeMux(), http.NewServeMux()
	for _, r := range s.routes() {
		handler := s.counted(r.pattern, s.guard(r.class, s.forbidCrossOrigin(r.handler)))
		mux.HandleFunc(r.pattern, handler)
		known.HandleFunc(r.pattern, handler)
	}
	mux.Handle("GET /static/", s.pages.Static())
	mux.HandleFunc("OPTIONS /api/", s.preflight)
	mux.HandleFunc("/", s.counted("/", s.guard(viewer, func(w http.ResponseWriter, r *http.Request) {
		if allowed := methodsAt(known, r); allowed != "" {
			w.Header().Set("Allow", allowed)
			s.fail(w, r, errMethod)
			return
		}
		s.fail(w, r, notFound("page: "+r.Method+" "+r.URL.Path))
	})))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := s.cfg.Limits.BodyBytesMax
		if strings.HasPrefix(r.URL.Path, "/webhooks/") || strings.HasPrefix(r.URL.Path, edgePath) {
			most = max(most, edgeBytesMax) // they have their own, where they are read
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		s.headers(w, r)
		mux.ServeHTTP(w, r)
	})
}

var errMethod = &refusal{http.StatusMethodNotAllowed, "method_not_allowed", "this address exists, and does not take that method; the header Allow says which it takes", "", 0}

// methodsAt says which methods an address takes; empty: there is no such address.
func methodsAt(known *http.ServeMux, r *http.Request) string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		other := http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := known.Handler(&other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 && allowed[0] == http.MethodGet {
		allowed = slices.Insert(allowed, 1, http.MethodHead)
	}
	return strings.Join(allowed, ", ")
}

// forPeople reports whether the answer is for a browser's window, not for a program.
func forPeople(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/webhooks/") && !strings.HasPrefix(r.URL.Path, edgePath) && r.URL.Path != "/metrics" &&
		r.URL.Path != "/livez" && r.URL.Path != "/readyz"
}

// headers sets what every answer carries.
func (s *Server) headers(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // links to orders are secrets
	if s.cfg.secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if !forPeople(r) {
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		s.allowOrigin(h, r)
		return
	}
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// nonce makes the nonce of one page's policy.
func nonce() string { return rand.Text() }

// allowOrigin lets pages of the named origins use the API. They bring their token in Authorization; cookies are not
// theirs to send.
func (s *Server) allowOrigin(h http.Header, r *http.Request) (allowed bool) {
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(s.cfg.Origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
	return true
}

func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if s.allowOrigin(h, r) {
		h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID")
		h.Set("Access-Control-Max-Age", "7200")
	}
	w.WriteHeader(http.StatusNoContent)
}

// forbidCrossOrigin refuses what another site's page makes a browser send. Browsers say where a request comes from;
// what says nothing is no browser, and has no cookies that it was not given. Requests of the named origins pass when
// they carry no cookie.
func (s *Server) forbidCrossOrigin(next http.HandlerFunc) http.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		named := slices.Contains(s.cfg.Origins, r.Header.Get("Origin")) && len(r.Cookies()) == 0
		if r.Pattern != "POST /webhooks/stripe" && !named {
			if err := protection.Check(r); err != nil {
				s.fail(w, r, errOrigin)
				return
			}
		}
		next(w, r)
	}
}
