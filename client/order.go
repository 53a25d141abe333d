package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Order is a hold that was sold.
type Order struct {
	ID      holdfast.OrderID
	Event   EventRef
	Buyer   holdfast.BuyerID // zero in what Sell answers
	Seats   []holdfast.SeatIndex
	Amount  holdfast.Money
	As      command.SaleKind
	Payment string
	Attempt holdfast.Attempt
	SoldAt  time.Time // the shard's wall clock; zero in what Sell answers
	State   holdfast.OrderState
	// What follows is not in what Sell answers.
	Lines                                                     []command.Line
	Refunded                                                  []holdfast.SeatIndex // of Seats, those whose tickets were refunded
	CapturedMinor, OwedMinor, RefundedMinor, ChargedBackMinor int64
	Disputed                                                  bool           // the ticket is suspended
	Deadline                                                  holdfast.Clock // of an unpaid order: until when it may be paid again
	Promo                                                     holdfast.PromoCode
	Contact                                                   holdfast.ContactID
	Stamp                                                     Stamp
}

// GetOrder reads an order.
func (c *Client) GetOrder(ctx context.Context, event EventRef, id holdfast.OrderID, opts ...ReadOption) (Order, error) {
	const op = "get order"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return Order{}, named(op, failure)
	}
	r := c.reading(ctx, event.Shard, opts)
	o, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.Order, error) {
		return api.NewEventsClient(conn).GetOrder(ctx, &api.GetOrderRequest{Shard: uint32(event.Shard), Order: id[:], Consistency: r.consistency()})
	})
	if failure != nil {
		return Order{}, named(op, failure)
	}
	return orderOf(event, o, stampOf(o.GetStamp())), nil
}

// Orders reads all orders of an event from one consistent cut, in the order in which the shard keeps them. After an
// error, which ends the sequence, what came before is incomplete.
func (c *Client) Orders(ctx context.Context, event EventRef, opts ...ReadOption) iter.Seq2[Order, error] {
	return c.orders(ctx, event, nil, opts)
}

// OrdersOf is Orders for those of one contact only.
func (c *Client) OrdersOf(ctx context.Context, event EventRef, contact holdfast.ContactID, opts ...ReadOption) iter.Seq2[Order, error] {
	return c.orders(ctx, event, contact[:], opts)
}

func (c *Client) orders(ctx context.Context, event EventRef, contact []byte, opts []ReadOption) iter.Seq2[Order, error] {
	const op = "list orders"
	return func(yield func(Order, error) bool) {
		event, failure := c.resolve(ctx, event)
		if failure != nil {
			yield(Order{}, named(op, failure))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		r := c.reading(ctx, event.Shard, opts)
		pages, page, failure := r.openOrders(ctx, event, contact)
		for failure == nil {
			for _, o := range page.GetOrders() {
				if !yield(orderOf(event, o, stampOf(page.GetStamp())), nil) {
					return
				}
			}
			var err error
			if page, err = pages.Recv(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				failure = statusOf(err)
			}
		}
		yield(Order{}, named(op, failure))
	}
}

// openOrders begins the stream at a member that gives a first page; an empty one when there are no orders.
func (r *reading) openOrders(ctx context.Context, event EventRef, contact []byte) (grpc.ServerStreamingClient[api.OrderPage], *api.OrderPage, *holdfast.Error) {
	for {
		conn, failure := r.member(ctx)
		if failure == nil {
			pages, err := api.NewEventsClient(conn).Orders(ctx, &api.OrdersRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: r.consistency(), Contact: contact})
			var page *api.OrderPage
			if err == nil {
				page, err = pages.Recv()
			}
			if err == nil || errors.Is(err, io.EOF) {
				return pages, page, nil
			}
			failure = statusOf(err)
		}
		if !r.again(ctx, failure) {
			return nil, nil, failure
		}
	}
}

func orderOf(event EventRef, o *api.Order, stamp Stamp) Order {
	order := Order{Event: event, Buyer: buyerOf(o.GetBuyer()), Seats: seatsOf(o.GetSeats()),
		Amount: holdfast.Money{AmountMinor: o.GetAmountMinor(), Currency: holdfast.Currency(o.GetCurrency())},
		As:     command.SaleKind(o.GetSaleKind()), Payment: o.GetPayment(), Attempt: holdfast.Attempt(o.GetAttempt()),
		SoldAt: time.UnixMilli(o.GetSoldAtMs()), State: holdfast.OrderState(o.GetState()), Refunded: seatsOf(o.GetRefunded()),
		CapturedMinor: o.GetCapturedMinor(), OwedMinor: o.GetOwedMinor(), RefundedMinor: o.GetRefundedMinor(), ChargedBackMinor: o.GetChargedBackMinor(),
		Disputed: o.GetDisputed(), Deadline: holdfast.Clock(o.GetDeadlineUs()), Stamp: stamp}
	copy(order.ID[:], o.GetId())
	copy(order.Contact[:], o.GetContact())
	copy(order.Promo[:], o.GetPromo())
	for _, l := range o.GetLines() {
		order.Lines = append(order.Lines, command.Line{Kind: holdfast.LineKind(l.GetKind()), AmountMinor: l.GetAmountMinor()})
	}
	return order
}

func buyerOf(b []byte) (id holdfast.BuyerID) {
	copy(id[:], b)
	return id
}

func seatsOf(seats []uint32) []holdfast.SeatIndex {
	all := make([]holdfast.SeatIndex, len(seats))
	for i, s := range seats {
		all[i] = holdfast.SeatIndex(s)
	}
	return all
}

func statesOf(states []byte) []holdfast.SeatState {
	all := make([]holdfast.SeatState, len(states))
	for i, s := range states {
		all[i] = holdfast.SeatState(s)
	}
	return all
}
