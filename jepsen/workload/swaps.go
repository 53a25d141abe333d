package workload

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// swaps: buyers who change their minds. They swap what they hold for other seats, all of which somebody else wants too, and
// ask for more time, which they get once; holds end soon, whatever was done with them.
var swaps = Workload{
	Name: "swaps", What: "holds that are swapped, extended and left, in a part of the house that everybody wants",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		rules := command.Rules{HoldTTLMs: 1500, PayWindowMs: 2000, ExtensionMs: 1000, SkipCoolDown: true, ManyOpenHolds: true, SeatsPerBuyer: 6}
		n := 4 + int(e.Length.Seconds())
		c, err := open(ctx, e, "swaps", command.EventSpec{Rules: rules, Sections: []command.Section{{Name: "floor", Rows: rows(n)}}})
		if err != nil {
			return nil, err
		}
		s := &seatsCrowd{c, seatsOptions{batch: 6}, n * 100}
		c.work(3, func(w *worker) {
			w.waver(s.options.batch, s.holdSome, func(w *worker) ([]holdfast.SeatIndex, *history.Best) { return s.wanted(w), nil })
			w.rest(15 * time.Millisecond)
		})
		return c, nil
	},
}

// holdSome has some buyers hold seats that they name. One in four is somebody who acts in several clients at once.
func (s *seatsCrowd) holdSome(w *worker) (history.Operation, command.Command) {
	buyer, seats := w.sharedBuyer(4), s.wanted(w)
	return history.Operation{Kind: history.Hold, Buyer: buyer, Seats: seats},
		&command.Hold{Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: seats}}}
}

// sharedBuyer gives a new buyer, or one in so many times one of those who act in every client in this second.
func (w *worker) sharedBuyer(oneIn int) (buyer holdfast.BuyerID) {
	if w.random.IntN(oneIn) > 0 {
		return w.buyer()
	}
	binary.BigEndian.PutUint64(buyer[8:], uint64(w.now()/time.Second)<<8|w.random.Uint64N(8))
	return buyer
}

// otherWant draws what somebody wants instead: seats, or what the shard is to choose.
type otherWant func(*worker) (seats []holdfast.SeatIndex, best *history.Best)

// waver has some buyers hold something, think again, and go on with what they have then. Who does not know what became of a
// hold does nothing more with it.
func (w *worker) waver(buyers int, hold func(*worker) (history.Operation, command.Command), other otherWant) {
	var operations []history.Operation
	var cmds []command.Command
	for range buyers {
		o, c := hold(w)
		operations, cmds = append(operations, o), append(cmds, c)
	}
	var held []history.Operation
	for _, h := range w.do(operations, cmds) {
		if h.Outcome == holdfast.OK {
			held = append(held, h)
		}
	}
	for range 2 {
		if held = w.thinkAgain(held, other); len(held) == 0 {
			return
		}
		w.rest(time.Duration(w.random.IntN(600)) * time.Millisecond / 4)
	}
	var next []history.Operation
	var then []command.Command
	for _, h := range held {
		next, then = w.goOn(h, next, then)
	}
	if len(then) > 0 {
		w.do(next, then)
	}
}

// thinkAgain has buyers extend and swap, and gives what they hold then, as far as they know.
func (w *worker) thinkAgain(held []history.Operation, other otherWant) (still []history.Operation) {
	var next []history.Operation
	var then []command.Command
	asked := map[holdfast.HoldID]bool{}
	for _, h := range held {
		on := history.Operation{Hold: h.Hold, Buyer: h.Buyer, Seats: h.Seats}
		switch n := w.random.IntN(10); {
		case n < 2:
			on.Kind = history.Extend
			next, then = append(next, on), append(then, &command.Extend{Buyer: h.Buyer, Hold: h.Hold})
		case n < 8:
			on.Kind, on.Had = history.Swap, h.Seats
			if on.Seats, on.Best = other(w); on.Best != nil {
				next = append(next, on)
				then = append(then, &command.Swap{Buyer: h.Buyer, Hold: h.Hold, Wants: []command.Want{want(*on.Best)}})
				break
			}
			if w.random.IntN(2) == 0 && on.Seats[0] != h.Seats[0] { // keeps one of them
				on.Seats = append([]holdfast.SeatIndex{h.Seats[0]}, without(on.Seats, h.Seats[0])...)
			}
			next = append(next, on)
			then = append(then, &command.Swap{Buyer: h.Buyer, Hold: h.Hold, Wants: []command.Want{{Kind: command.WantSeats, Seats: on.Seats}}})
		default:
			still = append(still, h)
			continue
		}
		asked[h.Hold] = true
	}
	if len(then) == 0 {
		return still
	}
	answers := map[holdfast.HoldID]history.Operation{}
	for _, o := range w.do(next, then) {
		answers[o.Hold] = o
	}
	for _, h := range held {
		o, answered := answers[h.Hold]
		switch {
		case !asked[h.Hold] || !answered: // it is among those that did nothing, or nobody knows
		case o.Outcome == holdfast.HoldLapsed || o.Outcome == holdfast.HoldUnknown:
		case o.Outcome == holdfast.OK && o.Kind == history.Swap:
			h.Seats, h.Amount = o.Seats, o.Amount
			still = append(still, h)
		default:
			still = append(still, h)
		}
	}
	return still
}

func without(seats []holdfast.SeatIndex, one holdfast.SeatIndex) (rest []holdfast.SeatIndex) {
	for _, s := range seats {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}
