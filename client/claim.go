package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// HoldRequest asks for units. All of them are held, or none.
type HoldRequest struct {
	// ID repeats a request whose outcome is unknown: the id in that error. Zero makes a new command. A repetition that comes too
	// late is refused with holdfast.CommandExpired, which says nothing about the first time.
	ID         holdfast.CommandID
	Event      EventRef
	Buyer      holdfast.BuyerID
	Allocation holdfast.AllocationIndex // the units must belong to it
	Wants      []command.Want
}

// SwapRequest asks for units in place of those that a hold has. The deadline stays.
type SwapRequest struct {
	ID         holdfast.CommandID // as in HoldRequest
	Event      EventRef
	Buyer      holdfast.BuyerID
	Hold       holdfast.HoldID
	Allocation holdfast.AllocationIndex
	Wants      []command.Want
}

// HoldRef names a buyer's hold.
type HoldRef struct {
	ID    holdfast.CommandID // as in HoldRequest
	Event EventRef
	Buyer holdfast.BuyerID
	Hold  holdfast.HoldID
}

// PaymentRequest begins an attempt to pay for a hold. Do it before the provider is asked for money.
type PaymentRequest struct {
	ID      holdfast.CommandID // as in HoldRequest
	Event   EventRef
	Buyer   holdfast.BuyerID
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt // 1 for the first; the next number condemns the one before it
	Amount  holdfast.Money   // the hold's total; with rules for payments, the quote's
	// For events with rules for payments.
	Capture holdfast.CaptureMethod // 0: CaptureManual
	Promo   holdfast.PromoCode
	Contact holdfast.ContactID // where the receipt goes
}

// SellRequest makes a hold an order. See command.Sell for what must be equal to what.
type SellRequest struct {
	ID      holdfast.CommandID // as in HoldRequest
	Event   EventRef
	Hold    holdfast.HoldID
	As      command.SaleKind
	Attempt holdfast.Attempt
	Amount  holdfast.Money
	Payment string
	// Whose payment it is: for paid sales of events with rules for payments.
	Mode    holdfast.PaymentMode
	Account string
}

// Hold is a buyer's claim on units for a time.
type Hold struct {
	ID    holdfast.HoldID
	Event EventRef
	Buyer holdfast.BuyerID
	State holdfast.HoldState
	Seats []holdfast.SeatIndex
	// Amount is the frozen total.
	Amount holdfast.Money
	// Deadline is when the hold lapses, or payment must be in; Remaining how long that was away when this was true.
	Deadline  holdfast.Clock
	Remaining time.Duration
	Attempt   holdfast.Attempt // the current attempt to pay; 0: none
	// Extended is set by GetHold only, Allowance (how many more units the buyer may have) by claims only, Repeated
	// when the command had been executed before.
	Extended  bool
	Allowance int
	Repeated  bool
	Stamp     Stamp
}

// Hold holds units for a buyer.
func (c *Client) Hold(ctx context.Context, q HoldRequest) (Hold, error) {
	a, err := c.one(ctx, "hold", q.Event, &command.Hold{Header: command.Header{ID: q.ID}, Buyer: q.Buyer, Allocation: q.Allocation, Wants: q.Wants})
	return a.hold(q.Buyer, holdfast.HoldOpen), err
}

// Swap gives a hold other units, or changes nothing.
func (c *Client) Swap(ctx context.Context, q SwapRequest) (Hold, error) {
	a, err := c.one(ctx, "swap", q.Event,
		&command.Swap{Header: command.Header{ID: q.ID}, Buyer: q.Buyer, Hold: q.Hold, Allocation: q.Allocation, Wants: q.Wants})
	return a.hold(q.Buyer, holdfast.HoldOpen), err
}

// Extend moves an open hold's deadline, once.
func (c *Client) Extend(ctx context.Context, q HoldRef) (Hold, error) {
	a, err := c.one(ctx, "extend", q.Event, &command.Extend{Header: command.Header{ID: q.ID}, Buyer: q.Buyer, Hold: q.Hold})
	return a.hold(q.Buyer, holdfast.HoldOpen), err
}

// Release gives an open hold's units back.
func (c *Client) Release(ctx context.Context, q HoldRef) error {
	_, err := c.one(ctx, "release", q.Event, &command.Release{Header: command.Header{ID: q.ID}, Buyer: q.Buyer, Hold: q.Hold})
	return err
}

// BeginPayment freezes what is to be paid and moves the deadline, once, to the event's pay window.
func (c *Client) BeginPayment(ctx context.Context, q PaymentRequest) (Hold, error) {
	a, err := c.one(ctx, "begin payment", q.Event,
		&command.BeginPayment{Header: command.Header{ID: q.ID}, Buyer: q.Buyer, Hold: q.Hold, Attempt: q.Attempt, Amount: q.Amount,
			Capture: q.Capture, Promo: q.Promo, Contact: q.Contact})
	return a.hold(q.Buyer, holdfast.HoldPaying), err
}

// Sell makes a hold an order. Selling again with the same contents gives the same order.
func (c *Client) Sell(ctx context.Context, q SellRequest) (Order, error) {
	a, err := c.one(ctx, "sell", q.Event,
		&command.Sell{Header: command.Header{ID: q.ID}, Hold: q.Hold, As: q.As, Attempt: q.Attempt, Amount: q.Amount, Payment: q.Payment,
			Mode: q.Mode, Account: q.Account})
	if err != nil {
		return Order{}, err
	}
	return Order{ID: q.Hold.Order(), Event: a.event, Seats: a.Seats, Amount: q.Amount, As: q.As, Payment: q.Payment, Attempt: q.Attempt,
		State: a.OrderState, Stamp: Stamp{Stamp: a.stamp}}, nil
}

// GetHold reads a hold. One that is over is a *Refusal, holdfast.HoldLapsed or HoldReleased, as long as the shard
// remembers that; then it is NotFound.
func (c *Client) GetHold(ctx context.Context, event EventRef, id holdfast.HoldID, opts ...ReadOption) (Hold, error) {
	const op = "get hold"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return Hold{}, named(op, failure)
	}
	r := c.reading(ctx, event.Shard, opts)
	h, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.Hold, error) {
		return api.NewEventsClient(conn).GetHold(ctx, &api.GetHoldRequest{Shard: uint32(event.Shard), Hold: id[:], Consistency: r.consistency()})
	})
	if failure != nil {
		return Hold{}, named(op, failure)
	}
	if over := holdfast.Outcome(h.GetOver()); over != 0 {
		return Hold{}, &Refusal{Op: op, Outcome: over, Hold: id, Stamp: stampOf(h.GetStamp()).Stamp}
	}
	return Hold{ID: id, Event: event, Buyer: buyerOf(h.GetBuyer()), State: holdfast.HoldState(h.GetState()), Seats: seatsOf(h.GetSeats()),
		Amount:   holdfast.Money{AmountMinor: h.GetAmountMinor(), Currency: holdfast.Currency(h.GetCurrency())},
		Deadline: holdfast.Clock(h.GetDeadlineUs()), Remaining: time.Duration(h.GetRemainingMs()) * time.Millisecond,
		Attempt: holdfast.Attempt(h.GetAttempt()), Extended: h.GetExtended(), Stamp: stampOf(h.GetStamp())}, nil
}

// answer is the shard's yes to one command.
type answer struct {
	command.Result
	stamp holdfast.Stamp
	event EventRef
}

func (a *answer) hold(buyer holdfast.BuyerID, state holdfast.HoldState) Hold {
	if a.Outcome != holdfast.OK {
		return Hold{}
	}
	return Hold{ID: a.Hold, Event: a.event, Buyer: buyer, State: state, Seats: a.Seats, Amount: a.Amount, Deadline: a.Deadline,
		Remaining: a.stamp.Clock.Until(a.Deadline), Attempt: a.Attempt, Allowance: int(a.Allowance), Repeated: a.Repeated, Stamp: Stamp{Stamp: a.stamp}}
}

// one sends one command about an event and gives the shard's yes; a no is a *Refusal.
func (c *Client) one(ctx context.Context, op string, event EventRef, cmd command.Command) (answer, error) {
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return answer{}, named(op, failure)
	}
	cmd.Head().Event = event.ID
	return c.oneAt(ctx, op, event, cmd)
}

// oneAt sends one command to the shard of event as it is. A command without an id gets one; when it turns out to
// be too old or too new for the shard's clock, it gets another, once.
func (c *Client) oneAt(ctx context.Context, op string, event EventRef, cmd command.Command) (answer, error) {
	l, failure := c.lane(event.Shard)
	if failure != nil {
		return answer{}, named(op, failure)
	}
	k := c.newCall(c.deadline(ctx))
	head, a := cmd.Head(), answer{event: event}
	mine := head.ID == (holdfast.CommandID{})
	for try := 1; ; try++ {
		k, failure = l.decide(ctx, k, cmd, mine, &a)
		if failure != nil {
			break
		}
		if !mine || try > 1 || !retry.Missed(a.Outcome) {
			break
		}
	}
	if k != nil {
		c.free(k)
	}
	switch {
	case failure != nil:
		return answer{}, named(op, failure)
	case a.Outcome != holdfast.OK:
		return a, refusal(op, head.ID, a.stamp, &a.Result)
	}
	return a, nil
}

// decide packs the command, with a new id if the id is ours to make, and takes its outcome into a.
func (l *lane) decide(ctx context.Context, k *call, cmd command.Command, mine bool, a *answer) (*call, *holdfast.Error) {
	if mine {
		until, failure := l.validUntil(ctx, k.deadline)
		if failure != nil {
			return k, failure
		}
		cmd.Head().ID = newID(until)
	}
	if failure := k.pack(cmd); failure != nil {
		return k, failure
	}
	k, failure := l.run(ctx, k)
	if failure != nil {
		return k, failure
	}
	a.stamp, a.Amount.Currency = k.stamp, k.currency
	if _, err := command.DecodeResult(k.results, &a.Result); err != nil {
		return k, &holdfast.Error{Kind: holdfast.Unknown, Shard: l.shard, Command: cmd.Head().ID, Message: "the server's answer cannot be read", Err: err}
	}
	if a.Amount.Currency != "" {
		k.currency = a.Amount.Currency
	}
	return k, nil
}
