package stripe

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

func TestTheKeySaysWhetherMoneyIsReal(t *testing.T) {
	for key, want := range map[string]holdfast.PaymentMode{
		"sk_test_1": holdfast.ModeTest, "rk_test_1": holdfast.ModeTest, "sk_live_1": holdfast.ModeLive, "rk_live_1": holdfast.ModeLive,
	} {
		c, err := New(Config{Key: payment.Hide(key)})
		if err != nil || c.Mode() != want {
			t.Errorf("%s: %v", key, err)
			continue
		}
		publishable := map[holdfast.PaymentMode]string{holdfast.ModeTest: "pk_test_1", holdfast.ModeLive: "pk_live_1"}
		for mode, pk := range publishable {
			if err := c.CheckPublishable(pk); (err == nil) != (mode == want) {
				t.Errorf("%s with %s: %v", key, pk, err)
			}
		}
	}
	for _, key := range []string{"", "pk_test_1", "whsec_1", "sk_1", "test_sk_"} {
		if _, err := New(Config{Key: payment.Hide(key)}); payment.KindOf(err) != payment.Invalid {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestALiveKeyIsSentToStripeOnly(t *testing.T) {
	for _, backend := range []string{"http://127.0.0.1:1", "https://api.stripe.com.example", "http://api.stripe.com"} {
		if _, err := New(Config{Key: payment.Hide("sk_live_1"), Backend: backend}); payment.KindOf(err) != payment.Invalid {
			t.Errorf("%s: %v", backend, err)
		}
	}
	for _, backend := range []string{"127.0.0.1:1", "ftp://h", "https://user:word@h"} {
		if _, err := New(Config{Key: payment.Hide("sk_test_1"), Backend: backend}); payment.KindOf(err) != payment.Invalid {
			t.Errorf("%s: %v", backend, err)
		}
	}
}

// answers is a transport that gives one answer.
type answers struct {
	status int
	body   string
	header http.Header
	err    error
	asked  []*http.Request
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r)
	if a.err != nil {
		return nil, a.err
	}
	if a.header == nil {
		a.header = http.Header{}
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func TestErrorsOfStripeBecomeKinds(t *testing.T) {
	stripeError := func(kind, code string) string {
		return fmt.Sprintf(`{"error":{"type":%q,"code":%q,"message":"words","decline_code":"why","payment_intent":{"id":"pi_1","client_secret":"pi_1_secret_x"}}}`, kind, code)
	}
	for name, c := range map[string]struct {
		answers
		want payment.Kind
	}{
		"declined":           {answers{status: 402, body: stripeError("card_error", "card_declined")}, payment.Declined},
		"error":              {answers{status: 500, body: stripeError("api_error", "")}, payment.Unknown},
		"unavailable":        {answers{status: 503, body: stripeError("api_error", "")}, payment.Unknown},
		"a proxy's page":     {answers{status: 502, body: "<html>bad gateway pi_1_secret_x"}, payment.Unknown},
		"half an answer":     {answers{status: 200, body: `{"id":"pi_1_secret_x`}, payment.Unknown},
		"no network":         {answers{err: errors.New("refused")}, payment.Unknown},
		"too many":           {answers{status: 429, body: stripeError("invalid_request_error", "rate_limit"), header: http.Header{"Retry-After": {"7"}}}, payment.Limited},
		"locked":             {answers{status: 429, body: stripeError("invalid_request_error", "lock_timeout")}, payment.Busy},
		"key in use":         {answers{status: 409, body: stripeError("idempotency_error", "idempotency_key_in_use")}, payment.Busy},
		"wrong key":          {answers{status: 401, body: stripeError("invalid_request_error", "")}, payment.WrongAccount},
		"no permission":      {answers{status: 403, body: stripeError("invalid_request_error", "")}, payment.WrongAccount},
		"of the other mode":  {answers{status: 400, body: stripeError("invalid_request_error", "livemode_mismatch")}, payment.WrongAccount},
		"live at a test key": {answers{status: 200, body: `{"id":"pi_1","livemode":true,"status":"succeeded"}`}, payment.WrongAccount},
		"gone":               {answers{status: 404, body: stripeError("invalid_request_error", "resource_missing")}, payment.Missing},
		"malformed":          {answers{status: 400, body: stripeError("invalid_request_error", "parameter_unknown")}, payment.Invalid},
		"a new state":        {answers{status: 200, body: `{"id":"pi_1","status":"requires_patience"}`}, payment.Invalid},
	} {
		a := c.answers
		client := newClient(t, func(cfg *Config) { cfg.Transport = &a })
		_, err := client.Look(t.Context(), "pi_1")
		var e *payment.Error
		if !errors.As(err, &e) || e.Kind != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sk_test") {
			t.Errorf("%s tells a secret: %v", name, err)
		}
		if c.want == payment.Limited && e.RetryAfter != 7*time.Second {
			t.Errorf("repeat after %v", e.RetryAfter)
		}
		if len(a.asked) != 1 {
			t.Errorf("%s: asked %d times: the library's own retries are on", name, len(a.asked))
		}
	}
}

func TestRequestsSayNothingAboutTheHost(t *testing.T) {
	a := &answers{status: 200, body: `{"id":"pi_1","status":"succeeded"}`}
	if _, err := newClient(t, func(cfg *Config) { cfg.Transport = a }).Look(t.Context(), "pi_1"); err != nil {
		t.Fatal(err)
	}
	h := a.asked[0].Header
	if h.Get("X-Stripe-Client-User-Agent") != "" || h.Get("X-Stripe-Client-Telemetry") != "" {
		t.Errorf("the headers are %v", h)
	}
	if h.Get("Stripe-Version") != "2023-10-16" {
		t.Errorf("the version is %q", h.Get("Stripe-Version"))
	}
}
