package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// shard is a place for a group: the group is opened into it, and opened anew when the library is stuck.
type shard struct {
	id   holdfast.ShardID
	node *Node

	mu    sync.RWMutex // guards group
	group *group       // nil while it is opened anew

	restart chan string // capacity 1: why the group must be opened anew
}

// supervise is the shard's goroutine.
func (s *shard) supervise(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case why := <-s.restart:
			s.node.log.Error("the shard is opened anew", "shard", uint32(s.id), "reason", why)
			if err := s.reopen(); err != nil {
				s.node.fatal(fmt.Errorf("shard %d could not be opened anew: %w", s.id, err))
				return
			}
		}
	}
}

func (s *shard) reopen() error {
	s.mu.Lock()
	old := s.group
	s.group = nil
	s.mu.Unlock()
	if err := old.close(); err != nil {
		return err
	}
	select {
	case <-s.restart: // the old group asked again while it ended
	default:
	}
	return s.open()
}

func (s *shard) open() error {
	g, err := s.node.openGroup(s)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.group = g
	s.mu.Unlock()
	return nil
}

func (s *shard) get() *group {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.group
}

// group is one running Raft group with what it drives: the machine that its log is applied to, the proposer that
// packs and proposes, and the leader's duties.
type group struct {
	shard   holdfast.ShardID
	id      string // ours in the configuration
	version string
	log     *slog.Logger
	clock   Clock
	timing  Timing
	storage *storage
	peers   *peers
	orders  float64             // a second, that the payment provider takes; 0: no bound
	turn    chan struct{}       // one snapshot at a time on this node
	atlas   func() *group       // the directory's group
	moved   func()              // called after each batch of entries
	restart func(reason string) // asks for the group to be opened anew

	stores    *stores
	transport *transport
	raft      *raft.Raft
	applier   *applier
	proposer  *proposer
	feed      *feed
	duties    duties
	handouts  handouts
	asked     asked
	storm     storm

	notify chan bool     // Raft tells whether we lead
	nudge  chan struct{} // capacity 1: the duties have something to look at
	// transfers is where operators ask the duties to move leadership.
	transfers chan transfer
	opened    chan struct{} // closed when raft is set, or will not be
	cancel    context.CancelFunc

	reloading    sync.Mutex  // see reload
	snapshotting atomic.Bool // for whoever looks from outside

	stopping atomic.Bool   // somebody has called stop
	stopped  chan struct{} // closed when ended is set
	ended    raft.Future

	running sync.WaitGroup // our goroutines
	ending  sync.WaitGroup // those that may come while Raft ends: halting, hashing
}

// openGroup opens a shard's stores and starts its group.
func (n *Node) openGroup(s *shard) (*group, error) {
	g := &group{
		shard: s.id, id: n.storage.Identity().ID, version: n.cfg.Version, log: n.log, clock: n.cfg.Clock, timing: n.cfg.Timing,
		storage: n.storage, peers: n.peers, turn: n.turn, orders: n.cfg.OrdersPerSecond,
		atlas: func() *group { return n.shards[holdfast.Directory].get() },
		restart: func(reason string) {
			select {
			case s.restart <- reason:
			default:
			}
		},
		moved:  func() { n.moved(s.id) },
		notify: make(chan bool, 4), nudge: make(chan struct{}, 1), transfers: make(chan transfer), opened: make(chan struct{}), stopped: make(chan struct{}),
	}
	stores, err := n.storage.Stores(s.id)
	if err != nil {
		return nil, err
	}
	g.stores = stores
	stores.guarded.unhurried = g.unhurried
	stores.guarded.appends = watchdog{patience: g.patience, stall: g.stall, done: g.appended}
	if removed, err := mend(stores); err != nil {
		stores.Close()
		return nil, fmt.Errorf("shard %d: mend the log: %w", s.id, err)
	} else if removed {
		n.log.Warn("entries that the snapshot made void were removed", "shard", uint32(s.id))
	}
	g.assemble(n.limits, n.kind(s.id), n.place(), n.cfg.SnapshotEntries)
	g.transport = n.mux.Transport(s.id)
	g.transport.silent = g.proposer.hasLetGo
	if err := g.start(); err != nil {
		g.transport.Close()
		stores.Close()
		return nil, fmt.Errorf("shard %d: %w", s.id, err)
	}
	return g, nil
}

// assemble makes the parts and joins them. place is ours among the members, in hundredths.
func (g *group) assemble(limits entryLimits, kind kind, place, snapshotEntries int) {
	g.feed = newFeed()
	g.proposer = newProposer(g.shard, limits, g.timing.Tick, g.clock, g.leaderAddress)
	g.applier = &applier{
		shard: g.shard, kind: kind, log: g.log, proposer: g.proposer, archive: g.stores.Archive, snapshots: g.stores.Snapshots,
		feed: g.feed, moved: g.moved, unhurried: g.unhurried, onHalt: g.halt, onRestore: g.restored, machine: kind.fresh(),
		tally: tally{due: make(chan struct{}, 1), offset: place, entriesMax: uint64(snapshotEntries)}, marks: marks{busy: &g.ending},
	}
}

// start starts Raft and our goroutines.
func (g *group) start() (err error) {
	defer close(g.opened)
	defer func() {
		if cause := recover(); cause != nil { // the library panics when the log cannot be read
			err = fmt.Errorf("open: %v", cause)
		}
	}()
	r, err := raft.NewRaft(g.config(), g.applier, fence{g.stores.Log, g.proposer}, ender{g.stores.Stable, &g.applier.opened}, g.stores.Snapshots, g.transport)
	if err != nil {
		return err
	}
	g.raft = r
	g.applier.opened.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.proposer.run(r)
	g.running.Go(func() { g.follow(ctx) })
	g.running.Go(func() { g.serve(ctx) })
	g.running.Go(func() { g.missLeader(ctx) })
	g.running.Go(func() { g.takeSnapshots(ctx) })
	return nil
}

func (g *group) config() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(g.id)
	c.HeartbeatTimeout, c.ElectionTimeout = g.timing.Heartbeat, g.timing.Election
	c.LeaderLeaseTimeout, c.CommitTimeout = g.timing.Lease, g.timing.Commit
	c.MaxAppendEntries = maxAppendEntries
	c.ShutdownOnRemove = false // it is ours to shut down
	// The library's own snapshots are off: see tally.
	c.SnapshotInterval, c.SnapshotThreshold = 24*time.Hour, 1<<62
	c.TrailingLogs = trailingEntriesMax
	c.NotifyCh = g.notify
	c.Logger = newRaftLog(g.log.With("shard", uint32(g.shard)))
	c.NoLegacyTelemetry = true
	return c
}

// reload changes what Raft lets be changed while it runs. Raft has no way to change one thing and leave the others, so nobody
// else calls ReloadConfig.
func (g *group) reload(change func(*raft.ReloadableConfig)) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	c := g.raft.ReloadableConfig()
	change(&c)
	return g.raft.ReloadConfig(c)
}

// follow is the goroutine that hears from Raft whether we lead. It does nothing else, since Raft waits for it.
func (g *group) follow(ctx context.Context) {
	for {
		select {
		case leading := <-g.notify:
			g.proposer.lead(leading)
			g.poke()
		case <-ctx.Done():
			return
		}
	}
}

// poke lets the duties look again.
func (g *group) poke() {
	select {
	case g.nudge <- struct{}{}:
	default:
	}
}

// submit checks a batch once more, at the boundary where it would become every replica's, and queues it.
func (g *group) submit(b Batch) error {
	if err := g.admit(&b); err != nil {
		return err
	}
	if err := g.applier.halted.Load(); err != nil {
		return err
	}
	return g.proposer.offer(b)
}

func (g *group) admit(b *Batch) error {
	count := 0
	for rest := b.Commands; len(rest) > 0; count++ {
		cmd, more, err := command.Split(rest)
		if err != nil {
			return err
		}
		if k := command.KindOf(cmd); !g.applier.kind.takes(k) {
			return invalid("commands", "a %s is not for shard %d", k, g.shard)
		}
		rest = more
	}
	switch {
	case count == 0 || count != b.Count:
		return invalid("commands", "%d commands are said to be %d", count, b.Count)
	case count > holdfast.BatchCommandsMax || len(b.Commands) > holdfast.BatchBytesMax:
		return invalid("commands", "a batch has at most %d commands and %d bytes", holdfast.BatchCommandsMax, holdfast.BatchBytesMax)
	case !b.Settles && g.storage.Low():
		refused := &holdfast.Error{Kind: holdfast.Overloaded, Shard: g.shard, RetryAfter: lowDiskAfter,
			Message: "the leader is short of disk space: only payments and releases are taken; nothing was attempted"}
		if len(g.healthy()) > 0 {
			g.poke()
			refused.Kind, refused.RetryAfter = holdfast.Unavailable, electedAfter
			refused.Message = "the leader is short of disk space, and leadership is moving; nothing was attempted"
		}
		return refused
	}
	return nil
}

// lowDiskAfter is when to try again what the last full disk refused: an operator has to act first.
const lowDiskAfter = 10 * time.Second

// leaderAddress is where clients find the leader, if it is another node that is known.
func (g *group) leaderAddress() string {
	if g.raft == nil {
		return ""
	}
	_, id := g.raft.LeaderWithID()
	if id == "" || string(id) == g.id {
		return ""
	}
	peer, _ := g.peers.ByID(id)
	return peer.ClientAddress
}

// stop ends what proposes and then Raft, and gives what there is to wait for. In this order, since the library does
// not answer every future when it ends: first all that is in flight is decided, or lost with our leadership, which a
// leader without followers keeps no longer than the lease.
func (g *group) stop(patience time.Duration) raft.Future {
	if g.stopping.CompareAndSwap(false, true) {
		g.proposer.close(patience)
		g.asked.settle(patience)
		g.ended = g.raft.Shutdown() // only the first caller is given something to wait for
		close(g.stopped)
	}
	<-g.stopped // not a sync.Once: virtual time stands still while somebody waits for a mutex
	return g.ended
}

// close ends the group and closes its stores. Leadership should have been handed over.
func (g *group) close() error {
	over := &holdfast.Error{Kind: holdfast.Unavailable, Shard: g.shard, RetryAfter: electedAfter, Message: "the shard is closing on this node; nothing was attempted"}
	g.proposer.end(over)
	g.feed.close(over)
	ended := g.stop(2 * g.timing.Election)
	g.cancel()
	g.running.Wait()
	err := ended.Error() // this closes the transport too
	g.proposer.abandon()
	g.ending.Wait()
	return errors.Join(err, g.stores.Close())
}
