package frontend

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// Frontends have two roles. A settlement frontend has the provider's secret key. An edge has none: what its buyers need of
// the provider it asks a settlement frontend for, in requests that the fleet's secret signs. So the machines that face the
// crowd cannot move money. Both requests may be made any number of times, and what decides is in the shard.

// Edge asks settlement frontends. It is safe for concurrent use.
type Edge struct {
	addresses []string
	key       []byte
	public    PaymentPublic
	http      *http.Client
	now       func() time.Time
}

// The limits of what edges and settlement frontends say to each other.
const (
	edgeCall     = 20 * time.Second
	edgeBytesMax = webhookBytesMax * 2
	edgeConns    = 256
	edgeFresh    = time.Minute // how far their clocks may be apart
	edgePath     = "/internal/payments/"
	edgeHeader   = "Holdfast-Fleet"
)

// NewEdge makes an edge's way to the frontends with the settlement role, as https://settle-1.internal:8443. public is what
// browsers are told.
func NewEdge(secret Secret, addresses []string, public PaymentPublic) (*Edge, error) {
	e := &Edge{key: secret.key(forFleet, 0), public: public, now: time.Now,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: edgeConns, MaxConnsPerHost: edgeConns, IdleConnTimeout: idleTimeout, ForceAttemptHTTP2: true}}}
	if len(addresses) == 0 {
		return nil, invalid("settlement", "an edge needs the address of a frontend with the settlement role")
	}
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !onLoopback(u.Hostname())) {
			return nil, invalid("settlement", "%q is not an address like https://settle-1.internal:8443; without TLS it must be on this machine", address)
		}
		e.addresses = append(e.addresses, strings.TrimSuffix(address, "/"))
	}
	return e, nil
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// edgeAttempt is an attempt in what edges and settlement frontends say to each other.
type edgeAttempt struct {
	Event   uint32         `json:"event"`
	Hold    string         `json:"hold"`
	Attempt uint32         `json:"attempt"`
	Amount  holdfast.Money `json:"amount"`
	SinceMs int64          `json:"since_ms"`
}

type edgeHint struct {
	Body      []byte `json:"body"`
	Signature string `json:"signature"`
}

type edgeAnswer struct {
	ClientSecret string       `json:"client_secret,omitempty"`
	State        PaymentStand `json:"state,omitempty"`
	Declined     string       `json:"declined,omitempty"`
}

// Public says what browsers need to know of the provider.
func (e *Edge) Public() PaymentPublic { return e.public }

// Begin makes the payment, or finds it.
func (e *Edge) Begin(ctx context.Context, p PaymentBegin) (clientSecret string, err error) {
	var a edgeAnswer
	err = e.ask(ctx, "begin", edgeAttempt{uint32(p.Event.ID), p.Hold.String(), uint32(p.Attempt), p.Amount, p.Since.UnixMilli()}, &a)
	return a.ClientSecret, err
}

// Look asks how an attempt stands.
func (e *Edge) Look(ctx context.Context, event client.EventRef, h client.Hold, since time.Time) (PaymentVerdict, error) {
	var a edgeAnswer
	err := e.ask(ctx, "look", edgeAttempt{uint32(event.ID), h.ID.String(), uint32(h.Attempt), h.Amount, since.UnixMilli()}, &a)
	return PaymentVerdict{State: a.State, Declined: a.Declined}, err
}

// Hint passes a webhook on.
func (e *Edge) Hint(ctx context.Context, body []byte, signature string) error {
	return e.ask(ctx, "hint", edgeHint{body, signature}, &edgeAnswer{})
}

// ask asks one settlement frontend after the other until one answers.
func (e *Edge) ask(ctx context.Context, what string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, edgeCall)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	for _, address := range e.addresses {
		var answered bool
		if answered, err = e.askOne(ctx, address+edgePath+what, body, out); answered {
			return err
		}
	}
	return errors.Join(errNoPayments, err)
}

// askOne asks one. Not answered: nobody there had anything to say about it.
func (e *Edge) askOne(ctx context.Context, to string, body []byte, out any) (answered bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	at := strconv.FormatInt(e.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(edgeHeader, at+"."+b64.EncodeToString(mac(nil, e.key, []byte(req.URL.Path), []byte{0}, []byte(at), []byte{0}, body)))
	res, err := e.http.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, edgeBytesMax))
	if err != nil {
		return false, err
	}
	if res.StatusCode == http.StatusOK {
		return true, json.Unmarshal(text, out)
	}
	var no errorOut
	if json.Unmarshal(text, &no) != nil || no.Error.Code == "" {
		return false, &holdfast.Error{Kind: holdfast.Unavailable, Op: "settlement", Message: "an answer that is no document"}
	}
	if no.Error.Code == errAttemptOver.code {
		return true, errAttemptOver
	}
	said := &refusal{res.StatusCode, no.Error.Code, no.Error.Message, no.Error.Field, time.Duration(no.Error.RetryAfterMs) * time.Millisecond}
	return said.code != errDraining.code && said.code != errNoPayments.code && said.code != errNotFleet.code, said
}

var errNotFleet = &refusal{http.StatusUnauthorized, "not_of_the_fleet", "this is for frontends with the same secret, whose clocks are right", "", 0}

// edgeRequest answers an edge, on a frontend with the settlement role.
func (s *Server) edgeRequest(w http.ResponseWriter, r *http.Request) {
	out, err := s.forEdge(r)
	if err != nil {
		s.failIn(w, r, err, 0)
		return
	}
	s.json(w, http.StatusOK, out)
}

func (s *Server) forEdge(r *http.Request) (out edgeAnswer, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, edgeBytesMax))
	if err != nil {
		return out, invalid("body", "it cannot be read")
	}
	if !s.ofFleet(r, body) {
		return out, errNotFleet
	}
	if _, edge := s.cfg.Payments.(*Edge); edge || s.cfg.Payments == nil {
		return out, errNoPayments
	}
	if r.PathValue("what") == "hint" {
		var in edgeHint
		if err := json.Unmarshal(body, &in); err != nil {
			return out, invalid("body", "not what this takes")
		}
		return out, s.cfg.Payments.Hint(r.Context(), in.Body, in.Signature)
	}
	var in edgeAttempt
	if err := json.Unmarshal(body, &in); err != nil {
		return out, invalid("body", "not what this takes")
	}
	hold, err := holdfast.ParseHoldID(in.Hold)
	if err != nil {
		return out, err
	}
	c, err := s.rooms.named(r.Context(), holdfast.EventID(in.Event).String())
	if err != nil {
		return out, err
	}
	since := time.UnixMilli(in.SinceMs)
	switch r.PathValue("what") {
	case "begin":
		out.ClientSecret, err = s.cfg.Payments.Begin(r.Context(), PaymentBegin{Event: c.ref, Hold: hold, Attempt: holdfast.Attempt(in.Attempt), Amount: in.Amount, Since: since})
	case "look":
		var v PaymentVerdict
		v, err = s.cfg.Payments.Look(r.Context(), c.ref, client.Hold{ID: hold, Event: c.ref, Attempt: holdfast.Attempt(in.Attempt), Amount: in.Amount}, since)
		out.State, out.Declined = v.State, v.Declined
	default:
		err = notFound("request")
	}
	return out, err
}

// ofFleet reports whether a request was signed with the fleet's secret, lately. Whoever repeats one within the minute learns
// what its edge learned, over a connection that only the fleet uses.
func (s *Server) ofFleet(r *http.Request, body []byte) bool {
	at, sum, _ := strings.Cut(r.Header.Get(edgeHeader), ".")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return false
	}
	want := b64.EncodeToString(mac(nil, s.cfg.Secret.key(forFleet, 0), []byte(r.URL.Path), []byte{0}, []byte(at), []byte{0}, body))
	apart := s.now().Sub(time.Unix(seconds, 0))
	return max(apart, -apart) <= edgeFresh && subtle.ConstantTimeCompare([]byte(sum), []byte(want)) == 1
}

// TestMode reports whether a publishable key is of a provider's test mode. An edge knows no other.
func TestMode(publishable string) bool {
	return !strings.HasPrefix(cmp.Or(publishable, "pk_live_"), "pk_live_")
}
