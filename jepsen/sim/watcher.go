package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
)

// watcher keeps a map of the seats by what one replica after the other says has changed, as a page in a browser does.
type watcher struct {
	world  *world
	random *rand.Rand

	mu       sync.Mutex
	states   []byte
	revision holdfast.Revision
}

const watchers = 2

// watch goes from node to node, whenever one breaks off or it has had enough of it.
func (w *watcher) watch(stop context.Context) {
	for i := w.random.IntN(Members); stop.Err() == nil; i++ {
		l := w.world.cluster.at(i % Members)
		if l == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(stop, time.Second+time.Duration(w.random.Int64N(int64(10*time.Second))))
		go func() {
			select {
			case <-l.gone:
				cancel()
			case <-ctx.Done():
			}
		}()
		from := holdfast.Revision(0)
		if w.revision > 0 {
			from = w.revision + 1
		}
		_ = l.node.Watch(ctx, Shard, w.world.event, from, func(c node.Changes) error { return w.take(l, c) }) // the next one will tell
		cancel()
		time.Sleep(time.Duration(w.random.Int64N(int64(20 * time.Millisecond))))
	}
}

// take takes what a node sends. What a dead or paused one says is not heard, or late.
func (w *watcher) take(l *life, c node.Changes) error {
	if !w.world.cluster.running(l) {
		return errLost
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.Revision < w.revision {
		w.world.cluster.fail("a watcher that was at revision %d was sent %d", w.revision, c.Revision)
	}
	w.revision = c.Revision
	if c.Cut {
		w.states = slices.Clone(c.States)
		return nil
	}
	for i, seat := range c.Seats {
		w.states[seat] = byte(c.SeatStates[i])
	}
	return nil
}

// checkWatchers compares what the watchers have with the shard's state, at the same revision.
func (w *world) checkWatchers(r *Report) {
	for i, watcher := range w.watchers {
		err := w.await("the watchers have seen everything", func() bool {
			for n := range Members {
				l := w.cluster.at(n)
				if l == nil {
					continue
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				cut, _, err := l.node.Cut(ctx, Shard, false)
				cancel()
				if err != nil {
					continue
				}
				states, revision, _ := cut.Seats(w.event)
				cut.Release()
				watcher.mu.Lock()
				defer watcher.mu.Unlock()
				if watcher.revision == revision && !slices.Equal(watcher.states, states) {
					r.violation("feed", "watcher %d has other seats than the shard at revision %d", i, revision)
				}
				return watcher.revision == revision
			}
			return false
		})
		if err != nil {
			r.violation("liveness", "watcher %d is at revision %d: %v", i, watcher.revision, err)
		}
	}
}
