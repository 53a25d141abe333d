package frontend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// door lets people into one event's line. Joins that arrive while the last Enter is in flight go into the next one
// together: a thousand visitors cost the shard one command, and nobody waits for a timer. Whoever joins is answered
// after the commit, with the number and the path that proves it, or with a refusal that says when to come again.
type door struct {
	event holdfast.EventID
	// enter commits one block; id repeats a command whose outcome is unknown, zero makes a new one.
	enter func(ctx context.Context, id holdfast.CommandID, count int, root [32]byte) (holdfast.PlaceNumber, error)
	ctx   context.Context // ends with the server
	wg    *sync.WaitGroup // of the server

	mu      sync.Mutex // guards what follows
	queue   []*joiner
	byKey   map[holdfast.PlaceKey]*joiner // queued or in flight: a second tab waits for the first
	running bool
	recent  recentPlaces
	blocks  uint64 // committed, for the metrics
	places  uint64

	entered time.Time     // when the last Enter was begun; of run alone
	used    atomic.Uint32 // Enter commands of this line so far, by all frontends
}

// joiner is one key on its way in, for however many requests wait for it.
type joiner struct {
	key   holdfast.PlaceKey
	done  chan struct{}
	place entered
	err   error
}

// entered is a place as it was given.
type entered struct {
	number holdfast.PlaceNumber
	index  uint16
	path   [][32]byte
}

const (
	// blockPlaces is how many joins go into one Enter at most; blockPlacesLong when more than that wait, so that a herd
	// at the opening takes fewer headers.
	blockPlaces     = 1000
	blockPlacesLong = holdfast.EnterPlacesMax
	// queueMax bounds those who wait for their block: a few blocks. One more is told to come again.
	queueMax = 8 * blockPlacesLong
	// joinWait is what that one is told: about two blocks.
	joinWait = time.Second
	// enterPatience is how long an Enter whose outcome is unknown is repeated; its id is remembered a little longer.
	enterPatience = 25 * time.Second
	enterTry      = 5 * time.Second
	enterPause    = 100 * time.Millisecond
)

// join gives the key's place: a new one, the one it is being given, or the one that it was given lately.
func (d *door) join(ctx context.Context, key holdfast.PlaceKey) (entered, error) {
	d.mu.Lock()
	if place, ok := d.recent.find(key); ok {
		d.mu.Unlock()
		return place, nil
	}
	j := d.byKey[key]
	if j == nil {
		if len(d.queue) >= queueMax {
			d.mu.Unlock()
			return entered{}, &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: joinWait,
				Message: "too many people join at this moment; you have no place yet, and before the draw nobody gains by being earlier"}
		}
		j = &joiner{key: key, done: make(chan struct{})}
		d.byKey[key] = j
		d.queue = append(d.queue, j)
		if !d.running {
			d.running = true
			d.wg.Go(d.run)
		}
	}
	d.mu.Unlock()
	select {
	case <-j.done:
		return j.place, j.err
	case <-ctx.Done():
		// The block goes on; who asks again finds the place.
		return entered{}, &holdfast.Error{Kind: holdfast.Unavailable, RetryAfter: joinWait, Message: "your place is not confirmed yet", Err: ctx.Err()}
	}
}

// gaps are how long a frontend waits from one Enter to the next, by how much of holdfast.EntersMax is used: each leaves a
// header in the shard for good, and people who trickle in over hours must not use them up one by one. At first nobody
// waits for anything.
var gaps = []struct {
	used uint32
	gap  time.Duration
}{{holdfast.EntersMax / 8, 0}, {holdfast.EntersMax / 2, 100 * time.Millisecond}, {holdfast.EntersMax / 4 * 3, time.Second},
	{holdfast.EntersMax / 10 * 9, 3 * time.Second}, {holdfast.EntersMax, 8 * time.Second}}

func gapAt(used uint32) time.Duration {
	for _, g := range gaps {
		if used < g.used {
			return g.gap
		}
	}
	return gaps[len(gaps)-1].gap
}

// run commits blocks until nobody waits.
func (d *door) run() {
	for {
		if wait := gapAt(d.used.Load()) - time.Since(d.entered); wait > 0 {
			select {
			case <-time.After(wait):
			case <-d.ctx.Done(): // whoever waits is told
			}
		}
		d.entered = time.Now()
		d.mu.Lock()
		n := len(d.queue)
		if n == 0 {
			d.running = false
			d.mu.Unlock()
			return
		}
		limit := blockPlaces
		if n > blockPlacesLong {
			limit = blockPlacesLong
		}
		n = min(n, limit)
		block := append([]*joiner(nil), d.queue[:n]...)
		d.queue = append(d.queue[:0], d.queue[n:]...)
		d.mu.Unlock()
		d.commit(block)
	}
}

// commit makes one block of places, and answers those who wait for it.
func (d *door) commit(block []*joiner) {
	leaves := make([][32]byte, len(block))
	for i, j := range block {
		leaves[i] = draw.Leaf(d.event, j.key)
	}
	t := newTree(leaves)
	base, err := d.enterBlock(len(block), t.root())
	d.mu.Lock()
	if err == nil {
		d.recent.add(base, t, block)
		d.blocks++
		d.places += uint64(len(block))
	}
	for i, j := range block {
		delete(d.byKey, j.key)
		if j.err = err; err == nil {
			j.place = entered{number: base + holdfast.PlaceNumber(i), index: uint16(i), path: t.path(i)}
		}
	}
	d.mu.Unlock()
	for _, j := range block {
		close(j.done)
	}
}

// enterBlock proposes the block until its outcome is known. The same id is repeated, so the block is entered once
// however often its answer was lost.
func (d *door) enterBlock(count int, root [32]byte) (holdfast.PlaceNumber, error) {
	ctx, cancel := context.WithTimeout(d.ctx, enterPatience)
	defer cancel()
	var id holdfast.CommandID
	for {
		try, stop := context.WithTimeout(ctx, enterTry)
		base, err := d.enter(try, id, count, root)
		stop()
		var failure *holdfast.Error
		if err == nil || !errors.As(err, &failure) || failure.Kind != holdfast.Unknown || ctx.Err() != nil {
			return base, err
		}
		id = failure.Command
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(enterPause):
		}
	}
}

// enterBy asks a client.
func enterBy(c *client.Client, ref client.EventRef) func(context.Context, holdfast.CommandID, int, [32]byte) (holdfast.PlaceNumber, error) {
	return func(ctx context.Context, id holdfast.CommandID, count int, root [32]byte) (holdfast.PlaceNumber, error) {
		base, _, err := c.Enter(ctx, client.EnterRequest{ID: id, Event: ref, Count: count, Root: root})
		return base, err
	}
}

// recentPlaces remembers which keys were given places here, so that a second tab, a refresh or a repeated request finds
// the same one. It is a cache: at another frontend, or when it has run over, the same key enters again, which gains
// nothing: in the draw it has the same ticket, after it the later number, and one session in all.
type recentPlaces struct {
	blocks []recentBlock // oldest first
	byKey  map[holdfast.PlaceKey]recentPlace
}

type recentBlock struct{ keys []holdfast.PlaceKey }

type recentPlace struct {
	base  holdfast.PlaceNumber
	index uint16
	tree  *tree
}

// recentMax bounds the places remembered for one event: about 150 bytes each.
const recentMax = 1 << 17

func (p *recentPlaces) find(key holdfast.PlaceKey) (entered, bool) {
	r, ok := p.byKey[key]
	if !ok {
		return entered{}, false
	}
	return entered{number: r.base + holdfast.PlaceNumber(r.index), index: r.index, path: r.tree.path(int(r.index))}, true
}

func (p *recentPlaces) add(base holdfast.PlaceNumber, t *tree, block []*joiner) {
	if p.byKey == nil {
		p.byKey = map[holdfast.PlaceKey]recentPlace{}
	}
	keys := make([]holdfast.PlaceKey, len(block))
	for i, j := range block {
		keys[i] = j.key
		p.byKey[j.key] = recentPlace{base: base, index: uint16(i), tree: t}
	}
	p.blocks = append(p.blocks, recentBlock{keys})
	for len(p.byKey) > recentMax && len(p.blocks) > 1 {
		for _, key := range p.blocks[0].keys {
			delete(p.byKey, key)
		}
		p.blocks = p.blocks[1:]
	}
}

// forget drops a key whose place was given up, so that it may enter anew.
func (d *door) forget(key holdfast.PlaceKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.recent.byKey, key)
}
