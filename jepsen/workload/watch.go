package workload

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// watch: a small house that changes all the time, and watchers who come and go: what they are told must be what strict
// and stale reads show at the same revision, without a gap.
var watch = Workload{
	Name: "watch", What: "feeds of changes, beside strict and stale reads of the same house",
	Start: func(ctx context.Context, e *Env) (Job, error) {
		rules := command.Rules{HoldTTLMs: 2000, PayWindowMs: 2000, SkipCoolDown: true}
		c, err := open(ctx, e, "watch", command.EventSpec{Rules: rules, Sections: []command.Section{{Name: "floor", Rows: rows(4)}}})
		if err != nil {
			return nil, err
		}
		j := newWatchJob(c, 3)
		c.work(2, (*worker).stir)
		return j, nil
	},
}

// newWatchJob has so many watchers look on.
func newWatchJob(c *crowd, watchers int) *watchJob {
	j := &watchJob{crowd: c}
	j.ctx, j.stop = context.WithCancel(context.Background())
	for i := range watchers {
		w := &watcher{job: j, number: i + 1, random: rand.New(rand.NewPCG(c.Seed, 1000+uint64(i)))}
		j.watchers = append(j.watchers, w)
		j.watching.Go(w.run)
	}
	return j
}

type watchJob struct {
	*crowd
	ctx      context.Context
	stop     context.CancelFunc
	watchers []*watcher
	watching sync.WaitGroup
}

// Finish lets the watchers see the end first.
func (j *watchJob) Finish(ctx context.Context) (*history.History, error) {
	h, err := j.crowd.Finish(ctx)
	if err == nil {
		err = j.await(ctx, h)
	}
	j.stop()
	j.watching.Wait()
	for _, w := range j.watchers {
		h.Changes = append(h.Changes, w.changes...)
	}
	slices.SortStableFunc(h.Changes, func(a, b history.Change) int { return int(a.At - b.At) })
	return h, err
}

// await waits until every watcher has come to the revision that was read. One that does not is found by its changes.
func (j *watchJob) await(ctx context.Context, h *history.History) error {
	patience, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for _, w := range j.watchers {
		for w.at() < h.Final.Revision && patience.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return ctx.Err()
}

// watcher follows the event with one watch after the other.
type watcher struct {
	job    *watchJob
	number int
	random *rand.Rand

	mu       sync.Mutex
	revision holdfast.Revision
	changes  []history.Change
}

func (w *watcher) at() holdfast.Revision {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision
}

func (w *watcher) run() {
	for w.job.ctx.Err() == nil {
		from := holdfast.Revision(0)
		if r := w.at(); r > 0 && w.random.IntN(5) > 0 { // else it begins anew
			from = r + 1
		}
		ctx, cancel := context.WithTimeout(w.job.ctx, time.Duration(1+w.random.IntN(5))*time.Second)
		for c, err := range w.job.Client.Watch(ctx, w.job.event, from) {
			if err != nil {
				break
			}
			change := history.Change{Watcher: w.number, Anew: from == 0, At: w.job.now(), Revision: c.Revision, Cut: c.Cut, Seats: clone(c.Seats), States: slices.Clone(c.SeatStates)}
			if c.Cut {
				change.Seats, change.States = nil, slices.Clone(c.States)
			}
			from = c.Revision
			w.mu.Lock()
			w.revision = c.Revision
			w.changes = append(w.changes, change)
			w.mu.Unlock()
		}
		cancel()
		time.Sleep(time.Millisecond)
	}
}

// stir changes something, and looks now and then.
func (w *worker) stir() {
	first, buyer := w.random.IntN(400-4), w.buyer()
	var some []holdfast.SeatIndex
	for i := range 1 + w.random.IntN(4) {
		some = append(some, holdfast.SeatIndex(first+i))
	}
	got := w.do([]history.Operation{{Kind: history.Hold, Buyer: buyer, Seats: some}},
		[]command.Command{&command.Hold{Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: some}}}})
	if len(got) == 1 && got[0].Outcome == holdfast.OK && w.random.IntN(3) > 0 {
		w.do([]history.Operation{{Kind: history.Release, Hold: got[0].Hold, Buyer: buyer, Seats: got[0].Seats}},
			[]command.Command{&command.Release{Buyer: buyer, Hold: got[0].Hold}})
	}
	w.glance()
	w.rest(15 * time.Millisecond)
}

// glance reads the whole house now and then, strictly or not.
func (w *worker) glance() {
	switch w.random.IntN(6) {
	case 0:
		w.sight(false)
	case 1:
		w.sight(true)
	}
}
