package clienttest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/node/outbox"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Config says what kind of cluster to serve. Its zero value is one shard and three members in memory.
type Config struct {
	Shards  int // 0: 1
	Members int // 0: 3
	// Loopback serves on TCP ports of 127.0.0.1 instead of in memory: for benchmarks, and for other processes.
	Loopback bool
}

// Cluster is a running cluster. Its methods are safe for concurrent use.
type Cluster struct {
	tb      testing.TB
	members []*member
	dialer  func(context.Context, string) (net.Conn, error) // nil: TCP

	mu        sync.Mutex // guards what follows, the machines included
	directory *directory.Machine
	shards    []*shard // shard 1 is at 0
	index     uint64   // of the directory's last entry
	leads     int      // index of the member that leads everything
	term      uint64
	failures  []*holdfast.Error // what to answer to the next batches instead of executing them
	drops     int               // how many batches to execute and not answer
	stalls    int               // how many batches to swallow
	stalled   sync.Cond         // signalled when the last of them is
	wallAhead time.Duration     // of the wall clock, against wallStart and the hold clock
	watches   chan struct{}     // closed, and made anew, to end the watches under way
	budgets   outbox.Budgets
	began     time.Time
}

// member is one server: a door to the same machines.
type member struct {
	api.UnimplementedClaimsServer
	api.UnimplementedEventsServer
	api.UnimplementedClusterServer
	api.UnimplementedSettlementServer
	cluster *Cluster
	place   int
	address string
	server  *grpc.Server
	persons *persons
}

// shard is a machine and the memory of what changed in it.
type shard struct {
	machine   *fsm.Machine
	wallAhead time.Duration
	index     uint64
	feeds     map[holdfast.EventID][]fsm.Change
	changed   chan struct{} // closed, and made anew, when something has changed
	moved     chan struct{} // closed, and made anew, with every entry
	leases    outbox.Leases
	output    command.Output
	entry     []byte
}

// wallStart is the wall clock of a new cluster, in Unix milliseconds.
var wallStart = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// New serves a cluster until the end of the test.
func New(tb testing.TB, cfg Config) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, term: 1, watches: make(chan struct{}), began: time.Now(), directory: directory.New(directory.Config{Shards: max(cfg.Shards, 1)})}
	c.stalled.L = &c.mu
	for i := range max(cfg.Shards, 1) {
		c.shards = append(c.shards, &shard{machine: fsm.New(fsm.Config{Shard: holdfast.ShardID(i + 1)}),
			feeds: map[holdfast.EventID][]fsm.Change{}, changed: make(chan struct{}), moved: make(chan struct{})})
	}
	pipes := map[string]*bufconn.Listener{}
	for i := range orDefault(cfg.Members, 3) {
		m := &member{cluster: c, place: i}
		m.persons = newPersons(m)
		var listener net.Listener
		if cfg.Loopback {
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				tb.Fatal(err)
			}
			listener, m.address = tcp, tcp.Addr().String()
		} else {
			m.address = fmt.Sprintf("n%d", i+1)
			pipes[m.address] = bufconn.Listen(1 << 20)
			listener = pipes[m.address]
		}
		m.server = grpc.NewServer(grpc.MaxRecvMsgSize(holdfast.BatchBytesMax+1<<10),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}))
		api.RegisterClaimsServer(m.server, m)
		api.RegisterEventsServer(m.server, m)
		api.RegisterLineServer(m.server, &lineService{member: m})
		api.RegisterClusterServer(m.server, m)
		api.RegisterPersonsServer(m.server, m.persons)
		api.RegisterSettlementServer(m.server, m)
		c.members = append(c.members, m)
		go func() { _ = m.server.Serve(listener) }()
	}
	if !cfg.Loopback {
		c.dialer = func(ctx context.Context, address string) (net.Conn, error) { return pipes[address].DialContext(ctx) }
	}
	tb.Cleanup(c.close)
	return c
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (c *Cluster) close() {
	for _, m := range c.members {
		m.server.Stop()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.directory.Check() {
		c.tb.Errorf("the directory: %v", v)
	}
	for i, s := range c.shards {
		for _, v := range s.machine.Check() {
			c.tb.Errorf("shard %d: %v", i+1, v)
		}
	}
}

// Endpoints are the members' addresses, for client.New together with DialOption.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, m := range c.members {
		all = append(all, m.address)
	}
	return all
}

// DialOption leads a client's connections into memory.
func (c *Cluster) DialOption() client.Option {
	if c.dialer == nil {
		return client.WithDialOptions()
	}
	return client.WithDialOptions(grpc.WithContextDialer(c.dialer))
}

// Client gives a client of the cluster, which is closed at the end of the test.
func (c *Cluster) Client(opts ...client.Option) *client.Client {
	c.tb.Helper()
	cl, err := client.New(c.Endpoints(), append([]client.Option{c.DialOption()}, opts...)...)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(func() { _ = cl.Close() })
	return cl
}

// LoadEvent creates an event and puts it on sale.
func (c *Cluster) LoadEvent(spec command.EventSpec) client.EventRef {
	c.tb.Helper()
	cl, err := client.New(c.Endpoints(), c.DialOption())
	if err != nil {
		c.tb.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	applied, err := cl.ApplyEvent(ctx, spec)
	if err == nil {
		err = cl.OpenSale(ctx, applied.EventRef)
	}
	if err != nil {
		c.tb.Fatalf("load event %s: %v", spec.Name, err)
	}
	return applied.EventRef
}

// Advance lets time pass on the hold clock and the wall clock of every shard. What is due ends.
func (c *Cluster) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.shards {
		for left := d; left > 0; left -= holdfast.StepMax {
			s.apply(nil, 0, min(left, holdfast.StepMax))
		}
	}
}

// StepDown makes the next member lead, in a new term. The others answer NotLeader with its address.
func (c *Cluster) StepDown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leads = (c.leads + 1) % len(c.members)
	c.term++
	c.budgets.Clear() // the memory of one reign
	for _, s := range c.shards {
		s.leases.Clear()
	}
}

// Leader is the address of the member that leads.
func (c *Cluster) Leader() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[c.leads].address
}

// FailNext answers the next n batches with the failure, without executing them. Batches carry commands of callers
// that came at the same time, so one caller at a time makes the number meaningful; so for DropReply and Stall. With 0 those
// that are still to come are forgotten.
func (c *Cluster) FailNext(failure *holdfast.Error, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 {
		c.failures = nil
	}
	for range n {
		c.failures = append(c.failures, failure)
	}
}

// DropReply executes the next n batches and breaks the connection's stream instead of answering: their callers
// cannot know what happened.
func (c *Cluster) DropReply(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops += n
}

// Stall swallows the next n batches: they are neither executed nor answered, as by a leader that was cut off.
func (c *Cluster) Stall(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalls += n
}

// AwaitStalled waits until all batches that Stall asked for have been swallowed.
func (c *Cluster) AwaitStalled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.stalls > 0 {
		c.stalled.Wait()
	}
}

// EndWatches ends the watches under way, as members do that are stopped.
func (c *Cluster) EndWatches() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.watches)
	c.watches = make(chan struct{})
}

// Machine lets a test look at a shard's machine, or at one's state that it wants to check. The cluster stands still
// meanwhile; f must not use a client.
func (c *Cluster) Machine(id holdfast.ShardID, f func(*fsm.Machine)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c.shards[id-1].machine)
}

// apply gives the machine one entry, and remembers what changed. The results are the output's: they are valid until
// the next apply.
func (s *shard) apply(commands []byte, count int, step time.Duration) {
	s.entry = append(command.BeginEntry(s.entry), commands...)
	wall := wallStart + (s.wallAhead + s.passed() + step).Milliseconds()
	s.entry = command.FinishEntry(s.entry, uint32(step/time.Microsecond), wall, count)
	s.index++
	s.output.Reset()
	s.output.Answer = true
	s.machine.Apply(s.index, s.entry, &s.output)
	for _, change := range s.machine.Changes() {
		s.feeds[change.Event] = append(s.feeds[change.Event], change)
	}
	close(s.moved)
	s.moved = make(chan struct{})
	if len(s.machine.Changes()) > 0 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// passed is how much time has passed on the shard's hold clock.
func (s *shard) passed() time.Duration { return time.Duration(s.machine.Clock()) * time.Microsecond }
