package check

import (
	"fmt"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Money checks the provider's books against the orders and against what buyers were told, when all is quiet: who was
// told of a sale has the order; who has an order has paid for it, once, what it costs; nobody has paid for anything
// else; nothing is left in anybody's hands. What the system's own comparison finds is believed.
//
// Before all is quiet money may be on its way, so that only sales that buyers were told of are held against the orders.
func Money(h *history.History) (found []Violation) {
	wrong := func(format string, args ...any) {
		found = append(found, Violation{"money", fmt.Sprintf(format, args...)})
	}
	orders := map[holdfast.OrderID]*history.Order{}
	for i := range h.Final.Orders {
		orders[h.Final.Orders[i].ID] = &h.Final.Orders[i]
	}
	back := givenBack(h.Refunds)
	for i := range h.Visits {
		v := &h.Visits[i]
		order := orders[v.Hold.Order()]
		switch {
		case v.Sold && order == nil:
			wrong("visitor %d was told that %s is sold, and there is no such order", v.Number, v.Hold)
		case v.Sold && (order.Amount != v.Amount || !sameSeats(order.Seats, v.Seats) && !back.explains(order, v.Seats)):
			wrong("visitor %d was told of seats %v for %d, the order has %v for %d", v.Number, v.Seats, v.Amount, order.Seats, order.Amount)
		case order != nil && !v.Paid:
			wrong("visitor %d never gave a card that is good, and has %s", v.Number, order.ID)
		}
	}
	for _, d := range h.Differences {
		wrong("books and orders differ: %s", d)
	}
	if !h.Final.Quiet {
		if h.Waited {
			found = append(found, Violation{"liveness", "seats that were let go, or what is owed to the provider, did not come to rest in time"})
		}
		return found
	}
	kept := map[holdfast.OrderID]int64{}
	for _, c := range h.Charges {
		id := c.Hold.Order()
		if kept[id] += c.Captured - c.Refunded; c.Captured > c.Refunded && orders[id] == nil {
			wrong("%s took %d for %s, which is not sold", c.Payment, c.Captured-c.Refunded, c.Hold)
		}
	}
	for id, o := range orders {
		if kept[id] != o.Amount-o.Refunded {
			wrong("%s costs %d, of which %d were given back, and the provider keeps %d", id, o.Amount, o.Refunded, kept[id])
		}
	}
	for id, o := range orders {
		if why := back.wrong(o); why != "" {
			wrong("%s: %s", id, why)
		}
	}
	for s, state := range h.Final.Seats {
		if state != holdfast.Free && state != holdfast.Sold {
			wrong("all is quiet, and seat %d is %s", s, state)
		}
	}
	return found
}

// Fair checks the line by what visitors were told: a place has one visitor, and keeps him; positions are those that the
// draw's public record gives; and nobody is let in before somebody whose turn is earlier and who keeps asking. Frontends
// follow the line by a feed, so somebody may be told for a moment yet to wait.
func Fair(h *history.History) (found []Violation) {
	wrong := func(format string, args ...any) {
		found = append(found, Violation{"fairness", fmt.Sprintf(format, args...)})
	}
	owner, place := map[int64]int{}, map[int]int64{}
	deferred := map[int]bool{}
	for _, p := range h.Polls {
		if other, taken := owner[p.Place]; taken && other != p.Visit {
			wrong("visitors %d and %d both have place %d", other, p.Visit, p.Place)
		}
		if before, has := place[p.Visit]; has && before != p.Place {
			wrong("visitor %d had place %d and now has %d", p.Visit, before, p.Place)
		}
		owner[p.Place], place[p.Visit] = p.Visit, p.Place
		if p.State != waiting && p.State != admitted {
			deferred[p.Visit] = true // he missed a turn, or lost it: his position may be another now
		}
	}
	return append(append(found, drawn(h, deferred)...), overtaken(h.Polls, deferred)...)
}

// What states of a place are called.
const (
	waiting  = "waiting"
	admitted = "admitted"
)
