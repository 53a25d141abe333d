package convert

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Stamp says at which point an answer was true. stale is 0 for a linearizable read, and negative when the member has
// never heard from a leader.
func Stamp(s holdfast.Stamp, stale time.Duration) *api.Stamp {
	ms := millis(stale)
	if stale < 0 {
		ms = math.MaxUint32
	}
	return &api.Stamp{Shard: uint32(s.Shard), Term: s.Term, Index: s.Index, ClockUs: uint64(s.Clock), StaleMs: ms}
}

// FindEvent reads an event from the machine.
func FindEvent(m *fsm.Machine, id holdfast.EventID) (EventView, error) {
	e, ok := m.Event(id)
	if !ok {
		return EventView{}, notFound("event", id)
	}
	return EventView{e, FindLine(m, id)}, nil
}

// Event is an event as a message. A long description takes a while: not to be called under a machine's lock.
func Event(e EventView, stamp *api.Stamp) *api.Event {
	grown := make([]uint32, 0, 2*len(e.Grown))
	for _, g := range e.Grown {
		grown = append(grown, uint32(g.Section), g.Count)
	}
	return &api.Event{Stamp: stamp, Grown: grown, Id: uint32(e.ID), Sale: uint32(e.Sale), Version: e.Version, Revision: uint64(e.Revision), Spec: e.Spec.Append(nil),
		Total: counts(e.Total), Sections: countsAll(e.Sections), Tiers: countsAll(e.Tiers), Allocations: countsAll(e.Allocations),
		Holds: uint32(e.Holds), Orders: uint32(e.Orders), Line: LineSummary(e.Line)}
}

// FindHold reads a hold from the machine, or how it ended. The caller sets the stamp.
func FindHold(m *fsm.Machine, id holdfast.HoldID) (*api.Hold, error) {
	h, ok := m.Hold(id)
	if !ok {
		if over, ok := m.Ended(id); ok {
			return &api.Hold{Id: id[:], Over: uint32(over)}, nil
		}
		return nil, notFound("hold", id)
	}
	return &api.Hold{Id: id[:], Event: uint32(h.Event), Buyer: h.Buyer[:], State: uint32(h.State), Seats: Seats(h.Seats),
		AmountMinor: h.Amount.AmountMinor, Currency: string(h.Amount.Currency), DeadlineUs: uint64(h.Deadline),
		RemainingMs: uint64(m.Clock().Until(h.Deadline).Milliseconds()), Attempt: uint32(h.Attempt), Extended: h.Extended}, nil
}

// FindOrder reads an order from the machine. The caller sets the stamp.
func FindOrder(m *fsm.Machine, id holdfast.OrderID) (*api.Order, error) {
	o, ok := m.Order(id)
	if !ok {
		return nil, notFound("order", id)
	}
	return Order(o), nil
}

// Order is an order as a message, without a stamp.
func Order(o fsm.OrderView) *api.Order {
	m := &api.Order{Id: o.ID[:], Event: uint32(o.Event), Buyer: o.Buyer[:], Seats: Seats(o.Seats),
		AmountMinor: o.Amount.AmountMinor, Currency: string(o.Amount.Currency), SaleKind: uint32(o.As), Payment: o.Payment,
		Attempt: uint32(o.Attempt), SoldAtMs: o.SoldAtMs, State: uint32(o.State), Lines: quoteLines(o.Lines), Refunded: Seats(o.Refunded),
		Disputed: o.Disputed, CapturedMinor: o.Ledger.Captured, OwedMinor: o.Ledger.Owed, RefundedMinor: o.Ledger.Refunded,
		ChargedBackMinor: o.Ledger.ChargedBack, DeadlineUs: uint64(o.Deadline)}
	if o.Contact != (holdfast.ContactID{}) {
		m.Contact = o.Contact[:]
	}
	if o.Promo != (holdfast.PromoCode{}) {
		m.Promo = o.Promo[:]
	}
	return m
}

// pageOrders is how many orders a page has: some hundred bytes each, so a page is well below a stream's window.
const pageOrders = 1000

// Orders sends all orders of an event from a cut, in pages. It fails when the event is not there, or send does.
//
// With a contact, only its orders.
func Orders(cut *fsm.Cut, id holdfast.EventID, contact []byte, stamp *api.Stamp, send func(*api.OrderPage) error) error {
	if _, ok := cut.Currency(id); !ok {
		return notFound("event", id)
	}
	page := &api.OrderPage{Stamp: stamp}
	for o := range cut.Orders(id) {
		if len(contact) > 0 && !bytes.Equal(contact, o.Contact[:]) {
			continue
		}
		page.Orders = append(page.Orders, Order(o))
		if len(page.Orders) == pageOrders {
			if err := send(page); err != nil {
				return err
			}
			page = &api.OrderPage{Stamp: stamp}
		}
	}
	if len(page.Orders) == 0 {
		return nil
	}
	return send(page)
}

// SeatMap reads the state of every unit from a cut.
func SeatMap(cut *fsm.Cut, id holdfast.EventID, stamp *api.Stamp) (*api.SeatMap, error) {
	states, revision, ok := cut.Seats(id)
	if !ok {
		return nil, notFound("event", id)
	}
	return &api.SeatMap{Stamp: stamp, Revision: uint64(revision), States: states}, nil
}

// Events is the directory's list as a message.
func Events(all []directory.Assignment) *api.ListEventsResponse {
	answer := &api.ListEventsResponse{Events: make([]*api.EventSummary, 0, len(all))}
	for _, a := range all {
		answer.Events = append(answer.Events, &api.EventSummary{Id: uint32(a.Event), Name: a.Spec.Name, Title: a.Spec.Title, Shard: uint32(a.Shard)})
	}
	return answer
}

// Seats are units as a message has them.
func Seats(seats []holdfast.SeatIndex) []uint32 {
	all := make([]uint32, len(seats))
	for i, s := range seats {
		all[i] = uint32(s)
	}
	return all
}

// States are states of units as a message has them, one byte each.
func States(states []holdfast.SeatState) []byte {
	all := make([]byte, len(states))
	for i, s := range states {
		all[i] = byte(s)
	}
	return all
}

func counts(n fsm.Counts) *api.Counts {
	return &api.Counts{Free: n[holdfast.Free], Held: n[holdfast.Held], Paying: n[holdfast.Paying], Sold: n[holdfast.Sold], Blocked: n[holdfast.Blocked]}
}

func countsAll(ns []fsm.Counts) []*api.Counts {
	all := make([]*api.Counts, len(ns))
	for i, n := range ns {
		all[i] = counts(n)
	}
	return all
}

func notFound(noun string, id fmt.Stringer) error {
	return &holdfast.Error{Kind: holdfast.NotFound, Message: fmt.Sprintf("there is no %s %s", noun, id)}
}

// ID reads an id of 16 bytes.
func ID[T ~[16]byte](field string, b []byte) (T, error) {
	if len(b) != len(T{}) {
		return T{}, &holdfast.Error{Kind: holdfast.Invalid, Field: field, Message: fmt.Sprintf("an id of %d bytes, not 16", len(b))}
	}
	return T(b), nil
}
