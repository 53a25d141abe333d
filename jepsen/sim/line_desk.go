package sim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// desk is what a frontend's process does for the line: it packs those who join while its last Enter is on its way into the
// next, follows the line by the event's feed, and brings the beacon's round when the draw waits for it.
type desk struct {
	line *line
	life *frontLife
	now  atomic.Pointer[remote.LineSummary]
	wake chan struct{} // capacity 1: somebody wants to join

	mu      sync.Mutex
	joining []*joiner
}

// joiner is a visitor who wants a place.
type joiner struct {
	key  holdfast.PlaceKey
	done chan struct{} // closed with the answer
	ref  remote.PlaceRef
	err  error
}

// serve is the desk's life: that of the frontend's process.
func (s *line) serve(l *frontLife) {
	d := &desk{line: s, life: l, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	s.desks[l] = d
	s.mu.Unlock()
	var working sync.WaitGroup
	defer func() {
		working.Wait()
		s.mu.Lock()
		delete(s.desks, l)
		s.mu.Unlock()
	}()
	working.Go(d.follow)
	for l.ctx.Err() == nil {
		select {
		case <-d.wake:
			d.enter()
		case <-l.ctx.Done():
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.joining {
		j.err = errLost
		close(j.done)
	}
	d.joining = nil
}

// desk gives the desk of a frontend's process; nil: it has none yet, or no more.
func (s *line) desk(l *frontLife) *desk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desks[l]
}

// join waits for a place.
func (d *desk) join(ctx context.Context, key holdfast.PlaceKey) (remote.PlaceRef, error) {
	j := &joiner{key: key, done: make(chan struct{})}
	d.mu.Lock()
	d.joining = append(d.joining, j)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
	select {
	case <-j.done:
		return j.ref, j.err
	case <-d.life.ctx.Done(): // it takes its word back with it
	case <-ctx.Done():
	}
	return remote.PlaceRef{}, errLost
}

// enter makes places for all who have come.
func (d *desk) enter() {
	d.mu.Lock()
	joining := d.joining
	d.joining = nil
	d.mu.Unlock()
	if len(joining) == 0 {
		return
	}
	var leaves []draw.Hash
	for _, j := range joining {
		leaves = append(leaves, draw.Leaf(d.line.event.ID, j.key))
	}
	base, err := d.commit(remote.EnterRequest{Event: d.line.event, Count: len(leaves), Root: draw.Root(leaves)})
	for i, j := range joining {
		if j.err = err; err == nil {
			j.ref = remote.PlaceRef{Event: d.line.event, Number: base + holdfast.PlaceNumber(i), Key: j.key, Path: draw.Path(leaves, i)}
		}
		close(j.done)
	}
}

// commit asks until the Enter is decided, always under one id.
func (d *desk) commit(q remote.EnterRequest) (base holdfast.PlaceNumber, err error) {
	if issued := d.now.Load(); d.line.world.cluster.broken.Hurried && issued != nil {
		go func() { _, _, _ = d.life.client.Enter(d.life.ctx, q) }()
		return holdfast.PlaceNumber(issued.Issued), nil
	}
	for tired := d.line.world.now() + stamina; d.line.world.now() < tired && d.life.ctx.Err() == nil; {
		ctx, cancel := context.WithTimeout(d.life.ctx, callMax)
		base, _, err = d.life.client.Enter(ctx, q)
		cancel()
		var failure *holdfast.Error
		if err == nil || definite(err) {
			return base, err
		}
		if errors.As(err, &failure) && failure.Kind == holdfast.Unknown && failure.Command != (holdfast.CommandID{}) {
			q.ID = failure.Command
		}
	}
	return 0, errors.Join(err, errLost)
}

// follow follows the line by the feed.
func (d *desk) follow() {
	var bringing sync.WaitGroup
	defer bringing.Wait()
	brought := false
	for d.life.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(d.life.ctx, time.Minute)
		for c, err := range d.life.client.Watch(ctx, d.line.event, 0) {
			if err != nil {
				break
			}
			if c.Line == nil {
				continue
			}
			d.now.Store(c.Line)
			if c.Line.State == holdfast.LineFrozen && c.Line.Round != 0 && !brought && d.line.signer != nil {
				brought = true
				bringing.Go(func() { d.bring(c.Line.Round) })
			}
		}
		cancel()
		brought = false
		time.Sleep(10 * time.Millisecond)
	}
}

// bring draws with the beacon's round.
func (d *desk) bring(round uint64) {
	for d.life.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(d.life.ctx, callMax)
		err := d.life.client.Draw(ctx, d.line.event, d.line.round(round))
		cancel()
		if err == nil {
			d.line.world.deeds.did("beacons brought")
		}
		if err == nil || definite(err) {
			return
		}
	}
}

// spent reports whether a refusal is one of these.
func refused(err error, by ...holdfast.Outcome) bool {
	var no *remote.Refusal
	return errors.As(err, &no) && slices.Contains(by, no.Outcome)
}
