package check

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// The checkers are checked: a clean history passes, and each mutation of it is caught by the check that is named.

type seats = []holdfast.SeatIndex

func id(n byte) holdfast.HoldID     { return holdfast.HoldID{n} }
func buyer(n byte) holdfast.BuyerID { return holdfast.BuyerID{n} }

func clean() ([]history.Operation, history.Final) {
	at := func(i uint64) holdfast.Stamp { return holdfast.Stamp{Shard: 1, Index: i} }
	ms := time.Millisecond
	return []history.Operation{
			{Client: 1, Kind: history.Hold, Hold: id(1), Buyer: buyer(1), Seats: seats{0, 1}, Call: 1 * ms, Return: 4 * ms, Outcome: holdfast.OK, Stamp: at(10)},
			{Client: 2, Kind: history.Hold, Hold: id(2), Buyer: buyer(2), Seats: seats{1, 2}, Call: 2 * ms, Return: 5 * ms, Outcome: holdfast.SeatHeld, Taken: seats{1}, Stamp: at(11)},
			{Client: 1, Kind: history.Sell, Hold: id(1), Buyer: buyer(1), Seats: seats{0, 1}, Call: 6 * ms, Return: 8 * ms, Outcome: holdfast.OK, Stamp: at(12)},
			{Client: 2, Kind: history.Hold, Hold: id(3), Buyer: buyer(2), Seats: seats{2}, Call: 6 * ms, Return: 9 * ms, Outcome: holdfast.OK, Stamp: at(13)},
			{Client: 2, Kind: history.Release, Hold: id(3), Buyer: buyer(2), Seats: seats{2}, Call: 10 * ms, Return: 12 * ms, Outcome: holdfast.OK, Stamp: at(14)},
			{Client: 3, Kind: history.Read, Seats: seats{0, 2}, States: []holdfast.SeatState{holdfast.Sold, holdfast.Free}, Call: 13 * ms, Return: 14 * ms, Outcome: holdfast.OK, Stamp: at(14)},
			{Client: 3, Kind: history.Hold, Hold: id(4), Buyer: buyer(3), Seats: seats{2}, Call: 15 * ms}, // unknown
		}, history.Final{
			Seats:  []holdfast.SeatState{holdfast.Sold, holdfast.Sold, holdfast.Held},
			Orders: []history.Order{{ID: id(1).Order(), Buyer: buyer(1), Seats: seats{0, 1}}},
		}
}

func TestCleanHistoryPasses(t *testing.T) {
	ops, final := clean()
	for _, v := range All(ops, final) {
		t.Error(v)
	}
}

func TestEveryMutationIsCaught(t *testing.T) {
	for _, c := range []struct {
		name, check string
		mutate      func(ops []history.Operation, final *history.Final)
	}{
		{"a seat held twice", "linearizable", func(ops []history.Operation, _ *history.Final) {
			ops[1].Outcome, ops[1].Taken = holdfast.OK, nil
		}},
		{"a refusal while the seat was free", "linearizable", func(ops []history.Operation, _ *history.Final) {
			ops[3].Outcome, ops[3].Taken = holdfast.SeatHeld, seats{2}
		}},
		{"a stale read", "linearizable", func(ops []history.Operation, _ *history.Final) { ops[5].States[0] = holdfast.Held }},
		{"a sale by somebody without the hold", "linearizable", func(ops []history.Operation, _ *history.Final) { ops[2].Hold = id(9) }},
		{"a release of what was sold", "linearizable", func(ops []history.Operation, _ *history.Final) {
			ops[4].Hold, ops[4].Seats = id(1), seats{0, 1}
		}},
		{"an index that goes back", "order", func(ops []history.Operation, _ *history.Final) { ops[5].Stamp.Index = 9 }},
		{"one place for two commands", "order", func(ops []history.Operation, _ *history.Final) { ops[3].Stamp.Index = 12 }},
		{"an acknowledged sale is lost", "durable", func(_ []history.Operation, f *history.Final) { f.Orders = nil }},
		{"an order with another buyer", "durable", func(_ []history.Operation, f *history.Final) { f.Orders[0].Buyer = buyer(2) }},
		{"an order without one of its seats", "durable", func(_ []history.Operation, f *history.Final) { f.Orders[0].Seats = seats{0} }},
		{"a seat in two orders", "double_sell", func(_ []history.Operation, f *history.Final) {
			f.Orders = append(f.Orders, history.Order{ID: id(7).Order(), Seats: seats{1}})
		}},
		{"a sold seat without an order", "final", func(_ []history.Operation, f *history.Final) { f.Seats[2] = holdfast.Sold }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ops, final := clean()
			c.mutate(ops, &final)
			for _, v := range All(ops, final) {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not caught by %s; found: %v", c.check, All(ops, final))
		})
	}
}
