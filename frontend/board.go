package frontend

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// board is what this frontend knows of one event: one watch, shared by all who look. Polls, pages and streams read it;
// none of them asks the cluster.
type board struct {
	mu       sync.RWMutex // guards what follows
	event    client.Event // the description, as it was read last
	geometry *geometry    // what follows from it
	states   []holdfast.SeatState
	revision holdfast.Revision
	sale     holdfast.SaleState
	sections []client.Counts
	tiers    []client.Counts
	clock    holdfast.Clock // the shard's hold clock at the last word
	clockAt  time.Time
	news     []piece           // the last changes, by revision
	newsFrom holdfast.Revision // everything after it is in news
	newsUnit int               // units in news
	changed  chan struct{}
	rendered seatsDoc

	quietMax time.Duration

	line     atomic.Pointer[lineNow] // nil: nothing is known yet
	heard    atomic.Int64            // Unix nanoseconds: when a member that told us had last heard from the leader
	watchers atomic.Int64            // streams open on this event
	outflow  outflow
}

// piece is what one message of the watch changed, kept so that streams resume from where they were.
type piece struct {
	revision holdfast.Revision
	seats    []holdfast.SeatIndex
	states   []holdfast.SeatState
	sale     bool // the sale's state changed
	line     bool // the line's summary changed
}

// newsMax and newsUnitsMax bound what is kept for streams that resume: some seconds of a hot sale. Who is further
// behind is told to read the map again.
const (
	newsMax      = 2048
	newsUnitsMax = 1 << 16
)

// seatsDoc is the map's states as they were rendered last.
type seatsDoc struct {
	revision holdfast.Revision
	at       time.Time
	body     []byte
}

const (
	// quietMax is the default of Config.QuietMax. Members say something every half second. From the death of a leader to
	// the words on the page it takes this, flipsEvery, and the half second over which browsers ask: two seconds in all.
	quietMax = 1200 * time.Millisecond
	// flipsEvery is how often it is looked whether the leader was lost, or is there again: nothing comes that would say it.
	flipsEvery = 100 * time.Millisecond
)

func newBoard(event client.Event, quiet time.Duration, now time.Time) *board {
	b := &board{quietMax: quiet, event: event, geometry: newGeometry(event), sale: event.Sale, changed: make(chan struct{})}
	if event.Line != nil {
		b.line.Store(lineNowOf(event.Line))
	}
	b.heard.Store(now.UnixNano())
	b.recount()
	return b
}

// follow keeps the board true until ctx ends. The watch goes from member to member by itself; it ends only by failures
// that no other member can mend, and then it is begun again after a pause.
func (b *board) follow(ctx context.Context, c *client.Client, ref client.EventRef, now func() time.Time) {
	for ctx.Err() == nil {
		b.mu.RLock()
		from := b.revision
		known := b.states != nil
		b.mu.RUnlock()
		if known {
			from++
		} else {
			from = 0
		}
		for changes, err := range c.Watch(ctx, ref, from) {
			if err != nil {
				break
			}
			b.take(changes, now())
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

// watchAgain is how long after a watch that failed for good another is begun.
const watchAgain = time.Second

// leaderless reports whether no member that is in touch with the leader has told us anything for a while.
func (b *board) leaderless(now time.Time) bool {
	return now.Sub(time.Unix(0, b.heard.Load())) > b.quietMax
}

// watchLeader wakes the streams when the leader is lost, and when it is there again, until ctx ends.
func (b *board) watchLeader(ctx context.Context, now func() time.Time) {
	tick := time.NewTicker(flipsEvery)
	defer tick.Stop()
	for was := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if is := b.leaderless(now()); is != was {
			was = is
			b.mu.Lock()
			b.wake()
			b.mu.Unlock()
		}
	}
}

// staleMax is how long a member may be without its leader until its word counts as old.
const staleMax = 1200 * time.Millisecond

// take enters what the watch says.
func (b *board) take(c client.Changes, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := now.Add(-c.Stamp.Stale).UnixNano(); c.Stamp.Stale >= 0 && at > b.heard.Load() {
		b.heard.Store(at)
	}
	if c.Stamp.Clock > b.clock {
		b.clock, b.clockAt = c.Stamp.Clock, now
	}
	p := piece{revision: c.Revision, sale: c.Sale != b.sale, line: b.takeLine(c, now)}
	b.sale = c.Sale
	switch {
	case c.Cut:
		// What streams have seen has no connection with what comes now.
		b.states, b.news, b.newsUnit = c.States, nil, 0
		b.recount()
		b.revision, b.newsFrom = c.Revision, c.Revision
		b.wake()
		return
	case c.Revision < b.revision:
		return
	}
	p.seats, p.states = c.Seats, make([]holdfast.SeatState, len(c.Seats))
	for i, unit := range c.Seats {
		p.states[i] = b.geometry.shown(unit, c.SeatStates[i])
		if int(unit) < len(b.states) {
			b.count(unit, b.states[unit], -1)
			b.states[unit] = c.SeatStates[i]
			b.count(unit, b.states[unit], 1)
		}
	}
	b.revision = c.Revision
	if len(p.seats) > 0 || p.sale || p.line {
		b.remember(p)
		b.wake()
	}
}

// takeLine enters what the watch says of the line. It reports whether that is anything new. b.mu is held.
func (b *board) takeLine(c client.Changes, now time.Time) bool {
	if c.Line == nil {
		return false
	}
	l := lineNowOf(c.Line)
	old := b.line.Load()
	if l.drawn {
		b.outflow.see(now, uint64(l.served), whyStanding(c, b))
	}
	if old != nil && *old == *l {
		return false
	}
	b.line.Store(l)
	return true
}

func lineNowOf(l *client.LineSummary) *lineNow {
	return &lineNow{state: l.State, paused: l.Paused, issued: l.Issued, served: l.Served, sessions: l.Sessions, returns: l.Returns, round: l.Round,
		cohort: l.Cohort, commitment: l.Commitment, chain: l.Chain, seed: l.Seed, drawn: l.DrawnMs != 0}
}

// whyStanding says why nobody is called at the moment, if there is a reason that is known.
func whyStanding(c client.Changes, b *board) waitCause {
	switch {
	case c.Stamp.Stale > staleMax:
		return causeNoLeader
	case c.Line.Paused || c.Sale == holdfast.SalePaused:
		return causePaused
	case b.states != nil && stockOf(b.sections).free == 0:
		return causeStock
	}
	return causeNone
}

func (b *board) remember(p piece) {
	b.news = append(b.news, p)
	b.newsUnit += len(p.seats)
	drop := 0
	for len(b.news)-drop > newsMax || b.newsUnit > newsUnitsMax && len(b.news)-drop > 1 {
		b.newsUnit -= len(b.news[drop].seats)
		b.newsFrom = b.news[drop].revision
		drop++
	}
	if drop > 0 {
		b.news = slices.Delete(b.news, 0, drop)
	}
}

// wake tells the streams that something is new. b.mu is held.
func (b *board) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// recount counts the units anew. b.mu is held, or b is nobody else's yet.
func (b *board) recount() {
	b.sections = make([]client.Counts, len(b.event.Spec.Sections))
	b.tiers = make([]client.Counts, len(b.event.Spec.Tiers))
	for unit, state := range b.states {
		b.count(holdfast.SeatIndex(unit), state, 1)
	}
}

func (b *board) count(unit holdfast.SeatIndex, state holdfast.SeatState, by int) {
	section, tier, ok := b.geometry.of(unit)
	if !ok {
		return // of a description that is to be read still
	}
	state = b.geometry.shown(unit, state)
	tally(&b.sections[section], state, by)
	tally(&b.tiers[tier], state, by)
}

func tally(n *client.Counts, state holdfast.SeatState, by int) {
	switch state {
	case holdfast.Free:
		n.Free += by
	case holdfast.Held:
		n.Held += by
	case holdfast.Paying:
		n.Paying += by
	case holdfast.Sold:
		n.Sold += by
	default:
		n.Blocked += by
	}
}

// describe takes a description that was read anew.
func (b *board) describe(event client.Event) {
	b.mu.RLock()
	old := b.event
	b.mu.RUnlock()
	if event.Version <= old.Version {
		return // the same, or an old member's
	}
	g := newGeometry(event)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.event, b.geometry = event, g
	b.recount()
}

// view is what a page or a document about the event is made from.
type view struct {
	event      client.Event
	sale       holdfast.SaleState
	revision   holdfast.Revision
	geometry   *geometry
	sections   []client.Counts
	tiers      []client.Counts
	stock      stock
	line       *lineNow
	leaderless bool // see board.leaderless
	current    bool // the states of the units are known
}

func (b *board) look(now time.Time) view {
	b.mu.RLock()
	defer b.mu.RUnlock()
	v := view{event: b.event, geometry: b.geometry, sale: b.sale, revision: b.revision, line: b.line.Load(), current: b.states != nil,
		sections: slices.Clone(b.sections), tiers: slices.Clone(b.tiers), leaderless: b.leaderless(now)}
	if !v.current {
		v.sale, v.revision = b.event.Sale, b.event.Revision
		copy(v.sections, b.event.Sections)
		copy(v.tiers, b.event.Tiers)
	}
	v.stock = b.stock()
	return v
}

func stockOf(sections []client.Counts) (s stock) {
	for _, n := range sections {
		s.free += n.Free
		s.held += n.Held
		s.paying += n.Paying
		s.sold += n.Sold
	}
	return s
}

// remaining is how long it is until an instant on the hold clock, as a page should count it down. The clock that was
// heard last is carried on for as long as the shard has a leader; in between it stands, and so does every deadline.
func (b *board) remaining(until holdfast.Clock, now time.Time) time.Duration {
	b.mu.RLock()
	defer b.mu.RUnlock()
	passed := min(max(now.Sub(b.clockAt), 0), staleMax)
	return b.clock.Add(passed).Until(until)
}

// glance is look without what only pages need: it is what a poll costs.
func (b *board) glance(now time.Time) view {
	b.mu.RLock()
	defer b.mu.RUnlock()
	v := view{event: b.event, sale: b.sale, revision: b.revision, line: b.line.Load(), current: b.states != nil, stock: b.stock(),
		leaderless: b.leaderless(now)}
	if !v.current {
		v.sale = b.event.Sale
	}
	return v
}

// stock counts what is left. b.mu is held.
func (b *board) stock() stock {
	if b.states == nil {
		return stockOf(b.event.Allocations[:1]) // public
	}
	return stockOf(b.sections)
}

// seatsEvery is how often the states of all units are written out at most: a document of a million units takes some
// milliseconds, and who wants to know more at once has the stream.
const seatsEvery = 200 * time.Millisecond

// seats gives the document with the states of all units, and its revision; nil while nothing is known.
func (b *board) seats(now time.Time) ([]byte, holdfast.Revision) {
	b.mu.RLock()
	doc, revision := b.rendered, b.revision
	b.mu.RUnlock()
	if doc.body != nil && (doc.revision == revision || now.Sub(doc.at) < seatsEvery) {
		return doc.body, doc.revision
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.states == nil {
		return nil, 0
	}
	if b.rendered.body != nil && (b.rendered.revision == b.revision || now.Sub(b.rendered.at) < seatsEvery) {
		return b.rendered.body, b.rendered.revision // somebody was quicker
	}
	b.rendered = seatsDoc{revision: b.revision, at: now, body: b.geometry.appendSeatsDoc(nil, b.revision, b.sale, b.states)}
	return b.rendered.body, b.rendered.revision
}

// since gives what changed after a revision, or false when that is no longer known, and a channel that is closed when
// there is more.
func (b *board) since(revision holdfast.Revision) (news []piece, now holdfast.Revision, more <-chan struct{}, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.states == nil {
		return nil, 0, b.changed, revision == 0
	}
	at, _ := slices.BinarySearchFunc(b.news, revision+1, func(p piece, r holdfast.Revision) int {
		switch {
		case p.revision < r:
			return -1
		case p.revision > r:
			return 1
		}
		return 0
	})
	// Who has seen more, at another frontend, waits until we are there.
	return slices.Clone(b.news[at:]), b.revision, b.changed, revision >= b.newsFrom
}
