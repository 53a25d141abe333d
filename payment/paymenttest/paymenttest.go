// Package paymenttest holds the conformance suite that every payment provider of holdfast has to pass: what
// payment.Provider promises, asked of a provider that may be Stripe's test mode. Its own tests run it against the
// sandbox, and check that what we send is what Stripe's API takes.
package paymenttest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// Bench is a provider, and the buyer.
type Bench struct {
	Provider payment.Provider
	// Pay is what the buyer's browser does: it pays with one of Stripe's test payment methods.
	Pay func(ctx context.Context, p payment.Payment, method string) error
	Now func() time.Time
}

// NewKey makes a key that nobody has used.
func NewKey() payment.Key {
	key := payment.Key{Cluster: "conformance", Incarnation: 1, Event: 7, Attempt: 1}
	_, _ = rand.Read(key.Hold[:]) // never fails
	return key
}

// Run runs the suite. Open is called once for every test of it.
func Run(t *testing.T, open func(t *testing.T) Bench) {
	for name, test := range map[string]func(*testing.T, Bench){
		"authorised, captured, refunded":      testCapture,
		"a key makes one payment":             testOneKey,
		"a void is final":                     testVoid,
		"a declined buyer tries again":        testDecline,
		"money that is taken at once":         testAtOnce,
		"payments are found by key and time":  testFind,
		"what cannot be is refused":           testRefused,
		"currencies without two decimals":     testCurrencies,
		"acts of unknown age look first":      testOldActs,
		"a refund is made once for an effect": testRefundOnce,
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			if b.Now == nil {
				b.Now = time.Now
			}
			test(t, b)
		})
	}
}

func eur(amount int64) holdfast.Money {
	return holdfast.Money{AmountMinor: amount, Currency: "eur"}
}

func (b Bench) create(t *testing.T, amount holdfast.Money, capture holdfast.CaptureMethod) payment.Payment {
	t.Helper()
	p, err := b.Provider.Create(t.Context(), payment.Intent{Key: NewKey(), Amount: amount, Capture: capture, Since: b.Now()})
	must(t, err)
	if p.Status != payment.StatusOpen || p.Amount != amount || p.Capture != capture || p.Mode != b.Provider.Mode() || p.ClientSecret.IsZero() {
		t.Fatalf("created %+v", p)
	}
	return p
}

func (b Bench) pay(t *testing.T, p payment.Payment, method string) {
	t.Helper()
	must(t, b.Pay(t.Context(), p, method))
}

func (b Bench) act(p payment.Payment) payment.Act {
	return payment.Act{Payment: p.Ref, Key: p.Key, Amount: p.Amount, Since: b.Now()}
}

// sees looks and compares what money is where.
func (b Bench) sees(t *testing.T, ref payment.Ref, status payment.Status, captured, refunded int64) payment.Payment {
	t.Helper()
	p, err := b.Provider.Look(t.Context(), ref)
	must(t, err)
	if p.Status != status || p.CapturedMinor != captured || p.RefundedMinor != refunded {
		t.Fatalf("%s is %s, captured %d, refunded %d; want %s, %d, %d", ref, p.Status, p.CapturedMinor, p.RefundedMinor, status, captured, refunded)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err error, kind payment.Kind) *payment.Error {
	t.Helper()
	var e *payment.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("got %v, want %v", err, kind)
	}
	return e
}

func testCapture(t *testing.T, b Bench) {
	p := b.create(t, eur(12_50), holdfast.CaptureManual)
	b.pay(t, p, "pm_card_visa")
	p = b.sees(t, p.Ref, payment.StatusAuthorised, 0, 0)
	if left := p.CaptureBefore.Sub(b.Now()); left < 24*time.Hour {
		t.Errorf("the authorisation ends in %v", left)
	}
	for range 2 {
		got, err := b.Provider.Capture(t.Context(), b.act(p))
		must(t, err)
		if got.Status != payment.StatusCaptured || got.CapturedMinor != 12_50 {
			t.Fatalf("captured %+v", got)
		}
	}
	_, err := b.Provider.Void(t.Context(), b.act(p))
	if e := wants(t, err, payment.WrongState); e.Payment == nil || e.Payment.CapturedMinor != 12_50 {
		t.Errorf("a cancel that lost does not say what was paid: %v", err)
	}
	b.sees(t, p.Ref, payment.StatusCaptured, 12_50, 0)
}

func testOneKey(t *testing.T, b Bench) {
	p := b.create(t, eur(20_00), holdfast.CaptureManual)
	in := payment.Intent{Key: p.Key, Amount: p.Amount, Capture: p.Capture, Since: b.Now()}
	again, err := b.Provider.Create(t.Context(), in)
	must(t, err)
	if again.Ref != p.Ref || again.ClientSecret != p.ClientSecret {
		t.Errorf("the key made %s and %s", p.Ref, again.Ref)
	}
	b.pay(t, p, "pm_card_visa")
	again, err = b.Provider.Create(t.Context(), in)
	must(t, err)
	if again.Status != payment.StatusAuthorised {
		t.Errorf("a repeated create tells of a payment that is %s, and it is authorised", again.Status)
	}
	in.Amount = eur(21_00)
	_, err = b.Provider.Create(t.Context(), in)
	wants(t, err, payment.Reused)
	_, err = b.Provider.Void(t.Context(), b.act(p))
	must(t, err)
}

func testVoid(t *testing.T, b Bench) {
	for _, method := range []string{"", "pm_card_visa"} {
		p := b.create(t, eur(9_00), holdfast.CaptureManual)
		if method != "" {
			b.pay(t, p, method)
		}
		for range 2 {
			got, err := b.Provider.Void(t.Context(), b.act(p))
			must(t, err)
			if got.Status != payment.StatusCancelled {
				t.Fatalf("voided %+v", got)
			}
		}
		if err := b.Pay(t.Context(), p, "pm_card_visa"); err == nil {
			t.Error("a void payment was paid")
		}
		_, err := b.Provider.Capture(t.Context(), b.act(p))
		if e := wants(t, err, payment.WrongState); e.Payment == nil || e.Payment.Status != payment.StatusCancelled {
			t.Errorf("the error does not show the payment: %v", err)
		}
		_, err = b.Provider.Refund(t.Context(), payment.Act{Payment: p.Ref, Key: p.Key, Amount: p.Amount, Effect: 1, Since: b.Now()})
		if kind := payment.KindOf(err); kind != payment.WrongState && kind != payment.Invalid {
			t.Errorf("the refund of a void payment: %v", err)
		}
		b.sees(t, p.Ref, payment.StatusCancelled, 0, 0)
	}
}

func testDecline(t *testing.T, b Bench) {
	p := b.create(t, eur(30_00), holdfast.CaptureManual)
	if err := b.Pay(t.Context(), p, "pm_card_visa_chargeDeclined"); err == nil {
		t.Error("a declined card paid")
	}
	p = b.sees(t, p.Ref, payment.StatusOpen, 0, 0)
	if p.Failure.Code != "card_declined" || p.Failure.Decline != "generic_decline" {
		t.Errorf("the failure is %+v", p.Failure)
	}
	_, err := b.Provider.Capture(t.Context(), b.act(p))
	wants(t, err, payment.WrongState)
	b.pay(t, p, "pm_card_visa")
	b.sees(t, p.Ref, payment.StatusAuthorised, 0, 0)
	_, err = b.Provider.Void(t.Context(), b.act(p))
	must(t, err)
}

func testAtOnce(t *testing.T, b Bench) {
	p := b.create(t, eur(15_00), holdfast.CaptureAtOnce)
	b.pay(t, p, "pm_card_visa")
	b.sees(t, p.Ref, payment.StatusCaptured, 15_00, 0)
	_, err := b.Provider.Void(t.Context(), b.act(p))
	wants(t, err, payment.WrongState)
	got, err := b.Provider.Capture(t.Context(), b.act(p))
	must(t, err)
	if got.Status != payment.StatusCaptured {
		t.Errorf("captured %+v", got)
	}
}

func testFind(t *testing.T, b Bench) {
	p := b.create(t, eur(10_00), holdfast.CaptureManual)
	other := b.create(t, eur(11_00), holdfast.CaptureManual)
	span := payment.Span{From: p.Created.Add(-time.Minute), To: other.Created.Add(time.Minute)}
	found, err := b.Provider.Find(t.Context(), p.Key, span)
	must(t, err)
	if len(found) != 1 || found[0].Ref != p.Ref || found[0].Key != p.Key {
		t.Errorf("found %+v", found)
	}
	found, err = b.Provider.Find(t.Context(), NewKey(), span)
	must(t, err)
	if len(found) != 0 {
		t.Errorf("a key that nobody used has payments: %+v", found)
	}
	seen := map[payment.Ref]bool{}
	for after := payment.Cursor(""); ; {
		page, err := b.Provider.List(t.Context(), span, after)
		must(t, err)
		for _, in := range page.Payments {
			if seen[in.Ref] {
				t.Fatalf("%s is listed twice", in.Ref)
			}
			seen[in.Ref] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if !seen[p.Ref] || !seen[other.Ref] {
		t.Error("the list is not complete")
	}
}

func testRefused(t *testing.T, b Bench) {
	if _, err := b.Provider.Account(t.Context()); err != nil {
		t.Errorf("account: %v", err)
	}
	_, err := b.Provider.Look(t.Context(), "pi_3AAAAAAAAAAAAAAAAAAAAAAA")
	wants(t, err, payment.Missing)
	_, err = b.Provider.Look(t.Context(), "pi_/../refunds")
	wants(t, err, payment.Invalid)
	_, err = b.Provider.Void(t.Context(), payment.Act{Payment: "pi_3AAAAAAAAAAAAAAAAAAAAAAA", Key: NewKey(), Since: b.Now()})
	wants(t, err, payment.Missing)
	for name, in := range map[string]payment.Intent{
		"below the least":    {Key: NewKey(), Amount: eur(49), Capture: holdfast.CaptureManual, Since: b.Now()},
		"nothing":            {Key: NewKey(), Amount: eur(0), Capture: holdfast.CaptureManual, Since: b.Now()},
		"no currency":        {Key: NewKey(), Amount: holdfast.Money{AmountMinor: 100}, Capture: holdfast.CaptureManual, Since: b.Now()},
		"three decimals":     {Key: NewKey(), Amount: holdfast.Money{AmountMinor: 10_001, Currency: "kwd"}, Capture: holdfast.CaptureManual, Since: b.Now()},
		"no way to capture":  {Key: NewKey(), Amount: eur(100), Capture: 9, Since: b.Now()},
		"no time":            {Key: NewKey(), Amount: eur(100), Capture: holdfast.CaptureManual},
		"a cluster's colons": {Key: payment.Key{Cluster: "a:b"}, Amount: eur(100), Capture: holdfast.CaptureManual, Since: b.Now()},
	} {
		_, err := b.Provider.Create(t.Context(), in)
		if payment.KindOf(err) != payment.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := b.create(t, eur(10_00), holdfast.CaptureManual)
	b.pay(t, p, "pm_card_visa")
	_, err = b.Provider.Refund(t.Context(), payment.Act{Payment: p.Ref, Key: p.Key, Amount: p.Amount, Effect: 1, Since: b.Now()})
	if err == nil {
		t.Error("money that was not taken was given back")
	}
	_, err = b.Provider.Void(t.Context(), b.act(p))
	must(t, err)
}

func testCurrencies(t *testing.T, b Bench) {
	for _, amount := range []holdfast.Money{{AmountMinor: 1200, Currency: "jpy"}, {AmountMinor: 5_120, Currency: "kwd"}, {AmountMinor: 2500, Currency: "isk"}} {
		p := b.create(t, amount, holdfast.CaptureManual)
		b.pay(t, p, "pm_card_visa")
		got, err := b.Provider.Capture(t.Context(), b.act(p))
		must(t, err)
		if got.CapturedMinor != amount.AmountMinor {
			t.Errorf("captured %d of %v", got.CapturedMinor, amount)
		}
		half := amount
		half.AmountMinor = amount.AmountMinor / 20 * 10
		r, err := b.Provider.Refund(t.Context(), payment.Act{Payment: p.Ref, Key: p.Key, Amount: half, Effect: 1, Since: b.Now()})
		must(t, err)
		if r.Amount != half {
			t.Errorf("refunded %v, want %v", r.Amount, half)
		}
		b.sees(t, p.Ref, payment.StatusCaptured, amount.AmountMinor, half.AmountMinor)
	}
}

// testOldActs carries acts out as somebody does who does not know when they were first tried.
func testOldActs(t *testing.T, b Bench) {
	p := b.create(t, eur(40_00), holdfast.CaptureManual)
	again, err := b.Provider.Create(t.Context(), payment.Intent{Key: p.Key, Amount: p.Amount, Capture: p.Capture, Since: b.Now().Add(-payment.KeyTrusted)})
	must(t, err)
	if again.Ref != p.Ref {
		t.Errorf("an old create made a second payment %s beside %s", again.Ref, p.Ref)
	}
	b.pay(t, p, "pm_card_visa")
	act := b.act(p)
	act.Since = time.Time{}
	for range 2 {
		_, err = b.Provider.Capture(t.Context(), act)
		must(t, err)
	}
	act.Effect, act.Amount = 3, eur(10_00)
	first, err := b.Provider.Refund(t.Context(), act)
	must(t, err)
	second, err := b.Provider.Refund(t.Context(), act)
	must(t, err)
	if first.Ref != second.Ref {
		t.Errorf("the effect was refunded by %s and %s", first.Ref, second.Ref)
	}
	b.sees(t, p.Ref, payment.StatusCaptured, 40_00, 10_00)
}

func testRefundOnce(t *testing.T, b Bench) {
	p := b.create(t, eur(50_00), holdfast.CaptureManual)
	b.pay(t, p, "pm_card_visa")
	_, err := b.Provider.Capture(t.Context(), b.act(p))
	must(t, err)
	refund := func(effect holdfast.EffectID, amount int64) (payment.Refund, error) {
		return b.Provider.Refund(t.Context(), payment.Act{Payment: p.Ref, Key: p.Key, Amount: eur(amount), Effect: effect, Since: b.Now()})
	}
	first, err := refund(1, 20_00)
	must(t, err)
	again, err := refund(1, 20_00)
	must(t, err)
	if again.Ref != first.Ref || first.Effect != 1 || first.Key != p.Key || first.Payment != p.Ref {
		t.Errorf("one effect made %+v and %+v", first, again)
	}
	b.sees(t, p.Ref, payment.StatusCaptured, 50_00, 20_00)
	_, err = refund(1, 21_00)
	wants(t, err, payment.Reused)
	if _, err = refund(2, 31_00); payment.KindOf(err) != payment.Invalid && payment.KindOf(err) != payment.WrongState {
		t.Errorf("more was given back than was taken: %v", err)
	}
	_, err = refund(3, 30_00)
	must(t, err)
	_, err = refund(4, 1_00)
	if e := wants(t, err, payment.WrongState); e.Payment == nil || e.Payment.RefundedMinor != 50_00 {
		t.Errorf("the error does not show what was given back: %v", err)
	}
	b.sees(t, p.Ref, payment.StatusCaptured, 50_00, 50_00)
	all, err := b.Provider.Refunds(t.Context(), p.Ref)
	must(t, err)
	if len(all) != 2 {
		t.Errorf("%d refunds are listed, want 2: %+v", len(all), all)
	}
}
