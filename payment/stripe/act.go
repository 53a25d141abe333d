package stripe

import (
	"context"
	"errors"
	"fmt"

	api "github.com/stripe/stripe-go/v76"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/payment"
)

// roundsMax bounds the ladder: how often one act may end in an answer that Stripe stored and that was of no use,
// within the day for which Stripe remembers it.
const roundsMax = 8

// ladder is one act that changes something, in a form that can be repeated by anybody at any time.
type ladder[T any] struct {
	op  string
	key string
	// call sends the act once. The second result says whether the answer is a remembered one.
	call func(ctx context.Context, key string) (T, bool, error)
	// look finds out whether the act was done, or can no longer be: then it gives true, and the error if any.
	look func(ctx context.Context) (T, bool, error)
	// fresh reads what the act made as it is now.
	fresh func(ctx context.Context, made T) (T, error)
}

// climb carries an act out, once, whatever happened to those who tried before.
//
// Stripe stores the first answer under the idempotency key, also when that is an error, and gives it to everybody
// who comes with the same key for a day. So the key that names the act is only the first rung. Who gets an error from
// Stripe's memory, rather than a fresh one, knows that this rung's request is over; he looks whether it did the
// work, and only if it did not he climbs to the next rung, whose key is as fixed as the first. Workers that climb at
// once meet on the same rungs, where Stripe lets one pass. An answer that never came says nothing: the act is left as
// unknown, and whoever repeats it comes to the same rung.
//
// The keys are forgotten after a day. Hence lookFirst, for whoever cannot say that all tries are younger.
func climb[T any](ctx context.Context, c *Client, lookFirst bool, l ladder[T]) (T, error) {
	var none T
	if lookFirst {
		if v, done, err := l.look(ctx); err != nil || done {
			return v, err
		}
	}
	for round := range roundsMax {
		key := l.key
		if round > 0 {
			key = fmt.Sprintf("%s#%d", l.key, round)
		}
		v, remembered, err := l.call(ctx, key)
		if err == nil {
			if remembered {
				return l.fresh(ctx, v)
			}
			return v, nil
		}
		f := c.classify(ctx, l.op, err)
		if !f.replayed && f.Kind != payment.WrongState && f.Kind != payment.Reused {
			return none, f.Error
		}
		if v, done, err := l.look(ctx); err != nil || done {
			return v, err
		}
		if !f.replayed {
			return none, f.Error
		}
	}
	return none, &payment.Error{Kind: payment.Unknown, Op: l.op, Message: "Stripe stored an error under every key of this act; it goes on when they are forgotten, after a day"}
}

// Create makes the payment that Key names, or finds it.
func (c *Client) Create(ctx context.Context, in payment.Intent) (payment.Payment, error) {
	const op = "create"
	if err := in.Key.Check(); err != nil {
		return payment.Payment{}, err
	}
	if err := payment.CheckAmount(in.Amount); err != nil {
		return payment.Payment{}, err
	}
	if in.Since.IsZero() {
		return payment.Payment{}, refuse(op, "without the time of BeginPayment an earlier payment could not be found")
	}
	in.Capture = max(in.Capture, holdfast.CaptureManual)
	method, types := api.PaymentIntentCaptureMethodManual, c.cfg.ManualMethods
	switch in.Capture {
	case holdfast.CaptureManual:
	case holdfast.CaptureAtOnce:
		method, types = api.PaymentIntentCaptureMethodAutomatic, c.cfg.AtOnceMethods
	default:
		return payment.Payment{}, refuse(op, "neither manual capture nor at once")
	}
	made, err := climb(ctx, c, payment.MustLook(in.Since, c.cfg.Now()), ladder[payment.Payment]{
		op: op, key: in.Key.String(),
		call: func(ctx context.Context, key string) (payment.Payment, bool, error) {
			params := &api.PaymentIntentParams{
				Amount: toStripe(in.Amount), Currency: api.String(string(in.Amount.Currency)), CaptureMethod: api.String(string(method)),
				PaymentMethodTypes: api.StringSlice(types),
			}
			params.AddMetadata(MetadataKey, in.Key.String())
			params.Context, params.IdempotencyKey = ctx, api.String(key)
			return c.answered(op, func() (*api.PaymentIntent, error) { return c.intents.New(params) })
		},
		look: func(ctx context.Context) (payment.Payment, bool, error) {
			found, err := c.find(ctx, op, in.Key, c.spanSince(in.Since))
			if err != nil || len(found) == 0 {
				return payment.Payment{}, false, err
			}
			return found[0], true, nil
		},
		fresh: func(ctx context.Context, made payment.Payment) (payment.Payment, error) {
			return c.look(ctx, op, made.Ref)
		},
	})
	if err == nil && (made.Amount != in.Amount || made.Capture != in.Capture || made.Key != in.Key) {
		return payment.Payment{}, &payment.Error{Kind: payment.Reused, Op: op, Message: "the payment of this key was made for " + made.Amount.String() + ", or with another way to capture"}
	}
	return made, err
}

// answered makes a payment of an intent that a call gave, and says whether the answer was remembered.
func (c *Client) answered(op string, call func() (*api.PaymentIntent, error)) (payment.Payment, bool, error) {
	intent, err := call()
	if err != nil {
		return payment.Payment{}, false, err
	}
	p, err := c.paymentOf(op, intent)
	return p, replayed(intent.LastResponse), err
}

// Capture takes an authorised payment in full.
func (c *Client) Capture(ctx context.Context, act payment.Act) (payment.Payment, error) {
	const op = "capture"
	if act.Amount.AmountMinor <= 0 {
		return payment.Payment{}, refuse(op, "an amount is needed")
	}
	taken, err := c.move(ctx, op, act, payment.StatusCaptured, payment.StatusAuthorised, func(key string) (*api.PaymentIntent, error) {
		params := &api.PaymentIntentCaptureParams{AmountToCapture: toStripe(act.Amount)}
		params.AddExpand("latest_charge")
		params.Context, params.IdempotencyKey = ctx, api.String(key)
		return c.intents.Capture(string(act.Payment), params)
	})
	if err == nil && (taken.CapturedMinor != act.Amount.AmountMinor || taken.Amount.Currency != act.Amount.Currency) {
		return taken, &payment.Error{Kind: payment.WrongState, Op: op, Payment: &taken, Message: fmt.Sprintf("captured are %d %s instead of %d %s",
			taken.CapturedMinor, taken.Amount.Currency, act.Amount.AmountMinor, act.Amount.Currency)}
	}
	return taken, err
}

// Void cancels a payment that was not captured.
func (c *Client) Void(ctx context.Context, act payment.Act) (payment.Payment, error) {
	return c.move(ctx, "void", act, payment.StatusCancelled, 0, func(key string) (*api.PaymentIntent, error) {
		params := &api.PaymentIntentCancelParams{CancellationReason: api.String(string(api.PaymentIntentCancellationReasonAbandoned))}
		params.AddExpand("latest_charge")
		params.Context, params.IdempotencyKey = ctx, api.String(key)
		return c.intents.Cancel(string(act.Payment), params)
	})
}

// move brings a payment to a final state, from one state or (0) from any that is neither final nor processing.
func (c *Client) move(ctx context.Context, op string, act payment.Act, to, from payment.Status, call func(key string) (*api.PaymentIntent, error)) (payment.Payment, error) {
	if err := checkRef(op, act.Payment); err != nil {
		return payment.Payment{}, err
	}
	if err := act.Key.Check(); err != nil {
		return payment.Payment{}, err
	}
	moved, err := climb(ctx, c, payment.MustLook(act.Since, c.cfg.Now()), ladder[payment.Payment]{
		op: op, key: act.Key.String() + ":" + op,
		call: func(_ context.Context, key string) (payment.Payment, bool, error) {
			return c.answered(op, func() (*api.PaymentIntent, error) { return call(key) })
		},
		look: func(ctx context.Context) (payment.Payment, bool, error) {
			p, err := c.look(ctx, op, act.Payment)
			final := p.Status == payment.StatusCaptured || p.Status == payment.StatusCancelled
			switch {
			case err != nil, p.Status == to:
				return p, true, err
			case from != 0 && p.Status != from, final, p.Status == payment.StatusProcessing:
				return p, true, &payment.Error{Kind: payment.WrongState, Op: op, Payment: &p}
			}
			return p, false, nil
		},
		fresh: func(ctx context.Context, made payment.Payment) (payment.Payment, error) {
			return c.look(ctx, op, made.Ref)
		},
	})
	var e *payment.Error
	if errors.As(err, &e) && e.Kind == payment.WrongState && e.Payment == nil {
		e.Kind = payment.Busy // refused for its state, and yet in the right one a moment later: it is in motion
	}
	return moved, err
}

// Refund gives money back, once for each effect.
func (c *Client) Refund(ctx context.Context, act payment.Act) (payment.Refund, error) {
	const op = "refund"
	if err := checkRef(op, act.Payment); err != nil {
		return payment.Refund{}, err
	}
	if err := act.Key.Check(); err != nil {
		return payment.Refund{}, err
	}
	if act.Amount.AmountMinor <= 0 || act.Effect == 0 {
		return payment.Refund{}, refuse(op, "an amount, and the effect that owes it, are needed")
	}
	effect := act.Effect.String()
	made, err := climb(ctx, c, payment.MustLook(act.Since, c.cfg.Now()), ladder[payment.Refund]{
		op: op, key: act.Key.String() + ":" + op + ":" + effect,
		call: func(ctx context.Context, key string) (payment.Refund, bool, error) {
			params := &api.RefundParams{
				PaymentIntent: api.String(string(act.Payment)), Amount: toStripe(act.Amount), Reason: api.String(string(api.RefundReasonRequestedByCustomer)),
			}
			params.AddMetadata(MetadataKey, act.Key.String())
			params.AddMetadata(MetadataEffect, effect)
			params.Context, params.IdempotencyKey = ctx, api.String(key)
			got, err := c.refunds.New(params)
			if err != nil {
				return payment.Refund{}, false, err
			}
			return refundOf(got), replayed(got.LastResponse), nil
		},
		look: func(ctx context.Context) (payment.Refund, bool, error) {
			all, err := c.listRefunds(ctx, op, act.Payment)
			for _, r := range all {
				if r.Key == act.Key && r.Effect == act.Effect {
					return r, true, nil
				}
			}
			return payment.Refund{}, false, err
		},
		fresh: func(ctx context.Context, made payment.Refund) (payment.Refund, error) {
			return c.refund(ctx, op, made.Ref)
		},
	})
	var e *payment.Error
	if errors.As(err, &e) && e.Kind == payment.WrongState && e.Payment == nil {
		now, failed := c.look(ctx, op, act.Payment)
		if failed != nil {
			return made, failed
		}
		e.Payment = &now
	}
	if err == nil && made.Amount != act.Amount {
		return made, &payment.Error{Kind: payment.Reused, Op: op, Message: "the refund of this effect was made for " + made.Amount.String()}
	}
	return made, err
}
