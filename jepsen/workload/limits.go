package workload

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

const (
	limitSeats  = 6
	limitBuyers = 40 // at a time, each played by every client at once
)

// limits: a few buyers, each in every client at the same time, try to get more than one buyer may have. What a buyer
// may still have is a counter.
var limits = Workload{
	Name: "limits", What: "buyers who try to get more than one may have, from several clients at once",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		rules := lasting()
		rules.SeatsPerBuyer, rules.ManyOpenHolds = limitSeats, true
		n := 10 + int(e.Length.Seconds())*4
		c, err := open(ctx, e, "limits", command.EventSpec{Rules: rules, Sections: []command.Section{{Name: "floor", Rows: rows(n)}}})
		if err != nil {
			return nil, err
		}
		c.work(4, (*worker).exceed)
		return c, nil
	},
}

// exceed acts for one of the buyers of this second.
func (w *worker) exceed() {
	var buyer holdfast.BuyerID
	binary.BigEndian.PutUint64(buyer[:], 1)
	binary.BigEndian.PutUint64(buyer[8:], uint64(w.now()/time.Second)*limitBuyers+w.random.Uint64N(limitBuyers))
	var operations []history.Operation
	var cmds []command.Command
	for range 2 {
		b := history.Best{Count: 1 + w.random.IntN(4), Section: holdfast.AnySection, Tier: holdfast.AnyTier}
		operations = append(operations, history.Operation{Kind: history.Hold, Buyer: buyer, Best: &b})
		cmds = append(cmds, &command.Hold{Buyer: buyer, Wants: []command.Want{want(b)}})
	}
	var next []history.Operation
	var then []command.Command
	for _, h := range w.do(operations, cmds) {
		if h.Outcome == holdfast.OK {
			next, then = w.goOn(h, next, then)
		}
	}
	if len(then) > 0 {
		w.do(next, then)
	}
	w.rest(10 * time.Millisecond)
}
