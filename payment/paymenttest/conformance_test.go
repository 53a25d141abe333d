package paymenttest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	api "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/paymentintent"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/paymenttest"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// The suite, over HTTP on loopback, as the product speaks to the sandbox.
func TestSandbox(t *testing.T) {
	paymenttest.Run(t, func(t *testing.T) paymenttest.Bench {
		s := startSandbox(t, sandbox.Config{})
		web := httptest.NewServer(s.Handler())
		t.Cleanup(web.Close)
		secret, _ := s.Keys()
		client, err := stripe.New(stripe.Config{Key: secret, Backend: web.URL, Now: s.Now})
		if err != nil {
			t.Fatal(err)
		}
		return paymenttest.Bench{Provider: client, Pay: payer(secret, web.URL, nil), Now: s.Now}
	})
}

// TestStripe runs the suite against Stripe's test mode, where a key is given.
func TestStripe(t *testing.T) {
	file := os.Getenv("HOLDFAST_STRIPE_TEST_KEY_FILE")
	if file == "" {
		t.Skip("HOLDFAST_STRIPE_TEST_KEY_FILE does not name a file with a key of Stripe's test mode")
	}
	secret, err := payment.ReadSecret(file, "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := stripe.New(stripe.Config{Key: secret})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CheckPublishable("pk_test_"); err != nil {
		t.Fatal("the key is not of test mode")
	}
	paymenttest.Run(t, func(*testing.T) paymenttest.Bench {
		return paymenttest.Bench{Provider: client, Pay: payer(secret, api.APIURL, nil)}
	})
}

func startSandbox(t testing.TB, cfg sandbox.Config) *sandbox.Server {
	t.Helper()
	cfg.ReadsPerSecond, cfg.WritesPerSecond = max(cfg.ReadsPerSecond, 10_000), max(cfg.WritesPerSecond, 10_000)
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// payer pays as a server may in test mode: with the secret key, by the name of a test payment method.
func payer(secret payment.Secret, url string, transport http.RoundTripper) func(context.Context, payment.Payment, string) error {
	client := paymentintent.Client{Key: secret.Reveal(), B: api.GetBackendWithConfig(api.APIBackend, &api.BackendConfig{
		URL: api.String(url), MaxNetworkRetries: api.Int64(0), HTTPClient: &http.Client{Transport: transport},
		LeveledLogger: &api.LeveledLogger{Level: api.LevelNull},
	})}
	return func(ctx context.Context, p payment.Payment, method string) error {
		params := &api.PaymentIntentConfirmParams{PaymentMethod: api.String(method)}
		params.Context = ctx
		_, err := client.Confirm(string(p.Ref), params)
		return err
	}
}
