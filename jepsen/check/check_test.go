package check

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// The checkers are checked: a clean history passes, and each mutation of it is caught by the check that is named.

type seats = []holdfast.SeatIndex

func id(n byte) holdfast.HoldID     { return holdfast.HoldID{n} }
func buyer(n byte) holdfast.BuyerID { return holdfast.BuyerID{n} }

var rules = model.Rules{HoldTTL: 10 * time.Second, PayWindow: 5 * time.Second, Grace: 2 * time.Second, CoolDown: 3 * time.Second}

const ms = time.Millisecond

// op is an operation that was called at an instant, decided 1 ms later and answered 3 ms later.
func op(client int, kind history.Kind, hold byte, by byte, on seats, at time.Duration, index uint64, outcome holdfast.Outcome) history.Operation {
	stamp := holdfast.Stamp{Shard: 1, Index: index, Clock: holdfast.Clock((at + ms) / time.Microsecond)}
	return history.Operation{Client: client, Kind: kind, Hold: id(hold), Buyer: buyer(by), Seats: on, Command: holdfast.NewCommandID(stamp.Clock.Add(time.Minute), [10]byte{}),
		Call: at, Return: at + 3*ms, Outcome: outcome, Stamp: stamp, Decided: stamp}
}

// with is the operation with a change.
func with(o history.Operation, change func(*history.Operation)) history.Operation {
	change(&o)
	return o
}

// clean is what happened: buyer 1 pays for seats 0 and 1, of which buyer 2 wanted one; seat 2 is held, given back,
// held and left to lapse, then held by buyer 4; at the end nobody knows what became of two holds.
func clean() ([]history.Operation, history.Final) {
	until := func(o history.Operation, d time.Duration) history.Operation {
		return with(o, func(o *history.Operation) { o.Deadline = o.Stamp.Clock.Add(d) })
	}
	unknown := func(o history.Operation) history.Operation {
		return with(o, func(o *history.Operation) { o.Return, o.Outcome, o.Stamp = 0, 0, holdfast.Stamp{} })
	}
	first := func(o history.Operation) history.Operation {
		return with(o, func(o *history.Operation) { o.Attempt = 1 })
	}
	return []history.Operation{
			until(op(1, history.Hold, 1, 1, seats{0, 1}, 1*ms, 10, holdfast.OK), rules.HoldTTL),
			with(op(2, history.Hold, 2, 2, seats{1, 2}, 2*ms, 11, holdfast.SeatHeld), func(o *history.Operation) { o.Taken = seats{1} }),
			first(until(op(1, history.Pay, 1, 1, seats{0, 1}, 6*ms, 12, holdfast.OK), rules.PayWindow)),
			with(until(op(2, history.Hold, 3, 2, seats{2}, 6*ms, 12, holdfast.OK), rules.HoldTTL), func(o *history.Operation) {
				o.Stamp.Slot, o.Decided.Slot = 1, 1
			}),
			first(op(1, history.Sell, 1, 1, seats{0, 1}, 10*ms, 13, holdfast.OK)),
			op(2, history.Release, 3, 2, seats{2}, 14*ms, 14, holdfast.OK),
			with(op(3, history.Read, 0, 0, seats{0, 2}, 18*ms, 14, holdfast.OK), func(o *history.Operation) {
				o.States, o.Stamp.Clock = []holdfast.SeatState{holdfast.Sold, holdfast.Free}, holdfast.Clock(15*ms/time.Microsecond)
			}),
			until(op(3, history.Hold, 4, 3, seats{2}, 22*ms, 15, holdfast.OK), rules.HoldTTL),
			until(op(4, history.Hold, 5, 4, seats{2}, 10_030*ms, 20, holdfast.OK), rules.HoldTTL),
			op(3, history.Sell, 4, 3, seats{2}, 10_040*ms, 21, holdfast.HoldLapsed),
			unknown(op(5, history.Hold, 6, 5, seats{3}, 10_050*ms, 22, holdfast.OK)),
			unknown(with(op(6, history.Hold, 7, 6, seats{4}, 10_060*ms, 0, holdfast.OK), func(o *history.Operation) { o.Decided = holdfast.Stamp{} })),
		}, history.Final{
			Logged: true, Clock: holdfast.Clock(10_100 * ms / time.Microsecond),
			Seats:  []holdfast.SeatState{holdfast.Sold, holdfast.Sold, holdfast.Held, holdfast.Held, holdfast.Free},
			Orders: []history.Order{{ID: id(1).Order(), Buyer: buyer(1), Seats: seats{0, 1}}},
		}
}

func TestCleanHistoryPasses(t *testing.T) {
	ops, final := clean()
	for _, v := range All(rules, ops, final) {
		t.Error(v)
	}
}

func TestEveryMutationIsCaught(t *testing.T) {
	type ops = []history.Operation
	for _, c := range []struct {
		name, check string
		mutate      func(ops ops, final *history.Final)
	}{
		{"a seat held twice", "replay", func(o ops, _ *history.Final) { o[1].Outcome, o[1].Taken = holdfast.OK, nil }},
		{"a refusal while the seat was free", "linearizable", func(o ops, _ *history.Final) { o[3].Outcome, o[3].Taken = holdfast.SeatHeld, seats{2} }},
		{"a stale read", "linearizable", func(o ops, _ *history.Final) { o[6].States[0] = holdfast.Held }},
		{"a sale by somebody without the hold", "linearizable", func(o ops, _ *history.Final) { o[4].Hold = id(9) }},
		{"a sale for a payment that never began", "linearizable", func(o ops, _ *history.Final) { o[2].Kind = history.Read; o[2].Seats = nil }},
		{"a release of what was sold", "linearizable", func(o ops, _ *history.Final) { o[5].Hold, o[5].Seats = id(1), seats{0, 1} }},
		{"a sale of what is somebody else's by now", "linearizable", func(o ops, _ *history.Final) { o[9].Outcome = holdfast.OK }},
		{"a hold that never lapses", "replay", func(o ops, _ *history.Final) {
			o[8].Outcome, o[8].Taken, o[8].Deadline = holdfast.SeatHeld, seats{2}, 0
		}},
		{"a hold that lapses early", "replay", func(o ops, _ *history.Final) {
			for i := 8; i < 11; i++ {
				o[i].Stamp.Clock -= 9_000_000
				o[i].Decided.Clock -= 9_000_000
			}
		}},
		{"a hold that took one seat of two", "replay", func(o ops, f *history.Final) {
			f.Seats[1], f.Orders[0].Seats = holdfast.Free, seats{0}
		}},
		{"a deadline that is too early", "replay", func(o ops, _ *history.Final) { o[0].Deadline -= 1000 }},
		{"seats that were not taken are told", "replay", func(o ops, _ *history.Final) { o[1].Taken = seats{1, 2} }},
		{"an unknown hold that the log has, and no seat", "replay", func(_ ops, f *history.Final) { f.Seats[3] = holdfast.Free }},
		{"an answer before the commit", "log", func(o ops, _ *history.Final) { o[8].Decided = holdfast.Stamp{} }},
		{"an answer from another place of the log", "log", func(o ops, _ *history.Final) { o[8].Decided.Index++ }},
		{"an index that goes back", "order", func(o ops, _ *history.Final) { o[6].Stamp.Index = 9 }},
		{"one place for two commands", "order", func(o ops, _ *history.Final) { o[3].Stamp.Slot = 0 }},
		{"a hold clock that runs ahead", "clock", func(o ops, _ *history.Final) { o[5].Stamp.Clock += 20_000 }},
		{"a hold clock that goes back", "clock", func(o ops, _ *history.Final) { o[5].Stamp.Clock = 1 }},
		{"an acknowledged sale is lost", "durable", func(_ ops, f *history.Final) { f.Orders = nil }},
		{"an order with another buyer", "durable", func(_ ops, f *history.Final) { f.Orders[0].Buyer = buyer(2) }},
		{"an order without one of its seats", "durable", func(_ ops, f *history.Final) { f.Orders[0].Seats = seats{0} }},
		{"a seat in two orders", "double_sell", func(_ ops, f *history.Final) {
			f.Orders = append(f.Orders, history.Order{ID: id(7).Order(), Seats: seats{1}})
		}},
		{"a sold seat without an order", "final", func(_ ops, f *history.Final) { f.Seats[2] = holdfast.Sold }},
		{"an order that nobody asked for", "final", func(_ ops, f *history.Final) {
			f.Orders = append(f.Orders, history.Order{ID: id(7).Order(), Seats: seats{4}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ops, final := clean()
			c.mutate(ops, &final)
			for _, v := range All(rules, ops, final) {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not caught by %s; found: %v", c.check, All(rules, ops, final))
		})
	}
}

// Where no hold lapses, the search alone sees that a seat was held twice.
func TestWithoutLapsesTheSearchIsStrict(t *testing.T) {
	ops, _ := clean()
	ops = ops[:5]
	if found := Linearizable(model.Rules{}, ops); len(found) != 0 {
		t.Errorf("a clean history was refused: %v", found)
	}
	ops[1].Outcome, ops[1].Taken = holdfast.OK, nil
	if found := Linearizable(model.Rules{}, ops); len(found) == 0 {
		t.Error("a seat that was held twice was not noticed")
	}
}
