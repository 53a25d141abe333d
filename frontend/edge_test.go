package frontend

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// TestAnEdgeSellsWithoutTheProvidersKey: it begins payments, looks and passes webhooks on through a settlement frontend, past one that is
// down, and what the provider or the shard refuse is told as it would be there.
func TestAnEdgeSellsWithoutTheProvidersKey(t *testing.T) {
	g := newGround(t, priced())
	money := newBank(g)
	settlement := money.settlement()
	settles := g.serve(func(c *Config) { c.Payments = settlement })
	edge, err := NewEdge(Secret{1, 2, 3}, []string{"http://127.0.0.1:1", settles.base}, settlement.Public())
	if err != nil {
		t.Fatal(err)
	}
	edge.now = g.clock.now
	s := g.serve(func(c *Config) { c.Payments = edge })
	b := newBrowser(t)
	h := b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 2}}).want(201).hold()
	who := checkoutIn{Mail: "ann@example.org", Name: "Ann"}
	if err := money.SetFaults(sandbox.Fault{Do: sandbox.Unavailable}); err != nil {
		t.Fatal(err)
	}
	if a := b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", who).want(503); a.code() != "payment_unknown" || !strings.Contains(string(a.body), "retry_after_ms") {
		t.Errorf("%s", a.body)
	}
	if err := money.SetFaults(); err != nil {
		t.Fatal(err)
	}
	var c checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", who).want(200).into(&c)
	if c.ClientSecret == "" || !c.TestMode || c.PublishableKey == "" {
		t.Fatalf("%+v", c)
	}
	money.pay(c.ClientSecret, "pm_card_visa_chargeDeclined")
	var k confirmOut
	if b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k); k.State != "declined" {
		t.Errorf("%+v", k)
	}
	money.pay(c.ClientSecret, "pm_card_visa")
	if b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&k); k.State != "sold" {
		t.Errorf("%+v", k)
	}
	large := strings.Repeat("x", 200<<10) // more than any form
	if a := b.do("POST", s.base+"/webhooks/stripe", map[string]string{"id": "evt_1", "data": large}, "Stripe-Signature", "t=1,v1=00").want(400); a.code() != "payment_forged" {
		t.Errorf("%s", a.body)
	}
}

// TestOnlyTheFleetIsSettledFor: a request without the secret, an old one, one with another body, and an edge that is asked to settle.
func TestOnlyTheFleetIsSettledFor(t *testing.T) {
	g := newGround(t, priced())
	settlement := newBank(g).settlement()
	settles := g.serve(func(c *Config) { c.Payments = settlement })
	edge := func(change func(*Edge)) error {
		e, err := NewEdge(Secret{1, 2, 3}, []string{settles.base}, PaymentPublic{})
		if err != nil {
			t.Fatal(err)
		}
		e.now = g.clock.now
		change(e)
		_, err = e.Begin(t.Context(), PaymentBegin{Event: g.event, Hold: holdfast.HoldID{1}, Attempt: 1, Amount: holdfast.Money{AmountMinor: 100, Currency: "eur"}, Since: time.Now()})
		return err
	}
	if err := edge(func(*Edge) {}); err == nil || errors.Is(err, errNotFleet) || errors.Is(err, errNoPayments) {
		t.Errorf("a hold that is not there, asked for in order: %v", err)
	}
	for what, change := range map[string]func(*Edge){
		"another secret":       func(e *Edge) { e.key = []byte("guessed") },
		"a clock that is slow": func(e *Edge) { e.now = func() time.Time { return g.clock.now().Add(-2 * edgeFresh) } },
		"a clock that is fast": func(e *Edge) { e.now = func() time.Time { return g.clock.now().Add(2 * edgeFresh) } },
	} {
		if err := edge(change); !errors.Is(err, errNoPayments) {
			t.Errorf("%s: %v", what, err)
		}
	}
	res, err := http.Post(settles.base+edgePath+"begin", "application/json", bytes.NewReader([]byte("{}")))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a signature: %d", res.StatusCode)
	}
	for _, address := range []string{"", "settle", "http://settle-1.internal", "ftp://127.0.0.1"} {
		if _, err := NewEdge(Secret{1, 2, 3}, []string{address}, PaymentPublic{}); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
	chained, err := NewEdge(Secret{1, 2, 3}, []string{settles.base}, PaymentPublic{})
	if err != nil {
		t.Fatal(err)
	}
	chained.now = g.clock.now
	middle := g.serve(func(c *Config) { c.Payments = chained })
	last, err := NewEdge(Secret{1, 2, 3}, []string{middle.base}, PaymentPublic{})
	if err != nil {
		t.Fatal(err)
	}
	last.now = g.clock.now
	if err := last.Hint(t.Context(), []byte("{}"), ""); !errors.Is(err, errNoPayments) {
		t.Errorf("an edge settles for another: %v", err)
	}
	for key, test := range map[string]bool{"pk_test_1": true, "pk_live_1": false, "": false} {
		if TestMode(key) != test {
			t.Errorf("%q", key)
		}
	}
}
