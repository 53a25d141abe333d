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

// Carry carries out one effect. A nil error says that the log has what came of it, or that nobody waits for that any more.
func (c *Clerk) Carry(ctx context.Context, e client.Effect, id client.Identity) error {
	id.Incarnation = cmp.Or(e.Life, id.Incarnation) // the payment's name stays what it was
	a := attempt{Event: e.Event, Key: keyOf(id, e.Event.ID, e.Hold, e.Attempt), Ref: payment.Ref(e.Payment), Total: e.Total, Capture: e.Method, Begun: e.Begun}
	switch e.Kind {
	case holdfast.EffectLook:
		return c.carryLook(ctx, e, a)
	case holdfast.EffectCapture:
		return c.carryCapture(ctx, e, a)
	case holdfast.EffectVoid:
		return c.carryVoid(ctx, e, a)
	case holdfast.EffectRefund:
		return c.carryRefund(ctx, e, a)
	}
	carrier := c.Carriers[e.Kind]
	if carrier == nil {
		return fmt.Errorf("nobody here carries out a %s", e.Kind)
	}
	err := carrier(ctx, e)
	switch {
	case err == nil:
		return c.done(ctx, e, "", 0)
	case payment.KindOf(err).Again():
		return c.retry(ctx, e, err)
	}
	return c.failed(ctx, e, "", 0, codeOf(err))
}

// carryLook fetches the payment and lets that decide. It is owed when the time to pay is over: who has not even tried by
// then is not waited for. While something may still come of the payment the effect is put off.
func (c *Clerk) carryLook(ctx context.Context, e client.Effect, a attempt) error {
	v, err := c.look(ctx, a)
	switch {
	case err != nil && isPayment(err):
		return c.retry(ctx, e, err)
	case err != nil:
		return err
	case v.Pending && v.Payment.Status == payment.StatusOpen:
		// Cancelling it now could meet the buyer who pays now, and whose sale has been decided: the shard decides which came first.
		return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectFailed, Payment: string(v.Payment.Ref), Code: v.Payment.Status.String()})
	case v.Pending:
		return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Payment: string(v.Payment.Ref), Code: v.Payment.Status.String()})
	case v.Order == nil && !v.Failed && !v.Stray:
		return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: v.Refused.String()})
	}
	return nil // what was decided took the effect's place
}

func (c *Clerk) carryCapture(ctx context.Context, e client.Effect, a attempt) error {
	var p payment.Payment
	err := c.Call(ctx, payment.Capturing, "capture", func(ctx context.Context) (err error) {
		p, err = c.Provider.Capture(ctx, a.act(e))
		return err
	})
	switch kind := payment.KindOf(err); {
	case err == nil:
		return c.done(ctx, e, string(p.Ref), p.CapturedMinor)
	case kind == payment.Declined:
		return c.giveUp(ctx, e, a, codeOf(err))
	case kind == payment.Missing, kind == payment.WrongState && ended(err):
		return c.failed(ctx, e, "", 0, codeOf(err))
	}
	return c.retry(ctx, e, err)
}

// giveUp cancels a payment that cannot be captured, so that the buyer's money is not set aside for nothing, and then
// says so. Whoever comes after a death between the two finds the payment cancelled.
func (c *Clerk) giveUp(ctx context.Context, e client.Effect, a attempt, code string) error {
	err := c.Call(ctx, payment.Voiding, "void", func(ctx context.Context) error {
		_, err := c.Provider.Void(ctx, a.act(e))
		return err
	})
	if err == nil || payment.KindOf(err) == payment.Missing {
		return c.failed(ctx, e, "", 0, code)
	}
	return c.retry(ctx, e, err) // if it was captured after all, the next try finds that
}

// ended reports whether the payment is at an end at which nothing can be captured any more.
func ended(err error) bool {
	var failure *payment.Error
	return errors.As(err, &failure) && failure.Payment != nil && failure.Payment.Status == payment.StatusCancelled
}

// carryVoid makes sure that the attempt's payment takes no money. When it has taken some, it says how much.
func (c *Clerk) carryVoid(ctx context.Context, e client.Effect, a attempt) error {
	if a.Ref == "" {
		// It may exist all the same: whoever made it may have died before telling, or may be about to make it.
		p, err := c.fetch(ctx, a)
		if payment.KindOf(err) == payment.Missing {
			return c.done(ctx, e, "", 0)
		} else if err != nil && isPayment(err) {
			return c.retry(ctx, e, err)
		} else if err != nil {
			return err
		}
		a.Ref = p.Ref
	}
	class := payment.Voiding
	if e.Urgent {
		class = payment.Cancelling
	}
	err := c.Call(ctx, class, "void", func(ctx context.Context) error {
		_, err := c.Provider.Void(ctx, a.act(e))
		return err
	})
	var failure *payment.Error
	switch kind := payment.KindOf(err); {
	case err == nil, kind == payment.Missing:
		return c.done(ctx, e, string(a.Ref), 0)
	case kind == payment.WrongState && errors.As(err, &failure) && failure.Payment != nil && failure.Payment.Status == payment.StatusCaptured:
		p := failure.Payment
		if left := p.CapturedMinor - p.RefundedMinor; left > 0 {
			return c.failed(ctx, e, string(a.Ref), left, "captured")
		}
		return c.done(ctx, e, string(a.Ref), 0) // it took money, and somebody gave all of it back
	}
	return c.retry(ctx, e, err)
}

func (c *Clerk) carryRefund(ctx context.Context, e client.Effect, a attempt) error {
	switch given, err := c.givenByHand(ctx, e, a); {
	case err != nil && isPayment(err):
		return c.retry(ctx, e, err)
	case err != nil:
		return err
	case given:
		return c.done(ctx, e, "", e.Amount.AmountMinor)
	}
	var r payment.Refund
	err := c.Call(ctx, payment.Refunding, "refund", func(ctx context.Context) (err error) {
		r, err = c.Provider.Refund(ctx, a.act(e))
		return err
	})
	switch kind := payment.KindOf(err); {
	case err == nil && r.Status == payment.RefundDone:
		return c.done(ctx, e, "", r.Amount.AmountMinor)
	case err == nil && r.Status == payment.RefundPending:
		return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: "pending"})
	case err == nil:
		return c.failed(ctx, e, "", 0, orElse(r.Failure, "refund_failed"))
	case kind == payment.Declined, kind == payment.Missing, kind == payment.WrongState:
		return c.failed(ctx, e, "", 0, codeOf(err))
	}
	return c.retry(ctx, e, err)
}

// givenByHand reports whether somebody has given the money back at the provider already, besides what the shard knows
// of: then the books follow, and nothing is moved. A refund of the effect itself that is on its way or done speaks for
// itself.
func (c *Clerk) givenByHand(ctx context.Context, e client.Effect, a attempt) (bool, error) {
	var all []payment.Refund
	err := c.Call(ctx, payment.Looking, "refunds", func(ctx context.Context) (err error) {
		all, err = c.Provider.Refunds(ctx, a.Ref)
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

func (c *Clerk) done(ctx context.Context, e client.Effect, ref string, moved int64) error {
	return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectDone, Payment: ref, Amount: holdfast.Money{AmountMinor: moved}})
}

func (c *Clerk) failed(ctx context.Context, e client.Effect, ref string, moved int64, code string) error {
	c.Log.Warn("an effect has failed for good", "effect", e.ID.String(), "kind", e.Kind.String(), "hold", e.Hold.String(), "payment", e.Payment, "code", code)
	return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectFailed, Payment: ref, Amount: holdfast.Money{AmountMinor: moved}, Code: code})
}

func (c *Clerk) retry(ctx context.Context, e client.Effect, err error) error {
	return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: codeOf(err)})
}

// ack acknowledges through the log. An effect that the log does not know any more was done by somebody else, or another
// took its place.
func (c *Clerk) ack(ctx context.Context, e client.Effect, a client.EffectAck) error {
	a.Effect, a.Event = e.ID, e.Event
	a.Amount.Currency = e.Total.Currency
	err := c.Command(ctx, "ack "+a.Result.String(), func(ctx context.Context) error { return c.Cluster.AckEffect(ctx, a) })
	switch {
	case errors.Is(err, holdfast.EffectUnknown):
		return nil
	case a.Result != holdfast.EffectRetry && (errors.Is(err, holdfast.AmountMismatch) || errors.Is(err, holdfast.PaymentReused)):
		// The provider did something else than what is owed: the books cannot take it. It is put off until it is parked.
		var refused *client.Refusal
		errors.As(err, &refused)
		c.Log.Error("THE PROVIDER DID SOMETHING ELSE", "effect", e.ID.String(), "kind", e.Kind.String(), "payment", e.Payment, "refused", refused.Outcome.String())
		return c.ack(ctx, e, client.EffectAck{Result: holdfast.EffectRetry, Code: refused.Outcome.String()})
	}
	c.Stats.acked(a.Result, err)
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
