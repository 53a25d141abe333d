// Package notify tells organizers' systems what became of orders, by signed webhooks.
//
// A notification is an effect of the shard (holdfast.EffectNotify): Webhooks carries it out, at least once, and a worker
// repeats it until the organizer's server has answered 2xx, or parks it. Its id is the same each time, so that the receiver
// can tell a repetition. What it says is the order as it is when it is sent, with the index of the shard's log at which that
// was true: a repetition never says something old as if it were new.
//
// Headers and signature are those of Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature: v1 and HMAC-SHA256
// over id, timestamp and body), for which most languages have a library. There is nothing personal in a notification, unless
// its endpoint says so.
package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/payment"
)

// Options is what Webhooks needs.
type Options struct {
	Config Config
	Book   *statement.Book
	People person.Ciphertexts // needed when an endpoint is told who bought
	Vault  *person.Vault      // likewise
	Logger *slog.Logger       // nil discards

	// Now is the clock of timestamps; nil: the system's.
	Now func() time.Time
}

// Webhooks carries out EffectNotify. It is safe for concurrent use. Close it.
type Webhooks struct {
	cfg       Options
	endpoints []endpoint
	plain     *http.Client // to public addresses only
	inside    *http.Client // to any address
}

const (
	timeoutDefault = 10 * time.Second // for one notification, name lookup included
	answerBytes    = 4 << 10          // of an answer are read, so that its connection can be used again, and dropped
	headerBytesMax = 16 << 10         // of an answer
	idlePerHost    = 4
	idleMax        = 64
)

// New reads secrets and makes webhooks.
func New(o Options) (*Webhooks, error) {
	endpoints, err := o.Config.open()
	if err != nil {
		return nil, err
	}
	if o.Book == nil {
		return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "notify", Field: "book", Message: "it is missing"}
	}
	for _, e := range endpoints {
		if e.Personal && (o.People == nil || o.Vault == nil) {
			return nil, &holdfast.Error{Kind: holdfast.Invalid, Op: "notify", Field: "personal", Message: "an endpoint is told who bought, and nothing here can decrypt it"}
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	timeout := o.Config.Timeout
	if timeout == 0 {
		timeout = timeoutDefault
	}
	return &Webhooks{cfg: o, endpoints: endpoints, plain: newClient(timeout, publicOnly), inside: newClient(timeout, nil)}, nil
}

// newClient makes a client that follows no redirect, uses no proxy and keeps no cookie. guard sees the address that is
// dialled, after the name was looked up: a name that changes its mind does not get around it.
func newClient(timeout time.Duration, guard dialGuard) *http.Client {
	dialer := &net.Dialer{Timeout: timeout, ControlContext: guard}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, IdleConnTimeout: time.Minute,
			MaxIdleConns: idleMax, MaxIdleConnsPerHost: idlePerHost, MaxResponseHeaderBytes: headerBytesMax, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableCompression: true},
	}
}

// Close ends idle connections.
func (w *Webhooks) Close() {
	w.plain.CloseIdleConnections()
	w.inside.CloseIdleConnections()
}

// Carry carries out one effect: it is a settle.Carrier.
func (w *Webhooks) Carry(ctx context.Context, e client.Effect) error {
	return w.Do(ctx, statement.OccasionOf(e))
}

// Do tells the organizer of an order. Without an endpoint for the event and topic there is nobody to tell, and it is done.
func (w *Webhooks) Do(ctx context.Context, o statement.Occasion) error {
	s, err := w.cfg.Book.Statement(ctx, o.Event, o.Order)
	if err != nil {
		return err
	}
	e, ok := choose(w.endpoints, s.EventName, o.Topic)
	if !ok {
		return nil
	}
	p := payloadOf(o, s)
	if e.Personal {
		buyer, found, err := w.cfg.Vault.Find(ctx, w.cfg.People, o.Event, o.Order.Hold())
		if err != nil {
			return err
		}
		if found {
			p.Data.Buyer = &buyerOut{Mail: buyer.Mail, Name: buyer.Name}
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return w.post(ctx, e, p.ID, body)
}

// post sends one notification.
func (w *Webhooks) post(ctx context.Context, e endpoint, id string, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return failed(payment.Invalid, "url", "the endpoint's address is wrong")
	}
	at := w.cfg.Now()
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("User-Agent", "holdfast")
	q.Header.Set(headerID, id)
	q.Header.Set(headerTimestamp, strconv.FormatInt(at.Unix(), 10))
	q.Header.Set(headerSignature, sign(e.secrets, id, at, body))
	client := w.plain
	if e.AllowPrivate {
		client = w.inside
	}
	answer, err := client.Do(q)
	if err != nil {
		return verdict(err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, answerBytes) // what it says is not for us; the status is
	w.cfg.Logger.Debug("an organizer was told", "message", id, "status", answer.StatusCode)
	code := strconv.Itoa(answer.StatusCode)
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode == http.StatusGone:
		return failed(payment.Invalid, code, "the endpoint wants no more notifications")
	case answer.StatusCode == http.StatusTooManyRequests:
		return failed(payment.Limited, code, "the endpoint has too many notifications")
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return failed(payment.Unknown, code, "the endpoint has moved, and redirects are not followed")
	}
	return failed(payment.Unknown, code, "the endpoint did not take it")
}

// verdict says what a failed request means, without its address: that may have a token in it.
func verdict(err error) error {
	var network net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errPrivate):
		return failed(payment.Invalid, "private", "the endpoint's name leads to an address inside, and it is not configured that it may")
	case errors.As(err, &network) && network.Timeout():
		return failed(payment.Unknown, "timeout", "the endpoint did not answer in time")
	case errors.As(err, &certificate):
		return failed(payment.Unknown, "certificate", "the endpoint's certificate is not good")
	}
	return failed(payment.Unknown, "unreachable", "the endpoint cannot be reached")
}

func failed(kind payment.Kind, code, message string) error {
	return &payment.Error{Kind: kind, Op: "notify", Code: code, Message: message}
}

// messageID is the same whenever the same effect is carried out. The order's id makes it unique among clusters.
func messageID(o statement.Occasion) string {
	b := binary.LittleEndian.AppendUint64([]byte("holdfast notification v1"), uint64(o.Effect))
	b = append(append(b, o.Order[:]...), byte(o.Topic))
	sum := sha256.Sum256(b)
	return "msg_" + hex.EncodeToString(sum[:16])
}
