// Package statement says what an order is in words: the names of its seats, its lines, its money. Mails, webhooks and
// tickets are made from it. There is nothing personal in a statement.
package statement

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Statement is an order as it is now.
type Statement struct {
	Event     holdfast.EventID
	EventName string // as in the API
	Title     string // for people
	Order     holdfast.OrderID
	State     holdfast.OrderState
	Disputed  bool
	SoldAt    time.Time
	Seats     []Seat
	Lines     []Line
	Total     holdfast.Money
	// What was taken, is owed back and was given back.
	Captured, Owed, Refunded holdfast.Money
	Index                    uint64 // of the shard's log, as of which this is true
}

// Seat is one unit.
type Seat struct {
	Unit  holdfast.SeatIndex
	Label string // as "Stalls, row C, seat 12"
	Live  bool   // it was not refunded
}

// Line is one line of the bill.
type Line struct {
	Kind   holdfast.LineKind
	Amount holdfast.Money
}

// TicketsValid reports whether the order's tickets let somebody in: its money was taken, and nobody disputes it. (Free and
// invoiced orders are paid from the beginning.) A seat counts only while it is live.
func (s Statement) TicketsValid() bool { return s.State == holdfast.OrderPaid && !s.Disputed }

// Book reads orders. It remembers what events call their seats, so that an order costs one small read. It is safe for
// concurrent use.
type Book struct {
	client *client.Client
	now    func() time.Time

	mu     sync.Mutex
	events map[client.EventRef]remembered
}

// remembered is an event's description.
type remembered struct {
	event client.Event
	at    time.Time
}

const (
	eventsMax  = 64          // the one that was read first makes room
	eventFresh = time.Minute // a title that was changed is old for so long
)

// NewBook makes a book.
func NewBook(c *client.Client) *Book {
	return &Book{client: c, now: time.Now, events: map[client.EventRef]remembered{}}
}

// Statement reads an order.
func (b *Book) Statement(ctx context.Context, ref client.EventRef, id holdfast.OrderID) (Statement, error) {
	order, err := b.client.GetOrder(ctx, ref, id)
	if err != nil {
		return Statement{}, err
	}
	event, err := b.event(ctx, ref, false)
	if err == nil && slices.ContainsFunc(order.Seats, func(s holdfast.SeatIndex) bool { _, ok := event.Layout.Place(s); return !ok }) {
		event, err = b.event(ctx, ref, true) // the event has grown
	}
	if err != nil {
		return Statement{}, err
	}
	return Of(order, event.Spec, event.Layout), nil
}

func (b *Book) event(ctx context.Context, ref client.EventRef, anew bool) (client.Event, error) {
	now := b.now()
	b.mu.Lock()
	known, ok := b.events[ref]
	b.mu.Unlock()
	if ok && !anew && now.Sub(known.at) < eventFresh {
		return known.event, nil
	}
	event, err := b.client.Event(ctx, ref)
	if err != nil {
		return client.Event{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.events[ref]; !ok && len(b.events) >= eventsMax {
		oldest, first := client.EventRef{}, true
		for ref, r := range b.events {
			if first || r.at.Before(b.events[oldest].at) {
				oldest, first = ref, false
			}
		}
		delete(b.events, oldest)
	}
	b.events[ref] = remembered{event, now}
	return event, nil
}

// Of makes the statement of an order.
func Of(o client.Order, spec command.EventSpec, layout *command.Layout) Statement {
	money := func(minor int64) holdfast.Money {
		return holdfast.Money{AmountMinor: minor, Currency: o.Amount.Currency}
	}
	s := Statement{Event: o.Event.ID, EventName: spec.Name, Title: spec.Title, Order: o.ID, State: o.State, Disputed: o.Disputed, SoldAt: o.SoldAt,
		Total: o.Amount, Captured: money(o.CapturedMinor), Owed: money(o.OwedMinor), Refunded: money(o.RefundedMinor), Index: o.Stamp.Index}
	if s.Title == "" {
		s.Title = spec.Name
	}
	for _, unit := range o.Seats {
		s.Seats = append(s.Seats, Seat{Unit: unit, Label: layout.Label(unit), Live: !slices.Contains(o.Refunded, unit)})
	}
	for _, line := range o.Lines {
		s.Lines = append(s.Lines, Line{Kind: line.Kind, Amount: money(line.AmountMinor)})
	}
	return s
}

// Format writes money for people, as 49.00 EUR, whatever the currency's decimals.
func Format(m holdfast.Money) string {
	sign, minor, n := "", m.AmountMinor, holdfast.CurrencyDecimals(m.Currency)
	if minor < 0 {
		sign, minor = "-", -minor
	}
	digits := fmt.Sprintf("%0*d", n+1, minor)
	if n > 0 {
		digits = digits[:len(digits)-n] + "." + digits[len(digits)-n:]
	}
	return sign + digits + " " + strings.ToUpper(string(m.Currency))
}

// Occasion is why somebody is told of an order.
type Occasion struct {
	Effect holdfast.EffectID
	Event  client.EventRef // number and shard
	Order  holdfast.OrderID
	Topic  holdfast.Topic
}

// OccasionOf is what an effect of the kinds receipt and notify is about.
func OccasionOf(e client.Effect) Occasion {
	return Occasion{Effect: e.ID, Event: e.Event, Order: e.Hold.Order(), Topic: e.Topic}
}
