package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/visitor"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The crowd: buyers who come to the frontends over HTTP, stand in line, want the same good seats, change their minds,
// pay at the sandbox, and remember what they were told. What they remember is all that the audit believes.

// How buyers behave. The shares are per hundred buyers; the times are short, so that a sale takes seconds.
const (
	earlyShare    = 40 // are in line before the draw
	clickShare    = 30 // choose seats on the map: the front rows, like everybody
	generalShare  = 20 // want to stand
	leaveShare    = 8  // give their hold back
	vanishShare   = 4  // close the page: their hold lapses
	abandonShare  = 4  // begin to pay, and close the page then
	declineShare  = 10 // have their first card declined
	actionShare   = 5  // are sent to their bank's page
	refuseShare   = 20 // of those say no there, and do not come back
	lateShare     = 4  // have a bank that answers late
	closeShare    = 10 // of those who find nothing: close the page instead of leaving the line
	shyShare      = 5  // close the page behind the payment: only the webhook tells that they have paid
	thinkMax      = 600 * time.Millisecond
	payMax        = 300 * time.Millisecond
	comeBackMin   = 100 * time.Millisecond // to look again for seats that are in other hands
	comeBackMax   = 500 * time.Millisecond
	rounds        = 3           // of looking for all that one would take
	reloads       = 2           // everybody reloads the page so many times as often as it asks for
	reloadMin     = time.Second // but not more often than that
	nearFront     = 20          // with fewer people than that before them, everybody looks all the time
	nearPoll      = 400 * time.Millisecond
	openingMax    = 2 * time.Second // and everybody who waits for the opening does within this time after it
	stayMin       = 3 * time.Second // how long somebody stays in line who is told that hardly anything will be left
	stayMax       = 8 * time.Second
	buyerPatience = 30 * time.Second // with a system that does not answer
	linePatience  = 5 * time.Minute  // with a line that does not move
)

// ending is how a buyer's visit ended.
type ending uint8

const (
	stillHere ending = iota
	bought
	soldOut     // was told that nothing that fits is left
	gaveUp      // was told too often that seats are in other hands
	gaveBack    // released the hold
	vanished    // let the hold lapse
	abandoned   // let a payment be
	unseen      // paid, and did not look what became of it
	lateToPay   // the hold was over before the payment was
	shownOut    // had no session any more when the claim came
	turnedOff   // was not let into the line, and told why
	discouraged // left the line, told that hardly anything would be left
	lostPlace   // was told that the place is not there
	dropped     // was left without an answer
	endings
)

var endingNames = [endings]string{"still_here", "bought", "sold_out", "gave_up", "gave_back", "vanished", "abandoned", "paid_unseen", "late_to_pay", "shown_out",
	"turned_off", "discouraged", "lost_place", "dropped"}

func (e ending) String() string { return endingNames[e] }

// told is a sale that a buyer was told of.
type told struct {
	Order  holdfast.OrderID
	Buyer  holdfast.BuyerID
	Seats  []holdfast.SeatIndex
	Amount holdfast.Money
}

// crowd runs the buyers and keeps what they were told.
type crowd struct {
	shop   *shop
	event  client.Event
	seed   uint64
	size   int
	rush   time.Duration // over which they arrive after the opening
	opened chan struct{} // closed when the sale opens

	rows    []frontRow              // what those who click look at, best first
	general []holdfast.SectionIndex // where one stands

	http  *http.Client
	began time.Time // the opening
	live  liveCounts

	mu       sync.Mutex
	told     []told
	unsure   map[holdfast.HoldID]bool // was paid for, or may have been, and nobody told the buyer
	broken   []string                 // promises to a buyer that were broken before the audit
	ended    [endings]int
	places   map[uint32]bool // numbers that were given out
	twice    int             // numbers that two buyers were given
	acks     []time.Duration // when claims were acknowledged, since the opening
	holds    []holdSample
	refused  map[string]int // by code
	attempts map[string]int // that could not be decided, and were made again
}

// liveCounts are for who watches.
type liveCounts struct {
	arrived, inLine, inside, acked atomic.Int64
	orders, paidMinor              atomic.Int64 // that buyers were told of
}

func (c *liveCounts) paid(currency holdfast.Currency) string {
	return formatMoney(holdfast.Money{AmountMinor: c.paidMinor.Load(), Currency: currency})
}

// holdSample is one Hold: when it was asked for, and how long the answer took.
type holdSample struct{ at, took time.Duration }

// frontRow is a row of seats with numbers that follow each other.
type frontRow struct {
	first holdfast.SeatIndex
	seats int
}

func newCrowd(s *shop, event client.Event, size int, rush time.Duration, seed uint64) *crowd {
	w := &crowd{shop: s, event: event, size: size, rush: rush, seed: seed, opened: make(chan struct{}), began: time.Now(),
		unsure: map[holdfast.HoldID]bool{}, places: map[uint32]bool{}, refused: map[string]int{}, attempts: map[string]int{},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: crowdConns, MaxConnsPerHost: crowdConns, DisableCompression: true}}}
	for i := range event.Spec.Sections {
		sec, index := &event.Spec.Sections[i], holdfast.SectionIndex(i)
		if sec.General() {
			w.general = append(w.general, index)
			continue
		}
		for r := range sec.Rows[:(len(sec.Rows)+2)/3] {
			if first, ok := event.Layout.Unit(command.Place{Section: index, Row: r}); ok {
				w.rows = append(w.rows, frontRow{first, int(sec.Rows[r].Seats)})
			}
		}
	}
	return w
}

// crowdConns is how many connections the crowd shares to each frontend.
const crowdConns = 256

// run lets the crowd in and waits until everybody has left.
func (w *crowd) run(ctx context.Context) {
	var wg sync.WaitGroup
	for number := range w.size {
		wg.Go(func() {
			b := w.newBuyer(number)
			// Many are in line before the sale opens, the others come all through the rush.
			if !b.chance(earlyShare) && !(b.await(ctx, w.opened) && pause(ctx, b.sometime(w.rush))) {
				w.leave(dropped)
				return
			}
			w.live.arrived.Add(1)
			how := b.visit(ctx)
			if how == discouraged || (how == gaveUp || how == soldOut) && !b.chance(closeShare) {
				how = b.goHome(ctx, how)
			}
			w.leave(how)
		})
	}
	wg.Wait()
	w.http.CloseIdleConnections()
}

// open says that the sale has opened.
func (w *crowd) open() {
	w.mu.Lock()
	w.began = time.Now()
	w.mu.Unlock()
	close(w.opened)
}

// since is the time since the sale opened.
func (w *crowd) since(t time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return t.Sub(w.began)
}

func (w *crowd) leave(how ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[how]++
}

// pause waits, and reports false when ctx ended instead.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// heldUnits are units that a buyer has, and until when for certain: counted from before they were asked for, so that
// the truth is a little later.
type heldUnits struct {
	visitor.Hold
	until time.Time
}

// buyer is one of the crowd.
type buyer struct {
	*crowd
	*visitor.Visitor
	number int
	rng    *rand.Rand
	id     holdfast.BuyerID
}

func (w *crowd) newBuyer(number int) *buyer {
	b := &buyer{crowd: w, number: number, rng: rand.New(rand.NewPCG(w.seed, uint64(number)))}
	addresses := slices.Clone(w.shop.addresses)
	if number%2 == 1 {
		slices.Reverse(addresses) // half of the crowd goes to the other frontend first
	}
	b.Visitor = visitor.New(visitor.Config{Frontends: addresses, Event: w.event.Spec.Name, HTTP: w.http, Failed: w.again,
		Address: fmt.Sprintf("10.%d.%d.%d", number>>16&0xFF, number>>8&0xFF, number&0xFF)})
	return b
}

// again notes an attempt that was made again.
func (w *crowd) again(err error) {
	code := "unreachable"
	var p *visitor.Problem
	if errors.As(err, &p) {
		code = p.Code
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts[code]++
}

func (b *buyer) chance(share int) bool { return b.rng.IntN(100) < share }

func (b *buyer) sometime(max time.Duration) time.Duration {
	return time.Duration(b.rng.Int64N(int64(max)))
}

// await waits for something to happen, and reports false when ctx ended instead.
func (b *buyer) await(ctx context.Context, happened <-chan struct{}) bool {
	select {
	case <-happened:
		return true
	case <-ctx.Done():
		return false
	}
}

// visit is one buyer's visit, from the line to the order.
func (b *buyer) visit(ctx context.Context) ending {
	if how := b.queue(ctx); how != stillHere {
		return how
	}
	b.live.inside.Add(1)
	defer b.live.inside.Add(-1)
	hold, how := b.find(ctx)
	if how != stillHere {
		return how
	}
	pause(ctx, b.sometime(thinkMax))
	switch {
	case b.chance(leaveShare):
		return b.giveBack(ctx, hold)
	case b.chance(vanishShare):
		return vanished
	}
	return b.pay(ctx, hold)
}

// queue joins the line and waits for the buyer's turn.
func (b *buyer) queue(ctx context.Context) ending {
	var place visitor.Place
	err := b.claim(ctx, func(ctx context.Context) (err error) { place, err = b.Join(ctx); return err })
	if err != nil {
		return b.noAnswer(err, turnedOff)
	}
	b.given(place)
	b.live.inLine.Add(1)
	defer b.live.inLine.Add(-1)
	stay := stayMin + b.sometime(stayMax-stayMin)
	var hopeless time.Time // since when the odds are bad
	for deadline := time.Now().Add(linePatience); visitor.Waits(place.State); {
		switch now := time.Now(); {
		case place.Room == "sold_out" || place.Room == "over":
			return soldOut
		case place.Odds != "unlikely" && place.Odds != "none":
			hopeless = time.Time{}
		case hopeless.IsZero():
			hopeless = now
		case now.Sub(hopeless) > stay:
			return discouraged
		}
		if time.Now().After(deadline) || !b.idle(ctx, reloadAfter(place)) {
			return dropped
		}
		if err := b.ask(ctx, func(ctx context.Context) (err error) { place, err = b.Place(ctx); return err }); err != nil {
			return b.noAnswer(err, lostPlace)
		}
	}
	return stillHere
}

// reloadAfter is when somebody looks again: sooner than the page asks for, and who is about to be called all the time.
func reloadAfter(p visitor.Place) time.Duration {
	if p.Ahead >= 0 && p.Ahead < nearFront {
		return nearPoll
	}
	return max(time.Duration(p.NextPollMs)*time.Millisecond/reloads, reloadMin)
}

// idle waits between two polls. At the opening everybody reloads, whatever the page asked for.
func (b *buyer) idle(ctx context.Context, d time.Duration) bool {
	select {
	case <-b.opened:
		return pause(ctx, d)
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.opened:
		return pause(ctx, b.sometime(openingMax))
	case <-ctx.Done():
		return false
	}
}

// given notes a place that was given out.
func (b *buyer) given(p visitor.Place) {
	if key, err := hex.DecodeString(strings.TrimPrefix(p.Key, "place_")); err == nil && len(key) >= len(b.id) {
		copy(b.id[:], key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.places[p.Number] {
		b.twice++
	}
	b.places[p.Number] = true
}

// noAnswer is how a visit ends with an error: told is the ending when a frontend said why.
func (b *buyer) noAnswer(err error, told ending) ending {
	var p *visitor.Problem
	if errors.As(err, &p) {
		return told
	}
	return dropped
}

// goHome gives the place up, so that the next in line need not wait for somebody who has gone.
func (b *buyer) goHome(ctx context.Context, how ending) ending {
	if err := b.claim(ctx, func(ctx context.Context) error { return b.Leave(ctx) }); err != nil {
		return b.noAnswer(err, how)
	}
	return how
}

func (b *buyer) hold(ctx context.Context, want visitor.Want) (hold heldUnits, err error) {
	asked, key := time.Now(), visitor.NewKey()
	err = b.claim(ctx, func(ctx context.Context) (err error) {
		sent := time.Now()
		hold.Hold, err = b.Hold(ctx, key, want)
		hold.until = sent.Add(time.Duration(hold.RemainingMs) * time.Millisecond)
		return err
	})
	at := b.since(asked)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds = append(b.holds, holdSample{at, time.Since(asked)})
	return hold, err
}

func (b *buyer) giveBack(ctx context.Context, hold heldUnits) ending {
	if err := b.claim(ctx, func(ctx context.Context) error { return b.Release(ctx, hold.ID) }); err != nil {
		return b.refusedHold("release", hold, err)
	}
	return gaveBack
}

func (b *buyer) promiseBroken(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = append(b.broken, fmt.Sprintf(format, args...))
}

// ask sends a request until there is an answer, yes or no, or the buyer's patience ends.
func (b *buyer) ask(ctx context.Context, send func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, buyerPatience)
	defer cancel()
	err := send(ctx)
	var p *visitor.Problem
	switch {
	case err == nil:
		b.live.acked.Add(1)
	case errors.As(err, &p):
		b.mu.Lock()
		defer b.mu.Unlock()
		b.refused[p.Code]++
	}
	return err
}

// claim is ask for what the cluster commits. Its answers are those that a fault tears a gap into: polls are answered by
// frontends alone, also while nobody leads.
func (b *buyer) claim(ctx context.Context, send func(context.Context) error) error {
	err := b.ask(ctx, send)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.acks = append(b.acks, time.Since(b.began))
	}
	return err
}
