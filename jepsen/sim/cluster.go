package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	memory "github.com/holdfast-db/holdfast/node/sim"
)

// Shard is the one that sells.
const Shard holdfast.ShardID = 1

// Cluster is three nodes on a network and disks in memory.
type Cluster struct {
	plan    Plan
	broken  Sabotage
	network *memory.Network
	members [Members]*member
	tape    *tape
	logger  *slog.Logger

	mu      sync.Mutex // guards what is below, and the members' lives; never held while anything is waited for
	layers  []*layer
	selling bool           // the load has begun
	ended   sync.WaitGroup // of processes
	attends sync.WaitGroup // to those that run
	failed  []string       // what must not be, besides what clients are told
	struck  map[Kind]int   // of the faults that wait for a step or for notice: how many found it
}

// member is a machine. Its node may be running or not.
type member struct {
	name  string
	clock *clock
	disk  *memory.Disk
	life  *life // nil: it is down
	last  *life // life, or the one before
	down  int   // how many faults keep it down

	crashes  int           // so far
	starting chan struct{} // one token: who has it starts the node

	traps   []*trap
	failing int  // how many faults let its disk fail
	fell    bool // its node has ended because of that
	rotten  bool // its disk is damaged, and the node may notice
}

// life is one process of a node, from its start to its end.
type life struct {
	node    *node.Node
	server  *server       // nil: it never came to serve
	gone    chan struct{} // closed when it has crashed, or is stopped
	over    chan struct{} // closed when nothing of it is left
	crashed atomic.Bool   // what it says at its end means nothing
	paused  chan struct{} // closed when it goes on; nil: it runs
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

// NewCluster makes a cluster whose nodes are all down.
func NewCluster(p Plan, broken Sabotage, logger *slog.Logger) *Cluster {
	c := &Cluster{plan: p, broken: broken, network: memory.NewNetwork(p.Seed), tape: newTape(), logger: logger, struck: map[Kind]int{}}
	for i := range c.members {
		c.members[i] = &member{
			name: nodeName(i), clock: newClock(p.Drift[i]), disk: memory.NewDisk(p.Seed+uint64(i), diskBytes), down: 1, starting: make(chan struct{}, 1),
		}
		c.members[i].disk.SetFaults(c.usual())
		c.members[i].disk.Hook(func(s memory.Step) { c.step(i, s) })
	}
	c.relink(func() {})
	return c
}

const diskBytes = 4 << 30

// usual is what is wrong with every disk.
func (c *Cluster) usual() memory.Faults {
	return memory.Faults{TearTails: true, ForgetSyncs: c.broken.Forget && c.selling}
}

// up lets a node start, unless other faults keep it down. One that notices that its disk is damaged gets another.
func (c *Cluster) up(i int) {
	m := c.members[i]
	m.starting <- struct{}{} // a process that crashed while it started may not have noticed yet
	defer func() { <-m.starting }()
	c.mu.Lock()
	m.down--
	if last := m.last; m.down == 0 && last != nil && !last.crashed.Load() { // who was stopped may still be ending
		c.mu.Unlock()
		<-last.over
		c.mu.Lock()
	}
	if m.down > 0 {
		c.mu.Unlock()
		return
	}
	cfg, crashes := c.config(i), m.crashes
	c.mu.Unlock()
	n, err := node.New(cfg)
	if err == nil {
		err = n.Open(context.Background())
	}
	var s *server
	opened := err == nil
	if opened {
		s, err = serve(m.name, cfg, n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &life{node: n, server: s, gone: make(chan struct{}), over: make(chan struct{})}
	switch {
	case m.down > 0 && opened: // it crashed, or was stopped, while it started
		l.crashed.Store(true)
		c.end(m, l)
		if m.crashes == crashes { // its address and its disk are those of the next one
			c.mu.Unlock()
			<-l.over
			c.mu.Lock()
		}
	case m.down > 0:
	case err != nil && m.failing > 0:
		m.down++
		m.fell = true
		c.struck[FailDisk]++
	case err != nil && m.rotten:
		m.down++
		c.struck[Rot]++
		c.ended.Go(func() {
			c.replace(i)
			c.up(i)
		})
	case err != nil:
		c.failed = append(c.failed, fmt.Sprintf("%s does not start: %v", m.name, err))
	default:
		m.life, m.last = l, l
		c.attends.Go(func() { c.attend(i, l) })
	}
}

// attend waits for the end of a process: of itself, or otherwise.
func (c *Cluster) attend(i int, l *life) {
	select {
	case err := <-l.node.Failed():
		time.Sleep(rand.N(endedAfter))
		c.fallen(i, l, err)
	case <-l.gone:
	}
}

// config is what a node is started with; the caller has the lock.
func (c *Cluster) config(i int) node.Config {
	m := c.members[i]
	crashes := m.crashes // before this process
	cfg := node.Config{
		Name: m.name, RaftAddress: m.name + ":7000", ClientAddress: clientAddress(i), BootstrapExpect: Members, Shards: int(Shard),
		SnapshotEntries: c.plan.Snapshot, Version: "sim", Logger: c.logger, Clock: m.clock, Network: c.network.Host(m.name), Timing: c.plan.Timing,
		Disk: tapedDisk{m.disk.Mount(), c.tape, m.name, c.broken.Alter, func() { c.damaged(i, crashes) }},
	}
	for j := range Members {
		cfg.Peers = append(cfg.Peers, nodeName(j)+":7000")
	}
	if c.broken.Clock != nil {
		cfg.Clock = c.broken.Clock(cfg.Clock)
	}
	if c.plan.Sluggish[i] {
		const long = 5 * time.Second
		cfg.Timing.Heartbeat, cfg.Timing.Election, cfg.Timing.Lease, cfg.Timing.RPC = long, long, long, long
	}
	return cfg
}

// crash ends a node's process without a word. What its disk did not sync is lost.
func (c *Cluster) crash(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashLocked(i)
}

// crashLocked is crash for who has the lock: what tells others that it has crashed must not be seen before it has.
func (c *Cluster) crashLocked(i int) {
	m := c.members[i]
	m.down++
	m.crashes++
	c.network.Crash(m.name)
	if m.last != nil { // it runs, or is about to end
		m.last.crashed.Store(true)
	}
	m.disk = m.disk.PowerOff()
	c.end(m, m.life)
	m.life = nil
}

// stop ends a node's process in an orderly way.
func (c *Cluster) stop(i int) {
	m := c.members[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	m.down++
	c.end(m, m.life)
	m.life = nil
}

// end lets a life end in the background; the caller has the lock.
func (c *Cluster) end(m *member, l *life) {
	if l == nil {
		return
	}
	close(l.gone)
	c.ended.Go(func() {
		defer close(l.over)
		l.server.close()
		// Only a disk that was told to fails with EIO, and its node may be stopped before it has noticed.
		if err := l.node.Close(); err != nil && !l.crashed.Load() && !errors.Is(err, syscall.EIO) {
			c.fail("%s: close: %v", m.name, err)
		}
	})
}

// Close stops every node and waits, for those that have crashed too.
func (c *Cluster) Close() {
	for i := range c.members {
		c.stop(i)
	}
	c.attends.Wait()
	c.ended.Wait()
}

func (c *Cluster) fail(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, fmt.Sprintf(format, args...))
}

// at gives the process that runs on a machine now; nil: none.
func (c *Cluster) at(i int) *life {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[i].life
}

// leader is who leads the shard and serves it; -1: nobody. Of two that believe it, the one of the later term.
func (c *Cluster) leader() int {
	leader, term := -1, uint64(0)
	for i := range c.members {
		if l := c.at(i); l != nil && l.node.Leads(Shard) {
			if at := l.node.Routes().Shards[Shard].Term; at > term {
				leader, term = i, at
			}
		}
	}
	return leader
}

// layer is one fault's part in the links. A link is as bad as all of its layers together.
type layer struct {
	concerns func(from, to int) bool
	link     memory.Link
}

// impair adds a layer between members; undo takes it away again.
func (c *Cluster) impair(link memory.Link, concerns func(from, to int) bool) (undo func()) {
	return c.impairHosts(link, func(from, to int) bool { return from < Members && to < Members && concerns(from, to) })
}

func (c *Cluster) relink(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	for from := range hosts {
		for to := range hosts {
			sum := memory.Link{Delay: 50 * time.Microsecond, Jitter: 200 * time.Microsecond} // as in one building
			for _, l := range c.layers {
				if from != to && l.concerns(from, to) {
					sum.Cut = sum.Cut || l.link.Cut
					sum.Delay += l.link.Delay
					sum.Jitter += l.link.Jitter
					sum.PerKiB += l.link.PerKiB
					sum.Loss = max(sum.Loss, l.link.Loss)
				}
			}
			c.network.Set(hostName(from), hostName(to), sum)
		}
	}
}
