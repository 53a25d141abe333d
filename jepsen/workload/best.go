package workload

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// best: groups leave the choice of their seats to the shard, together or apart, in a house that sells out and fills
// again as holds are given back.
var best = Workload{
	Name: "best", What: "the best available seats for groups, side by side or not, in a house that is nearly full",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		n := 3 + int(e.Length.Seconds())/4
		c, err := open(ctx, e, "best", command.EventSpec{Rules: lasting(), Tiers: []command.Tier{{Name: "dear", PriceMinor: price}, {Name: "cheap", PriceMinor: price}},
			Sections: []command.Section{{Name: "stalls", Rows: rows(n)}, {Name: "circle", Tier: 1, Rows: rows(n)}}})
		if err != nil {
			return nil, err
		}
		c.work(3, func(w *worker) {
			w.choose(func() history.Best {
				b := history.Best{Count: 1 + w.random.IntN(6), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Adjacent: w.random.IntN(2) == 0}
				switch w.random.IntN(3) {
				case 0:
					b.Section = holdfast.SectionIndex(w.random.IntN(2))
				case 1:
					b.Tier = holdfast.TierIndex(w.random.IntN(2))
				}
				return b
			})
		})
		return c, nil
	},
}

// places: general admission. What is left of a section is a counter.
var places = Workload{
	Name: "places", What: "general admission: places of sections that sell out, as counters",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		n := uint32(100 + int(e.Length.Seconds())*10)
		c, err := open(ctx, e, "places", command.EventSpec{Rules: lasting(), Sections: []command.Section{{Name: "pit", Places: n}, {Name: "hill", Places: n}}})
		if err != nil {
			return nil, err
		}
		c.work(3, func(w *worker) {
			w.choose(func() history.Best {
				return history.Best{Count: 1 + w.random.IntN(4), Section: holdfast.SectionIndex(w.random.IntN(2)), Tier: holdfast.AnyTier, General: true}
			})
		})
		return c, nil
	},
}

// want is how a command says it.
func want(b history.Best) command.Want {
	if b.Seats != nil {
		return command.Want{Kind: command.WantSeats, Seats: b.Seats}
	}
	if b.General {
		return command.Want{Kind: command.WantGeneral, Section: b.Section, Count: uint8(b.Count)}
	}
	return command.Want{Kind: command.WantBest, Section: b.Section, Tier: b.Tier, Count: uint8(b.Count), Adjacent: b.Adjacent}
}

// choose has some groups hold what the shard chooses, and give back most of it.
func (w *worker) choose(draw func() history.Best) {
	var operations []history.Operation
	var cmds []command.Command
	for range 4 {
		b, buyer := draw(), w.buyer()
		operations = append(operations, history.Operation{Kind: history.Hold, Buyer: buyer, Best: &b})
		cmds = append(cmds, &command.Hold{Buyer: buyer, Wants: []command.Want{want(b)}})
	}
	var next []history.Operation
	var then []command.Command
	for _, h := range w.do(operations, cmds) {
		switch on := (history.Operation{Hold: h.Hold, Buyer: h.Buyer, Seats: h.Seats}); {
		case h.Outcome != holdfast.OK:
		case w.random.IntN(20) == 0:
			on.Kind = history.Sell
			next, then = append(next, on), append(then, &command.Sell{Hold: h.Hold, As: command.SaleInvoiced, Amount: amount(&h)})
		case w.random.IntN(20) > 0:
			on.Kind = history.Release
			next, then = append(next, on), append(then, &command.Release{Buyer: h.Buyer, Hold: h.Hold})
		}
	}
	w.rest(10 * time.Millisecond)
	if len(then) > 0 {
		w.do(next, then)
	}
	w.rest(10 * time.Millisecond)
}
