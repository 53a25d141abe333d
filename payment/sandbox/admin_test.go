package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// The sandbox as a process of its own has it: over HTTP, everything by its address.
func TestASandboxOfItsOwnIsTurnedOverHTTP(t *testing.T) {
	secret := payment.Hide("sk_test_1")
	s, err := sandbox.New(sandbox.Config{SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1) // one value
	go func() { ended <- s.Serve(ctx, listener) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	transport := &http.Transport{DisableKeepAlives: true} // net/http repeats by itself what broke on a used connection
	defer transport.CloseIdleConnections()
	address := "http://" + listener.Addr().String()
	ask := func(method, path, body string, want int) (object map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, address+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(secret.Reveal(), "")
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		raw, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != want || json.Unmarshal(raw, &object) != nil {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, answer.StatusCode, want, raw)
		}
		return object
	}
	b := &bank{Server: s, t: t}
	if b.client, err = stripe.New(stripe.Config{Key: secret, Backend: address, Transport: transport, Now: s.Now, Timeout: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	p := b.create(b.intent(20_00))
	ask("POST", "/sandbox/payments/"+string(p.Ref)+"/confirm", `{"method":"pm_sandbox_late"}`, 200)
	ask("POST", "/sandbox/clock", `{"advance_ms":20000}`, 200)
	b.is(p, payment.StatusAuthorised)

	ask("PUT", "/sandbox/faults", `{"faults":[{"do":"down","op":"capture","count":1},{"do":"slow","op":"capture","count":1,"after_ms":60000},{"do":"error_after","op":"capture","count":1}]}`, 200)
	if left := ask("GET", "/sandbox/faults", "", 200)["faults"].([]any); len(left) != 3 {
		t.Errorf("the faults are %v", left)
	}
	for range 2 { // broken off, then no answer in time, though the work is done
		if _, err := b.client.Capture(t.Context(), b.act(p)); payment.KindOf(err) != payment.Unknown {
			t.Errorf("the faulty capture: %v", err)
		}
	}
	got, err := b.client.Capture(t.Context(), b.act(p)) // the third fault meets an answer that is remembered, and does nothing
	b.must(err)
	if got.CapturedMinor != 20_00 {
		t.Errorf("captured %+v", got)
	}
	ask("POST", "/sandbox/payments/"+string(p.Ref)+"/refund", `{"amount":500}`, 200)
	books := ask("GET", "/sandbox/books", "", 200)
	entry := books["payments"].([]any)[0].(map[string]any)
	if entry["captured"] != 2000.0 || entry["refunded"] != 500.0 || entry["key"] != p.Key.String() || books["counts"].(map[string]any)["faults"] != 3.0 {
		t.Errorf("the books are %v", books)
	}
	if n := len(ask("GET", "/sandbox/methods", "", 200)["methods"].([]any)); n != len(sandbox.Methods()) {
		t.Errorf("%d methods are listed", n)
	}

	ask("POST", "/sandbox/payments/"+string(p.Ref)+"/cancel", "", 400)
	ask("POST", "/sandbox/payments/pi_none/cancel", "", 400)
	ask("POST", "/sandbox/payments/"+string(p.Ref)+"/explode", "", 400)
	ask("POST", "/sandbox/clock", `{"advance_ms":-1}`, 400)
	ask("POST", "/sandbox/clock", `{"advance":1}`, 400)
	ask("PUT", "/sandbox/faults", `{"faults":[{"do":"explode"}]}`, 400)
	ask("POST", "/sandbox/endpoints", `{"url":"nowhere","secret":"x"}`, 400)
	ask("POST", "/sandbox/endpoints", `{"url":"http://127.0.0.1:1/webhooks/stripe","secret":"whsec_1"}`, 200)
	ask("GET", "/v1/customers", "", 404)
	secret = payment.Hide("sk_test_other")
	ask("GET", "/sandbox/books", "", 401)
	ask("GET", "/v1/account", "", 401)
}

// TestAFormWithoutScriptsComesBackToTheShop: whoever pays without JavaScript sees the shop or the bank's page, whatever
// becomes of the card, and never the API's answer.
func TestAFormWithoutScriptsComesBackToTheShop(t *testing.T) {
	b := open(t, sandbox.Config{})
	_, publishable := b.Keys()
	confirm := func(method, accept, back string) (status int, location string) {
		p := b.create(b.intent(100_00))
		form := url.Values{"key": {publishable.Reveal()}, "client_secret": {p.ClientSecret.Reveal()}, "payment_method": {method}, "return_url": {back}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://sandbox/v1/payment_intents/"+string(p.Ref)+"/confirm", strings.NewReader(form.Encode()))
		b.must(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Accept", accept)
		answer, err := b.Transport().RoundTrip(r)
		b.must(err)
		defer answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("Location")
	}
	const shop, browser = "https://shop.example/e/night/checkout", "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, method := range []string{"pm_card_visa", "pm_card_visa_chargeDeclined", "pm_sandbox_late"} {
		if status, to := confirm(method, browser, shop); status != http.StatusSeeOther || to != shop {
			t.Errorf("%s: %d to %q", method, status, to)
		}
	}
	if status, to := confirm("pm_card_authenticationRequired", browser, shop); status != http.StatusSeeOther || !strings.HasPrefix(to, "http://sandbox/sandbox/authenticate/") {
		t.Errorf("authentication: %d to %q", status, to)
	}
	if status, _ := confirm("pm_card_visa", "application/json", shop); status != http.StatusOK {
		t.Errorf("a script's answer is %d", status)
	}
	if status, _ := confirm("pm_card_visa", browser, "javascript:alert(1)"); status != http.StatusOK {
		t.Errorf("a return address that is none is followed: %d", status)
	}
}
