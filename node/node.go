package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// Node is one member of a cluster: a replica of each shard, and whatever duties fall to it. Its methods are safe for
// concurrent use between Open and Close.
type Node struct {
	cfg    Config
	log    *slog.Logger
	limits entryLimits

	storage *storage
	mux     *mux
	peers   *peers
	persons *persons
	shards  []*shard      // by id: the directory is the first
	turn    chan struct{} // capacity 1: one snapshot at a time
	began   time.Duration // Monotonic: when Open was called

	failed  chan error      // capacity 1
	life    context.Context // ends when Close begins to shut things down
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing sync.Once
	closed  error

	mu      sync.Mutex
	waiting string // for what, while there is no cluster
}

// New makes a node of a configuration, which it refuses by the name of the field at fault. Open starts it.
func New(cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger.With("node", cfg.Name), limits: defaultLimits,
		turn: make(chan struct{}, 1), failed: make(chan error, 1),
	}
	n.life, n.cancel = context.WithCancel(context.Background())
	for id := range holdfast.ShardID(cfg.Shards + 1) {
		n.shards = append(n.shards, &shard{id: id, node: n, restart: make(chan string, 1)})
	}
	return n, nil
}

// Open starts the node. It returns when every group runs here, which does not mean that there is a cluster: see
// Ready. A node that could not be opened has been closed; it cannot be opened again.
func (n *Node) Open(ctx context.Context) (err error) {
	n.began = n.cfg.Clock.Monotonic()
	defer func() {
		if err != nil {
			n.closing.Do(func() { n.closed = n.shut() })
			err = &holdfast.Error{Kind: holdfast.Unavailable, Op: "node open", Message: "the node does not run", Err: errors.Join(err, n.closed)}
		}
	}()
	if n.life.Err() != nil {
		return errors.New("it was closed")
	}
	if err := n.openGround(); err != nil {
		return err
	}
	for _, s := range n.shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
	}
	for _, s := range n.shards {
		n.running.Go(func() { s.supervise(n.life) })
	}
	n.running.Go(func() { n.form(n.life) })
	n.running.Go(func() { n.persons.run(n.life) })
	n.running.Go(func() { n.persons.learn(n.life, n) })
	return nil
}

// openGround opens what the groups stand on.
func (n *Node) openGround() (err error) {
	disk := n.cfg.Disk
	if disk == nil {
		if disk, err = OpenFolder(n.cfg.Dir); err != nil {
			return err
		}
	}
	n.storage, err = openStorage(storageConfig{
		Disk: disk, Name: n.cfg.Name, Shards: n.cfg.Shards, Headroom: n.cfg.Headroom,
		Archive: archiveLimits{TotalBytes: n.cfg.ArchiveBytes}, Log: n.log, Fatal: n.fatal,
	})
	if err != nil {
		return errors.Join(err, disk.Close())
	}
	id := n.storage.Identity().ID
	n.log = n.log.With("id", id)
	keys, err := openPersons(n.storage, n.log)
	if err != nil {
		return err
	}
	n.persons = keys
	n.mux, err = newMux(muxConfig{
		Network: n.cfg.Network, Address: n.cfg.RaftAddress, ID: id, Timing: n.cfg.Timing, Log: n.log,
		Hello: n.hello, Veto: n.veto, Locate: n.locate, Teach: n.teach,
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.peers = newPeers(n.hello, n.cfg.Peers, n.mux, n.cfg.Clock, n.cfg.Timing, n.log)
	n.mu.Unlock()
	return nil
}

// kind says which machine a shard has.
func (n *Node) kind(id holdfast.ShardID) kind {
	if id == holdfast.Directory {
		return directoryKind(n.cfg.Shards)
	}
	return inventoryKind(id)
}

// place is ours among the members, in hundredths: so far apart are the replicas' snapshots.
func (n *Node) place() int {
	return slices.Index(n.cfg.Peers, n.cfg.RaftAddress) * 100 / len(n.cfg.Peers)
}

// hello is what we tell peers.
func (n *Node) hello() Hello {
	id := n.storage.Identity()
	return Hello{
		ID: id.ID, Name: n.cfg.Name, Cluster: id.Cluster, Address: n.cfg.RaftAddress, ClientAddress: n.cfg.ClientAddress,
		Version: n.cfg.Version, Shards: n.cfg.Shards, Expect: n.cfg.BootstrapExpect, Peers: n.cfg.Peers,
		WallMicros: n.cfg.Clock.Now().UnixMicro(), DiskLow: n.storage.Low(),
	}
}

// others is the table of peers; nil in the moment between the listener's start and theirs.
func (n *Node) others() *peers {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers
}

func (n *Node) veto() error {
	if p := n.others(); p != nil {
		return p.Doubt()
	}
	return nil
}

func (n *Node) locate(id raft.ServerID) string {
	if p := n.others(); p != nil {
		return p.Locate(id)
	}
	return ""
}

// form is the goroutine that finds the cluster or founds it.
func (n *Node) form(ctx context.Context) {
	ticker := time.NewTicker(n.cfg.Timing.Hello / 4)
	defer ticker.Stop()
	for n.storage.Identity().Cluster == "" {
		d := decide(n.peers.All(), n.cfg.Timing)
		if doubt := n.peers.Doubt(); doubt != nil && d.Founders != nil {
			d = decision{Waiting: doubt.Error()} // it could not be elected, and nobody else would have the configuration
		}
		n.mu.Lock()
		n.waiting = d.Waiting
		n.mu.Unlock()
		if d.Cluster != "" {
			if err := n.storage.Save(func(id *Identity) { id.Cluster, id.Founders = d.Cluster, d.Founders }); err != nil {
				n.fatal(err)
				return
			}
			n.log.Info("the node belongs to a cluster", "cluster", d.Cluster, "founder", len(d.Founders) > 0)
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
	n.found(ctx)
}

// found writes the first configuration into every group that has none, if we are the member who does it. After a
// crash it goes on where it was.
func (n *Node) found(ctx context.Context) {
	var configuration raft.Configuration
	for _, m := range n.storage.Identity().Founders {
		configuration.Servers = append(configuration.Servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.Address)})
	}
	if len(configuration.Servers) == 0 {
		return
	}
	for _, s := range n.shards {
		g := s.get()
		if g == nil || len(g.servers()) > 0 {
			continue
		}
		if err := g.wait(ctx, g.raft.BootstrapCluster(configuration)); err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
			n.log.Error("the group could not be founded", "shard", uint32(s.id), "error", err)
		}
	}
}

// group gives a shard's group.
func (n *Node) group(id holdfast.ShardID) (*group, error) {
	if int(id) >= len(n.shards) {
		return nil, &holdfast.Error{Kind: holdfast.NotFound, Shard: id, Message: fmt.Sprintf("there is no shard %d", id)}
	}
	if g := n.shards[id].get(); g != nil {
		return g, nil
	}
	return nil, &holdfast.Error{Kind: holdfast.Unavailable, Shard: id, RetryAfter: electedAfter, Message: "the shard is being opened on this node; nothing was attempted"}
}

// Submit takes a batch. It never blocks; what became of the batch is told to its Done.
func (n *Node) Submit(b Batch) {
	g, err := n.group(b.Shard)
	if err == nil {
		err = g.submit(b)
	}
	if err != nil {
		go b.Done(Reply{Err: err})
	}
}

// moved is told after a shard's entries were applied: the directory's are news for all others.
func (n *Node) moved(id holdfast.ShardID) {
	if id != holdfast.Directory {
		return
	}
	for _, s := range n.shards[1:] {
		if g := s.get(); g != nil {
			g.poke()
		}
	}
}

// fatal stops all shards at the first doubt about the disk: nothing that the node says from now on can be believed.
// They are not waited for, and the process should end: see Failed.
func (n *Node) fatal(err error) {
	n.log.Error("THE NODE STOPS: its disk cannot be trusted", "error", err)
	select {
	case n.failed <- err:
	default:
		return
	}
	for _, s := range n.shards {
		if g := s.get(); g != nil {
			g.proposer.end(&holdfast.Error{Kind: holdfast.Unavailable, Shard: s.id, Message: "the node's disk failed; nothing was attempted", Err: err})
			go g.stop(g.timing.Lease)
		}
	}
}

// Failed gives the error at which the node stopped by itself, if it does. The process should then end, with a status
// that makes its supervisor start it again.
func (n *Node) Failed() <-chan error { return n.failed }

// Close hands leadership over, stops everything in the reverse order of Open, and waits. It may be called twice.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.retire()
		n.closed = n.shut()
	})
	return n.closed
}

// retire hands the leadership of all shards over.
func (n *Node) retire() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*n.cfg.Timing.Election)
	defer cancel()
	var moving sync.WaitGroup
	for _, s := range n.shards {
		g := s.get()
		if g == nil || !g.proposer.serves() {
			continue
		}
		if others := g.successors(); len(others) > 0 {
			moving.Go(func() {
				if err := g.handOver(ctx, others...); err != nil {
					n.log.Warn("leadership was not handed over", "shard", uint32(s.id), "error", err)
				}
			})
		}
	}
	moving.Wait()
}

// shut stops what was opened, as far as that went.
func (n *Node) shut() (err error) {
	n.cancel()
	n.running.Wait()
	var mu sync.Mutex
	var closing sync.WaitGroup
	for _, s := range n.shards {
		if g := s.get(); g != nil {
			closing.Go(func() {
				failed := g.close()
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, failed)
			})
		}
	}
	closing.Wait()
	if n.peers != nil {
		err = errors.Join(err, n.peers.Close())
	}
	if n.mux != nil {
		err = errors.Join(err, n.mux.Close())
	}
	if n.persons != nil {
		err = errors.Join(err, n.persons.close())
	}
	if n.storage != nil {
		err = errors.Join(err, n.storage.Close())
	}
	return err
}
