//go:build linux

package jepsen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// load is clients that hold, sell and give back seats of one event, all in the same part of the house at a time, and
// read it now and then. Holds last longer than the test.
type load struct {
	t        *testing.T
	client   *client.Client
	event    client.EventRef
	began    time.Time
	length   time.Duration
	recorder history.Recorder
	working  sync.WaitGroup
}

const (
	workers     = 8
	crowd       = 4 // buyers of one worker that act in one batch
	seatsPerSec = 1500
	hotSeats    = 300 // that everybody wants at a time
	price       = 5000
	currency    = "eur"
	// unknownTries is how often a worker asks again for what it does not know; each takes up to the client's timeout.
	unknownTries = 3
)

// startLoad opens a sale and lets the workers begin.
func startLoad(t *testing.T, cl *client.Client, length time.Duration) *load {
	t.Helper()
	l := &load{t: t, client: cl, length: length}
	spec := command.EventSpec{
		Name: "kill", Title: "Kill", Currency: currency, Tiers: []command.Tier{{Name: "all", PriceMinor: price}},
		Rules: command.Rules{HoldTTLMs: command.TimeMsMax, PayWindowMs: command.TimeMsMax}, Sections: []command.Section{{Name: "floor"}},
	}
	for row := range l.seats() / 100 {
		spec.Sections[0].Rows = append(spec.Sections[0].Rows, command.Row{Label: fmt.Sprint(row + 1), First: 1, Seats: 100, Tier: holdfast.AnyTier})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	applied, err := cl.ApplyEvent(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	l.event = applied.EventRef
	if err := cl.OpenSale(ctx, l.event); err != nil {
		t.Fatal(err)
	}
	l.began = time.Now()
	for i := range workers {
		w := &worker{load: l, number: i + 1, random: rand.New(rand.NewPCG(uint64(i), 7))}
		l.working.Go(w.work)
	}
	return l
}

func (l *load) now() time.Duration { return time.Since(l.began) }

// seats is the size of the house, in full rows.
func (l *load) seats() int { return 1000 + int(l.length.Seconds())*seatsPerSec/100*100 }

// worker does one thing after the other.
type worker struct {
	*load
	number int
	random *rand.Rand
	buyers uint64
}

func (w *worker) work() {
	for w.now() < w.length {
		if w.random.IntN(20) == 0 {
			w.read()
		} else {
			w.buy()
		}
		time.Sleep(time.Duration(w.random.ExpFloat64() * float64(5*time.Millisecond)))
	}
}

// wanted gives some seats of the part that is wanted now.
func (w *worker) wanted() (seats []holdfast.SeatIndex) {
	first := int(float64(w.now()) / float64(w.length) * float64(w.seats()-hotSeats))
	at := min(first, w.seats()-hotSeats) + w.random.IntN(hotSeats-4)
	for range 1 + w.random.IntN(3) {
		seats = append(seats, holdfast.SeatIndex(at))
		at++
	}
	return seats
}

// buy has a crowd hold seats, and then do something with what they got.
func (w *worker) buy() {
	var operations []history.Operation
	var cmds []command.Command
	for range crowd {
		w.buyers++
		var buyer holdfast.BuyerID
		binary.BigEndian.PutUint64(buyer[:], uint64(w.number))
		binary.BigEndian.PutUint64(buyer[8:], w.buyers)
		seats := w.wanted()
		operations = append(operations, history.Operation{Kind: history.Hold, Buyer: buyer, Seats: seats})
		cmds = append(cmds, &command.Hold{Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: seats}}})
	}
	var next []history.Operation
	var then []command.Command
	for _, h := range w.do(operations, cmds) {
		if h.Outcome != holdfast.OK {
			continue
		}
		on := history.Operation{Hold: h.Hold, Buyer: h.Buyer, Seats: h.Seats}
		amount := holdfast.Money{AmountMinor: int64(len(h.Seats)) * price, Currency: currency}
		add := func(kind history.Kind, attempt holdfast.Attempt, cmd command.Command) {
			on.Kind, on.Attempt = kind, attempt
			next, then = append(next, on), append(then, cmd)
		}
		switch n := w.random.IntN(10); {
		case n < 4:
			add(history.Sell, 0, &command.Sell{Hold: h.Hold, As: command.SaleInvoiced, Amount: amount})
		case n < 7:
			add(history.Pay, 1, &command.BeginPayment{Buyer: h.Buyer, Hold: h.Hold, Attempt: 1, Amount: amount})
			add(history.Sell, 1, &command.Sell{Hold: h.Hold, As: command.SalePaid, Attempt: 1, Amount: amount, Payment: fmt.Sprintf("pay_%x", h.Hold[:])})
		case n < 9:
			add(history.Release, 0, &command.Release{Buyer: h.Buyer, Hold: h.Hold})
		}
	}
	if len(then) > 0 {
		w.do(next, then)
	}
}

// do has commands decided in one batch and records what is known of each. What was not attempted leaves no trace; what
// is unknown is asked for again, with the same ids.
func (w *worker) do(operations []history.Operation, cmds []command.Command) []history.Operation {
	call, reached := w.now(), false
	for try := 0; ; try++ {
		results, err := w.client.Do(w.t.Context(), w.event, cmds, nil)
		switch {
		case err == nil:
			for i := range operations {
				w.note(&operations[i], cmds[i], call)
				o, r := &operations[i], &results[i]
				o.Return, o.Outcome, o.Repeated, o.Taken, o.Deadline, o.Stamp = w.now(), r.Outcome, r.Repeated, r.Taken, r.Deadline, r.Stamp
				w.recorder.Add(*o)
			}
			return operations
		case errors.Is(err, holdfast.Unknown):
			reached = true
		case !errors.Is(err, holdfast.Unavailable) && !errors.Is(err, holdfast.Overloaded):
			w.t.Errorf("worker %d: %v", w.number, err)
		}
		if !reached {
			return nil
		}
		if try == unknownTries {
			for i := range operations {
				w.note(&operations[i], cmds[i], call)
				w.recorder.Add(operations[i])
			}
			return nil
		}
	}
}

// note fills in what is known of an operation once its command has an id.
func (w *worker) note(o *history.Operation, cmd command.Command, call time.Duration) {
	o.Client, o.Call, o.Command = w.number, call, cmd.Head().ID
	if o.Kind == history.Hold {
		o.Hold = holdfast.HoldID(o.Command)
	}
}

// read reads some seats, strictly.
func (w *worker) read() {
	o := history.Operation{Client: w.number, Kind: history.Read, Seats: w.wanted(), Call: w.now()}
	m, err := w.client.Seats(w.t.Context(), w.event)
	if err != nil {
		return // a read that fails tells nothing
	}
	o.Return, o.Outcome, o.Stamp = w.now(), holdfast.OK, m.Stamp.Stamp
	for _, s := range o.Seats {
		o.States = append(o.States, m.States[s])
	}
	w.recorder.Add(o)
}
