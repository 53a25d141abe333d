package workload

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// seats: contending buyers hold seats that they name, all in the same part of the house at a time, and buy them or give
// them back; in between the house is read. Nothing lapses by itself, so every seat is a plain register.
var seats = Workload{
	Name: "seats", What: "named seats held, paid, sold, given back and read by contending buyers",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		return startSeats(ctx, e, "seats", lasting(), seatsOptions{perSecond: 2500, batch: 64, workers: 6, rest: 8 * time.Millisecond})
	},
}

// lapses: the same with holds that last for a second or two, and buyers who leave them. Seats come back by themselves,
// at the deadline and not before it, on a hold clock that no fault may hurry.
var lapses = Workload{
	Name: "lapses", What: "holds and payments that end in time, on the hold clock",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		rules := command.Rules{HoldTTLMs: 1500, PayWindowMs: 2000, CoolDownMs: 1000}
		return startSeats(ctx, e, "lapses", rules, seatsOptions{perSecond: 60, batch: 4, workers: 3, rest: 10 * time.Millisecond, lapses: true})
	},
}

type seatsOptions struct {
	perSecond int // seats that are there for each second
	batch     int // buyers of one worker that act in one batch
	workers   int
	rest      time.Duration
	lapses    bool
}

const hotSeats = 300 // that everybody wants at a time

// seatsCrowd is a crowd with its part of the house.
type seatsCrowd struct {
	*crowd
	options seatsOptions
	units   int
}

func startSeats(ctx context.Context, e *Env, name string, rules command.Rules, o seatsOptions) (Job, error) {
	n := 10 + int(e.Length.Seconds()*float64(o.perSecond))/100
	c, err := open(ctx, e, name, command.EventSpec{Rules: rules, Sections: []command.Section{{Name: "floor", Rows: rows(n)}}})
	if err != nil {
		return nil, err
	}
	s := &seatsCrowd{c, o, n * 100}
	c.work(o.workers, s.act)
	return c, nil
}

func (s *seatsCrowd) act(w *worker) {
	if w.random.IntN(20) == 0 {
		w.read(s.wanted(w))
	} else {
		s.buy(w)
	}
	w.rest(s.options.rest)
}

// wanted gives some seats of the part that is wanted now.
func (s *seatsCrowd) wanted(w *worker) (wanted []holdfast.SeatIndex) {
	room := s.units - hotSeats
	at := min(int(float64(w.now())/float64(w.Length)*float64(room)), room) + w.random.IntN(hotSeats-4)
	for range 1 + w.random.IntN(3) {
		wanted = append(wanted, holdfast.SeatIndex(at))
		at++
	}
	return wanted
}

// buy has a crowd hold seats, and then do something with what they got.
func (s *seatsCrowd) buy(w *worker) {
	var operations []history.Operation
	var cmds []command.Command
	for range s.options.batch {
		buyer, wanted := w.buyer(), s.wanted(w)
		if s.options.lapses && w.random.IntN(4) == 0 { // somebody of before: who let a hold lapse has to wait
			w.buyers -= min(w.buyers, 1+w.random.Uint64N(20))
		}
		operations = append(operations, history.Operation{Kind: history.Hold, Buyer: buyer, Seats: wanted})
		cmds = append(cmds, &command.Hold{Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: wanted}}})
	}
	var next []history.Operation
	var then []command.Command
	for _, h := range w.do(operations, cmds) {
		if h.Outcome == holdfast.OK {
			next, then = w.goOn(h, next, then)
		}
	}
	if len(then) > 0 {
		if s.options.lapses { // some come too late
			w.rest(time.Duration(w.random.IntN(1000)) * time.Millisecond)
		}
		w.do(next, then)
	}
}

// goOn adds what a buyer does with a hold: buys it by invoice, pays for it, gives it back, or leaves it.
func (w *worker) goOn(h history.Operation, next []history.Operation, then []command.Command) ([]history.Operation, []command.Command) {
	on, sum := history.Operation{Hold: h.Hold, Buyer: h.Buyer, Seats: h.Seats}, amount(&h)
	add := func(kind history.Kind, attempt holdfast.Attempt, cmd command.Command) {
		on.Kind, on.Attempt = kind, attempt
		next, then = append(next, on), append(then, cmd)
	}
	switch n := w.random.IntN(10); {
	case n < 4:
		add(history.Sell, 0, &command.Sell{Hold: h.Hold, As: command.SaleInvoiced, Amount: sum})
	case n < 7:
		add(history.Pay, 1, &command.BeginPayment{Buyer: h.Buyer, Hold: h.Hold, Attempt: 1, Amount: sum})
		if n < 6 { // one in three never ends
			add(history.Sell, 1, &command.Sell{Hold: h.Hold, As: command.SalePaid, Attempt: 1, Amount: sum, Payment: fmt.Sprintf("pay_%x", h.Hold[:])})
		}
	case n < 9:
		add(history.Release, 0, &command.Release{Buyer: h.Buyer, Hold: h.Hold})
	}
	return next, then
}
