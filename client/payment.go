package client

import (
	"context"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The commands about payments, orders and effects. All of them may be repeated by their contents: what was done before
// is answered OK again, whatever the command's id.

// AttemptRef names an attempt to pay for a hold.
type AttemptRef struct {
	ID      holdfast.CommandID // as in HoldRequest
	Event   EventRef
	Hold    holdfast.HoldID
	Attempt holdfast.Attempt
	Payment string // the provider's reference
}

// AttachPayment notes the reference that the provider gave to an attempt's payment.
func (c *Client) AttachPayment(ctx context.Context, q AttemptRef) error {
	_, err := c.one(ctx, "attach payment", q.Event,
		&command.AttachPayment{Header: command.Header{ID: q.ID}, Hold: q.Hold, Attempt: q.Attempt, Payment: q.Payment})
	return err
}

// FailPayment says that no money comes of an attempt. Payment is empty when it was never made at the provider.
func (c *Client) FailPayment(ctx context.Context, q AttemptRef) error {
	_, err := c.one(ctx, "fail payment", q.Event,
		&command.FailPayment{Header: command.Header{ID: q.ID}, Hold: q.Hold, Attempt: q.Attempt, Payment: q.Payment})
	return err
}

// Stray is money at the provider that no order stands on.
type Stray struct {
	AttemptRef
	Amount   holdfast.Money
	Captured bool // otherwise only authorised
	Mode     holdfast.PaymentMode
	Account  string
}

// StrayMoney reports money that no order stands on: the shard has it cancelled or refunded, or sells the same seats after
// all.
func (c *Client) StrayMoney(ctx context.Context, q Stray) error {
	_, err := c.one(ctx, "stray money", q.Event, &command.StrayMoney{Header: command.Header{ID: q.ID}, Hold: q.Hold, Attempt: q.Attempt,
		Payment: q.Payment, Amount: q.Amount, Captured: q.Captured, Mode: q.Mode, Account: q.Account})
	return err
}

// EffectAck says what came of an effect.
type EffectAck struct {
	ID      holdfast.CommandID // as in HoldRequest
	Effect  holdfast.EffectID
	Event   EventRef
	Result  holdfast.EffectResult
	Payment string         // the provider's reference, if the shard may not have it
	Amount  holdfast.Money // what moved
	Code    string         // of a failure, for people
}

// AckEffect acknowledges an effect through the log.
func (c *Client) AckEffect(ctx context.Context, q EffectAck) error {
	_, err := c.one(ctx, "acknowledge effect", q.Event, &command.AckEffect{Header: command.Header{ID: q.ID}, Effect: q.Effect, Result: q.Result,
		Payment: q.Payment, Amount: q.Amount, Code: q.Code[:min(len(q.Code), command.CodeBytesMax)]})
	return err
}

// RetryEffect makes a parked effect owed again. Only the event's shard of it matters.
func (c *Client) RetryEffect(ctx context.Context, event EventRef, id holdfast.EffectID) error {
	_, err := c.one(ctx, "retry effect", event, &command.RetryEffect{Effect: id})
	return err
}

// RefundRequest asks for money to be given back.
type RefundRequest struct {
	ID          holdfast.CommandID // as in HoldRequest
	Event       EventRef
	Order       holdfast.OrderID
	Seats       []holdfast.SeatIndex // empty: all that are live
	ReturnSeats bool                 // they go back on sale now
	Reason      holdfast.RefundReason
}

// Refunded is what came of a refund.
type Refunded struct {
	State  holdfast.OrderState // of the order, now
	Effect holdfast.EffectID   // the refund that is owed; 0: it waits for the capture
	Stamp  Stamp
}

// Refund makes a refund owed. A settlement worker gives the money back.
func (c *Client) Refund(ctx context.Context, q RefundRequest) (Refunded, error) {
	a, err := c.one(ctx, "refund", q.Event, &command.Refund{Header: command.Header{ID: q.ID}, Order: q.Order, Reason: q.Reason, ReturnSeats: q.ReturnSeats, Seats: q.Seats})
	if err != nil {
		return Refunded{}, err
	}
	return Refunded{State: a.OrderState, Effect: a.Effect, Stamp: Stamp{Stamp: a.stamp}}, nil
}

// DisputeRequest says what a bank said about a payment.
type DisputeRequest struct {
	ID      holdfast.CommandID // as in HoldRequest
	Event   EventRef
	Payment string
	State   holdfast.DisputeState
	Amount  holdfast.Money
}

// Dispute notes what a bank said about a payment.
func (c *Client) Dispute(ctx context.Context, q DisputeRequest) error {
	_, err := c.one(ctx, "dispute", q.Event, &command.Dispute{Header: command.Header{ID: q.ID}, Payment: q.Payment, State: q.State, Amount: q.Amount})
	return err
}

// SetIncarnation begins a new life of a restored shard, or ends its reconciliation: see command.SetIncarnation.
func (c *Client) SetIncarnation(ctx context.Context, shard holdfast.ShardID, incarnation holdfast.Incarnation, reconciled bool) error {
	_, err := c.oneAt(ctx, "set incarnation", EventRef{Shard: shard}, &command.SetIncarnation{Incarnation: incarnation, Reconciled: reconciled})
	return err
}

// PutPerson keeps what is to be known about the person behind a hold or an order, encrypted by the caller.
func (c *Client) PutPerson(ctx context.Context, event EventRef, hold holdfast.HoldID, blob []byte) error {
	_, err := c.one(ctx, "put person", event, &command.PutPerson{Hold: hold, Blob: blob})
	return err
}

// ForgetPerson drops it.
func (c *Client) ForgetPerson(ctx context.Context, event EventRef, hold holdfast.HoldID) error {
	_, err := c.one(ctx, "forget person", event, &command.ForgetPerson{Hold: hold})
	return err
}
