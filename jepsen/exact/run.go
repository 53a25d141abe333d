package exact

import (
	"context"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Outcome is what came of a play.
type Outcome struct {
	Hash     uint64        // of the trace
	Lasted   time.Duration // virtual time
	Counts   Counts
	Violated *Violation // nil: everything held
	Trace    []string   // when it was asked for
}

// Options say how to play.
type Options struct {
	Plant Plant // a deliberate fault
	Trace bool  // keep the trace for people
}

// restWithin is how long after the last fault everything has to be settled: the longest deadline, and the longest pause before a
// try that failed because of a fault.
const restWithin = 5 * time.Minute

// Play plays a plan. It is a function: the same plan gives the same outcome.
func Play(p Plan, o Options) Outcome {
	w := &world{plan: p, plant: o.Plant, ctx: context.Background(), hash: hashBasis, telling: o.Trace, books: newBooks(), times: map[uint64]uint64{}}
	defer w.close()
	w.play()
	return Outcome{Hash: w.hash, Lasted: w.now, Counts: w.counts, Violated: w.failed, Trace: w.lines}
}

func (w *world) play() {
	defer func() {
		if r := recover(); r != nil {
			w.crash(r)
		}
	}()
	w.bank, w.shard = newBank(w), newShard(w)
	w.workers = make([]*worker, 2)
	for place := range w.workers {
		w.startWorker(place, 0)
	}
	for _, name := range []string{"front1", "front2"} {
		w.edges = append(w.edges, w.newCaller(name, 1<<40+uint64(len(w.edges))))
	}
	w.shard.elect(0)
	w.open()
	last := w.now
	for i, s := range w.plan.Steps {
		w.after(s.At, func() {
			if s.Kind == Buyer {
				w.visit(i+1, s)
			} else {
				w.strike(s)
			}
		})
		last = max(last, w.now+s.At+s.For)
	}
	w.run(last)
	for end := last + restWithin; w.failed == nil && !w.atRest(); {
		if w.now > end {
			w.fail(CheckLiveness, "%v after the last fault %d visits are under way, and the shard has %+v", restWithin, w.active, w.shard.machine.Stats())
		}
		w.run(w.now + time.Second)
	}
	if w.failed == nil {
		w.final()
	}
}

// open describes the event and opens its sale, before anything goes wrong.
func (w *world) open() {
	p := w.plan
	ms := func(d time.Duration) uint32 { return uint32(d.Milliseconds()) }
	spec := command.EventSpec{Name: "exact", Currency: theCurrency, Tiers: []command.Tier{{Name: "one", PriceMinor: 5000}},
		Sections: []command.Section{{Name: "row", Rows: []command.Row{{Label: "A", First: 1, Seats: uint16(p.Places), Tier: holdfast.AnyTier}}},
			{Name: "floor", Places: uint32(p.Places+1) / 2}},
		Rules: command.Rules{HoldTTLMs: ms(p.HoldFor), PayWindowMs: ms(p.PayFor), SkipCoolDown: true, ManyOpenHolds: p.ManyHolds,
			SeatsPerBuyer: uint16(p.Most)},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: theAccount, FeePerUnitMinor: 150, TaxBps: 1900, TaxIncluded: true, LeastMinor: 50,
			KeepFees: p.KeepFees, PayAgainMs: ms(p.AgainFor), AtOnceMs: ms(p.PayFor)}}
	done := false
	w.spawn("organizer", dice(p.Seed, 6), func(f *fiber) {
		for _, cmd := range []command.Command{&command.PutEvent{Spec: spec}, &command.SetSale{State: holdfast.SaleOpen}} {
			if r, failure := w.edges[0].decide(f, &request{}, cmd); failure != nil || r.Outcome != holdfast.OK {
				w.fail("setting", "the sale cannot be opened: %v %v", r.Outcome, failure)
			}
		}
		done = true
	})
	for !done && w.failed == nil {
		w.run(w.now + time.Second)
	}
}
