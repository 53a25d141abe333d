package exact

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// teller is the way to the bank for one fiber: a payment.Provider.
type teller struct {
	f *fiber
	b *bank
}

var _ payment.Provider = (*teller)(nil)

const callTimeout = 10 * time.Second // settle.CallTimeoutDefault

// ask sends one request and waits for what comes of it. The act happens when the request arrives, which may be after its sender
// has given up, or twice.
func (t *teller) ask(op string, act func() error) (err error) {
	b, w, chance := t.b, t.b.w, t.f.dice
	w.counts.Calls++
	unknown := &payment.Error{Kind: payment.Unknown, Op: op, Message: "no answer"}
	there := time.Duration(20+chance.IntN(150)) * time.Millisecond
	back := time.Duration(20+chance.IntN(150)) * time.Millisecond
	switch {
	case b.down.open(w.now):
		t.f.sleep(min(there, callTimeout))
		return unknown
	case b.failsBefore.open(w.now):
		t.f.sleep(there + back)
		return unknown
	case b.limits.open(w.now):
		t.f.sleep(there + back)
		return &payment.Error{Kind: payment.Limited, Op: op, RetryAfter: time.Second}
	}
	if b.slow.open(w.now) {
		slow := time.Duration(chance.IntN(b.slow.size*1000+1)) * time.Millisecond
		there, back = there+slow/2, back+slow/2
	}
	if b.twice.open(w.now) {
		w.after(there+time.Duration(chance.IntN(3000))*time.Millisecond, func() { _ = act() })
	}
	fails := b.failsAfter.open(w.now)
	done := false
	w.after(there, func() { err = act() })
	wake := t.f.waker()
	w.after(there+back, func() { done = true; wake() })
	w.after(callTimeout, wake)
	t.f.park()
	if !done || fails {
		return unknown
	}
	return err
}

// Mode says that no real money moves.
func (t *teller) Mode() holdfast.PaymentMode { return holdfast.ModeTest }

// Account is known.
func (t *teller) Account(context.Context) (string, error) { return theAccount, nil }

// Create makes or finds a payment.
func (t *teller) Create(_ context.Context, in payment.Intent) (p payment.Payment, err error) {
	err = t.ask("create", func() error {
		i, err := t.b.create(in)
		if err == nil {
			p = i.Payment
		}
		return err
	})
	return p, err
}

// Look gives a payment as it is.
func (t *teller) Look(_ context.Context, ref payment.Ref) (p payment.Payment, err error) {
	err = t.ask("look", func() error {
		i, err := t.b.find("look", ref)
		if err == nil && t.b.w.plant == EarlyCapture && i.Status == payment.StatusAuthorised {
			_, _ = t.b.capture(ref)
		}
		if err == nil {
			p = i.Payment
		}
		return err
	})
	return p, err
}

// Find gives the payment of a key.
func (t *teller) Find(_ context.Context, key payment.Key, _ payment.Span) (found []payment.Payment, err error) {
	err = t.ask("find", func() error {
		found = nil
		if i := t.b.byKey[key]; i != nil {
			found = append(found, i.Payment)
		}
		return nil
	})
	return found, err
}

// Capture takes the money.
func (t *teller) Capture(_ context.Context, act payment.Act) (p payment.Payment, err error) {
	err = t.ask("capture", func() error {
		i, err := t.b.capture(act.Payment)
		if err == nil {
			p = i.Payment
		}
		return err
	})
	return p, err
}

// Void gives an authorisation back.
func (t *teller) Void(_ context.Context, act payment.Act) (p payment.Payment, err error) {
	if t.b.w.plant == ForgottenVoid {
		return p, nil
	}
	err = t.ask("void", func() error {
		i, err := t.b.void(act.Payment)
		if err == nil {
			p = i.Payment
		}
		return err
	})
	return p, err
}

// Refund gives money back.
func (t *teller) Refund(_ context.Context, act payment.Act) (r payment.Refund, err error) {
	if t.b.w.plant == RefundAnew {
		t.b.w.serial++
		act.Effect = holdfast.EffectID(1<<40 + t.b.w.serial) // every try is another refund to the bank
	}
	err = t.ask("refund", func() (err error) {
		r, err = t.b.refund(act)
		return err
	})
	return r, err
}

// Refunds lists what was given back of a payment.
func (t *teller) Refunds(_ context.Context, ref payment.Ref) (all []payment.Refund, err error) {
	err = t.ask("refunds", func() error {
		i, err := t.b.find("refunds", ref)
		if err == nil && t.b.w.plant != RefundAnew {
			all = append([]payment.Refund(nil), i.refunds...)
		}
		return err
	})
	return all, err
}

// List is for reconciliation, which is not played here.
func (t *teller) List(context.Context, payment.Span, payment.Cursor) (payment.Page, error) {
	return payment.Page{}, &payment.Error{Kind: payment.Invalid, Op: "list"}
}

// ParseHint is for webhooks' bytes; here hints come as what they say.
func (t *teller) ParseHint([]byte, string) (payment.Hint, error) {
	return payment.Hint{}, &payment.Error{Kind: payment.Forged, Op: "hint"}
}
