package node

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
)

// What the leader of a shard tells settlement workers: which of the shard's effects are theirs for a while, and, as
// the directory's leader, how many calls to the payment provider they may make. All of it is in memory, of one reign.

// outbox is that memory.
type outbox struct {
	mu      sync.Mutex
	reign   uint64
	leases  Leases
	budgets Budgets // the directory's leader's
}

// enter gives the outbox of our present reign, locked; whoever calls must unlock mu. It fails when we do not lead.
func (g *group) enterOutbox() (*outbox, error) {
	reign, err := g.proposer.reigns()
	if err != nil {
		return nil, err
	}
	o := &g.outbox
	o.mu.Lock()
	if o.reign != reign {
		o.reign = reign
		o.leases.Clear()
		o.budgets.Clear()
	}
	return o, nil
}

// LeaseQuery asks for effects of a shard.
type LeaseQuery struct {
	Shard  holdfast.ShardID
	Worker string              // unique among workers
	Kinds  uint32              // a bit for each holdfast.EffectKind that the worker carries out: 1 << kind
	Max    int                 // more effects at most; 0: only take back
	Have   []holdfast.EffectID // what the worker still has in hand; it has finished with all others
}

// Leased is what a worker was given.
type Leased struct {
	Stamp       holdfast.Stamp
	Cluster     string
	Incarnation uint64
	For         time.Duration // how long the effects are the worker's
	Effects     []fsm.EffectView
}

// lookAgainAfter spaces the looks of a worker that waits, so that a busy log does not wake it for every entry.
const lookAgainAfter = 20 * time.Millisecond

// Lease gives due effects to a worker, the most urgent first, and takes back what the worker does not have any more: what
// it has finished with, and what was given to it in an answer that it did not get. When none is due it waits for some until ctx ends, and
// then gives none. Nothing of it is in the log: see Leases.
func (n *Node) Lease(ctx context.Context, q LeaseQuery) (Leased, error) {
	g, err := n.group(q.Shard)
	if err != nil {
		return Leased{}, err
	}
	if q.Shard == holdfast.Directory {
		return Leased{}, invalid("shard", "the directory has no effects")
	}
	for {
		moving := g.applier.progress.next()
		given, err := g.lease(q)
		if err != nil || len(given.Effects) > 0 || q.Max == 0 {
			given.Cluster = n.storage.Identity().Cluster
			return given, err
		}
		select {
		case <-moving:
		case <-ctx.Done():
		}
		if pause(ctx, lookAgainAfter, nil) != nil {
			given.Cluster = n.storage.Identity().Cluster
			return given, nil
		}
	}
}

// lease looks once.
func (g *group) lease(q LeaseQuery) (given Leased, err error) {
	o, err := g.enterOutbox()
	if err != nil {
		return given, err
	}
	defer o.mu.Unlock()
	now := g.clock.Monotonic()
	o.leases.Keep(q.Worker, q.Have)
	room := o.leases.Room(now, q.Max)
	given.For = LeaseFor
	given.Stamp, err = g.applier.view(func(m machine) {
		seats := m.(inventory)
		given.Incarnation = uint64(seats.Incarnation())
		given.Effects = o.leases.Due(seats.Machine, now, q.Worker, q.Kinds, room)
	})
	return given, err
}
