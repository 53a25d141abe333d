package client_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
)

// watcher keeps what a watch says, as a page that shows the seats would.
type watcher struct {
	t        *testing.T
	next     func() (client.Changes, error, bool)
	revision holdfast.Revision
	states   []holdfast.SeatState
}

func watch(t *testing.T, c *client.Client, event client.EventRef, from holdfast.Revision) *watcher {
	next, stop := iter.Pull2(c.Watch(t.Context(), event, from))
	t.Cleanup(stop)
	return &watcher{t: t, next: next}
}

// until takes changes until one has led to the revision.
func (w *watcher) until(revision holdfast.Revision) {
	w.t.Helper()
	for w.revision < revision {
		changes, err, ok := w.next()
		if !ok || err != nil {
			w.t.Fatalf("the watch ended: %v", err)
		}
		if changes.Revision < w.revision {
			w.t.Errorf("revision %d after %d", changes.Revision, w.revision)
		}
		w.revision = changes.Revision
		if changes.Cut {
			w.states = changes.States
		}
		for i, seat := range changes.Seats {
			w.states[seat] = changes.SeatStates[i]
		}
	}
}

func TestAWatchIsWhatASeatMapIs(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	w := watch(t, c, event, 0)
	for seat := range holdfast.SeatIndex(6) {
		hold(t, c, event, holdfast.BuyerID{byte(seat)}, seat)
		if seat%2 == 1 {
			cluster.EndWatches()
			cluster.StepDown()
		}
		now, err := c.Seats(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		w.until(now.Revision)
		for i := range now.States {
			if w.states[i] != now.States[i] {
				t.Fatalf("at revision %d unit %d is %v, and %v to the watcher", now.Revision, i, now.States[i], w.states[i])
			}
		}
	}
}

func TestAWatchGoesOnFromARevision(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	before, err := c.Seats(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	hold(t, c, event, anna, 3, 4)
	next, stop := iter.Pull2(c.Watch(t.Context(), event, before.Revision+1))
	defer stop()
	changes, err, _ := next()
	if err != nil || changes.Cut || len(changes.Seats) != 2 || changes.Revision != before.Revision+2 {
		t.Errorf("the first changes are %+v, %v", changes, err)
	}
}

func TestAWatchEnds(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for changes, err := range c.Watch(ctx, event, 0) {
		if last = err; changes.Cut {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a watch whose context ended gave %v", last)
	}
	for _, err := range c.Watch(t.Context(), client.EventRef{ID: 77, Shard: event.Shard}, 0) {
		last = err
	}
	if !errors.Is(last, holdfast.NotFound) {
		t.Errorf("a watch of no event gave %v", last)
	}
}
