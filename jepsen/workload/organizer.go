package workload

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// organizer: an event that is changed by two organizers at a time while it sells: seats and places are taken off sale and
// put back, the sale is paused, goes on and ends, prices and rules change, rows and places are added. Buyers name seats,
// leave the choice, want several things at once, and swap. Watchers look on.
var organizer = Workload{
	Name: "organizer", What: "organizers who block, pause, reprice and enlarge an event while buyers buy and swap",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		rules := lasting()
		rules.SeatsPerBuyer, rules.ManyOpenHolds = 12, true
		n := 4 + int(e.Length.Seconds())/2
		c, err := open(ctx, e, "organizer", command.EventSpec{Rules: rules, Sections: []command.Section{
			{Name: "floor", Rows: rows(n)},
			{Name: "circle", Rows: rows(1)},         // sells out, and grows
			{Name: "pit", Places: uint32(60 + 4*n)}, // left alone by organizers: a counter
			{Name: "hill", Places: uint32(60 + 4*n)},
		}})
		if err != nil {
			return nil, err
		}
		o := &organized{seatsCrowd{c, seatsOptions{batch: 6}, n * 100}}
		j := newWatchJob(c, 2)
		c.work(3, func(w *worker) {
			w.waver(o.options.batch, o.hold, o.other)
			w.glance()
			w.rest(15 * time.Millisecond)
		})
		c.work(2, o.change)
		return j, nil
	},
}

// The sections that the organizer has.
const (
	floor holdfast.SectionIndex = iota
	circle
	pit
	hill
)

type organized struct{ seatsCrowd }

// hold draws one of the ways to want something.
func (c *organized) hold(w *worker) (history.Operation, command.Command) {
	buyer, seats := w.sharedBuyer(4), c.wanted(w)
	named := history.Best{Count: len(seats), Seats: seats}
	general := func(s holdfast.SectionIndex) history.Best {
		return history.Best{Count: 1 + w.random.IntN(3), Section: s, Tier: holdfast.AnyTier, General: true}
	}
	together := history.Best{Count: 1 + w.random.IntN(3), Section: circle, Tier: holdfast.AnyTier, Adjacent: w.random.IntN(2) == 0}
	var wants []history.Best
	switch w.random.IntN(6) {
	case 0: // seats for some, places for the others
		wants = []history.Best{named, general(pit)}
	case 1:
		wants = []history.Best{together, general(hill)}
	case 2:
		wants = []history.Best{general(pit), general(hill)}
	case 3:
		wants = []history.Best{together}
	default:
		return history.Operation{Kind: history.Hold, Buyer: buyer, Seats: seats},
			&command.Hold{Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: seats}}}
	}
	cmd := &command.Hold{Buyer: buyer}
	for _, b := range wants {
		cmd.Wants = append(cmd.Wants, want(b))
	}
	return history.Operation{Kind: history.Hold, Buyer: buyer, Best: &wants[0], Also: wants[1:]}, cmd
}

// other is seats, or places that the shard chooses.
func (c *organized) other(w *worker) ([]holdfast.SeatIndex, *history.Best) {
	if w.random.IntN(3) > 0 {
		return c.wanted(w), nil
	}
	sections := []holdfast.SectionIndex{circle, pit, hill}
	b := history.Best{Count: 1 + w.random.IntN(4), Section: sections[w.random.IntN(3)], Tier: holdfast.AnyTier}
	b.General = b.Section != circle
	b.Adjacent = !b.General && w.random.IntN(2) == 0
	return nil, &b
}

// change is what an organizer does next.
func (c *organized) change(w *worker) {
	switch n := w.random.IntN(20); {
	case w.Length-w.now() < 500*time.Millisecond:
		w.setSale(holdfast.SaleClosed)
	case n < 3:
		w.setSale(holdfast.SalePaused)
		w.rest(50 * time.Millisecond)
		w.setSale(holdfast.SaleOpen)
	case n < 6:
		c.enlarge(w)
	default:
		c.block(w)
	}
	w.rest(40 * time.Millisecond)
}

func (w *worker) setSale(to holdfast.SaleState) {
	w.do([]history.Operation{{Kind: history.SetSale, Sale: to}}, []command.Command{&command.SetSale{State: to}})
}

// block takes some seats off sale that buyers want now, or places, and mostly puts them back a moment later.
func (c *organized) block(w *worker) {
	units := c.wanted(w)
	if w.random.IntN(3) == 0 {
		for _, b := range c.head.House {
			if b.Section == hill {
				units = []holdfast.SeatIndex{b.First + holdfast.SeatIndex(w.random.IntN(b.Count))}
			}
		}
	}
	got := w.do([]history.Operation{{Kind: history.TakeOff, Seats: units}}, []command.Command{&command.Block{Seats: units}})
	w.rest(60 * time.Millisecond)
	if len(got) == 1 && got[0].Outcome == holdfast.OK && w.random.IntN(4) > 0 {
		w.do([]history.Operation{{Kind: history.PutBack, Seats: units}}, []command.Command{&command.Block{Unblock: true, Seats: units}})
	}
}

// prices are few, so that holds of all of them are there at a time.
var prices = []int64{price, price + 500, price + 1000}

// enlarge changes prices, rules and the house, as the event was when it was read. Of two organizers who do so at the same
// time one is refused.
func (c *organized) enlarge(w *worker) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	e, err := w.Client.Event(ctx, w.event)
	if err != nil {
		return // a read that fails tells nothing
	}
	spec := e.Spec
	spec.Title = fmt.Sprintf("at %v by %d", w.now(), w.number)
	spec.Tiers = slices.Clone(spec.Tiers)
	spec.Tiers[0].PriceMinor = prices[w.random.IntN(len(prices))]
	spec.Rules.HoldTTLMs = command.TimeMsMax - uint32(w.random.IntN(3))*60_000
	units := holdfast.SeatIndex(spec.Units())
	var grown []history.Block
	add := func(n int, section holdfast.SectionIndex) {
		grown = append(grown, history.Block{First: units, Count: n, Section: section, General: section == hill})
		units += holdfast.SeatIndex(n)
	}
	spec.Sections = slices.Clone(spec.Sections)
	if w.random.IntN(3) == 0 && len(spec.Sections[circle].Rows) < 200 {
		s := &spec.Sections[circle]
		s.Rows = append(slices.Clone(s.Rows), command.Row{Label: fmt.Sprint(len(s.Rows) + 1), First: 1, Seats: 10, Tier: holdfast.AnyTier})
		add(10, circle)
	}
	if w.random.IntN(3) == 0 {
		spec.Sections[hill].Places += 5
		add(5, hill)
	}
	w.do([]history.Operation{{Kind: history.Put, Put: &history.Description{Expect: e.Version, Price: spec.Tiers[0].PriceMinor,
		HoldTTL: milliseconds(spec.Rules.HoldTTLMs), Grown: grown}}}, []command.Command{&command.PutEvent{Expect: e.Version, Spec: spec}})
}
