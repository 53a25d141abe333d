package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The crowd: buyers who arrive together, want the same good seats, change their minds, and remember what they were
// told. What they remember is all that the audit believes.

// How buyers behave. The shares are per hundred buyers; the times are short, so that a sale takes seconds.
const (
	waitShare     = 20 // are there when the sale opens
	clickShare    = 30 // choose seats on the map: the front rows, like everybody
	generalShare  = 20 // want to stand
	leaveShare    = 6  // give their hold back
	vanishShare   = 6  // close the page: their hold lapses
	declineShare  = 10 // have their first card declined
	twiceShare    = 5  // are told twice by the payment provider that they have paid
	thinkMax      = 600 * time.Millisecond
	payMax        = 300 * time.Millisecond
	comeBackMin   = 100 * time.Millisecond // to look again for seats that are in other hands
	comeBackMax   = 500 * time.Millisecond
	triesPerWant  = 4
	buyerPatience = 30 * time.Second // with a system that does not answer
)

// ending is how a buyer's visit ended.
type ending uint8

const (
	stillHere ending = iota
	bought
	soldOut   // was told that nothing that fits is left
	gaveUp    // was told too often that seats are in other hands
	gaveBack  // released the hold
	vanished  // let the hold lapse
	lateToPay // the hold was over before the payment had begun
	dropped   // was left without an answer
	endings
)

var endingNames = [endings]string{"still_here", "bought", "sold_out", "gave_up", "gave_back", "vanished", "late_to_pay", "dropped"}

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
	client *client.Client
	event  client.Event
	seed   uint64
	size   int
	rush   time.Duration // over which they arrive

	rows    []frontRow              // what those who click look at, best first
	general []holdfast.SectionIndex // where one stands

	began time.Time
	live  liveCounts

	mu      sync.Mutex
	told    []told
	unsure  map[holdfast.HoldID]bool // a sale was asked for, and the answer never came
	broken  []string                 // promises to a buyer that were broken before the audit
	ended   [endings]int
	acks    []time.Duration // when claims were acknowledged, since began
	holds   []holdSample
	refused map[holdfast.Outcome]int
	failed  map[holdfast.Kind]int // attempts that could not be decided
}

// liveCounts are for who watches.
type liveCounts struct {
	arrived, inside, soldSeats, acked atomic.Int64
}

// holdSample is one Hold: when it was asked for, and how long the answer took.
type holdSample struct{ at, took time.Duration }

// frontRow is a row of seats with numbers that follow each other.
type frontRow struct {
	first holdfast.SeatIndex
	seats int
}

func newCrowd(c *client.Client, event client.Event, size int, rush time.Duration, seed uint64) *crowd {
	w := &crowd{client: c, event: event, size: size, rush: rush, seed: seed,
		unsure: map[holdfast.HoldID]bool{}, refused: map[holdfast.Outcome]int{}, failed: map[holdfast.Kind]int{}}
	for s := range event.Spec.Sections {
		sec, index := &event.Spec.Sections[s], holdfast.SectionIndex(s)
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

// run lets the crowd in and waits until everybody has left.
func (w *crowd) run(ctx context.Context) {
	w.began = time.Now()
	var wg sync.WaitGroup
	for number := range w.size {
		b := &buyer{crowd: w, rng: rand.New(rand.NewPCG(w.seed, uint64(number)))}
		binary.BigEndian.PutUint64(b.id[:], w.seed)
		binary.BigEndian.PutUint64(b.id[8:], uint64(number)+1)
		wg.Go(func() {
			// Many wait for the opening and come at once, the others all through the rush.
			if at := b.sometime(w.rush); !b.chance(waitShare) && !pause(ctx, at) {
				w.leave(b, dropped)
				return
			}
			w.live.arrived.Add(1)
			w.live.inside.Add(1)
			w.leave(b, b.visit(ctx))
			w.live.inside.Add(-1)
		})
	}
	wg.Wait()
}

func (w *crowd) leave(b *buyer, how ending) {
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
	client.Hold
	until time.Time
}

// buyer is one of the crowd.
type buyer struct {
	*crowd
	id  holdfast.BuyerID
	rng *rand.Rand
}

func (b *buyer) chance(share int) bool { return b.rng.IntN(100) < share }

func (b *buyer) sometime(max time.Duration) time.Duration {
	return time.Duration(b.rng.Int64N(int64(max)))
}

// visit is one buyer's visit, from looking for seats to paying for them.
func (b *buyer) visit(ctx context.Context) ending {
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

// find looks for seats: first what the buyer likes, then what there is.
func (b *buyer) find(ctx context.Context) (heldUnits, ending) {
	count := []int{1, 2, 2, 2, 2, 3, 4, 4}[b.rng.IntN(8)]
	hope := false // some seats that were not to be had may return
	for _, want := range b.wishes(count) {
		for range triesPerWant {
			hold, err := b.hold(ctx, want)
			if err == nil {
				return hold, stillHere
			}
			var no *client.Refusal
			if !errors.As(err, &no) {
				return hold, dropped
			}
			if no.Outcome == holdfast.SoldOut || no.Outcome == holdfast.SeatNotForYou {
				break
			}
			hope = hope || no.Outcome != holdfast.SeatSold
			if len(no.Near) == count {
				want = command.Want{Kind: command.WantSeats, Seats: no.Near} // what the answer offers instead
				continue
			}
			if want.Kind == command.WantSeats {
				want = b.click(count)
			}
			if !pause(ctx, comeBackMin+b.sometime(comeBackMax-comeBackMin)) {
				return hold, dropped
			}
		}
	}
	if hope {
		return heldUnits{}, gaveUp
	}
	return heldUnits{}, soldOut
}

// wishes are what the buyer asks for, one after the other.
func (b *buyer) wishes(count int) (wants []command.Want) {
	stand := func() {
		if len(b.general) > 0 {
			wants = append(wants, command.Want{Kind: command.WantGeneral, Section: b.general[b.rng.IntN(len(b.general))], Count: uint8(count)})
		}
	}
	best := func(tier holdfast.TierIndex, adjacent bool) {
		wants = append(wants, command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: tier, Count: uint8(count), Adjacent: adjacent})
	}
	switch kind := b.rng.IntN(100); {
	case kind < clickShare && len(b.rows) > 0:
		wants = append(wants, b.click(count))
	case kind < clickShare+generalShare:
		stand()
	default:
		best(holdfast.TierIndex(b.rng.IntN(len(b.event.Spec.Tiers))), true)
	}
	best(holdfast.AnyTier, true)
	best(holdfast.AnyTier, false)
	stand()
	return wants
}

// click chooses seats side by side on the map. The nearer to the front a row is, the more want it.
func (b *buyer) click(count int) command.Want {
	r := b.rows[int(float64(len(b.rows))*b.rng.Float64()*b.rng.Float64())]
	count = min(count, r.seats)
	from := r.first + holdfast.SeatIndex(b.rng.IntN(r.seats-count+1))
	want := command.Want{Kind: command.WantSeats}
	for i := range count {
		want.Seats = append(want.Seats, from+holdfast.SeatIndex(i))
	}
	return want
}

func (b *buyer) hold(ctx context.Context, want command.Want) (hold heldUnits, err error) {
	asked := time.Now()
	err = b.ask(ctx, func(ctx context.Context, id holdfast.CommandID) (err error) {
		sent := time.Now()
		hold.Hold, err = b.client.Hold(ctx, client.HoldRequest{ID: id, Event: b.event.EventRef, Buyer: b.id, Wants: []command.Want{want}})
		hold.until = sent.Add(hold.Remaining)
		return err
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds = append(b.holds, holdSample{asked.Sub(b.began), time.Since(asked)})
	return hold, err
}

func (b *buyer) giveBack(ctx context.Context, hold heldUnits) ending {
	err := b.ask(ctx, func(ctx context.Context, id holdfast.CommandID) error {
		return b.client.Release(ctx, client.HoldRef{ID: id, Event: b.event.EventRef, Buyer: b.id, Hold: hold.ID})
	})
	if err != nil {
		return b.refusedHold("release", hold, err)
	}
	return gaveBack
}

// pay begins a payment, waits for the provider, and has the hold sold.
func (b *buyer) pay(ctx context.Context, hold heldUnits) ending {
	attempts := holdfast.Attempt(1)
	if b.chance(declineShare) {
		attempts = 2
	}
	for attempt := holdfast.Attempt(1); attempt <= attempts; attempt++ {
		until := hold.until
		err := b.ask(ctx, func(ctx context.Context, id holdfast.CommandID) error {
			sent := time.Now()
			paying, err := b.client.BeginPayment(ctx, client.PaymentRequest{ID: id, Event: b.event.EventRef, Buyer: b.id, Hold: hold.ID, Attempt: attempt, Amount: hold.Amount})
			until = sent.Add(paying.Remaining)
			return err
		})
		if err != nil {
			return b.refusedHold("begin payment", hold, err)
		}
		hold.until = until
		pause(ctx, b.sometime(payMax)) // the provider; all but the last attempt are declined
	}
	times := 1
	if b.chance(twiceShare) {
		times = 2
	}
	for range times {
		var order client.Order
		err := b.ask(ctx, func(ctx context.Context, id holdfast.CommandID) (err error) {
			order, err = b.client.Sell(ctx, client.SellRequest{ID: id, Event: b.event.EventRef, Hold: hold.ID, As: command.SalePaid, Attempt: attempts,
				Amount: hold.Amount, Payment: fmt.Sprintf("pay_%x", b.id[8:])})
			return err
		})
		if err != nil {
			return b.refusedSale(hold, err)
		}
		if order.ID != hold.ID.Order() {
			b.promiseBroken("%s became %s", hold.ID, order.ID)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, told{Order: hold.ID.Order(), Buyer: b.id, Seats: hold.Seats, Amount: hold.Amount})
	b.live.soldSeats.Add(int64(len(hold.Seats)))
	return bought
}

// refusedSale notes a sale that was asked for and not told: if the answer never came, the order may exist.
func (b *buyer) refusedSale(hold heldUnits, err error) ending {
	how := b.refusedHold("sell", hold, err)
	if how == dropped {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.unsure[hold.ID] = true
	}
	return how
}

// refusedHold judges a no to a buyer who has a hold. The only right one is that its time is over, and then it must
// be: the shard's clock may stand still, but never run ahead.
func (b *buyer) refusedHold(what string, hold heldUnits, err error) ending {
	var no *client.Refusal
	if !errors.As(err, &no) {
		return dropped
	}
	if early := time.Until(hold.until); early > 0 || no.Outcome != holdfast.HoldLapsed {
		b.promiseBroken("%s: %s of %s, %v before its time was over", what, no.Outcome.String(), hold.ID, early.Round(time.Millisecond))
	}
	return lateToPay
}

func (b *buyer) promiseBroken(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = append(b.broken, fmt.Sprintf(format, args...))
}

// ask sends a request until there is an answer, yes or no, or the buyer's patience ends. When it may have happened it
// is sent with the same id again.
func (b *buyer) ask(ctx context.Context, send func(context.Context, holdfast.CommandID) error) error {
	var id holdfast.CommandID
	for deadline := time.Now().Add(buyerPatience); ; {
		err := send(ctx, id)
		var no *client.Refusal
		var failure *holdfast.Error
		switch {
		case err == nil:
			b.acknowledged()
			return nil
		case errors.As(err, &no):
			b.refusal(no.Outcome)
			if no.Outcome.Remembered() || time.Now().After(deadline) || !pause(ctx, comeBackMin) {
				return err
			}
			id = holdfast.CommandID{} // nothing was decided but about the id: ask with another
			continue
		case !errors.As(err, &failure):
			return err
		case failure.Kind == holdfast.Unknown:
			id = failure.Command
		}
		b.mu.Lock()
		b.failed[failure.Kind]++
		b.mu.Unlock()
		again := failure.Kind == holdfast.Unknown || failure.Kind == holdfast.Unavailable || failure.Kind == holdfast.Overloaded
		if !again || time.Now().After(deadline) || !pause(ctx, max(failure.RetryAfter, comeBackMin)) {
			return err
		}
	}
}

func (b *buyer) refusal(o holdfast.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused[o]++
}

func (b *buyer) acknowledged() {
	b.live.acked.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acks = append(b.acks, time.Since(b.began))
}

// writeGap is the longest time without an acknowledged claim that began before, or within gapSearch after, the given
// moment, and ended after it.
func (w *crowd) writeGap(at time.Duration) time.Duration {
	w.mu.Lock()
	acks := slices.Clone(w.acks)
	w.mu.Unlock()
	slices.Sort(acks)
	longest := time.Duration(0)
	for i := 1; i < len(acks); i++ {
		if acks[i] >= at && acks[i-1] <= at+gapSearch {
			longest = max(longest, acks[i]-acks[i-1])
		}
	}
	return longest
}

// gapSearch is how soon after a fault the gap that it tears must begin: answers that were on their way still arrive.
const gapSearch = 500 * time.Millisecond

// latencies are the median and the 99th percentile of holds, without those that were asked for around a fault.
func (w *crowd) latencies(around []faultOut) (p50, p99 float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var took []time.Duration
	for _, h := range w.holds {
		if !slices.ContainsFunc(around, func(f faultOut) bool { return f.touches(h) }) {
			took = append(took, h.took)
		}
	}
	return percentile(took, 50), percentile(took, 99)
}

// percentile gives the p-th percentile in milliseconds, 0 of nothing. It sorts what it is given.
func percentile(took []time.Duration, p int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*p/100].Microseconds()) / 1000
}

// answered counts who left with an answer, and dropped who left without.
func (w *crowd) answered() (answered, without int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for how, n := range w.ended {
		if ending(how) != dropped {
			answered += n
		}
	}
	return answered, w.ended[dropped]
}
