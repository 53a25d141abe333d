package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Changes is what a watcher is sent: what has changed since the last, or a cut of everything.
type Changes struct {
	Stamp    ReadStamp
	Revision holdfast.Revision // of the event, after these
	// Cut says that States holds every unit, one byte each, at Revision: what the watcher had is void.
	Cut    bool
	States []byte
	// Seats are the units that changed, and SeatStates where they are now. A unit that moved more than once stands
	// there once.
	Seats      []holdfast.SeatIndex
	SeatStates []holdfast.SeatState
	Sale       holdfast.SaleState
	Line       *fsm.LineView // as it is now; nil: the event has no line
}

const (
	// feedChanges is how many changes a shard keeps for its watchers: who is further behind gets a cut. 2 MiB.
	feedChanges = 1 << 16
	// watchPause is the least time between two messages to one watcher; what happens meanwhile is put together.
	watchPause = 25 * time.Millisecond
	// watchMark is how long a watcher is left without a word when nothing happens: short enough that a page can say within
	// two seconds that the leader is lost.
	watchMark = 500 * time.Millisecond
	// watchPatience is how long a watcher waits for a replica that is behind what it has seen elsewhere.
	watchPatience = 5 * time.Second
)

// feed keeps the last changes of a shard. Applying adds to it without waiting for anybody; watchers copy from it.
type feed struct {
	mu     sync.RWMutex
	ring   []fsm.Change  // of feedChanges; the change with number n is at n modulo that
	next   uint64        // number of the next change
	waking chan struct{} // closed and made anew at each addition
	over   error         // set when the group ends
}

func newFeed() *feed { return &feed{waking: make(chan struct{})} }

// add takes the changes of one entry.
func (f *feed) add(changes []fsm.Change) {
	if len(changes) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ring == nil {
		f.ring = make([]fsm.Change, feedChanges)
	}
	if over := len(changes) - feedChanges; over > 0 {
		changes, f.next = changes[over:], f.next+uint64(over)
	}
	n := copy(f.ring[f.next%feedChanges:], changes)
	copy(f.ring, changes[n:])
	f.next += uint64(len(changes))
	f.wake()
}

func (f *feed) wake() {
	close(f.waking)
	f.waking = make(chan struct{})
}

// restart says that the machine was replaced: no change leads from what was to what is.
func (f *feed) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next += feedChanges + 1
	f.ring = nil
	f.wake()
}

// close ends every watch with err.
func (f *feed) close(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over == nil {
		f.over = err
	}
	f.wake()
}

// head is the number of the next change.
func (f *feed) head() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.next
}

// since copies changes from number from on, as many as fit, and gives the number of the next. ok is false when some of
// them are no longer kept. changed is closed when something is added to what there is now. Watchers share the lock, and
// hold it for some thousand bytes at a time: applying does not wait for them.
func (f *feed) since(from uint64, to []fsm.Change) (n int, changed <-chan struct{}, ok bool, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	switch {
	case f.over != nil:
		return 0, nil, false, f.over
	case f.next-from > feedChanges || f.ring == nil && f.next != from:
		return 0, f.waking, false, nil
	}
	n = int(min(f.next-from, uint64(len(to))))
	if at := from % feedChanges; n > 0 {
		n = copy(to[:n], f.ring[at:])
	}
	return n, f.waking, true, nil
}

// oldest is the number of the oldest change that is kept.
func (f *feed) oldest() uint64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.ring == nil {
		return f.next
	}
	return f.next - min(f.next, feedChanges)
}

// Watch sends what changes in an event, from its revision from on, until ctx ends, send fails, or the shard stops on
// this node. It begins with a cut when from is 0 or no longer kept. Any replica serves it, leader or not: the stamps say
// how old the news is. A watcher that is slow is not waited for: what it missed is put together, or replaced by a cut.
func (n *Node) Watch(ctx context.Context, shard holdfast.ShardID, event holdfast.EventID, from holdfast.Revision, send func(Changes) error) error {
	g, err := n.group(shard)
	if err != nil {
		return err
	}
	w := &watcher{group: g, event: event, send: send}
	if err := w.begin(ctx, from); err != nil {
		return err
	}
	for {
		changed, err := w.catchUp(ctx)
		if err != nil {
			return err
		}
		if err := w.wait(ctx, changed); err != nil {
			return err
		}
	}
}

// watcher is one Watch.
type watcher struct {
	group *group
	event holdfast.EventID
	send  func(Changes) error

	next     uint64            // number of the change that is looked at next
	revision holdfast.Revision // that was sent
	must     holdfast.Revision // that the changes which are kept must lead to; else they are too few
	sale     holdfast.SaleState
	changes  Changes                    // put together for the next message
	slots    map[holdfast.SeatIndex]int // where a unit is in it
	chunk    [512]fsm.Change
}

// begin finds where from is, waiting for a replica that is behind it, or sends a cut.
func (w *watcher) begin(ctx context.Context, from holdfast.Revision) error {
	if from == 0 {
		return w.cut(ctx)
	}
	w.revision = from - 1
	for patience := time.Now().Add(watchPatience); ; {
		behind, found := false, false
		_, err := w.group.applier.view(func(m machine) {
			seats, ok := m.(inventory)
			if !ok {
				return
			}
			var view fsm.EventView
			if view, found = seats.Event(w.event); found {
				w.next, behind, w.sale = w.group.feed.head(), view.Revision < w.revision, view.Sale
				if w.must = view.Revision; w.must > w.revision {
					w.next = w.group.feed.oldest() // catchUp skips what is older than revision
				}
			}
		})
		switch {
		case err != nil:
			return err
		case found && !behind:
			return nil
		}
		if err := w.later(ctx, patience, found); err != nil {
			return err
		}
	}
}

// later waits for a replica that is behind what the watcher has seen, or tells it to go to another one.
func (w *watcher) later(ctx context.Context, patience time.Time, found bool) error {
	switch late := time.Now().After(patience); {
	case late && found:
		return &holdfast.Error{Kind: holdfast.Unavailable, Op: "watch", Shard: w.group.shard, RetryAfter: electedAfter,
			Message: "this node is behind what you have seen; watch on another one"}
	case late:
		return w.unknown()
	}
	_, changed, _, err := w.group.feed.since(w.group.feed.head(), nil)
	if err != nil {
		return err
	}
	return pause(ctx, watchPause, changed)
}

func (w *watcher) unknown() error {
	return &holdfast.Error{Kind: holdfast.NotFound, Op: "watch", Shard: w.group.shard, Message: w.event.String() + " is not on this shard"}
}

// cut sends every unit's state, once the replica has come as far as the watcher: it may fall back, since the library
// takes over a snapshot that is older than what was applied, and applies the entries after it again.
func (w *watcher) cut(ctx context.Context) error {
	for patience := time.Now().Add(watchPatience); ; {
		var cut *fsm.Cut
		var line *fsm.LineView
		found := false
		at, err := w.group.applier.change(func(m machine) {
			seats, ok := m.(inventory)
			if !ok {
				return
			}
			var view fsm.EventView
			if view, found = seats.Event(w.event); found && view.Revision >= w.revision {
				cut, w.sale, line = seats.Cut(), view.Sale, w.line(seats)
			}
			w.next = w.group.feed.head()
		})
		switch {
		case err != nil:
			return err
		case cut != nil:
			states, revision, _ := cut.Seats(w.event)
			cut.Release()
			w.revision = revision
			return w.send(Changes{Stamp: w.group.stale(at), Revision: revision, Cut: true, States: states, Sale: w.sale, Line: line})
		case w.revision == 0:
			return w.unknown()
		}
		if err := w.later(ctx, patience, found); err != nil {
			return err
		}
	}
}

// catchUp sends what has changed. changed is closed when more has.
func (w *watcher) catchUp(ctx context.Context) (changed <-chan struct{}, err error) {
	w.changes.Seats, w.changes.SeatStates = w.changes.Seats[:0], w.changes.SeatStates[:0]
	clear(w.slots)
	whole, was := true, w.revision
	for n := -1; n != 0; w.next += uint64(n) {
		var ok bool
		if n, changed, ok, err = w.group.feed.since(w.next, w.chunk[:]); err != nil {
			return nil, err
		}
		whole = whole && ok
		for i := range w.chunk[:n] {
			whole = w.note(&w.chunk[i]) && whole
		}
	}
	if !whole || w.revision < w.must {
		w.revision = was
		return changed, w.cut(ctx)
	}
	if w.revision == was {
		return changed, nil
	}
	return changed, w.tell()
}

// note takes a change in. It is false when there was one before it that was missed.
func (w *watcher) note(change *fsm.Change) bool {
	if change.Event != w.event || change.Revision <= w.revision {
		return true
	}
	follows := change.Revision == w.revision+1
	w.revision, w.sale = change.Revision, change.Sale
	if change.Seat != fsm.NoSeat {
		w.put(change.Seat, change.State)
	}
	return follows
}

// put notes where a unit is now.
func (w *watcher) put(seat holdfast.SeatIndex, state holdfast.SeatState) {
	c := &w.changes
	if i, ok := w.slots[seat]; ok {
		if planted.Is(planted.FeedGap) {
			return
		}
		c.SeatStates[i] = state
		return
	}
	if w.slots == nil {
		w.slots = map[holdfast.SeatIndex]int{}
	}
	w.slots[seat] = len(c.Seats)
	c.Seats, c.SeatStates = append(c.Seats, seat), append(c.SeatStates, state)
}

// tell sends what catchUp put together, or nothing but where the replica is.
func (w *watcher) tell() error {
	var line *fsm.LineView
	at, err := w.group.applier.view(func(m machine) {
		if seats, ok := m.(inventory); ok {
			line = w.line(seats)
		}
	})
	if err != nil {
		return err
	}
	c := &w.changes
	return w.send(Changes{Stamp: w.group.stale(at), Revision: w.revision, Sale: w.sale, Line: line,
		Seats: slices.Clone(c.Seats), SeatStates: slices.Clone(c.SeatStates)})
}

// line is the event's line, if it has one.
func (w *watcher) line(m inventory) *fsm.LineView {
	if v, ok := m.Line(w.event); ok {
		return &v
	}
	return nil
}

// wait waits for the next change, at least for the watcher's pause, and sends a mark when nothing comes.
func (w *watcher) wait(ctx context.Context, changed <-chan struct{}) error {
	if err := pause(ctx, watchPause, nil); err != nil {
		return err
	}
	mark := time.NewTimer(watchMark - watchPause)
	defer mark.Stop()
	select {
	case <-changed:
		return nil
	case <-mark.C:
		w.changes.Seats, w.changes.SeatStates = w.changes.Seats[:0], w.changes.SeatStates[:0]
		return w.tell()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause waits for so long, or until early is closed.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
