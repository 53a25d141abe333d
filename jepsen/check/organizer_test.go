package check

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// organized is a history of an event that changes while it sells: buyers swap and extend, and want several things at once;
// the organizer takes seats off sale, pauses, and adds a row at another price.
func organized() *history.History {
	h := &history.History{Head: history.Head{
		House:   history.House{{First: 0, Count: 4}, {First: 4, Count: 3, Section: 1, General: true}},
		HoldTTL: time.Hour, PayWindow: time.Hour, Extension: time.Minute, SeatsPerBuyer: 4, ManyHolds: true, Price: 10,
	}}
	told := func(o history.Operation, began, lasts time.Duration, amount int64) history.Operation {
		return with(o, func(o *history.Operation) {
			o.Amount, o.Deadline = amount, holdfast.Clock((began+ms)/time.Microsecond).Add(lasts)
		})
	}
	set := func(at time.Duration, index uint64, to holdfast.SaleState) history.Operation {
		return with(op(9, history.SetSale, 0, 0, nil, at, index, holdfast.OK), func(o *history.Operation) { o.Sale = to })
	}
	pit := func(n int) history.Best {
		return history.Best{Count: n, Section: 1, Tier: holdfast.AnyTier, General: true}
	}
	swap := func(hold byte, had, wants seats, at time.Duration, index uint64, outcome holdfast.Outcome) history.Operation {
		return with(op(int(hold), history.Swap, hold, hold, wants, at, index, outcome), func(o *history.Operation) { o.Had = had })
	}
	put := op(9, history.Put, 0, 0, nil, 61*ms, 22, holdfast.OK)
	put.Put = &history.Description{Expect: 1, Price: 20, HoldTTL: time.Hour / 2, Grown: []history.Block{{First: 7, Count: 2}}}
	late := put
	late.Put = &history.Description{Expect: 1, Price: 30, HoldTTL: time.Hour}
	late = with(op(8, history.Put, 0, 0, nil, 66*ms, 23, holdfast.EventChanged), func(o *history.Operation) { o.Put = late.Put })
	h.Operations = []history.Operation{
		told(op(1, history.Hold, 1, 1, seats{0, 1}, 1*ms, 10, holdfast.OK), 1*ms, time.Hour, 20),
		told(swap(1, seats{0, 1}, seats{1, 2}, 6*ms, 11, holdfast.OK), 1*ms, time.Hour, 20),
		told(op(2, history.Hold, 2, 2, seats{0}, 11*ms, 12, holdfast.OK), 11*ms, time.Hour, 10),
		with(swap(2, seats{0}, seats{0, 1}, 16*ms, 13, holdfast.SeatHeld), func(o *history.Operation) { o.Taken = seats{1} }),
		told(op(1, history.Extend, 1, 1, seats{1, 2}, 21*ms, 14, holdfast.OK), 1*ms, time.Hour+time.Minute, 20),
		op(1, history.Extend, 1, 1, seats{1, 2}, 26*ms, 15, holdfast.HoldNotExtendable),
		op(9, history.TakeOff, 0, 0, seats{3}, 31*ms, 16, holdfast.OK),
		with(op(9, history.TakeOff, 0, 0, seats{0, 3}, 36*ms, 17, holdfast.SeatTaken), func(o *history.Operation) { o.Taken = seats{0} }),
		with(op(3, history.Hold, 3, 3, seats{3}, 41*ms, 18, holdfast.SeatNotForYou), func(o *history.Operation) { o.Taken = seats{3} }),
		set(46*ms, 19, holdfast.SalePaused),
		op(3, history.Hold, 4, 3, seats{0}, 51*ms, 20, holdfast.EventPaused),
		set(56*ms, 21, holdfast.SaleOpen),
		put, late,
		told(op(4, history.Hold, 5, 4, seats{7}, 71*ms, 24, holdfast.OK), 71*ms, time.Hour/2, 20),
		op(9, history.PutBack, 0, 0, seats{3}, 76*ms, 25, holdfast.OK),
		// One seat by name, and two places without.
		told(with(op(5, history.Hold, 6, 5, seats{3, 4, 5}, 81*ms, 26, holdfast.OK), func(o *history.Operation) {
			o.Best, o.Also = &history.Best{Count: 1, Seats: seats{3}}, []history.Best{pit(2)}
		}), 81*ms, time.Hour/2, 60),
		with(op(6, history.Hold, 7, 6, nil, 86*ms, 27, holdfast.NotEnough), func(o *history.Operation) {
			o.Best, o.Also = &history.Best{Count: 1, Seats: seats{8}}, []history.Best{pit(2)}
		}),
		// Its own places count as free: three are to be had by who has two.
		told(with(swap(6, seats{3, 4, 5}, seats{4, 5, 6}, 91*ms, 28, holdfast.OK), func(o *history.Operation) {
			b := pit(3)
			o.Best, o.Buyer = &b, buyer(5)
		}), 81*ms, time.Hour/2, 60),
		told(swap(5, seats{7}, seats{7, 8}, 96*ms, 29, holdfast.OK), 71*ms, time.Hour/2, 40),
		// It wants seats in place of its places, and keeps those.
		with(swap(6, seats{4, 5, 6}, nil, 101*ms, 30, holdfast.NotEnough), func(o *history.Operation) {
			o.Best, o.Buyer = &history.Best{Count: 4, Tier: holdfast.AnyTier}, buyer(5)
		}),
	}
	h.Operations[19].Buyer = buyer(4)
	free, held := holdfast.Free, holdfast.Held
	h.Final = history.Final{Logged: true, Clock: 120_000, Revision: 20, Seats: []holdfast.SeatState{held, held, held, free, held, held, held, held, held}}
	h.Changes = []history.Change{
		{Watcher: 1, Anew: true, Cut: true, Revision: 2, States: make([]holdfast.SeatState, 7)},
		{Watcher: 1, Revision: 20, Seats: seats{0, 1, 2, 4, 5, 6, 7, 8}, States: []holdfast.SeatState{held, held, held, held, held, held, held, held}},
	}
	return h
}

func TestAnOrganizedHistoryPasses(t *testing.T) {
	for _, v := range Judge(organized()) {
		t.Error(v)
	}
}

func TestEveryMutationOfAnOrganizedHistoryIsCaught(t *testing.T) {
	for _, c := range []struct {
		name, check string
		mutate      func(o []history.Operation, h *history.History)
	}{
		{"a swap that keeps what it gives back", "linearizable", func(o []history.Operation, _ *history.History) {
			o[2].Outcome, o[2].Taken, o[2].Deadline = holdfast.SeatHeld, seats{0}, 0
		}},
		{"a swap that takes what another has", "linearizable", func(o []history.Operation, _ *history.History) { o[3].Outcome, o[3].Taken = holdfast.OK, nil }},
		{"a swap that was refused and took place", "replay", func(o []history.Operation, h *history.History) { h.Final.Seats[0] = holdfast.Free }},
		{"a swap refused for the hold's own seat", "linearizable", func(o []history.Operation, _ *history.History) { o[3].Taken = seats{0} }},
		{"a swap that moves the deadline", "replay", func(o []history.Operation, _ *history.History) { o[1].Deadline += 1000 }},
		{"a swap at another price", "replay", func(o []history.Operation, _ *history.History) { o[19].Amount = 60 }},
		{"a swap past the buyer's limit", "linearizable", func(o []history.Operation, _ *history.History) { o[1].Seats = seats{1, 2, 3, 7, 8} }},
		{"a hold that is extended twice", "replay", func(o []history.Operation, _ *history.History) { o[5].Outcome = holdfast.OK }},
		{"an extension that is too short", "replay", func(o []history.Operation, _ *history.History) { o[4].Deadline -= 1000 }},
		{"an extension of what is nobody's", "linearizable", func(o []history.Operation, _ *history.History) { o[4].Hold = id(9) }},
		{"a blocked seat that is sold", "linearizable", func(o []history.Operation, _ *history.History) { o[8].Outcome, o[8].Taken = holdfast.OK, nil }},
		{"a block of what somebody has", "linearizable", func(o []history.Operation, _ *history.History) { o[7].Outcome, o[7].Taken = holdfast.OK, nil }},
		{"a block refused for nothing", "linearizable", func(o []history.Operation, _ *history.History) { o[7].Taken = seats{0, 3} }},
		{"a block that is lost", "linearizable", func(o []history.Operation, _ *history.History) {
			o[8].Outcome, o[8].Taken = holdfast.SeatHeld, seats{3}
		}},
		{"a seat that stays blocked", "replay", func(_ []history.Operation, h *history.History) { h.Final.Seats[3] = holdfast.Blocked }},
		{"a hold while the sale is paused", "linearizable", func(o []history.Operation, _ *history.History) {
			o[10].Outcome, o[10].Taken = holdfast.SeatHeld, seats{0}
		}},
		{"a pause that was not", "linearizable", func(o []history.Operation, _ *history.History) {
			o[14].Outcome, o[14].Deadline = holdfast.EventPaused, 0
		}},
		{"an end that was not", "linearizable", func(o []history.Operation, _ *history.History) { o[10].Outcome = holdfast.EventClosed }},
		{"a price that came too late", "replay", func(o []history.Operation, _ *history.History) { o[14].Amount = 10 }},
		{"a rule that came too late", "replay", func(o []history.Operation, _ *history.History) {
			o[14].Deadline = o[14].Deadline.Add(time.Hour / 2)
		}},
		{"two changes made for one version", "replay", func(o []history.Operation, _ *history.History) { o[13].Outcome = holdfast.OK }},
		{"a change refused for nothing", "replay", func(o []history.Operation, _ *history.History) { o[12].Outcome = holdfast.EventChanged }},
		{"a seat before it was there", "replay", func(o []history.Operation, h *history.History) {
			o[12].Decided.Index, o[12].Stamp.Index = 24, 24
			o[12].Decided.Slot, o[12].Stamp.Slot = 1, 1
		}},
		{"a new row that is lost", "replay", func(_ []history.Operation, h *history.History) { h.Final.Seats = h.Final.Seats[:7] }},
		{"several wants of which one was not met", "replay", func(o []history.Operation, _ *history.History) { o[16].Seats = seats{3, 4} }},
		{"several wants of which one got another's", "replay", func(o []history.Operation, _ *history.History) { o[16].Seats = seats{3, 4, 7} }},
		{"a seat by name that is another", "replay", func(o []history.Operation, _ *history.History) { o[16].Seats = seats{8, 4, 5} }},
		{"half of what was wanted, refused", "replay", func(o []history.Operation, _ *history.History) { o[17].Also[0].Count = 1 }},
		{"places that there are not, by a swap", "linearizable", func(o []history.Operation, _ *history.History) {
			o[17].Outcome, o[17].Seats = holdfast.OK, seats{8, 6, 4}
		}},
		{"a refused swap whose places are free", "linearizable", func(o []history.Operation, _ *history.History) {
			late := with(op(7, history.Hold, 8, 7, seats{4}, 111*ms, 31, holdfast.OK), func(o *history.Operation) {
				b := history.Best{Count: 1, Section: 1, Tier: holdfast.AnyTier, General: true}
				o.Best = &b
			})
			o[20] = late
		}},
		{"a watcher who knows nothing of a new row", "feed", func(_ []history.Operation, h *history.History) {
			c := &h.Changes[1]
			c.Seats, c.States = c.Seats[:6], c.States[:6]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := organized()
			c.mutate(h.Operations, h)
			for _, v := range Judge(h) {
				if v.Check == c.check {
					return
				}
			}
			t.Errorf("not caught by %s; found: %v", c.check, Judge(h))
		})
	}
}
