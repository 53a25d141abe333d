package frontend

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// room is what this frontend knows of one event, and does for it.
type room struct {
	ref   client.EventRef
	board *board
	door  *door

	pollKey []byte // of this event's tokens
	workKey []byte // of this event's challenges

	used   atomic.Int64 // Unix seconds, when somebody asked last
	cancel context.CancelFunc
}

// rooms are the events that somebody looks at. A room is opened when it is asked for first, and closed when nobody has
// asked for a while; its watch is the one thing that it costs the cluster.
type rooms struct {
	s *Server

	mu     sync.RWMutex // guards what follows
	byName map[string]*room
	byID   map[holdfast.EventID]*room
	opens  map[string]*opening

	known *known
}

// opening is a room that is being opened, for all who wait for it.
type opening struct {
	done chan struct{}
	room *room
	err  error
}

const (
	// roomsMax bounds the events that one frontend watches at once. One more closes the one that was asked for least
	// lately, if nobody looks at it.
	roomsMax = 512
	// roomIdle is how long a room stays open that nobody asks for.
	roomIdle = 10 * time.Minute
	// describeEvery is how often an event's description is read again: prices and rules may change while it sells.
	describeEvery = 5 * time.Second
	askTimeout    = 5 * time.Second
)

// named gives an event's room by its name in addresses, or its number.
func (r *rooms) named(ctx context.Context, name string) (*room, error) {
	r.mu.RLock()
	found := r.byName[name]
	if id, err := holdfast.ParseEventID(name); err == nil && found == nil {
		found = r.byID[id]
	}
	r.mu.RUnlock()
	if found == nil {
		event, err := r.known.named(ctx, name)
		if err != nil {
			return nil, err
		}
		if found, err = r.open(ctx, event.EventRef); err != nil {
			return nil, err
		}
	}
	found.used.Store(r.s.now().Unix())
	return found, nil
}

// numbered gives an event's room by its number.
func (r *rooms) numbered(ctx context.Context, id holdfast.EventID) (*room, error) {
	r.mu.RLock()
	found := r.byID[id]
	r.mu.RUnlock()
	if found != nil {
		found.used.Store(r.s.now().Unix())
		return found, nil
	}
	return r.named(ctx, id.String())
}

// open opens a room, once for all who ask at the same time.
func (r *rooms) open(ctx context.Context, ref client.EventRef) (*room, error) {
	r.mu.Lock()
	if found := r.byName[ref.Name]; found != nil {
		r.mu.Unlock()
		return found, nil
	}
	o := r.opens[ref.Name]
	if o == nil {
		o = &opening{done: make(chan struct{})}
		if r.opens == nil {
			r.opens, r.byName, r.byID = map[string]*opening{}, map[string]*room{}, map[holdfast.EventID]*room{}
		}
		r.opens[ref.Name] = o
		r.s.wg.Go(func() { r.finish(o, ref) })
	}
	r.mu.Unlock()
	select {
	case <-o.done:
		return o.room, o.err
	case <-ctx.Done():
		return nil, &holdfast.Error{Kind: holdfast.Unavailable, Message: "the event could not be read in time", Err: ctx.Err()}
	}
}

func (r *rooms) finish(o *opening, ref client.EventRef) {
	defer close(o.done)
	ctx, cancel := context.WithTimeout(r.s.ctx, askTimeout)
	defer cancel()
	event, err := r.s.cfg.Client.Event(ctx, ref, client.AllowStale())
	if errors.Is(err, holdfast.NotFound) {
		event, err = r.s.cfg.Client.Event(ctx, ref) // that member has not heard of it; the leader has
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.opens, ref.Name)
	if err == nil && len(r.byName) >= roomsMax {
		err = r.makeRoom()
	}
	if err != nil {
		o.err = err
		return
	}
	o.room = r.s.newRoom(event)
	r.byName[event.Name], r.byID[event.ID] = o.room, o.room
}

// makeRoom closes the room that was asked for least lately. r.mu is held.
func (r *rooms) makeRoom() error {
	var oldest *room
	for _, c := range r.byName {
		if c.board.watchers.Load() == 0 && (oldest == nil || c.used.Load() < oldest.used.Load()) {
			oldest = c
		}
	}
	if oldest == nil {
		return &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: 10 * time.Second, Message: "too many events are looked at here at once"}
	}
	r.close(oldest)
	return nil
}

// close ends a room's watch. r.mu is held.
func (r *rooms) close(c *room) {
	c.cancel()
	delete(r.byName, c.ref.Name)
	delete(r.byID, c.ref.ID)
}

func (s *Server) newRoom(event client.Event) *room {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &room{ref: event.EventRef, board: newBoard(event, s.cfg.QuietMax, s.now()), cancel: cancel,
		pollKey: s.cfg.Secret.key(forPolls, event.ID), workKey: s.cfg.Secret.key(forWork, event.ID)}
	c.door = &door{event: event.ID, enter: enterBy(s.cfg.Client, event.EventRef), ctx: s.ctx, wg: &s.wg, byKey: map[holdfast.PlaceKey]*joiner{}}
	c.used.Store(s.now().Unix())
	s.wg.Go(func() { c.board.follow(ctx, s.cfg.Client, event.EventRef, s.now) })
	s.wg.Go(func() { c.board.watchLeader(ctx, s.now) })
	s.wg.Go(func() { s.attend(ctx, c) })
	return c
}

// attend does for a room what has to be done from time to time: reads the description and the line again.
func (s *Server) attend(ctx context.Context, c *room) {
	tick := time.NewTicker(describeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		event, err := s.cfg.Client.Event(ask, c.ref, client.AllowStale())
		if err == nil {
			c.board.describe(event)
		}
		if err == nil && event.Spec.Line.Enabled {
			if l, err := s.cfg.Client.Line(ask, c.ref, client.AllowStale()); err == nil {
				c.door.used.Store(l.Enters)
			}
		}
		cancel()
	}
}

// tend closes rooms that nobody asks for, until the server closes.
func (r *rooms) tend() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-r.s.ctx.Done():
			return
		case <-tick.C:
		}
		before := r.s.now().Add(-roomIdle).Unix()
		r.mu.Lock()
		for _, c := range slices.Collect(maps.Values(r.byName)) {
			if c.used.Load() < before && c.board.watchers.Load() == 0 {
				r.close(c)
			}
		}
		r.mu.Unlock()
	}
}

// all gives the open rooms.
func (r *rooms) all() []*room {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.byName))
}

// wakeAll makes every stream look whether the server drains.
func (r *rooms) wakeAll() {
	for _, c := range r.all() {
		c.board.mu.Lock()
		c.board.wake()
		c.board.mu.Unlock()
	}
}
