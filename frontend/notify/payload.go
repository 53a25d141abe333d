package notify

import (
	"github.com/holdfast-db/holdfast/frontend/statement"
)

// payloadVersion is raised when a field changes its meaning or goes. New fields may come at any time.
const payloadVersion = 1

// payload is the body of a notification. Money is in minor units of the order's currency.
type payload struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Type    string `json:"type"` // order.paid, order.refunded, order.unpaid, order.cancelled, order.disputed
	Data    data   `json:"data"`
}

type data struct {
	Event eventOut  `json:"event"`
	Order orderOut  `json:"order"`
	Buyer *buyerOut `json:"buyer,omitempty"` // only where the endpoint is configured so
	// Index is the entry of the shard's log as of which this is true: of two notifications about an order, the one with
	// the larger index is the newer.
	Index uint64 `json:"index"`
}

type eventOut struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Title string `json:"title"`
}

type orderOut struct {
	ID            string    `json:"id"`
	State         string    `json:"state"`
	Disputed      bool      `json:"disputed"`
	TicketsValid  bool      `json:"tickets_valid"`
	SoldAtMs      int64     `json:"sold_at_ms"`
	Currency      string    `json:"currency"`
	AmountMinor   int64     `json:"amount_minor"`
	CapturedMinor int64     `json:"captured_minor"`
	OwedMinor     int64     `json:"owed_minor"`
	RefundedMinor int64     `json:"refunded_minor"`
	Lines         []lineOut `json:"lines"`
	Seats         []seatOut `json:"seats"`
}

type lineOut struct {
	Kind        string `json:"kind"`
	AmountMinor int64  `json:"amount_minor"`
}

type seatOut struct {
	Seat  uint32 `json:"seat"`
	Label string `json:"label"`
	Live  bool   `json:"live"` // it was not refunded
}

type buyerOut struct {
	Mail string `json:"mail"`
	Name string `json:"name,omitempty"`
}

func payloadOf(o statement.Occasion, s statement.Statement) payload {
	order := orderOut{ID: s.Order.String(), State: s.State.String(), Disputed: s.Disputed, TicketsValid: s.TicketsValid(), SoldAtMs: s.SoldAt.UnixMilli(),
		Currency: string(s.Total.Currency), AmountMinor: s.Total.AmountMinor, CapturedMinor: s.Captured.AmountMinor, OwedMinor: s.Owed.AmountMinor,
		RefundedMinor: s.Refunded.AmountMinor, Lines: []lineOut{}, Seats: []seatOut{}}
	for _, l := range s.Lines {
		order.Lines = append(order.Lines, lineOut{l.Kind.String(), l.Amount.AmountMinor})
	}
	for _, seat := range s.Seats {
		order.Seats = append(order.Seats, seatOut{uint32(seat.Unit), seat.Label, seat.Live})
	}
	return payload{Version: payloadVersion, ID: messageID(o), Type: "order." + o.Topic.String(),
		Data: data{Event: eventOut{s.Event.String(), s.EventName, s.Title}, Order: order, Index: s.Index}}
}
