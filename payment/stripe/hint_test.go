package stripe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	api "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

const webhookSecret = "whsec_of_the_test"

func newClient(t *testing.T, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{Key: payment.Hide("sk_test_of_the_test"), WebhookSecrets: []payment.Secret{payment.Hide(webhookSecret)}}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func signed(body []byte, secret string, at time.Time) string {
	return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: at}).Header
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "webhooks", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// The fixtures have the shape that Stripe documents for API version 2023-10-16.
func TestWebhooksOfStripeBecomeHints(t *testing.T) {
	c := newClient(t, nil)
	key, err := payment.ParseKey("main:1:evt_7:hold_000102030405060708090a0b0c0d0e0f:1")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]payment.HintKind{
		"payment_intent.amount_capturable_updated": payment.HintPayment, "payment_intent.succeeded": payment.HintPayment,
		"payment_intent.payment_failed": payment.HintPayment, "payment_intent.canceled": payment.HintPayment, "charge.refunded": payment.HintRefund,
		"charge.refund.updated": payment.HintRefund, "charge.dispute.created": payment.HintDispute, "charge.dispute.closed": payment.HintDispute,
	}
	files, err := filepath.Glob("testdata/webhooks/*.json")
	if err != nil || len(files) != len(kinds) {
		t.Fatalf("%d fixtures, %d expectations: %v", len(files), len(kinds), err)
	}
	for name, kind := range kinds {
		body := fixture(t, name)
		h, err := c.ParseHint(body, signed(body, webhookSecret, time.Now()))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if h.Kind != kind || h.Payment != "pi_3OyG2hKZ6o1Qx9aB1ZfM0abc" || h.Type != name || !strings.HasPrefix(h.ID, "evt_") || h.Created.Unix() != 1711540205 {
			t.Errorf("%s became %+v", name, h)
		}
		if want := kind != payment.HintDispute; (h.Key == key) != want {
			t.Errorf("%s has key %v", name, h.Key)
		}
	}
}

// What the fixtures hold is read by the same code as what Look answers.
func TestObjectsOfStripeAreRead(t *testing.T) {
	c := newClient(t, nil)
	for name, want := range map[string]payment.Status{
		"payment_intent.amount_capturable_updated": payment.StatusAuthorised, "payment_intent.succeeded": payment.StatusCaptured,
		"payment_intent.payment_failed": payment.StatusOpen, "payment_intent.canceled": payment.StatusCancelled,
	} {
		var event api.Event
		var intent api.PaymentIntent
		if err := json.Unmarshal(fixture(t, name), &event); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(event.Data.Raw, &intent); err != nil {
			t.Fatal(err)
		}
		p, err := c.paymentOf("test", &intent)
		if err != nil || p.Status != want || p.Amount != (holdfast.Money{AmountMinor: 12500, Currency: "eur"}) || p.Key.Event != 7 || p.Capture != holdfast.CaptureManual {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if (p.Failure == payment.Failure{Code: "card_declined", Decline: "insufficient_funds"}) != (want == payment.StatusOpen) {
			t.Errorf("%s failed with %+v", name, p.Failure)
		}
	}
	var event api.Event
	var charge api.Charge
	if err := json.Unmarshal(fixture(t, "charge.refunded"), &event); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(event.Data.Raw, &charge); err != nil {
		t.Fatal(err)
	}
	p, err := c.paymentOf("test", &api.PaymentIntent{ID: "pi_1", Status: api.PaymentIntentStatusSucceeded, Currency: "eur", LatestCharge: &charge})
	if err != nil || p.RefundedMinor != 2500 || p.CaptureBefore.Unix() != 1712145000 {
		t.Errorf("with its charge: %+v, %v", p, err)
	}
	var failed api.Refund
	if err := json.Unmarshal(fixture(t, "charge.refund.updated"), &event); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(event.Data.Raw, &failed); err != nil {
		t.Fatal(err)
	}
	if r := refundOf(&failed); r.Status != payment.RefundFailed || r.Effect != 9 || r.Key.Event != 7 || r.Failure == "" || r.Payment != "pi_3OyG2hKZ6o1Qx9aB1ZfM0abc" {
		t.Errorf("the failed refund is %+v", r)
	}
}

func TestWebhooksThatAreRefused(t *testing.T) {
	body := fixture(t, "payment_intent.succeeded")
	edit := func(old, new string) []byte { return []byte(strings.Replace(string(body), old, new, 1)) }
	now := time.Now()
	for name, c := range map[string]struct {
		body   []byte
		header string
		change func(*Config)
		want   payment.Kind
	}{
		"no signature":           {body, "", nil, payment.Forged},
		"another secret":         {body, signed(body, "whsec_other", now), nil, payment.Forged},
		"another body":           {edit("12500", "1"), signed(body, webhookSecret, now), nil, payment.Forged},
		"replayed":               {body, signed(body, webhookSecret, now.Add(-6*time.Minute)), nil, payment.Forged},
		"signed in the future":   {body, signed(body, webhookSecret, now.Add(6*time.Minute)), nil, payment.Forged},
		"a header that is none":  {body, "t=now,v1=zz", nil, payment.Forged},
		"not JSON":               {[]byte("{"), signed([]byte("{"), webhookSecret, now), nil, payment.Forged},
		"no event":               {[]byte("{}"), signed([]byte("{}"), webhookSecret, now), nil, payment.Forged},
		"another API version":    {edit("2023-10-16", "2024-06-20"), signed(edit("2023-10-16", "2024-06-20"), webhookSecret, now), nil, payment.Invalid},
		"live at a test key":     {edit(`"livemode": false,`+"\n  \"pending", `"livemode": true,`+"\n  \"pending"), signed(edit(`"livemode": false,`+"\n  \"pending", `"livemode": true,`+"\n  \"pending"), webhookSecret, now), nil, payment.WrongAccount},
		"no secret is known":     {body, signed(body, "", now), func(c *Config) { c.WebhookSecrets = nil }, payment.Invalid},
		"a version that we take": {edit("2023-10-16", "2024-06-20"), signed(edit("2023-10-16", "2024-06-20"), webhookSecret, now), func(c *Config) { c.AnyVersion = true }, 0},
		"the older of two": {body, signed(body, webhookSecret, now), func(c *Config) {
			c.WebhookSecrets = append([]payment.Secret{payment.Hide("whsec_new")}, c.WebhookSecrets...)
		}, 0},
	} {
		_, err := newClient(t, c.change).ParseHint(c.body, c.header)
		if payment.KindOf(err) != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEventsThatAreNotOursAreNoHints(t *testing.T) {
	c := newClient(t, nil)
	for _, object := range []string{`"customer.created","data":{"object":{"id":"cus_1"}}`, `"charge.succeeded","data":{"object":{"id":"ch_1","payment_intent":null}}`} {
		body := fmt.Appendf(nil, `{"id":"evt_1","api_version":"2023-10-16","type":%s}`, object)
		h, err := c.ParseHint(body, signed(body, webhookSecret, time.Now()))
		if err != nil || h.Kind != payment.HintNone || h.Payment != "" {
			t.Errorf("%s became %+v, %v", object, h, err)
		}
	}
	body := []byte(`{"id":"evt_1","api_version":"2023-10-16","type":"charge.captured","data":{"object":{"id":"ch_1","payment_intent":{"id":"pi_9"}}}}`)
	if h, err := c.ParseHint(body, signed(body, webhookSecret, time.Now())); err != nil || h.Kind != payment.HintPayment || h.Payment != "pi_9" {
		t.Errorf("an expanded intent became %+v, %v", h, err)
	}
}
