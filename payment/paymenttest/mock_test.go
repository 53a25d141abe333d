package paymenttest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/paymenttest"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// TestStripeMockAcceptsEveryRequest sends every request that we ever send to stripe-mock, which holds it against
// Stripe's own description of its API. It keeps no state and its answers are fixtures, so what we make of them is not
// looked at here.
func TestStripeMockAcceptsEveryRequest(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a tool")
	}
	heard, mock := &recorder{}, startMock(t)
	client, err := stripe.New(stripe.Config{Key: payment.Hide("sk_test_123"), Backend: mock, Transport: heard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, key, now := t.Context(), paymenttest.NewKey(), time.Now()
	act := payment.Act{Payment: "pi_3Mt", Key: key, Amount: holdfast.Money{AmountMinor: 10_00, Currency: "eur"}, Effect: 3, Since: now}
	for _, capture := range []holdfast.CaptureMethod{holdfast.CaptureManual, holdfast.CaptureAtOnce} {
		_, _ = client.Create(ctx, payment.Intent{Key: key, Amount: act.Amount, Capture: capture, Since: now})
	}
	_, _ = client.Account(ctx)
	_, _ = client.Look(ctx, act.Payment)
	_, _ = client.Capture(ctx, act)
	_, _ = client.Void(ctx, act)
	_, _ = client.Refund(ctx, act)
	_, _ = client.Refunds(ctx, act.Payment)
	_, _ = client.Find(ctx, key, payment.Span{From: now.Add(-time.Hour), To: now})
	_, _ = client.List(ctx, payment.Span{From: now.Add(-time.Hour), To: now}, "pi_3Mt")
	act.Since = time.Time{}
	_, _ = client.Refund(ctx, act)
	// The two that follow from an answer which the mock does not give: a disputed charge, and a remembered refund.
	heard.rewrite = func(in *http.Request, body string) (string, http.Header) {
		switch {
		case in.Method == http.MethodGet && strings.HasPrefix(in.URL.Path, "/v1/payment_intents/"):
			return `{"id":"pi_3Mt","status":"succeeded","latest_charge":{"id":"ch_1","object":"charge","disputed":true}}`, nil
		case in.Method == http.MethodPost:
			return `{"id":"re_3Mt"}`, http.Header{"Idempotent-Replayed": {"true"}}
		}
		return body, nil
	}
	_, _ = client.Look(ctx, act.Payment)
	act.Since = now
	_, _ = client.Refund(ctx, act)

	// The control: what does not fit the description is refused.
	wrong, err := http.NewRequestWithContext(ctx, http.MethodPost, mock+"/v1/payment_intents", strings.NewReader("amount=1000&currency=eur&capture_method=seashells"))
	if err != nil {
		t.Fatal(err)
	}
	wrong.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	wrong.Header.Set("Authorization", "Bearer sk_test_123")
	answer, err := http.DefaultTransport.RoundTrip(wrong)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("stripe-mock took seashells: %d", answer.StatusCode)
	}
	for _, call := range heard.calls {
		if call.status >= 400 {
			t.Errorf("%s was refused: %s", call.what, call.body)
		}
	}
	for _, want := range []string{
		"POST /v1/payment_intents ", "GET /v1/payment_intents/pi_3Mt?", "GET /v1/payment_intents?", "POST /v1/payment_intents/pi_3Mt/capture ",
		"POST /v1/payment_intents/pi_3Mt/cancel ", "POST /v1/refunds ", "GET /v1/refunds?", "GET /v1/refunds/re_3Mt ", "GET /v1/disputes?", "GET /v1/account ",
	} {
		if !heard.has(want) {
			t.Errorf("stripe-mock was not asked %s", want)
		}
	}
}

// recorder carries requests, and keeps what was answered.
type recorder struct {
	rewrite func(in *http.Request, body string) (string, http.Header)
	mu      sync.Mutex // guards calls
	calls   []call
}

type call struct {
	what, body string
	status     int
}

func (r *recorder) has(prefix string) bool {
	for _, c := range r.calls {
		if strings.HasPrefix(c.what+" ", prefix) {
			return true
		}
	}
	return false
}

func (r *recorder) RoundTrip(in *http.Request) (*http.Response, error) {
	out, err := http.DefaultTransport.RoundTrip(in)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(out.Body)
	out.Body.Close()
	shown := string(body)
	if r.rewrite != nil {
		var more http.Header
		shown, more = r.rewrite(in, shown)
		for k, v := range more {
			out.Header[k] = v
		}
	}
	out.Body = io.NopCloser(strings.NewReader(shown))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call{in.Method + " " + in.URL.RequestURI(), string(body), out.StatusCode})
	return out, err
}

// startMock builds stripe-mock, a tool of go.mod, and starts it on a port of its choice.
func startMock(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "stripe-mock")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/stripe/stripe-mock").CombinedOutput(); err != nil {
		t.Fatalf("stripe-mock does not build: %v\n%s", err, out)
	}
	ctx, stop := context.WithCancel(context.Background())
	mock := exec.CommandContext(ctx, binary, "-http-addr", "127.0.0.1:0")
	mock.Stderr = os.Stderr
	out, err := mock.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mock.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = mock.Wait() // killed by us
	})
	said := regexp.MustCompile(`Listening for HTTP at address: (127\.0\.0\.1:\d+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := said.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }() // until the process ends
			return "http://" + m[1]
		}
	}
	t.Fatal(fmt.Errorf("stripe-mock ended without listening: %w", lines.Err()))
	return ""
}
