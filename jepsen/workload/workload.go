// Package workload is what clients do while a nemesis works: each file is one kind of crowd. A workload opens events of
// its own, acts until its time is over, notes what it was told, and reads the end back; it judges nothing.
//
// To add one, write a file with a Workload in it and put it into All.
package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Workload is one kind of crowd.
type Workload struct {
	Name string
	What string // in a few words
	// Start opens what it needs and lets its clients begin. They act for the length of e, or until ctx ends.
	Start     func(ctx context.Context, e *Env) (Job, error)
	NeedsShop bool
	// Missing says why it cannot be run; nil when it can.
	Missing func(e *Env) error
}

// Job is a workload at work.
type Job interface {
	// Wait returns when all clients are done.
	Wait()
	// Finish reads the end back, when all faults are healed, and gives what is known.
	Finish(ctx context.Context) (*history.History, error)
}

// All are the workloads.
func All() []Workload {
	return []Workload{seats, lapses, best, places, limits, swaps, organizer, watch, persons, line, checkout, desk}
}

// Env is what a workload has.
type Env struct {
	Client *client.Client
	Seed   uint64
	Round  int           // events of different rounds have different names
	Began  time.Time     // 0 of all instants
	Length time.Duration // of the load
	Vigour float64       // 1: as much as the workload does by itself
	Live   *Live         // nil: nobody looks on
	Shop   *Shop         // nil: there is none
	// Members are where each member by itself is found, by name.
	Members map[string]string
	// Over ends the load before its time; nil: never.
	Over <-chan struct{}
}

// over reports whether the load has ended.
func (e *Env) over() bool {
	select {
	case <-e.Over:
		return true
	default:
		return e.now() >= e.Length
	}
}

func (e *Env) now() time.Duration { return time.Since(e.Began) }

// Live counts while a workload works, for who looks on. It is safe for concurrent use.
type Live struct {
	mu      sync.Mutex
	answers history.Answers
}

func (l *Live) answered(at time.Duration, n int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.answers = append(l.answers, at)
	}
}

// crowd is the clients of one event: what all workloads have in common.
type crowd struct {
	*Env
	head     history.Head
	event    client.EventRef
	recorder history.Recorder
	working  sync.WaitGroup

	mu     sync.Mutex
	broken []error // what no client should ever be told
	sights []history.Sight
}

const (
	price    = 5000
	currency = "eur"
	// tries is how often a client asks again for what it does not know; each takes up to the client's timeout.
	tries = 3
)

// open puts an event on sale.
func open(ctx context.Context, e *Env, name string, spec command.EventSpec) (*crowd, error) {
	spec.Name, spec.Title, spec.Currency = fmt.Sprintf("%s-%d-%d", name, e.Seed, e.Round), name, currency
	if len(spec.Tiers) == 0 {
		spec.Tiers = []command.Tier{{Name: "all", PriceMinor: price}}
	}
	applied, err := e.Client.ApplyEvent(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := e.Client.OpenSale(ctx, applied.EventRef); err != nil {
		return nil, err
	}
	r := spec.Rules.WithDefaults()
	c := &crowd{Env: e, event: applied.EventRef, head: history.Head{
		Workload: name, Seed: e.Seed, Began: e.Began, Length: e.Length, House: lay(spec), ManyHolds: r.ManyOpenHolds, SeatsPerBuyer: int(r.SeatsPerBuyer),
		HoldTTL: milliseconds(r.HoldTTLMs), PayWindow: milliseconds(r.PayWindowMs), CoolDown: milliseconds(r.CoolDownMs),
		Extension: milliseconds(r.ExtensionMs), Price: spec.Tiers[0].PriceMinor, // all tiers of workloads cost the same
	}}
	if r.SkipCoolDown {
		c.head.CoolDown = 0
	}
	return c, nil
}

func milliseconds(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }

// lay says how the units of a description lie. Rows hold neighbours in order.
func lay(spec command.EventSpec) (house history.House) {
	first := holdfast.SeatIndex(0)
	add := func(count int, section int, tier holdfast.TierIndex, general bool) {
		house = append(house, history.Block{First: first, Count: count, Section: holdfast.SectionIndex(section), Tier: tier, General: general})
		first += holdfast.SeatIndex(count)
	}
	for i, s := range spec.Sections {
		for _, row := range s.Rows {
			tier := row.Tier
			if tier == holdfast.AnyTier {
				tier = s.Tier
			}
			add(int(row.Seats), i, tier, false)
		}
		if s.Places > 0 {
			add(int(s.Places), i, s.Tier, true)
		}
	}
	return house
}

// rows are so many rows of a hundred seats.
func rows(n int) (all []command.Row) {
	for i := range n {
		all = append(all, command.Row{Label: fmt.Sprint(i + 1), First: 1, Seats: 100, Tier: holdfast.AnyTier})
	}
	return all
}

// lasting are rules under which nothing lapses while a run lasts.
func lasting() command.Rules {
	return command.Rules{HoldTTLMs: command.TimeMsMax, PayWindowMs: command.TimeMsMax, SkipCoolDown: true}
}

// worker is one client.
type worker struct {
	*crowd
	number  int
	random  *rand.Rand
	buyers  uint64
	results []client.Result
	unsure  []doubt
}

// doubt is an operation of which nobody knows what became, with its command.
type doubt struct {
	history.Operation
	cmd command.Command
}

// work starts so many clients.
func (c *crowd) work(n int, act func(*worker)) {
	for i := range n {
		w := &worker{crowd: c, number: i + 1, random: rand.New(rand.NewPCG(c.Seed, uint64(c.Round)<<32|uint64(i)))}
		c.working.Go(func() {
			for !w.over() {
				act(w)
			}
			w.resolve()
		})
	}
}

func (c *crowd) Wait() { c.working.Wait() }

// rest waits a moment, so that clients are not in step, but not longer than the load lasts.
func (w *worker) rest(mean time.Duration) {
	wait := min(time.Duration(w.random.ExpFloat64()*float64(mean)/max(w.Vigour, 0.01)), w.Length-w.now())
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.Over:
	}
}

// buyer gives a new buyer.
func (w *worker) buyer() (id holdfast.BuyerID) {
	w.buyers++
	binary.BigEndian.PutUint64(id[:], uint64(w.number))
	binary.BigEndian.PutUint64(id[8:], w.buyers)
	return id
}

// amount is what a hold costs, as its buyer was told.
func amount(h *history.Operation) holdfast.Money {
	return holdfast.Money{AmountMinor: h.Amount, Currency: currency}
}

// do has commands decided in one batch and records what is known of each. What was not attempted leaves no trace; what
// is unknown is asked for again, with the same ids; and now and then what is known is too, as a network does that
// delivers twice: that must change nothing.
func (w *worker) do(operations []history.Operation, cmds []command.Command) []history.Operation {
	call, reached := w.now(), false
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		results, err := w.Client.Do(ctx, w.event, cmds, w.results)
		cancel()
		switch {
		case err == nil:
			w.results = results
			for i := range operations {
				w.note(&operations[i], cmds[i], call)
				w.hear(&operations[i], &results[i])
				w.recorder.Add(operations[i])
			}
			w.Live.answered(w.now(), len(operations))
			if w.random.IntN(100) == 0 {
				w.again(operations, cmds)
			}
			if h := &operations[0]; h.Kind == history.Hold && h.Outcome == holdfast.OK && w.random.IntN(4) == 0 {
				w.abuse(h)
			}
			return operations
		case errors.Is(err, holdfast.Unknown):
			reached = true
		case !errors.Is(err, holdfast.Unavailable) && !errors.Is(err, holdfast.Overloaded):
			w.complain(fmt.Errorf("client %d: %w", w.number, err))
		}
		if !reached {
			w.rest(20 * time.Millisecond)
			return nil
		}
		if try == tries {
			for i := range operations {
				w.note(&operations[i], cmds[i], call)
				w.unsure = append(w.unsure, doubt{operations[i], cmds[i]})
			}
			return nil
		}
	}
}

// again sends what was decided a second time.
func (w *worker) again(operations []history.Operation, cmds []command.Command) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	results, err := w.Client.Do(ctx, w.event, cmds, nil)
	if err != nil {
		return // it tells nothing
	}
	for i := range results {
		if r := &results[i]; r.Outcome != operations[i].Outcome && r.Outcome != holdfast.CommandExpired || r.Outcome == operations[i].Outcome && !r.Repeated {
			w.complain(fmt.Errorf("client %d: %s was answered %s, and sent again %s (told again: %v)",
				w.number, operations[i].Command, operations[i].Outcome, r.Outcome, r.Repeated))
		}
	}
}

// hear takes an answer.
func (w *worker) hear(o *history.Operation, r *client.Result) {
	o.Return, o.Outcome, o.Repeated, o.Taken, o.Deadline, o.Stamp = w.now(), r.Outcome, r.Repeated, clone(r.Taken), r.Deadline, r.Stamp
	o.Amount = r.Amount.AmountMinor
	if o.Best != nil && r.Outcome == holdfast.OK {
		o.Seats = clone(r.Seats)
	}
}

// clone copies out of memory that is used again.
func clone(seats []holdfast.SeatIndex) []holdfast.SeatIndex {
	return append([]holdfast.SeatIndex(nil), seats...)
}

// note fills in what is known of an operation once its command has an id.
func (w *worker) note(o *history.Operation, cmd command.Command, call time.Duration) {
	o.Client, o.Call, o.Command = w.number, call, cmd.Head().ID
	if o.Kind == history.Hold {
		o.Hold = holdfast.HoldID(o.Command)
	}
}

// resolveMax is how long a client asks at the end for what it does not know.
const resolveMax = 15 * time.Second

// resolve asks once more, one by one, for what is unknown; what stays so is recorded as that.
func (w *worker) resolve() {
	ctx, cancel := context.WithTimeout(context.Background(), resolveMax)
	defer cancel()
	for _, d := range w.unsure {
		results, err := w.Client.Do(ctx, w.event, []command.Command{d.cmd}, nil)
		if err == nil && results[0].Outcome != holdfast.CommandExpired { // else it may have been decided before
			w.hear(&d.Operation, &results[0])
		}
		w.recorder.Add(d.Operation)
	}
	w.unsure = nil
}

func (c *crowd) complain(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = append(c.broken, err)
}

// read reads some seats, strictly.
func (w *worker) read(seats []holdfast.SeatIndex) {
	o := history.Operation{Client: w.number, Kind: history.Read, Seats: seats, Call: w.now()}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m, err := w.Client.Seats(ctx, w.event)
	if err != nil {
		return // a read that fails tells nothing
	}
	o.Return, o.Outcome, o.Stamp = w.now(), holdfast.OK, m.Stamp.Stamp
	for _, s := range o.Seats {
		o.States = append(o.States, m.States[s])
	}
	w.recorder.Add(o)
}

// sight reads the whole house, perhaps from a member that is behind.
func (w *worker) sight(stale bool) {
	s := history.Sight{Client: w.number, Call: w.now(), Stale: stale}
	var opts []client.ReadOption
	if stale {
		opts = append(opts, client.AllowStale())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m, err := w.Client.Seats(ctx, w.event, opts...)
	if err != nil {
		return
	}
	s.Return, s.Revision, s.Stamp, s.States = w.now(), m.Revision, m.Stamp.Stamp, m.States
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sights = append(w.sights, s)
}

// Finish reads the seats and the orders back.
func (c *crowd) Finish(ctx context.Context) (*history.History, error) {
	h := &history.History{Head: c.head, Operations: c.recorder.Operations(), Sights: c.sights}
	if len(c.broken) > 0 {
		return h, errors.Join(c.broken...)
	}
	seats, err := c.Client.Seats(ctx, c.event)
	if err != nil {
		return h, err
	}
	f := &h.Final
	f.Seats, f.Revision, f.Clock, f.Read = seats.States, seats.Revision, seats.Stamp.Clock, seats.Stamp.Stamp
	for o, err := range c.Client.Orders(ctx, c.event) {
		if err != nil {
			return h, err
		}
		f.Orders = append(f.Orders, history.Order{ID: o.ID, Buyer: o.Buyer, Seats: o.Seats,
			Amount: o.Amount.AmountMinor, Captured: o.CapturedMinor, Refunded: o.RefundedMinor})
	}
	return h, c.fillIn(ctx, h)
}

// fillIn asks for the seats of holds of which nobody knows what became, where the shard chose them. Who does not know what
// became of a swap does nothing more with the hold: if it has what it had the swap was refused, or it is all the same.
func (c *crowd) fillIn(ctx context.Context, h *history.History) error {
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Best == nil || o.Seats != nil || !o.Unknown() && o.Outcome != holdfast.OK {
			continue
		}
		hold, err := c.Client.GetHold(ctx, c.event, o.Hold)
		var no *client.Refusal
		switch {
		case err == nil && (o.Kind == history.Hold || !sameSeats(hold.Seats, o.Had)):
			o.Seats = hold.Seats
		case err == nil:
		case !errors.Is(err, holdfast.NotFound) && !errors.As(err, &no):
			return err
		}
	}
	return nil
}

func sameSeats(a, b []holdfast.SeatIndex) bool {
	a, b = clone(a), clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Answers are the instants at which commands were answered so far.
func (l *Live) Answers() history.Answers {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.answers)
	slices.Sort(all)
	return all
}
