package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The load of bench claims: the events, the plan of who wants which seat when, and the callers.

// A benchmark's event has rows and sections like those of a stadium: what a loser is told to be near is looked for
// in row and section. It may have as many units as an event may have.
const (
	benchRowSeats      = 32
	benchRows          = 64 // of a section, but the last
	benchSections      = holdfast.UnitsPerEventMax / benchRowSeats / benchRows
	_             uint = command.SectionsMax - benchSections
	_             uint = command.RowsMax - benchSections*benchRows
)

// benchSpec describes an event with that many seats, a multiple of benchRowSeats.
func benchSpec(number, seats int) command.EventSpec {
	s := command.EventSpec{Name: fmt.Sprintf("bench-%d", number), Currency: "eur",
		Rules: command.Rules{HoldTTLMs: 600_000, SkipCoolDown: true, ManyOpenHolds: true},
		Tiers: []command.Tier{{Name: "one", PriceMinor: 4900}}}
	rows := make([]command.Row, benchRows)
	for i := range rows {
		rows[i] = command.Row{Label: strconv.Itoa(i + 1), First: 1, Seats: benchRowSeats, Tier: holdfast.AnyTier}
	}
	for left := seats / benchRowSeats; left > 0; left -= benchRows {
		s.Sections = append(s.Sections, command.Section{Name: strconv.Itoa(len(s.Sections) + 1), Rows: rows[:min(left, benchRows)]})
	}
	return s
}

// benchEvent is one event and who was told to have bought what.
type benchEvent struct {
	ref    client.EventRef
	owners []atomic.Uint32 // by seat: number of the buyer who was told that it is sold, 0: none
}

// benchmark is one run.
type benchmark struct {
	benchFlags
	client *client.Client
	end    time.Time

	mu     sync.Mutex // guards the plan
	rng    *rand.Rand
	events []*benchEvent // the last one is being sold
	seats  []uint32      // of it, shuffled, that no window has taken
	window []uint32      // what is wanted now
	at     int           // how much of it was handed out in this round
	round  int           // which of the rival buyers wants it
	buyer  uint32        // number of the last buyer
	failed error         // no more seats could be had

	results []callerResult
}

// callerResult is what one caller counted.
type callerResult struct {
	holds, won, begins, sold, errors, doubles int
	took                                      []time.Duration
	firstError                                error
}

// nextEvent puts another event on sale. Its seats are shuffled.
func (b *benchmark) nextEvent(ctx context.Context) error {
	applied, err := b.client.ApplyEvent(ctx, benchSpec(len(b.events)+1, holdfast.UnitsPerEventMax))
	if err != nil {
		return err
	}
	if err := b.client.OpenSale(ctx, applied.EventRef); err != nil {
		return err
	}
	b.events = append(b.events, &benchEvent{ref: applied.EventRef, owners: make([]atomic.Uint32, holdfast.UnitsPerEventMax)})
	b.seats = make([]uint32, holdfast.UnitsPerEventMax)
	for i := range b.seats {
		b.seats[i] = uint32(i)
	}
	b.rng.Shuffle(len(b.seats), func(i, j int) { b.seats[i], b.seats[j] = b.seats[j], b.seats[i] })
	return nil
}

// wants gives a caller the seats of its next batch, and the number of the first buyer. Shuffled seats are cut into
// windows, and each window is wanted by all rivals, each time in another order. A window is so large that what is in
// flight at one moment is about one window's: rivals meet while a seat changes hands. No batch has a seat twice.
func (b *benchmark) wants(ctx context.Context, to []uint32) (event *benchEvent, seats []uint32, buyer uint32, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at == len(b.window) {
		b.at = 0
		if b.round++; b.round >= b.contend || len(b.window) == 0 {
			size := max(1, b.callers/b.contend) * b.batch
			if b.round = 0; b.failed == nil && len(b.seats) < size {
				b.failed = b.nextEvent(ctx)
			}
			if b.failed != nil {
				b.window = nil
				return nil, nil, 0, b.failed
			}
			b.window, b.seats = b.seats[:size], b.seats[size:]
		}
		b.rng.Shuffle(len(b.window), func(i, j int) { b.window[i], b.window[j] = b.window[j], b.window[i] })
	}
	n := min(b.batch, len(b.window)-b.at)
	seats = append(to[:0], b.window[b.at:b.at+n]...)
	b.at += n
	buyer = b.buyer + 1
	b.buyer += uint32(n)
	return b.events[len(b.events)-1], seats, buyer, nil
}

// run lets the callers claim until the time is over.
func (b *benchmark) run(ctx context.Context) {
	b.end = time.Now().Add(b.duration)
	b.results = make([]callerResult, b.callers)
	var wg sync.WaitGroup
	for i := range b.results {
		wg.Go(func() { newCaller(b, &b.results[i]).run(ctx) })
	}
	wg.Wait()
}

// caller is one goroutine of the load. It uses its commands again and again.
type caller struct {
	*benchmark
	*callerResult
	seats   []uint32
	holds   []command.Hold
	begins  []command.BeginPayment
	sells   []command.Sell
	refs    []command.Command
	results []client.Result
	won     []int // places of the holds that were won
}

func newCaller(b *benchmark, r *callerResult) *caller {
	c := &caller{benchmark: b, callerResult: r, holds: make([]command.Hold, b.batch), begins: make([]command.BeginPayment, b.batch), sells: make([]command.Sell, b.batch)}
	for i := range c.holds {
		c.holds[i].Wants = []command.Want{{Kind: command.WantSeats, Seats: make([]holdfast.SeatIndex, 1)}}
	}
	return c
}

func (c *caller) run(ctx context.Context) {
	for time.Now().Before(c.end) && ctx.Err() == nil {
		event, seats, buyer, err := c.wants(ctx, c.seats)
		if err == nil {
			c.seats = seats
			err = c.claim(ctx, event, buyer)
		}
		if err != nil {
			c.errors++
			c.firstError = errors.Join(c.firstError, err)
			return
		}
	}
}

// claim holds a batch of seats and sells what it won.
func (c *caller) claim(ctx context.Context, event *benchEvent, buyer uint32) error {
	c.refs = c.refs[:0]
	for i, seat := range c.seats {
		h := &c.holds[i]
		h.Header, h.Buyer = command.Header{}, benchBuyer(buyer+uint32(i))
		h.Wants[0].Seats[0] = holdfast.SeatIndex(seat)
		c.refs = append(c.refs, h)
	}
	began := time.Now()
	if err := c.do(ctx, event); err != nil {
		return err
	}
	c.took = append(c.took, time.Since(began))
	c.callerResult.holds += len(c.seats)
	c.won = c.won[:0]
	for i := range c.results {
		switch r := &c.results[i]; r.Outcome {
		case holdfast.OK:
			c.callerResult.won++
			c.begins[len(c.won)] = command.BeginPayment{Buyer: c.holds[i].Buyer, Hold: r.Hold, Attempt: 1, Amount: r.Amount}
			c.sells[len(c.won)] = command.Sell{Hold: r.Hold, As: command.SaleInvoiced, Amount: r.Amount}
			c.won = append(c.won, i)
		case holdfast.SeatHeld, holdfast.SeatSold, holdfast.SeatInPayment:
		default:
			return fmt.Errorf("hold: %w", r.Outcome)
		}
	}
	if len(c.won) == 0 {
		return nil
	}
	if c.pay {
		if err := c.payAll(ctx, event); err != nil {
			return err
		}
	}
	c.refs = c.refs[:0]
	for i := range c.won {
		c.refs = append(c.refs, &c.sells[i])
	}
	if err := c.doAll(ctx, event, "sell"); err != nil {
		return err
	}
	c.sold += len(c.won)
	for _, i := range c.won {
		if event.owners[c.seats[i]].Swap(buyer+uint32(i)) != 0 {
			c.doubles++
		}
	}
	return nil
}

// payAll begins the payments of what was won, and makes the sales paid ones.
func (c *caller) payAll(ctx context.Context, event *benchEvent) error {
	c.refs = c.refs[:0]
	for i, at := range c.won {
		c.refs = append(c.refs, &c.begins[i])
		c.sells[i].As, c.sells[i].Attempt = command.SalePaid, 1
		c.sells[i].Payment = strconv.FormatUint(uint64(binary.BigEndian.Uint32(c.holds[at].Buyer[12:])), 36) + "-" + event.ref.Name
	}
	if err := c.doAll(ctx, event, "begin payment"); err != nil {
		return err
	}
	c.callerResult.begins += len(c.won)
	return nil
}

// doAll sends the commands, all of which must succeed.
func (c *caller) doAll(ctx context.Context, event *benchEvent, what string) error {
	if err := c.do(ctx, event); err != nil {
		return err
	}
	for i := range c.results {
		if r := &c.results[i]; r.Outcome != holdfast.OK {
			return fmt.Errorf("%s: %w", what, r.Outcome)
		}
	}
	return nil
}

// do sends the commands; when they may have happened, again with the same ids.
func (c *caller) do(ctx context.Context, event *benchEvent) (err error) {
	for range 3 {
		c.results, err = c.client.Do(ctx, event.ref, c.refs, c.results)
		if !errors.Is(err, holdfast.Unknown) {
			return err
		}
	}
	return err
}

// benchBuyer makes a buyer of a number. Each attempt is another buyer's.
func benchBuyer(number uint32) (id holdfast.BuyerID) {
	binary.BigEndian.PutUint64(id[:], uint64(number)*0x9E3779B97F4A7C15) // spread as the hashes of real buyers are
	binary.BigEndian.PutUint32(id[12:], number)
	return id
}
