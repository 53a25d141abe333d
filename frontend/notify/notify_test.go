package notify

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// organizer is a server that takes notifications.
type organizer struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	header http.Header
	answer string
	got    []notification
}

type notification struct {
	header http.Header
	body   []byte
}

func newOrganizer(t *testing.T) *organizer {
	o := &organizer{status: http.StatusNoContent}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.got = append(o.got, notification{r.Header, body})
		for name, values := range o.header {
			w.Header()[name] = values
		}
		w.WriteHeader(o.status)
		_, _ = io.WriteString(w, o.answer)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *organizer) last(t *testing.T) notification {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got) == 0 {
		t.Fatal("nothing came")
	}
	return o.got[len(o.got)-1]
}

// shop is a cluster with one order in it.
type shop struct {
	book   *statement.Book
	vault  *person.Vault
	people people
	cause  statement.Occasion
}

// people keeps ciphertexts as a shard would.
type people map[holdfast.HoldID][]byte

func (p people) Person(_ context.Context, _ client.EventRef, hold holdfast.HoldID) ([]byte, error) {
	return p[hold], nil
}

func newShop(t *testing.T) *shop {
	t.Helper()
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx := cluster.Client(), t.Context()
	event := cluster.LoadEvent(command.EventSpec{Name: "concert", Title: "Spring Concert", Currency: "eur", Tiers: []command.Tier{{Name: "seat", PriceMinor: 0}},
		Sections: []command.Section{{Name: "Stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 10, Tier: holdfast.AnyTier}}}}})
	buyer := holdfast.BuyerID{1}
	hold, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{2, 3}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Sell(ctx, client.SellRequest{Event: event, Hold: hold.ID, As: command.SaleFree, Amount: hold.Amount}); err != nil {
		t.Fatal(err)
	}
	s := &shop{book: statement.NewBook(c), vault: person.NewVault(person.RandomMasters(), c), people: people{}}
	s.cause = statement.Occasion{Effect: 7, Event: event, Order: hold.ID.Order(), Topic: holdfast.TopicPaid}
	if s.people[hold.ID], err = s.vault.Seal(ctx, event.ID, hold.ID, person.Person{Mail: "anna@example.org", Name: "Anna"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) webhooks(t *testing.T, logger *slog.Logger, endpoints ...Endpoint) *Webhooks {
	t.Helper()
	w, err := New(Options{Config: Config{Endpoints: endpoints, Timeout: 2 * time.Second}, Book: s.book, People: s.people, Vault: s.vault, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func secretOf(b byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

func secretFile(t *testing.T, b byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secretOf(b)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestANotificationIsSignedAndTellsTheOrder(t *testing.T) {
	s, o := newShop(t), newOrganizer(t)
	w := s.webhooks(t, nil, Endpoint{URL: o.URL, AllowPrivate: true, SecretFiles: []string{secretFile(t, 1), secretFile(t, 2)}})
	for range 2 {
		if err := w.Do(t.Context(), s.cause); err != nil {
			t.Fatal(err)
		}
	}
	first, n := o.got[0], o.last(t)
	for _, secret := range []byte{1, 2} {
		if _, err := Verify(secretOf(secret), n.header, n.body, time.Now()); err != nil {
			t.Errorf("secret %d: %v", secret, err)
		}
	}
	if first.header.Get(headerID) != n.header.Get(headerID) || !strings.HasPrefix(n.header.Get(headerID), "msg_") {
		t.Errorf("a repetition has the id %q, the first had %q", n.header.Get(headerID), first.header.Get(headerID))
	}
	var p payload
	if err := json.Unmarshal(n.body, &p); err != nil {
		t.Fatal(err)
	}
	if p.Version != 1 || p.Type != "order.paid" || p.Data.Event.Name != "concert" || p.Data.Event.Title != "Spring Concert" ||
		p.Data.Order.ID != s.cause.Order.String() || p.Data.Order.Currency != "eur" || p.Data.Index == 0 ||
		len(p.Data.Order.Seats) != 2 || p.Data.Order.Seats[0].Label != "Stalls, row A, seat 3" {
		t.Errorf("it tells %s", n.body)
	}
	if bytes.Contains(n.body, []byte("anna")) || bytes.Contains(n.body, []byte("Anna")) || p.Data.Buyer != nil {
		t.Errorf("it tells who bought: %s", n.body)
	}
}

func TestForgedAndOldNotificationsAreRefused(t *testing.T) {
	s, o := newShop(t), newOrganizer(t)
	w := s.webhooks(t, nil, Endpoint{URL: o.URL, AllowPrivate: true, SecretFiles: []string{secretFile(t, 1)}})
	if err := w.Do(t.Context(), s.cause); err != nil {
		t.Fatal(err)
	}
	n, now := o.last(t), time.Now()
	changed := n.header.Clone()
	changed.Set(headerID, "msg_other")
	bare := n.header.Clone()
	bare.Del(headerSignature)
	for name, err := range map[string]error{
		"another secret": second(Verify(secretOf(9), n.header, n.body, now)),
		"another body":   second(Verify(secretOf(1), n.header, append(n.body, ' '), now)),
		"another id":     second(Verify(secretOf(1), changed, n.body, now)),
		"no signature":   second(Verify(secretOf(1), bare, n.body, now)),
		"old":            second(Verify(secretOf(1), n.header, n.body, now.Add(Tolerance+2*time.Second))),
		"from tomorrow":  second(Verify(secretOf(1), n.header, n.body, now.Add(-Tolerance-2*time.Second))),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func second(_ string, err error) error { return err }

// The example that Standard Webhooks publish for their libraries.
func TestTheSignatureIsThatOfStandardWebhooks(t *testing.T) {
	header := http.Header{}
	header.Set(headerID, "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set(headerTimestamp, "1614265330")
	header.Set(headerSignature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if _, err := Verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", header, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
}

func TestWhoBoughtIsToldOnlyWhereConfiguredAndUntilForgotten(t *testing.T) {
	s, o := newShop(t), newOrganizer(t)
	var log bytes.Buffer
	w := s.webhooks(t, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Endpoint{URL: o.URL, AllowPrivate: true, Personal: true, SecretFiles: []string{secretFile(t, 1)}})
	if err := w.Do(t.Context(), s.cause); err != nil {
		t.Fatal(err)
	}
	if n := o.last(t); !bytes.Contains(n.body, []byte(`"buyer":{"mail":"anna@example.org","name":"Anna"}`)) {
		t.Errorf("it tells %s", n.body)
	}
	if strings.Contains(log.String(), "anna") || !strings.Contains(log.String(), "told") {
		t.Errorf("the log has %s", log.String())
	}
	delete(s.people, s.cause.Order.Hold())
	if err := w.Do(t.Context(), s.cause); err != nil || bytes.Contains(o.last(t).body, []byte("buyer")) {
		t.Errorf("without a person: %v, %s", err, o.last(t).body)
	}
	if _, err := New(Options{Config: Config{Endpoints: []Endpoint{{URL: o.URL, AllowPrivate: true, Personal: true, SecretFiles: []string{secretFile(t, 1)}}}}, Book: s.book}); err == nil {
		t.Error("an endpoint is to be told what nobody here can decrypt")
	}
}

func TestAnswersTellWhetherToTryAgain(t *testing.T) {
	s, o := newShop(t), newOrganizer(t)
	w := s.webhooks(t, nil, Endpoint{URL: o.URL, AllowPrivate: true, SecretFiles: []string{secretFile(t, 1)}})
	other := newOrganizer(t)
	for status, want := range map[int]payment.Kind{200: 0, 299: 0, 301: payment.Unknown, 307: payment.Unknown, 400: payment.Unknown, 404: payment.Unknown,
		410: payment.Invalid, 429: payment.Limited, 500: payment.Unknown, 503: payment.Unknown} {
		o.mu.Lock()
		o.status, o.header, o.answer = status, http.Header{"Location": {other.URL}}, strings.Repeat("x", 1<<20)
		o.mu.Unlock()
		if err := w.Do(t.Context(), s.cause); payment.KindOf(err) != want {
			t.Errorf("%d gave %v, want kind %v", status, err, want)
		}
	}
	if len(other.got) != 0 {
		t.Error("a redirect was followed")
	}
}

func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	s := newShop(t)
	stuck := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer server.Close()
	defer close(stuck)
	w, err := New(Options{Config: Config{Timeout: 50 * time.Millisecond, Endpoints: []Endpoint{{URL: server.URL + "/?token=hush", AllowPrivate: true, SecretFiles: []string{secretFile(t, 1)}}}}, Book: s.book})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	began := time.Now()
	err = w.Do(t.Context(), s.cause)
	if !payment.KindOf(err).Again() || time.Since(began) > 2*time.Second || strings.Contains(err.Error(), "hush") {
		t.Errorf("it gave %v after %v", err, time.Since(began))
	}
}

// A name that leads inside is found out when it is dialled, whatever it was when the configuration was read.
func TestNothingInsideIsAskedUnlessConfigured(t *testing.T) {
	s := newShop(t)
	asked := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1)} {
		w := s.webhooks(t, nil, Endpoint{URL: url, SecretFiles: []string{secretFile(t, 1)}})
		err := w.Do(t.Context(), s.cause)
		var failure *payment.Error
		if !errors.As(err, &failure) || failure.Kind != payment.Invalid || failure.Code != "private" {
			t.Errorf("%s gave %v", url, err)
		}
	}
	if asked {
		t.Error("it was asked")
	}
	for _, address := range []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
		"::1", "::", "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::", "::7f00:1", "198.18.0.1"} {
		if public(netip.MustParseAddr(address)) {
			t.Errorf("%s is taken for a public address", address)
		}
	}
	for _, address := range []string{"1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"} {
		if !public(netip.MustParseAddr(address)) {
			t.Errorf("%s is not taken for a public address", address)
		}
	}
}

func TestTheEventsOwnEndpointComesFirst(t *testing.T) {
	s, all, own := newShop(t), newOrganizer(t), newOrganizer(t)
	w := s.webhooks(t, nil, Endpoint{URL: all.URL, AllowPrivate: true, SecretFiles: []string{secretFile(t, 1)}},
		Endpoint{URL: own.URL, AllowPrivate: true, SecretFiles: []string{secretFile(t, 2)}, Events: []string{"concert"}, Topics: []string{"refunded"}})
	if err := w.Do(t.Context(), s.cause); err != nil {
		t.Fatal(err)
	}
	if len(all.got)+len(own.got) != 0 {
		t.Error("somebody was told of a topic that the event's endpoint does not want")
	}
	s.cause.Topic = holdfast.TopicRefunded
	if err := w.Do(t.Context(), s.cause); err != nil || len(own.got) != 1 || len(all.got) != 0 {
		t.Errorf("%d and %d were told, %v", len(own.got), len(all.got), err)
	}
	nobody := s.webhooks(t, nil)
	if err := nobody.Do(t.Context(), s.cause); err != nil {
		t.Errorf("nobody to tell gave %v", err)
	}
}

func TestAConfigurationIsRefusedByTheNameOfItsField(t *testing.T) {
	secret := secretFile(t, 1)
	weak := filepath.Join(t.TempDir(), "weak")
	if err := os.WriteFile(weak, []byte("whsec_aHVzaA=="), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Endpoint{URL: "https://shop.example.org/hooks", SecretFiles: []string{secret}}
	for field, change := range map[string]func(*Endpoint){
		"url":          func(e *Endpoint) { e.URL = "http://shop.example.org" },
		"topics":       func(e *Endpoint) { e.Topics = []string{"sold"} },
		"secret_files": func(e *Endpoint) { e.SecretFiles = nil },
	} {
		e := good
		change(&e)
		_, err := Config{Endpoints: []Endpoint{good, e}}.open()
		var failure *holdfast.Error
		if !errors.As(err, &failure) || failure.Field != "endpoints[1]."+field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, file := range []string{"", "missing", weak} {
		e := good
		e.SecretFiles = []string{file}
		if _, err := (Config{Endpoints: []Endpoint{e}}).open(); err == nil || strings.Contains(err.Error(), "aHVzaA") {
			t.Errorf("secret file %q: %v", file, err)
		}
	}
	for _, url := range []string{"ftp://a", "https://user:pass@a", "https://", "://", "https://a/" + strings.Repeat("x", 3000)} {
		if _, err := (Config{Endpoints: []Endpoint{{URL: url, SecretFiles: []string{secret}}}}).open(); err == nil {
			t.Errorf("%.40s was taken", url)
		}
	}
	file := filepath.Join(t.TempDir(), "notify.yaml")
	for text, ok := range map[string]bool{"timeout: 3s\nendpoints:\n- url: https://a.example\n  events: [concert]\n  secret_files: [x]\n  personal: true\n": true,
		"endpoints:\n- address: https://a.example\n": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(file)
		if (err == nil) != ok || ok && (c.Timeout != 3*time.Second || !c.Endpoints[0].Personal) {
			t.Errorf("%q reads %+v, %v", text, c, err)
		}
	}
}
