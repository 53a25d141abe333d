// Package check judges a history. It believes the clients, and the state that was read back at the end; it knows
// nothing of how the system works.
package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Violation is one thing that must not be, with the check that found it.
type Violation struct {
	Check   string `json:"check"` // which: order, clock, linearizable, durable, double_sell, final, log, replay, feed, and others of a whole run
	Message string `json:"message"`
}

func (v Violation) String() string { return v.Check + ": " + v.Message }

// searchMax bounds the search for a linearization. A search that does not end in it proves nothing, and counts as failed.
const searchMax = 60 * time.Second

// Undecided is the check of a violation that says that a search did not end.
const Undecided = "undecided"

// Rules are those that a history's event had.
func Rules(h *history.Head) model.Rules {
	return model.Rules{HoldTTL: h.HoldTTL, PayWindow: h.PayWindow, Grace: holdfast.GraceMax, CoolDown: h.CoolDown,
		SeatsPerBuyer: h.SeatsPerBuyer, ManyHolds: h.ManyHolds, Extension: h.Extension, Price: h.Price}
}

// lapseMax is how long a hold lasts at most that may lapse while a run lasts.
const lapseMax = 5 * time.Minute

// Judge runs every check that a history has enough for.
func Judge(h *history.History) []Violation {
	if len(h.Visits) > 0 {
		_, owners := owners(h.Final)
		return slices.Concat(owners, Money(h), Fair(h))
	}
	rules, seen := Rules(&h.Head), slices.Clone(h.Operations)
	search := rules
	if search.HoldTTL > lapseMax {
		search.HoldTTL = 0
	}
	for _, s := range h.Sights {
		if !s.Stale {
			seen = append(seen, history.Operation{Client: s.Client, Kind: history.Read, Call: s.Call, Return: s.Return, Outcome: holdfast.OK, Stamp: s.Stamp})
		}
	}
	found := slices.Concat(Order(seen), Clock(seen), Linearizable(search, h.Operations), Counters(h), Sale(h), Durable(h.Operations, h.Final), Feeds(h), Persons(h))
	if h.Final.Logged {
		var blocks []model.Block
		for _, b := range h.House {
			blocks = append(blocks, model.Block(b))
		}
		found = append(found, replay(rules, blocks, h.Operations, slices.Clone(h.Sights), h.Final)...)
	}
	return found
}

// All runs every check that the history has enough for.
func All(rules model.Rules, operations []history.Operation, final history.Final) []Violation {
	found := slices.Concat(Order(operations), Clock(operations), Linearizable(rules, operations), Durable(operations, final))
	if final.Logged {
		found = append(found, Replay(rules, operations, final)...)
	}
	return found
}

// Order checks that the points of the log that answers named agree with real time: an operation that began after
// another had its answer is not told a lower index, and no two commands have the same place. It is linear but for
// sorting, so it can judge millions of operations.
func Order(operations []history.Operation) (found []Violation) {
	type place struct {
		index uint64
		slot  uint32
	}
	seen := map[place]int{}
	var byCall, byReturn []*history.Operation
	for i := range operations {
		o := &operations[i]
		if o.Unknown() {
			continue
		}
		byCall, byReturn = append(byCall, o), append(byReturn, o)
		if o.Kind == history.Read {
			continue
		}
		at := place{o.Stamp.Index, o.Stamp.Slot}
		if seen[at]++; seen[at] == 2 {
			found = append(found, Violation{"order", fmt.Sprintf("two commands at index %d slot %d", at.index, at.slot)})
		}
	}
	slices.SortFunc(byCall, func(a, b *history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortFunc(byReturn, func(a, b *history.Operation) int { return cmp.Compare(a.Return, b.Return) })
	highest, returned := uint64(0), 0
	for _, o := range byCall {
		for ; returned < len(byReturn) && byReturn[returned].Return < o.Call; returned++ {
			highest = max(highest, byReturn[returned].Stamp.Index)
		}
		if o.Stamp.Index < highest {
			found = append(found, Violation{"order", fmt.Sprintf("a %s of client %d that began at %v was told index %d, though %d had been told before",
				o.Kind, o.Client, o.Call, o.Stamp.Index, highest)})
		}
	}
	return found
}

// Clock checks the instants of the hold clock that answers named: they follow the log, and the clock never ran ahead
// of real time, so that no hold ended early. Between two entries no more can have passed than from the call of the
// first to the return of the second.
func Clock(operations []history.Operation) (found []Violation) {
	var told []*history.Operation
	for i := range operations {
		if o := &operations[i]; !o.Unknown() {
			told = append(told, o)
		}
	}
	slices.SortFunc(told, func(a, b *history.Operation) int { return cmp.Compare(a.Stamp.Index, b.Stamp.Index) })
	var latest holdfast.Clock
	ahead := time.Duration(math.MaxInt64) // how far the clock was at most ahead of the test's, by what was told before
	for _, o := range told {
		clock := time.Duration(o.Stamp.Clock) * time.Microsecond
		if o.Stamp.Clock < latest {
			found = append(found, Violation{"clock", fmt.Sprintf("at index %d the hold clock was told to be %v, and before it %v", o.Stamp.Index, clock, latest)})
		}
		latest = max(latest, o.Stamp.Clock)
		if fast := clock - driftMost(o.Return) - clockResolution; fast > ahead {
			found = append(found, Violation{"clock", fmt.Sprintf("at index %d the hold clock is %v ahead of real time", o.Stamp.Index, fast-ahead)})
		}
		ahead = min(ahead, clock-driftMost(o.Call))
	}
	return found
}

// The clock of a computer is wrong by some ten millionths, and an answer names microseconds.
const clockResolution = time.Millisecond

func driftMost(d time.Duration) time.Duration { return d + d/2000 }

// Linearizable searches, for each seat and for each hold, an order of the operations that explains every answer.
func Linearizable(rules model.Rules, operations []history.Operation) (found []Violation) {
	for _, one := range registers(rules, operations) {
		found = append(found, search(one.name, one.model, one.operations)...)
	}
	return found
}

// registers are the operations of each seat and of each hold, with what judges them.
func registers(rules model.Rules, operations []history.Operation) (parts []part) {
	seat, life := model.Seat(rules.HoldTTL > 0), model.Life(rules.HoldTTL > 0)
	for s, ops := range bySeat(operations) {
		parts = append(parts, part{fmt.Sprintf("seat %d", s), seat, ops})
	}
	for h, ops := range byHold(operations) {
		if len(ops) > 1 || ops[0].Input.(model.LifeInput).Kind != model.Hold { // else any answer can be: it is for the seats to judge
			parts = append(parts, part{h.String(), life, ops})
		}
	}
	return parts
}

// search looks for one order of operations that explains all answers.
func search(what string, m porcupine.Model, ops []porcupine.Operation) []Violation {
	switch porcupine.CheckOperationsTimeout(m, ops, searchMax) {
	case porcupine.Illegal:
		return []Violation{{"linearizable", fmt.Sprintf("%s: no order of its %d operations explains the answers", what, len(ops))}}
	case porcupine.Unknown:
		return []Violation{{Undecided, fmt.Sprintf("%s: the search over %d operations did not end in %v", what, len(ops), searchMax)}}
	}
	return nil
}

// bySeat divides the operations into those of each seat.
func bySeat(operations []history.Operation) map[holdfast.SeatIndex][]porcupine.Operation {
	seats := map[holdfast.SeatIndex][]porcupine.Operation{}
	for i := range operations {
		o := &operations[i]
		about := slices.Clone(o.Seats)
		for _, s := range o.Had {
			if !slices.Contains(about, s) {
				about = append(about, s)
			}
		}
		for j, s := range about {
			out := model.Output{Outcome: o.Outcome, Denied: slices.Contains(o.Taken, s)}
			if o.Repeated { // which seats were taken is told as it is now, not as it was when it was decided
				out.Denied = len(o.Seats) == 1 && j == 0
			}
			if o.Kind == history.Read {
				if o.Unknown() {
					continue
				}
				out.State = o.States[j]
			}
			seats[s] = append(seats[s], porcupine.Operation{ClientId: o.Client, Call: int64(o.Call), Return: end(o),
				Input: model.Input{Kind: model.Kind(o.Kind.String()), Hold: o.Hold, Paid: o.Attempt != 0, Leaves: j >= len(o.Seats)}, Output: out})
		}
	}
	return seats
}

// byHold divides the operations into those of each hold.
func byHold(operations []history.Operation) map[holdfast.HoldID][]porcupine.Operation {
	holds := map[holdfast.HoldID][]porcupine.Operation{}
	for i := range operations {
		if o := &operations[i]; o.Hold != (holdfast.HoldID{}) {
			holds[o.Hold] = append(holds[o.Hold], porcupine.Operation{ClientId: o.Client, Call: int64(o.Call), Return: end(o),
				Input: model.LifeInput{Kind: model.Kind(o.Kind.String()), Buyer: o.Buyer, Attempt: o.Attempt}, Output: model.LifeOutput{Outcome: o.Outcome}})
		}
	}
	return holds
}

// end is when an operation was over; one whose caller never learned what became of it may be so at any time.
func end(o *history.Operation) int64 {
	if o.Unknown() {
		return math.MaxInt64
	}
	return int64(o.Return)
}

// Durable checks the end against what clients were told: a sale that was acknowledged is there, for its buyer and
// its seats; no seat is in two orders; the orders and the seats' states agree.
func Durable(operations []history.Operation, final history.Final) (found []Violation) {
	orders, found := owners(final)
	asked := map[holdfast.OrderID]bool{}
	for i := range operations {
		o := &operations[i]
		if o.Kind != history.Sell {
			continue
		}
		asked[o.Hold.Order()] = asked[o.Hold.Order()] || o.Outcome == holdfast.OK || o.Unknown()
		if o.Outcome != holdfast.OK {
			continue
		}
		switch got := orders[o.Hold.Order()]; {
		case got == nil:
			found = append(found, Violation{"durable", fmt.Sprintf("the sale of %s was acknowledged and is lost", o.Hold)})
		case got.Buyer != o.Buyer || !sameSeats(got.Seats, o.Seats):
			found = append(found, Violation{"durable", fmt.Sprintf("the sale of %s was acknowledged to %s with seats %v and is %v of %s", o.Hold, o.Buyer, o.Seats, got.Seats, got.Buyer)})
		}
	}
	for id := range orders {
		if !asked[id] {
			found = append(found, Violation{"final", fmt.Sprintf("nobody was told of %s, or could have been", id)})
		}
	}
	return found
}

// owners gives the orders by id, and checks that no seat is in two of them and that the seats' states agree.
func owners(final history.Final) (orders map[holdfast.OrderID]*history.Order, found []Violation) {
	orders = map[holdfast.OrderID]*history.Order{}
	owner := map[holdfast.SeatIndex]holdfast.OrderID{}
	for i := range final.Orders {
		o := &final.Orders[i]
		orders[o.ID] = o
		for _, s := range o.Seats {
			if other, taken := owner[s]; taken {
				found = append(found, Violation{"double_sell", fmt.Sprintf("seat %d is in %s and in %s", s, other, o.ID)})
			}
			owner[s] = o.ID
		}
	}
	for s, state := range final.Seats {
		if _, sold := owner[holdfast.SeatIndex(s)]; sold != (state == holdfast.Sold) {
			found = append(found, Violation{"final", fmt.Sprintf("seat %d is %s, in an order: %v", s, state, sold)})
		}
	}
	return orders, found
}

func sameSeats(a, b []holdfast.SeatIndex) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
