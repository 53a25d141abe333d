package settle

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/payment"
)

// How one effect is carried out: ask the provider, then acknowledge through the log. An error means that nothing was
// acknowledged: the lease runs out, and another try begins from what the log says.

// keyOf is the name of an attempt's payment at the provider.
func keyOf(id client.Identity, event holdfast.EventID, hold holdfast.HoldID, attempt holdfast.Attempt) payment.Key {
	return payment.Key{Cluster: id.Cluster, Incarnation: id.Incarnation, Event: event, Hold: hold, Attempt: attempt}
}

// carry carries out one effect.
func (w *Worker) carry(ctx context.Context, e client.Effect, id client.Identity) error {
	if err := w.cfg.Step(ctx, "begin "+e.Kind.String()); err != nil {
		return err
	}
	id.Incarnation = cmp.Or(e.Life, id.Incarnation) // the payment's name stays what it was
	a := attempt{Event: e.Event, Key: keyOf(id, e.Event.ID, e.Hold, e.Attempt), Ref: payment.Ref(e.Payment), Total: e.Total, Capture: e.Method, Begun: e.Begun}
	switch e.Kind {
	case holdfast.EffectLook:
		return w.carryLook(ctx, e, a)
	case holdfast.EffectCapture:
		return w.carryCapture(ctx, e, a)
	case holdfast.EffectVoid:
		return w.carryVoid(ctx, e, a)
	case holdfast.EffectRefund:
		return w.carryRefund(ctx, e, a)
	}
	carrier := w.cfg.Carriers[e.Kind]
	if carrier == nil {
		return fmt.Errorf("nobody here carries out a %s", e.Kind)
	}
	err := carrier(ctx, e)
	switch {
	case err == nil:
		return w.done(ctx, e, "", 0)
	case payment.KindOf(err).Again():
		return w.retry(ctx, e, err)
	}
	return w.failed(ctx, e, "", 0, codeOf(err))
}

// carryLook fetches the payment and lets that decide. It is owed when the time to pay is over: who has not even tried by
// then is not waited for. While something may still come of the payment the effect is put off.
func (w *Worker) carryLook(ctx context.Context, e client.Effect, a attempt) error {
	v, err := w.look(ctx, a)
	switch {
	case err != nil && isPayment(err):
		return w.retry(ctx, e, err)
	case err != nil:
		return err
	case v.Pending && v.Payment.Status == payment.StatusOpen:
		return w.closeUnpaid(ctx, e, a, v)
	case v.Pending:
		return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Payment: string(v.Payment.Ref), Code: v.Payment.Status.String()})
	case v.Order == nil && !v.Failed && !v.Stray:
		return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: v.Refused.String()})
	}
	return nil // what was decided took the effect's place
}

// closeUnpaid cancels a payment that nobody has paid, and then says so: the seats are free at once, instead of when the
// grace is over, and the cancelling would be owed then anyway. Whoever pays meanwhile is found by the next look.
func (w *Worker) closeUnpaid(ctx context.Context, e client.Effect, a attempt, v Verdict) error {
	a.Ref = v.Payment.Ref
	err := w.call(ctx, payment.Cancelling, "void", func(ctx context.Context) error {
		_, err := w.cfg.Provider.Void(ctx, a.act(e))
		return err
	})
	if err != nil {
		return w.retry(ctx, e, err)
	}
	_, err = w.noMoney(ctx, a, v)
	return err
}

func (w *Worker) carryCapture(ctx context.Context, e client.Effect, a attempt) error {
	var p payment.Payment
	err := w.call(ctx, payment.Capturing, "capture", func(ctx context.Context) (err error) {
		p, err = w.cfg.Provider.Capture(ctx, a.act(e))
		return err
	})
	switch kind := payment.KindOf(err); {
	case err == nil:
		return w.done(ctx, e, string(p.Ref), p.CapturedMinor)
	case kind == payment.Declined:
		return w.giveUp(ctx, e, a, codeOf(err))
	case kind == payment.Missing, kind == payment.WrongState && ended(err):
		return w.failed(ctx, e, "", 0, codeOf(err))
	}
	return w.retry(ctx, e, err)
}

// giveUp cancels a payment that cannot be captured, so that the buyer's money is not set aside for nothing, and then
// says so. Whoever comes after a death between the two finds the payment cancelled.
func (w *Worker) giveUp(ctx context.Context, e client.Effect, a attempt, code string) error {
	err := w.call(ctx, payment.Voiding, "void", func(ctx context.Context) error {
		_, err := w.cfg.Provider.Void(ctx, a.act(e))
		return err
	})
	if err == nil || payment.KindOf(err) == payment.Missing {
		return w.failed(ctx, e, "", 0, code)
	}
	return w.retry(ctx, e, err) // if it was captured after all, the next try finds that
}

// ended reports whether the payment is at an end at which nothing can be captured any more.
func ended(err error) bool {
	var failure *payment.Error
	return errors.As(err, &failure) && failure.Payment != nil && failure.Payment.Status == payment.StatusCancelled
}

// carryVoid makes sure that the attempt's payment takes no money. When it has taken some, it says how much.
func (w *Worker) carryVoid(ctx context.Context, e client.Effect, a attempt) error {
	if a.Ref == "" {
		// It may exist all the same: whoever made it may have died before telling, or may be about to make it.
		p, err := w.fetch(ctx, a)
		if payment.KindOf(err) == payment.Missing {
			return w.done(ctx, e, "", 0)
		} else if err != nil && isPayment(err) {
			return w.retry(ctx, e, err)
		} else if err != nil {
			return err
		}
		a.Ref = p.Ref
	}
	class := payment.Voiding
	if e.Urgent {
		class = payment.Cancelling
	}
	err := w.call(ctx, class, "void", func(ctx context.Context) error {
		_, err := w.cfg.Provider.Void(ctx, a.act(e))
		return err
	})
	var failure *payment.Error
	switch kind := payment.KindOf(err); {
	case err == nil, kind == payment.Missing:
		return w.done(ctx, e, string(a.Ref), 0)
	case kind == payment.WrongState && errors.As(err, &failure) && failure.Payment != nil && failure.Payment.Status == payment.StatusCaptured:
		p := failure.Payment
		if left := p.CapturedMinor - p.RefundedMinor; left > 0 {
			return w.failed(ctx, e, string(a.Ref), left, "captured")
		}
		return w.done(ctx, e, string(a.Ref), 0) // it took money, and somebody gave all of it back
	}
	return w.retry(ctx, e, err)
}

func (w *Worker) carryRefund(ctx context.Context, e client.Effect, a attempt) error {
	switch given, err := w.givenByHand(ctx, e, a); {
	case err != nil && isPayment(err):
		return w.retry(ctx, e, err)
	case err != nil:
		return err
	case given:
		return w.done(ctx, e, "", e.Amount.AmountMinor)
	}
	var r payment.Refund
	err := w.call(ctx, payment.Refunding, "refund", func(ctx context.Context) (err error) {
		r, err = w.cfg.Provider.Refund(ctx, a.act(e))
		return err
	})
	switch kind := payment.KindOf(err); {
	case err == nil && r.Status == payment.RefundDone:
		return w.done(ctx, e, "", r.Amount.AmountMinor)
	case err == nil && r.Status == payment.RefundPending:
		return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: "pending"})
	case err == nil:
		return w.failed(ctx, e, "", 0, orElse(r.Failure, "refund_failed"))
	case kind == payment.Declined, kind == payment.Missing, kind == payment.WrongState:
		return w.failed(ctx, e, "", 0, codeOf(err))
	}
	return w.retry(ctx, e, err)
}

// givenByHand reports whether somebody has given the money back at the provider already, besides what the shard knows
// of: then the books follow, and nothing is moved. A refund of the effect itself that is on its way or done speaks for
// itself.
func (w *Worker) givenByHand(ctx context.Context, e client.Effect, a attempt) (bool, error) {
	var all []payment.Refund
	err := w.call(ctx, payment.Looking, "refunds", func(ctx context.Context) (err error) {
		all, err = w.cfg.Provider.Refunds(ctx, a.Ref)
		return err
	})
	if err != nil {
		return false, err
	}
	total := int64(0)
	for _, r := range all {
		if r.Status == payment.RefundFailed {
			continue
		}
		if r.Effect == e.ID && r.Key == a.Key {
			return false, nil
		}
		total += r.Amount.AmountMinor
	}
	return total >= e.RefundedMinor+e.Amount.AmountMinor, nil
}

// done, failed and retry acknowledge an effect.

func (w *Worker) done(ctx context.Context, e client.Effect, ref string, moved int64) error {
	return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectDone, Payment: ref, Amount: holdfast.Money{AmountMinor: moved}})
}

func (w *Worker) failed(ctx context.Context, e client.Effect, ref string, moved int64, code string) error {
	w.log.Warn("an effect has failed for good", "effect", e.ID.String(), "kind", e.Kind.String(), "hold", e.Hold.String(), "payment", e.Payment, "code", code)
	return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectFailed, Payment: ref, Amount: holdfast.Money{AmountMinor: moved}, Code: code})
}

func (w *Worker) retry(ctx context.Context, e client.Effect, err error) error {
	return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: codeOf(err)})
}

// ack acknowledges through the log. An effect that the log does not know any more was done by somebody else, or another
// took its place.
func (w *Worker) ack(ctx context.Context, e client.Effect, a client.EffectAck) error {
	a.Effect, a.Event = e.ID, e.Event
	a.Amount.Currency = e.Total.Currency
	err := w.command(ctx, "ack "+a.Result.String(), func(ctx context.Context) error { return w.client().AckEffect(ctx, a) })
	switch {
	case errors.Is(err, holdfast.EffectUnknown):
		return nil
	case a.Result != holdfast.EffectRetry && (errors.Is(err, holdfast.AmountMismatch) || errors.Is(err, holdfast.PaymentReused)):
		// The provider did something else than what is owed: the books cannot take it. It is put off until it is parked.
		var refused *client.Refusal
		errors.As(err, &refused)
		w.log.Error("THE PROVIDER DID SOMETHING ELSE", "effect", e.ID.String(), "kind", e.Kind.String(), "payment", e.Payment, "refused", refused.Outcome.String())
		return w.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: refused.Outcome.String()})
	}
	w.stats.acked(a.Result, err)
	return err
}

// call makes one call to the provider, within its limits.
func (w *Worker) call(ctx context.Context, class payment.Class, step string, call func(context.Context) error) error {
	if err := w.cfg.Step(ctx, "before "+step); err != nil {
		return err
	}
	if err := w.grants.Take(ctx, class); err != nil {
		return err
	}
	calling, cancel := context.WithTimeout(ctx, w.cfg.CallTimeout)
	err := call(calling)
	cancel()
	w.stats.called(class, err)
	if payment.KindOf(err) == payment.Limited {
		w.grants.Limited()
	}
	if died := w.cfg.Step(ctx, "after "+step); died != nil {
		return died
	}
	return err
}

// command sends one command to the shard.
func (w *Worker) command(ctx context.Context, step string, send func(context.Context) error) error {
	if err := w.cfg.Step(ctx, "before "+step); err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(ctx, commandMax)
	err := send(sending)
	cancel()
	if died := w.cfg.Step(ctx, "after "+step); died != nil {
		return died
	}
	return err
}

// isPayment reports whether the provider said it, and not the shard or this process's end.
func isPayment(err error) bool {
	var failure *payment.Error
	return errors.As(err, &failure)
}

// codeOf is a provider's failure in a word, for people.
func codeOf(err error) string {
	var failure *payment.Error
	if !errors.As(err, &failure) {
		return "unknown"
	}
	if failure.Kind == payment.WrongState && failure.Payment != nil {
		return failure.Payment.Status.String()
	}
	return orElse(failure.Decline, orElse(failure.Code, failure.Kind.String()))
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
