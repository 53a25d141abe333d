package node

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// A strict read waits until an entry has been applied that was packed after the read came. The library's
// VerifyLeader is not enough: a leader that was paused was seen to answer from a state that a newer leader had
// overwritten. Since that entry is of this leader's own term, the wait also holds back reads until all of the terms
// before is applied. Reads that wait share one entry, with commands in it or without.

// ReadStamp says at which point of a shard's history an answer was true, and how old that may be.
type ReadStamp struct {
	holdfast.Stamp
	// Stale is the time since this node last heard from the leader: 0 for strict reads and on the leader, negative
	// when it never did.
	Stale time.Duration
}

// Read calls read with a shard's machine, between two entries. read must not keep the machine, nor take long: the
// shard waits for it. Unless stale is set, the answer is as of after the call, and only the leader gives it.
func (n *Node) Read(ctx context.Context, shard holdfast.ShardID, stale bool, read func(*fsm.Machine)) (ReadStamp, error) {
	return n.read(ctx, shard, stale, (*applier).view, func(m machine) bool {
		seats, ok := m.(inventory)
		if ok {
			read(seats.Machine)
		}
		return ok
	})
}

// ReadDirectory is Read for the directory.
func (n *Node) ReadDirectory(ctx context.Context, stale bool, read func(*directory.Machine)) (ReadStamp, error) {
	return n.read(ctx, holdfast.Directory, stale, (*applier).view, func(m machine) bool {
		read(m.(atlas).Machine)
		return true
	})
}

// Cut gives the state of a shard at one index, to be read at leisure and then released.
func (n *Node) Cut(ctx context.Context, shard holdfast.ShardID, stale bool) (*fsm.Cut, ReadStamp, error) {
	var c *fsm.Cut
	at, err := n.read(ctx, shard, stale, (*applier).change, func(m machine) bool {
		seats, ok := m.(inventory)
		if ok {
			c = seats.Cut()
		}
		return ok
	})
	return c, at, err
}

// read looks at a machine in one of the replica's ways. look is false for a machine of the other kind.
func (n *Node) read(ctx context.Context, shard holdfast.ShardID, stale bool,
	way func(*applier, func(machine)) (holdfast.Stamp, error), look func(machine) bool) (ReadStamp, error) {
	g, err := n.group(shard)
	if err != nil {
		return ReadStamp{}, err
	}
	if !stale && !planted.Is(planted.StaleRead) {
		if err := g.confirm(ctx); err != nil {
			return ReadStamp{}, err
		}
	}
	ok := false
	at, err := way(g.applier, func(m machine) { ok = look(m) })
	switch {
	case err != nil:
		return ReadStamp{}, err
	case !ok:
		return ReadStamp{}, &holdfast.Error{Kind: holdfast.NotFound, Op: "read", Shard: shard, Message: "the directory sells nothing"}
	case !stale:
		return ReadStamp{Stamp: at}, nil
	}
	return g.stale(at), nil
}

// confirm waits until the machine holds all that anybody was told before the call.
func (g *group) confirm(ctx context.Context) error {
	if err := g.applier.halted.Load(); err != nil {
		return err
	}
	c := make(chan error, 1)
	if err := g.proposer.await(c); err != nil {
		return err
	}
	select {
	case err := <-c:
		if holdfast.KindOf(err) == holdfast.Unknown { // a read changes nothing, so there is nothing unknown about it
			return g.proposer.notLeading()
		}
		return err
	case <-ctx.Done():
		return &holdfast.Error{Kind: holdfast.Unavailable, Op: "read", Shard: g.shard, Message: "the shard did not answer in time", Err: ctx.Err()}
	}
}

// stale says how old what this replica has may be.
func (g *group) stale(at holdfast.Stamp) ReadStamp {
	return ReadStamp{Stamp: at, Stale: g.contact()}
}

// contact is the time since this node heard from the leader.
func (g *group) contact() time.Duration {
	if g.raft.State() == raft.Leader {
		return 0
	}
	last := g.raft.LastContact()
	if last.IsZero() {
		return -1
	}
	return time.Since(last)
}

// reach waits until the entry at index is applied here, or the group ends.
func (g *group) reach(ctx context.Context, index uint64) error {
	for {
		moving := g.applier.progress.next()
		at, err := g.applier.view(func(machine) {})
		if err != nil || at.Index >= index {
			return err
		}
		select {
		case <-moving:
		case <-g.stopped:
			return &holdfast.Error{Kind: holdfast.Unavailable, Shard: g.shard, RetryAfter: electedAfter, Message: "the shard is closing on this node"}
		case <-ctx.Done():
			return &holdfast.Error{Kind: holdfast.Unavailable, Shard: g.shard, Message: "this node has not come so far", Err: ctx.Err()}
		}
	}
}

// progress tells those who wait that entries were applied. It costs nothing while nobody does.
type progress struct {
	mu      sync.Mutex
	waiting chan struct{}
}

// next gives a channel that is closed after the next entries.
func (p *progress) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(chan struct{})
	}
	return p.waiting
}

func (p *progress) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != nil {
		close(p.waiting)
		p.waiting = nil
	}
}
