package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// apiVersion is the version of Stripe's API that the objects have.
const apiVersion = "2023-10-16"

// delivery is one event on its way to one endpoint.
type delivery struct {
	body    []byte
	to      Endpoint
	tries   int
	firstMs int64
}

// emit tells every endpoint that something happened to an object, which it shows as it is now. It is called with the
// lock held.
func (s *Server) emit(kind string, object any) {
	if len(s.endpoints) == 0 {
		return
	}
	raw, err := json.Marshal(map[string]any{
		"id": s.books.id("evt"), "object": "event", "api_version": apiVersion, "created": s.now().Unix(), "type": kind, "livemode": false,
		"pending_webhooks": len(s.endpoints), "request": map[string]any{"id": nil, "idempotency_key": nil}, "data": map[string]any{"object": object},
	})
	if err != nil {
		panic(err) // the objects are ours
	}
	w := s.cfg.Webhooks
	for _, to := range s.endpoints {
		if s.chance(w.LostPerMille) {
			s.counts.WebhooksLost++
			continue
		}
		copies := 1
		if s.chance(w.DuplicatesPerMille) {
			copies = 2
		}
		for range copies {
			at := s.now().Add(w.Delay)
			if w.Spread > 0 {
				at = at.Add(time.Duration(s.books.random.Int64N(int64(w.Spread))))
			}
			s.post(at.UnixMilli(), &delivery{body: raw, to: to, firstMs: at.UnixMilli()})
		}
	}
}

func (s *Server) chance(perMille uint32) bool {
	return perMille > 0 && s.books.random.Uint32N(1000) < perMille
}

func (s *Server) post(ms int64, d *delivery) {
	if len(s.letters.items) >= deliveriesMax {
		s.counts.WebhooksLost++
		return
	}
	s.letters.push(ms, d)
}

// send delivers once, and puts the letter back when it was not answered with 2xx.
func (s *Server) send(ctx context.Context, d *delivery) {
	ok := s.deliver(ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending--
	s.rouse()
	if ok {
		s.counts.WebhooksSent++
		return
	}
	d.tries++
	at := s.now().Add(min(time.Hour, s.cfg.Webhooks.RetryAfter<<min(d.tries-1, 20)))
	if at.UnixMilli()-d.firstMs > retriesFor.Milliseconds() {
		s.counts.WebhooksLost++
		return
	}
	s.counts.WebhooksRepeated++
	s.post(at.UnixMilli(), d)
}

func (s *Server) deliver(ctx context.Context, d *delivery) bool {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Webhooks.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.to.URL, bytes.NewReader(d.body))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("Stripe-Signature", sign(time.Now(), d.body, d.to.Secret.Reveal()))
	answer, err := s.cfg.Transport.RoundTrip(r) // not a Client: Stripe does not follow redirects either
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, bodyBytesMax)) // so that the connection can be used again
	return answer.StatusCode/100 == 2
}

// sign makes the header Stripe-Signature. The time is the receiver's, not that of a clock that was moved.
func sign(at time.Time, body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}
