package settle

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
	"github.com/holdfast-db/holdfast/payment"
)

// A look is all that a webhook, the buyer's return, a poll and an effect lead to: the payment is fetched, and what it
// is decides which command the shard gets. Any number of looks, in any order, is harmless.

// attempt is an attempt to pay, with what is needed to find its payment.
type attempt struct {
	Event   client.EventRef
	Key     payment.Key
	Ref     payment.Ref    // empty while it is not known
	Total   holdfast.Money // frozen
	Capture holdfast.CaptureMethod
	Begun   time.Time // the shard's wall clock; zero when not known
}

func (a attempt) act(e client.Effect) payment.Act {
	if planted.Is(planted.EffectTwice) {
		e.ID += holdfast.EffectID(e.Tries) << 32
	}
	// No try of the effect is older than the payment.
	return payment.Act{Payment: a.Ref, Key: a.Key, Amount: e.Amount, Effect: e.ID, Since: a.Begun}
}

func (a attempt) refer() client.AttemptRef {
	return client.AttemptRef{Event: a.Event, Hold: a.Key.Hold, Attempt: a.Key.Attempt, Payment: string(a.Ref)}
}

// Verdict is what a look came to.
type Verdict struct {
	Payment payment.Payment
	Order   *client.Order    // it has sold: now, or before
	Pending bool             // nothing is decided yet
	Failed  bool             // no money comes of it
	Stray   bool             // there is money that sells nothing: it goes back, or is rescued
	Refused holdfast.Outcome // why it sells nothing
}

// Look fetches the payment that ref names and lets it decide. It is for whoever hears of a payment: the key that the
// payment carries says whose it is. A payment of somebody else gives ErrForeign.
func (c *Clerk) Look(ctx context.Context, ref payment.Ref, id client.Identity) (Verdict, error) {
	p, err := c.fetch(ctx, attempt{Ref: ref})
	if err != nil {
		return Verdict{}, err
	}
	if p.Key.Cluster != id.Cluster || p.Key.Incarnation != id.Incarnation {
		return Verdict{Payment: p}, ErrForeign
	}
	return c.judge(ctx, attempt{Event: client.EventRef{ID: p.Key.Event}, Key: p.Key, Ref: ref, Total: p.Amount, Capture: p.Capture, Begun: p.Created}, p)
}

// ErrForeign says that a payment belongs to another cluster, to another life of this one, or to no cluster at all.
var ErrForeign = errors.New("the payment is not of this cluster's present life")

func (c *Clerk) look(ctx context.Context, a attempt) (Verdict, error) {
	p, err := c.fetch(ctx, a)
	if payment.KindOf(err) == payment.Missing {
		// Nobody has made it, and after so long nobody will.
		return c.noMoney(ctx, a, Verdict{})
	}
	if err != nil {
		return Verdict{}, err
	}
	return c.judge(ctx, a, p)
}

// fetch gets the payment as the provider has it. Where its reference is not known it is found by its key. While the
// provider remembers keys, making it once more finds it, or makes one that nobody can pay; and whoever was about to make
// it finds that one. After that the list tells. No payment at all is an error of kind Missing.
func (c *Clerk) fetch(ctx context.Context, a attempt) (p payment.Payment, err error) {
	switch {
	case a.Ref != "":
		err = c.Call(ctx, payment.Looking, "look", func(ctx context.Context) (err error) {
			p, err = c.Provider.Look(ctx, a.Ref)
			return err
		})
	case !payment.MustLook(a.Begun, c.Now()):
		err = c.Call(ctx, payment.Creating, "create", func(ctx context.Context) (err error) {
			p, err = c.Provider.Create(ctx, payment.Intent{Key: a.Key, Amount: a.Total, Capture: a.Capture, Since: a.Begun})
			return err
		})
	default:
		var found []payment.Payment
		err = c.Call(ctx, payment.Looking, "find", func(ctx context.Context) (err error) {
			found, err = c.Provider.Find(ctx, a.Key, payment.Span{From: a.Begun.Add(-clockSlack), To: a.Begun.Add(payment.KeyTrusted + clockSlack)})
			return err
		})
		if err == nil && len(found) == 0 {
			err = &payment.Error{Kind: payment.Missing, Op: "find", Message: "no payment carries the key"}
		} else if err == nil {
			p = found[0]
		}
	}
	return p, err
}

// clockSlack is how far the provider's clock may be from ours.
const clockSlack = 10 * time.Minute

// judge gives the shard the command that follows from what the payment is.
func (c *Clerk) judge(ctx context.Context, a attempt, p payment.Payment) (Verdict, error) {
	v := Verdict{Payment: p}
	if p.Key != a.Key || p.Mode != c.Provider.Mode() {
		return v, &payment.Error{Kind: payment.WrongAccount, Op: "look", Message: "the payment carries the key of another attempt, or is of another mode"}
	}
	a.Ref = p.Ref
	held := p.Amount
	switch p.Status {
	case payment.StatusAuthorised:
	case payment.StatusCaptured:
		// What somebody gave back by hand is not there to buy with.
		if held.AmountMinor = p.CapturedMinor - p.RefundedMinor; held.AmountMinor <= 0 {
			return c.noMoney(ctx, a, v)
		}
	case payment.StatusCancelled:
		return c.noMoney(ctx, a, v)
	default:
		v.Pending = true
		return v, nil
	}
	v, err := c.sell(ctx, a, held, p, v)
	if err != nil || p.Dispute.State == 0 {
		return v, err
	}
	return v, c.dispute(ctx, a, p)
}

// sell sells for money that is there, or reports it as stray.
func (c *Clerk) sell(ctx context.Context, a attempt, held holdfast.Money, p payment.Payment, v Verdict) (Verdict, error) {
	account, err := c.Account(ctx)
	if err != nil {
		return v, err
	}
	err = c.Command(ctx, "sell", func(ctx context.Context) error {
		order, err := c.Cluster.Sell(ctx, client.SellRequest{Event: a.Event, Hold: a.Key.Hold, As: command.SalePaid, Attempt: a.Key.Attempt,
			Amount: held, Payment: string(a.Ref), Mode: p.Mode, Account: account})
		if err == nil {
			v.Order = &order
		}
		return err
	})
	var refused *client.Refusal
	if !errors.As(err, &refused) {
		return v, err
	}
	if notNow[refused.Outcome] {
		return v, err
	}
	v.Refused = refused.Outcome
	err = c.Command(ctx, "stray", func(ctx context.Context) error {
		return c.Cluster.StrayMoney(ctx, client.Stray{AttemptRef: a.refer(), Amount: held, Captured: p.Status == payment.StatusCaptured, Mode: p.Mode, Account: account})
	})
	switch {
	case err == nil:
		v.Stray = true
		c.Stats.Strays.Add(1)
		c.Log.Warn("money that sells nothing", "payment", string(a.Ref), "hold", a.Key.Hold.String(), "refused", v.Refused.String(), "captured", p.Status == payment.StatusCaptured)
	case errors.Is(err, holdfast.PaymentCurrent): // an order stands on it after all
		err = nil
	case errors.As(err, &refused) && !notNow[refused.Outcome]:
		// The shard cannot have it: reconciliation names it until somebody has dealt with it.
		c.Stats.Unplaced.Add(1)
		c.Log.Error("MONEY THAT NO SHARD TAKES", "payment", string(a.Ref), "hold", a.Key.Hold.String(), "refused", refused.Outcome.String())
		err = nil
	}
	return v, err
}

// notNow are refusals that say nothing about the payment.
var notNow = map[holdfast.Outcome]bool{
	holdfast.CommandExpired: true, holdfast.CommandTooFar: true, holdfast.CommandUnremembered: true, holdfast.EventUnknown: true, holdfast.PaymentsPaused: true,
}

// noMoney tells the shard that nothing comes of the attempt.
func (c *Clerk) noMoney(ctx context.Context, a attempt, v Verdict) (Verdict, error) {
	err := c.Command(ctx, "fail", func(ctx context.Context) error { return c.Cluster.FailPayment(ctx, a.refer()) })
	var refused *client.Refusal
	if errors.As(err, &refused) && !notNow[refused.Outcome] {
		v.Refused, err = refused.Outcome, nil // it is over already, or unknown: there is nothing to tell
	}
	v.Failed = err == nil && v.Refused == 0
	return v, err
}

// dispute tells the shard what the bank says, until the bank says what the shard was told last: of two who tell, the one who looked
// first may come last, and a dispute that was won may be followed by another, so the shard cannot know which of two words is the older.
// What changes after the last look is heard of by a hint. While the shard has not heard that the money was captured it cannot
// take the bank's word: whoever came with it comes again.
func (c *Clerk) dispute(ctx context.Context, a attempt, p payment.Payment) error {
	for {
		err := c.Command(ctx, "dispute", func(ctx context.Context) error {
			return c.Cluster.Dispute(ctx, client.DisputeRequest{Event: a.Event, Payment: string(a.Ref), State: p.Dispute.State,
				Amount: holdfast.Money{AmountMinor: p.Dispute.AmountMinor, Currency: p.Amount.Currency}})
		})
		var refused *client.Refusal
		switch {
		case errors.As(err, &refused) && !notNow[refused.Outcome] && refused.Outcome != holdfast.OrderNotPaid:
			c.Log.Warn("a dispute was not taken", "payment", string(a.Ref), "refused", refused.Outcome.String())
			return nil
		case err != nil, p.Dispute.State == holdfast.DisputeLost: // final
			return err
		}
		told := p.Dispute
		if p, err = c.fetch(ctx, a); err != nil || p.Dispute == told || p.Dispute.State == 0 {
			return err
		}
	}
}

// Follow looks at the payment that a hint is about. A key that is plainly somebody else's spares the provider a call.
func (c *Clerk) Follow(ctx context.Context, hint payment.Hint) error {
	if !hint.Key.IsZero() {
		if _, err := c.ours(ctx, hint.Key); err != nil {
			return err
		}
	}
	p, err := c.fetch(ctx, attempt{Ref: hint.Payment})
	if payment.KindOf(err) == payment.Missing {
		return ErrForeign // of another account, or of another mode
	} else if err != nil {
		return err
	}
	event, err := c.ours(ctx, p.Key)
	if err != nil {
		return err
	}
	_, err = c.judge(ctx, attempt{Event: event, Key: p.Key, Ref: p.Ref, Total: p.Amount, Capture: p.Capture, Begun: p.Created}, p)
	return err
}

// ours finds the event of a payment's key, if the key is of this cluster's present life.
func (c *Clerk) ours(ctx context.Context, key payment.Key) (client.EventRef, error) {
	if key.IsZero() {
		return client.EventRef{}, ErrForeign
	}
	event, err := c.Cluster.Locate(ctx, client.EventRef{ID: key.Event})
	if errors.Is(err, holdfast.NotFound) {
		return event, ErrForeign
	} else if err != nil {
		return event, err
	}
	id, err := c.Identity(ctx, event.Shard)
	if err != nil {
		return event, err
	}
	if key.Cluster != id.Cluster || key.Incarnation != id.Incarnation {
		return event, ErrForeign
	}
	return event, nil
}
