package paymenttest_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/paymenttest"
	"github.com/holdfast-db/holdfast/payment/sandbox"
	"github.com/holdfast-db/holdfast/payment/stripe"
)

// gate lets the answers of looks for refunds pass only when so many workers have looked.
type gate struct {
	http.RoundTripper
	looked *sync.WaitGroup
}

func (g gate) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := g.RoundTripper.RoundTrip(r)
	if r.Method == http.MethodGet && r.URL.Path == "/v1/refunds" {
		g.looked.Done()
		g.looked.Wait()
	}
	return answer, err
}

// Two workers hold the same effect, since a lease went over while its worker slept. A stored error stands under the
// effect's key, both have looked, and both saw that nothing was given back yet: still only one of them gives it back.
func TestTwoWorkersClimbTheSameLadder(t *testing.T) {
	s := startSandbox(t, sandbox.Config{})
	secret, _ := s.Keys()
	var looked sync.WaitGroup
	open := func(transport http.RoundTripper) *stripe.Client {
		c, err := stripe.New(stripe.Config{Key: secret, Backend: "http://sandbox", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	alone := open(s.Transport())
	p, err := alone.Create(t.Context(), payment.Intent{
		Key: paymenttest.NewKey(), Amount: holdfast.Money{AmountMinor: 50_00, Currency: "eur"}, Capture: holdfast.CaptureAtOnce, Since: s.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Act(p.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: "pm_card_visa"}); err != nil {
		t.Fatal(err)
	}
	act := payment.Act{Payment: p.Ref, Key: p.Key, Amount: holdfast.Money{AmountMinor: 10_00, Currency: "eur"}, Effect: 1, Since: s.Now()}
	if err := s.SetFaults(sandbox.Fault{Do: sandbox.ErrorBefore, Op: "refund", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Refund(t.Context(), act); payment.KindOf(err) != payment.Unknown {
		t.Fatalf("the error that is stored: %v", err)
	}
	var workers sync.WaitGroup
	looked.Add(2)
	errs := make([]error, 2)
	for i := range errs {
		worker := open(gate{s.Transport(), &looked})
		workers.Go(func() { _, errs[i] = worker.Refund(t.Context(), act) })
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil && payment.KindOf(err) != payment.Busy {
			t.Error(err)
		}
	}
	if got := s.Books()[0]; got.RefundedMinor != 10_00 || got.Refunds != 1 {
		t.Errorf("given back: %+v", got)
	}
}
