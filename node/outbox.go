package node

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/node/outbox"
)

// What the leader of a shard tells settlement workers: which of the shard's effects are theirs for a while, and, as
// the directory's leader, how many calls to the payment provider they may make. All of it is in memory, of one reign.

// handouts is that memory.
type handouts struct {
	mu      sync.Mutex
	reign   uint64
	leases  outbox.Leases
	budgets outbox.Budgets // the directory's leader's
}

// enterHandouts gives that of our present reign, locked; whoever calls must unlock mu. It fails when we do not lead.
func (g *group) enterHandouts() (*handouts, error) {
	reign, err := g.proposer.reigns()
	if err != nil {
		return nil, err
	}
	o := &g.handouts
	o.mu.Lock()
	if o.reign != reign {
		o.reign = reign
		o.leases.Clear()
		o.budgets.Clear()
	}
	return o, nil
}

// Leased is what a worker was given.
type Leased struct {
	Stamp       holdfast.Stamp
	Cluster     string
	Incarnation holdfast.Incarnation
	For         time.Duration // how long the effects are the worker's
	Effects     []fsm.EffectView
}

// lookAgainAfter spaces the looks of a worker that waits, so that a busy log does not wake it for every entry.
const lookAgainAfter = 20 * time.Millisecond

// Lease gives due effects to a worker, the most urgent first, and takes back what the worker does not have any more:
// what it has finished with, and what was given to it in an answer that it did not get. When none is due it waits for
// some until ctx ends, and then gives none. Nothing of it is in the log: see outbox.Leases.
func (n *Node) Lease(ctx context.Context, shard holdfast.ShardID, q outbox.Query) (Leased, error) {
	g, err := n.group(shard)
	if err != nil {
		return Leased{}, err
	}
	if shard == holdfast.Directory {
		return Leased{}, invalid("shard", "the directory has no effects")
	}
	for {
		moving := g.applier.progress.next()
		given, err := g.lease(q)
		given.Cluster = n.storage.Identity().Cluster
		if err != nil || len(given.Effects) > 0 || q.Max <= 0 {
			return given, err
		}
		select {
		case <-moving:
		case <-ctx.Done():
		}
		if pause(ctx, lookAgainAfter, nil) != nil {
			return given, nil
		}
	}
}

// lease looks once.
func (g *group) lease(q outbox.Query) (given Leased, err error) {
	o, err := g.enterHandouts()
	if err != nil {
		return given, err
	}
	defer o.mu.Unlock()
	given.For = outbox.LeaseFor
	given.Stamp, err = g.applier.view(func(m machine) {
		seats := m.(inventory).Machine
		given.Incarnation, _ = seats.Incarnation()
		given.Effects = o.leases.Due(seats, g.clock.Monotonic(), q)
	})
	return given, err
}

// Grant asks the directory's leader for acts at a payment provider: see outbox.Budgets.
func (n *Node) Grant(q outbox.Ask) (outbox.Granted, error) {
	g, err := n.group(holdfast.Directory)
	if err != nil {
		return outbox.Granted{}, err
	}
	o, err := g.enterHandouts()
	if err != nil {
		return outbox.Granted{}, err
	}
	defer o.mu.Unlock()
	return o.budgets.Grant(g.clock.Monotonic(), q), nil
}

// Cluster is the name of the cluster that the node belongs to; empty while there is none.
func (n *Node) Cluster() string { return n.storage.Identity().Cluster }
