package paymenttest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/paymenttest"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// The way of one sale over real sockets: a payment, the buyer, a webhook, a look, a capture.
func TestASaleFromThePaymentToTheCapture(t *testing.T) {
	const secretText = "whsec_of_the_shop"
	hints := make(chan payment.Hint, 16) // more than one sale has
	var client *stripe.Client
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h, err := client.ParseHint(body, r.Header.Get("Stripe-Signature"))
		if err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		hints <- h
	}))
	defer shop.Close()
	s := startSandbox(t, sandbox.Config{})
	bank := httptest.NewServer(s.Handler())
	defer bank.Close()
	secret, _ := s.Keys()
	var err error
	if client, err = stripe.New(stripe.Config{Key: secret, Backend: bank.URL, WebhookSecrets: []payment.Secret{payment.Hide(secretText)}}); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := s.AddEndpoint(sandbox.Endpoint{URL: shop.URL + "/webhooks/stripe", Secret: payment.Hide(secretText)}); err != nil {
		t.Fatal(err)
	}
	var provider payment.Provider = client
	in := payment.Intent{Key: paymenttest.NewKey(), Amount: holdfast.Money{AmountMinor: 80_00, Currency: "eur"}, Since: s.Now()}
	p, err := provider.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if err := payer(secret, bank.URL, nil)(t.Context(), p, "pm_card_visa"); err != nil {
		t.Fatal(err)
	}
	for h := range hints {
		if h.Kind != payment.HintPayment || h.Payment != p.Ref || h.Key != in.Key {
			t.Fatalf("the hint is %+v", h)
		}
		now, err := provider.Look(t.Context(), h.Payment)
		if err != nil {
			t.Fatal(err)
		}
		if now.Status == payment.StatusAuthorised {
			break
		}
	}
	done, err := provider.Capture(t.Context(), payment.Act{Payment: p.Ref, Key: in.Key, Amount: in.Amount, Since: s.Now()})
	if err != nil || done.Status != payment.StatusCaptured {
		t.Fatalf("captured %+v, %v", done, err)
	}
	for h := range hints { // in whatever order they come
		if h.Type == "payment_intent.succeeded" {
			break
		}
	}
}
