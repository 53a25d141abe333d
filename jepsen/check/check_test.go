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
		{"a sale of a hold that nobody made, of no seat that anybody saw", "linearizable", func(o ops, _ *history.Final) { o[9].Hold, o[9].Seats, o[9].Outcome = id(8), nil, holdfast.HoldLapsed }},
		{"a hold that was given back, and is said to have lapsed", "linearizable", func(o ops, _ *history.Final) {
			o[9].Hold, o[9].Outcome, o[9].Seats = id(3), holdfast.HoldLapsed, nil
		}},
		{"a sale of an attempt to pay that never began", "linearizable", func(o ops, _ *history.Final) { o[4].Attempt = 2 }},
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

// rich is a history with everything that clean has not: choices left to the house, a limit, a section without seats,
// watchers, and reads of the whole house.
func rich() *history.History {
	h := &history.History{Head: history.Head{
		House:   history.House{{First: 0, Count: 4}, {First: 4, Count: 2, Section: 1, General: true}},
		HoldTTL: time.Hour, PayWindow: time.Hour, SeatsPerBuyer: 3, ManyHolds: true,
	}}
	rows := func(count int) *history.Best {
		return &history.Best{Count: count, Tier: holdfast.AnyTier, Adjacent: true}
	}
	stand := func(count int) *history.Best {
		return &history.Best{Count: count, Section: 1, Tier: holdfast.AnyTier, General: true}
	}
	hold := func(id, by byte, best *history.Best, got seats, at time.Duration, index uint64, outcome holdfast.Outcome) history.Operation {
		return with(op(int(id), history.Hold, id, by, got, at, index, outcome), func(o *history.Operation) {
			if o.Best = best; outcome == holdfast.OK {
				o.Deadline = o.Stamp.Clock.Add(h.HoldTTL)
			}
		})
	}
	h.Operations = []history.Operation{
		hold(1, 1, rows(2), seats{0, 1}, 1*ms, 10, holdfast.OK),
		hold(2, 1, rows(2), nil, 6*ms, 11, holdfast.BuyerOverLimit),
		hold(3, 2, rows(3), nil, 11*ms, 12, holdfast.NotEnough),
		hold(4, 3, stand(2), seats{4, 5}, 16*ms, 13, holdfast.OK),
		hold(5, 4, stand(1), nil, 21*ms, 14, holdfast.NotEnough),
		op(4, history.Release, 4, 3, seats{4, 5}, 26*ms, 15, holdfast.OK),
		hold(6, 4, stand(1), seats{4}, 31*ms, 16, holdfast.OK),
	}
	free, held := holdfast.Free, holdfast.Held
	after13 := []holdfast.SeatState{held, held, free, free, held, held}
	end := []holdfast.SeatState{held, held, free, free, held, free}
	h.Changes = []history.Change{
		{Watcher: 1, Anew: true, Cut: true, Revision: 1, States: make([]holdfast.SeatState, 6)},
		{Watcher: 1, Revision: 3, Seats: seats{0, 1}, States: []holdfast.SeatState{held, held}},
		{Watcher: 1, Revision: 5, Seats: seats{4, 5}, States: []holdfast.SeatState{held, held}},
		{Watcher: 1, Revision: 8, Seats: seats{4, 5}, States: []holdfast.SeatState{held, free}},
	}
	h.Sights = []history.Sight{
		{Client: 7, Call: 27 * ms, Return: 28 * ms, Stale: true, Revision: 5, States: after13, Stamp: holdfast.Stamp{Shard: 1, Index: 13, Clock: 17_000}},
		{Client: 8, Call: 36 * ms, Return: 37 * ms, Revision: 8, States: end, Stamp: holdfast.Stamp{Shard: 1, Index: 16, Clock: 32_000}},
	}
	h.Final = history.Final{Logged: true, Clock: 40_000, Revision: 8, Seats: end}
	return h
}

func TestARichHistoryPasses(t *testing.T) {
	for _, v := range Judge(rich()) {
		t.Error(v)
	}
}

func TestEveryMutationOfARichHistoryIsCaught(t *testing.T) {
	for _, c := range []struct {
		name, check string
		mutate      func(h *history.History)
	}{
		{"a choice of seats apart", "replay", func(h *history.History) { h.Operations[0].Seats = seats{0, 2} }},
		{"one seat for two", "replay", func(h *history.History) { h.Operations[0].Seats = seats{0} }},
		{"a choice in another section", "replay", func(h *history.History) { h.Operations[0].Seats = seats{3, 4} }},
		{"a choice of what was taken", "replay", func(h *history.History) {
			h.Operations[2].Outcome, h.Operations[2].Seats, h.Operations[2].Best.Count = holdfast.OK, seats{1, 2}, 2
		}},
		{"a refusal while there was enough", "replay", func(h *history.History) { h.Operations[2].Best.Count = 2 }},
		{"sold out while it may return", "replay", func(h *history.History) { h.Operations[4].Outcome = holdfast.SoldOut }},
		{"more than a buyer may have", "linearizable", func(h *history.History) { h.Operations[1].Outcome, h.Operations[1].Seats = holdfast.OK, seats{2, 3} }},
		{"a limit below what was promised", "linearizable", func(h *history.History) { h.Operations[0].Outcome = holdfast.BuyerOverLimit }},
		{"places that there are not", "linearizable", func(h *history.History) { h.Operations[4].Outcome, h.Operations[4].Seats = holdfast.OK, seats{5} }},
		{"places kept back", "linearizable", func(h *history.History) { h.Operations[6].Outcome = holdfast.NotEnough }},
		{"a change that is left out", "feed", func(h *history.History) {
			h.Changes[2].Seats, h.Changes[2].States = h.Changes[2].Seats[:1], h.Changes[2].States[:1]
		}},
		{"a feed that goes back", "feed", func(h *history.History) { h.Changes[2].Revision = 2 }},
		{"more changes than revisions", "feed", func(h *history.History) { h.Changes[2].Revision = 4 }},
		{"a watcher who never saw the end", "feed", func(h *history.History) { h.Changes = h.Changes[:3] }},
		{"changes before the whole", "feed", func(h *history.History) { h.Changes = h.Changes[1:] }},
		{"a stale read of what never was", "feed", func(h *history.History) { h.Sights[0].States[2] = holdfast.Held }},
		{"a strict read of the past", "order", func(h *history.History) { h.Sights[1].Stamp.Index, h.Sights[1].Revision = 13, 5 }},
		{"a read that is not of its entry", "replay", func(h *history.History) { h.Sights[0].Stamp.Index, h.Sights[0].Stamp.Clock = 15, 27_000 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := rich()
			c.mutate(h)
			for _, v := range Judge(h) {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not caught by %s; found: %v", c.check, Judge(h))
		})
	}
}

func TestTheSmallestFailingHistoryEndsWithTheAnswerThatCannotBe(t *testing.T) {
	h := rich()
	if p, ok := Smallest(h); ok {
		t.Errorf("a history without fault has a picture: %s", p.Title)
	}
	h.Operations[4].Outcome, h.Operations[4].Seats = holdfast.OK, seats{5}
	p, ok := Smallest(h)
	if !ok || len(p.HTML) < 1000 {
		t.Errorf("there is no picture of it: %q", p.Title)
	}
}
