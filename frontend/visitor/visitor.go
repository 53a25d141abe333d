// Package visitor is somebody who buys through the frontends' HTTP API, as a program: it joins the line, waits, holds
// seats, pays and looks at the order. The demonstration's crowd, the benchmark of the line and the fault tests are made
// of visitors.
//
// A visitor keeps a secret, a token and nothing else, as a browser does. When a frontend dies it goes to the next one,
// and repeats what it asked for with the same Idempotency-Key, so that nothing is done twice. Every method ends with an
// answer, with a *Problem that a frontend told, or with an error that says that no frontend answered.
package visitor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Config says who visits what. Frontends and Event are needed.
type Config struct {
	Frontends []string     // base addresses, as http://127.0.0.1:8080; the first is tried first
	Event     string       // its name
	HTTP      *http.Client // shared by a crowd; nil: http.DefaultClient
	// Address is what a proxy in front of the frontends would say that the visitor's address is; empty: no proxy.
	Address string
	// Failed is told of every attempt that was made again; may be nil.
	Failed func(error)
}

// Visitor is one person. It is not safe for concurrent use.
type Visitor struct {
	cfg    Config
	at     int // the frontend that answered last
	secret string
	token  string
}

// New makes a visitor with a secret of its own.
func New(cfg Config) *Visitor {
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	var secret [32]byte
	rand.Read(secret[:])
	return &Visitor{cfg: cfg, secret: base64.RawURLEncoding.EncodeToString(secret[:])}
}

// Problem is a frontend's answer that is no success.
type Problem struct {
	Status     int
	Code       string // the outcome's or the kind's name, as seat_sold
	Message    string
	Field      string
	RetryAfter time.Duration
	Hold       string   // the hold that stands in the way
	Taken      []uint32 // wanted units that were not to be had
	Near       []uint32 // the nearest that were free
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Message) }

// again reports whether the same request may do better in a moment: nothing was decided about it.
func (p *Problem) again() bool {
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests && p.Code == "overloaded"
}

const (
	retryLeast  = 50 * time.Millisecond
	bodyMax     = 4 << 20
	attemptTime = 5 * time.Second // after which another frontend is asked
)

// call asks until a frontend answers, or ctx ends. key, if there is one, makes it the same request each time.
func (v *Visitor) call(ctx context.Context, method, path, key string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	for {
		err := v.attempt(ctx, method, path, key, body, out)
		var p *Problem
		told := errors.As(err, &p)
		if err == nil || told && !p.again() {
			return err
		}
		if v.cfg.Failed != nil {
			v.cfg.Failed(err)
		}
		wait := retryLeast
		if told {
			wait = max(wait, p.RetryAfter)
		}
		if !told || p.Status == http.StatusServiceUnavailable {
			v.at = (v.at + 1) % len(v.cfg.Frontends)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func (v *Visitor) attempt(ctx context.Context, method, path, key string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, v.cfg.Frontends[v.at]+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if v.token != "" {
		req.Header.Set("Authorization", "Place "+v.token)
	}
	if v.cfg.Address != "" {
		req.Header.Set("X-Forwarded-For", v.cfg.Address)
	}
	res, err := v.cfg.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, bodyMax))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return problemOf(res.StatusCode, text)
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

func problemOf(status int, text []byte) error {
	var told struct {
		Error struct {
			Code         string   `json:"code"`
			Message      string   `json:"message"`
			Field        string   `json:"field"`
			RetryAfterMs int64    `json:"retry_after_ms"`
			Hold         string   `json:"hold"`
			Taken        []uint32 `json:"taken"`
			Near         []uint32 `json:"near"`
		} `json:"error"`
	}
	p := &Problem{Status: status}
	if err := json.Unmarshal(text, &told); err != nil {
		p.Message = "an answer that is no document"
		return p
	}
	e := &told.Error
	p.Code, p.Message, p.Field, p.Hold, p.Taken, p.Near = e.Code, e.Message, e.Field, e.Hold, e.Taken, e.Near
	p.RetryAfter = time.Duration(e.RetryAfterMs) * time.Millisecond
	return p
}

// event is the path of the visitor's event.
func (v *Visitor) event(below string) string {
	return "/api/v1/events/" + url.PathEscape(v.cfg.Event) + below
}

// NewKey makes a key for a request that is to be done once.
func NewKey() string { return rand.Text() }
