package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// member is one node's ground with the library's raft on it, in a synctest bubble.
type member struct {
	t       *testing.T
	name    string
	disk    *sim.Disk
	network *sim.Network
	log     *logBook
	doubt   atomic.Bool // vetoes its candidacy

	storage *node.Storage
	mux     *node.Mux
	groups  map[holdfast.ShardID]*group
}

type group struct {
	*raft.Raft
	stores *node.Stores
	fsm    *countingFSM
}

// logBook keeps what was logged.
type logBook struct {
	slog.Handler
	mu    *sync.Mutex
	lines *[]string
}

func newLogBook() *logBook {
	return &logBook{slog.DiscardHandler, new(sync.Mutex), new([]string)}
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBook) WithAttrs([]slog.Attr) slog.Handler       { return b }

func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.lines = append(*b.lines, r.Message)
	return nil
}

func (b *logBook) has(part string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(*b.lines, func(line string) bool { return strings.Contains(line, part) })
}

func newMember(t *testing.T, network *sim.Network, name string) *member {
	return &member{t: t, name: name, network: network, disk: sim.NewDisk(uint64(len(name)), 1<<32), log: newLogBook()}
}

// newCluster is a cluster of three with the given groups, founded by the first.
func newCluster(t *testing.T, shards ...holdfast.ShardID) (*sim.Network, []*member) {
	network := sim.NewNetwork(1)
	var members []*member
	var servers []raft.Server
	for _, name := range []string{"n1", "n2", "n3"} {
		m := newMember(t, network, name)
		m.start(shards...)
		members = append(members, m)
		servers = append(servers, raft.Server{ID: m.id(), Address: raft.ServerAddress(m.address())})
	}
	for _, shard := range shards {
		must(t, members[0].groups[shard].BootstrapCluster(raft.Configuration{Servers: servers}).Error())
	}
	return network, members
}

func (m *member) address() string   { return m.name + ":7000" }
func (m *member) id() raft.ServerID { return raft.ServerID(m.storage.Identity().ID) }

// start starts the node on its disk.
func (m *member) start(shards ...holdfast.ShardID) {
	m.t.Helper()
	var err error
	m.storage, err = node.OpenStorage(node.StorageConfig{
		Disk: m.disk.Mount(), Name: m.name, Shards: 1, Headroom: 1 << 20, Log: slog.New(m.log), Fatal: func(error) {},
	})
	must(m.t, err)
	m.mux, err = node.NewMux(node.MuxConfig{
		Network: m.network.Host(m.name), Address: m.address(), ID: string(m.id()), Timing: node.DefaultTiming(), Log: slog.New(m.log),
		Hello: func() node.Hello {
			return node.Hello{ID: string(m.id()), Address: m.address(), WallMicros: time.Now().UnixMicro()}
		},
		Veto: m.veto, Locate: func(raft.ServerID) string { return "" },
	})
	must(m.t, err)
	m.groups = map[holdfast.ShardID]*group{}
	for _, shard := range shards {
		m.startGroup(shard)
	}
}

func (m *member) startGroup(shard holdfast.ShardID) {
	m.t.Helper()
	g := &group{fsm: &countingFSM{}}
	var err error
	g.stores, err = m.storage.Stores(shard)
	must(m.t, err)
	timing, cfg := node.DefaultTiming(), raft.DefaultConfig()
	cfg.LocalID, cfg.Logger = m.id(), node.NewRaftLog(slog.New(m.log))
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout, cfg.CommitTimeout = timing.Heartbeat, timing.Election, timing.Lease, timing.Commit
	g.Raft, err = raft.NewRaft(cfg, g.fsm, g.stores.Log, g.stores.Stable, g.stores.Snapshots, m.mux.Transport(shard))
	must(m.t, err)
	m.groups[shard] = g
}

func (m *member) veto() error {
	if m.doubt.Load() {
		return errors.New("the clock is in doubt")
	}
	return nil
}

// stop stops everything.
func (m *member) stop() {
	for shard := range m.groups {
		m.stopGroup(shard)
	}
	must(m.t, m.mux.Close())
	must(m.t, m.storage.Close())
}

func (m *member) stopGroup(shard holdfast.ShardID) {
	g := m.groups[shard]
	if err := g.Shutdown().Error(); err != nil {
		m.t.Fatal(err)
	}
	must(m.t, g.stores.Close())
	delete(m.groups, shard)
}

// leader waits for the group's leader.
func leader(t *testing.T, members []*member, shard holdfast.ShardID) *member {
	t.Helper()
	for range 200 {
		for _, m := range members {
			if g := m.groups[shard]; g != nil && g.State() == raft.Leader && g.Barrier(time.Second).Error() == nil {
				return m
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("shard %d has no leader after 10 s", shard)
	return nil
}

func (m *member) apply(shard holdfast.ShardID) error {
	return m.groups[shard].Apply(entry(1, 1).Data, time.Second).Error()
}

// countingFSM counts entries.
type countingFSM struct {
	mu sync.Mutex
	n  int
}

func (f *countingFSM) Apply(*raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	return nil
}

func (f *countingFSM) applied() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *countingFSM) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("none") }
func (f *countingFSM) Restore(io.ReadCloser) error         { return errors.New("none") }

func TestGroupsShareOneListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, members := newCluster(t, 0, 1, 2)
		for shard := range holdfast.ShardID(3) {
			l := leader(t, members, shard)
			for range 20 {
				must(t, l.apply(shard))
			}
		}
		time.Sleep(time.Second)
		for _, m := range members {
			for shard, g := range m.groups {
				if g.fsm.applied() != 20 {
					t.Errorf("%s has applied %d entries of shard %d, want 20", m.name, g.fsm.applied(), shard)
				}
			}
			if m.log.has("pre-vote is disabled") {
				t.Error("pre-vote is off")
			}
			m.stop()
		}
		if !slices.ContainsFunc(members, func(m *member) bool { return m.log.has("pre-vote successful") }) {
			t.Error("a leader was elected without a pre-vote")
		}
	})
}

// TestPreVoteKeepsAReturningNodeQuiet: without it, a node that was cut off comes back with a higher term and deposes
// the leader.
func TestPreVoteKeepsAReturningNodeQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, members := newCluster(t, 1)
		l := leader(t, members, 1)
		term := l.groups[1].CurrentTerm()
		away := members[0]
		if away == l {
			away = members[1]
		}
		for _, m := range members {
			if m != away {
				network.Cut(away.name, m.name)
			}
		}
		time.Sleep(10 * time.Second)
		network.HealAll()
		time.Sleep(10 * time.Second)
		if now := leader(t, members, 1); now != l || now.groups[1].CurrentTerm() != term {
			t.Errorf("the leader is %s in term %d, it was %s in term %d", now.name, now.groups[1].CurrentTerm(), l.name, term)
		}
		for _, m := range members {
			m.stop()
		}
	})
}

// TestASlowDiskIsNoReasonForAnElection: heartbeats pass by what waits for the disk.
func TestASlowDiskIsNoReasonForAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, members := newCluster(t, 1)
		l := leader(t, members, 1)
		term := l.groups[1].CurrentTerm()
		for _, m := range members {
			if m != l {
				m.disk.SetFaults(sim.Faults{SyncTime: 900 * time.Millisecond}) // three times the heartbeat
			}
		}
		for range 20 {
			must(t, l.groups[1].Apply(entry(1, 1).Data, 10*time.Second).Error())
		}
		if now := l.groups[1]; now.State() != raft.Leader || now.CurrentTerm() != term {
			t.Errorf("the leader is %v in term %d, the term was %d", now.State(), now.CurrentTerm(), term)
		}
		for _, m := range members {
			m.stop()
		}
	})
}

// TestANodeWithoutItsDataDoesNotVoteForTheOneItWas: two of three members have an entry that the third lacks; one of
// them loses its disk and comes back at the same address. Were it taken for the old one, it would elect the third,
// and the entry would be gone.
func TestANodeWithoutItsDataDoesNotVoteForTheOneItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, members := newCluster(t, 1)
		l := leader(t, members, 1)
		others := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == l })
		wiped, behind := others[0], others[1]
		network.Cut(behind.name, l.name)
		network.Cut(behind.name, wiped.name)
		must(t, l.apply(1))

		l.stop()
		wiped.stop()
		wiped.disk.Wipe()
		was := wiped.id()
		wiped.start(1)
		if wiped.id() == was {
			t.Fatal("it has the id of the one before")
		}
		network.HealAll()
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			if behind.groups[1].State() == raft.Leader || wiped.groups[1].State() == raft.Leader {
				t.Fatal("a leader without the acknowledged entry was elected")
			}
		}
		if !wiped.log.has("a connection was refused") {
			t.Error("nobody tried")
		}
		l.start(1) // with its data: now there is a majority of those who were asked
		leader(t, members, 1)
		time.Sleep(time.Second)
		if n := behind.groups[1].fsm.applied(); n != 1 {
			t.Errorf("%d entries after the return of the one who has it, want 1", n)
		}
		for _, m := range members {
			m.stop()
		}
	})
}

func TestAHaltedShardLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, members := newCluster(t, 1, 2)
		leader(t, members, 1)
		members[0].stopGroup(1)
		time.Sleep(2 * time.Second)
		must(t, leader(t, members[1:], 1).apply(1))
		must(t, leader(t, members, 2).apply(2))
		time.Sleep(time.Second)
		if n := members[0].groups[2].fsm.applied(); n != 1 {
			t.Errorf("the other shard has applied %d entries there, want 1", n)
		}
		members[0].startGroup(1)     // an operator mended it
		time.Sleep(15 * time.Second) // the library backs off from a follower that fails for up to 10 s
		if n := members[0].groups[1].fsm.applied(); n != 1 {
			t.Errorf("the shard that came back has applied %d entries, want 1", n)
		}
		for _, m := range members {
			m.stop()
		}
	})
}

func TestANodeInDoubtIsNotElected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, members := newCluster(t, 1)
		l := leader(t, members, 1)
		time.Sleep(time.Second) // all have the leader's first entry: who lacks one that a voter has cannot be elected
		doubtful := members[0]
		if doubtful == l {
			doubtful = members[1]
		}
		doubtful.doubt.Store(true)
		var sound *member
		for _, m := range members {
			if m != l && m != doubtful {
				sound = m
			}
		}
		// The leader's first entry has a majority: of those two, whoever does not have it cannot be elected.
		for sound.groups[1].LastIndex() < l.groups[1].LastIndex() {
			time.Sleep(10 * time.Millisecond)
		}
		network.Cut(l.name, sound.name)
		network.Cut(l.name, doubtful.name)
		if now := leader(t, []*member{sound, doubtful}, 1); now != sound {
			t.Errorf("%s was elected", now.name)
		}
		network.HealAll()
		time.Sleep(time.Second)
		for _, m := range members {
			m.stop()
		}
	})
}

// Connections that are kept may have broken meanwhile. Whoever wants a vote has one try in each election, and the vote that is
// lost may be the only one that can be had.
func TestVotesAreAskedForOverConnectionsThatWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := sim.NewNetwork(1)
		open := func(name string) *node.Mux {
			m, err := node.NewMux(node.MuxConfig{
				Network: network.Host(name), Address: name + ":7000", ID: name + "-1", Timing: node.DefaultTiming(), Log: slog.New(slog.DiscardHandler),
				Hello: func() node.Hello { return node.Hello{ID: name + "-1"} },
				Veto:  func() error { return nil }, Locate: func(raft.ServerID) string { return "" },
			})
			must(t, err)
			return m
		}
		candidate, voter := open("n1"), open("n2")
		here, there := candidate.Transport(1), voter.Transport(1)
		go func() {
			for {
				select {
				case rpc := <-there.Consumer():
					time.Sleep(time.Millisecond) // so that questions are under way at the same time, each over a connection of its own
					rpc.Respond(&raft.RequestPreVoteResponse{Granted: true}, nil)
				case <-t.Context().Done():
					return
				}
			}
		}()
		ask := func() error {
			return here.RequestPreVote("n2-1", "n2:7000", &raft.RequestPreVoteRequest{}, &raft.RequestPreVoteResponse{})
		}
		var asking sync.WaitGroup
		for range 4 { // one more than are kept
			asking.Go(func() {
				if err := ask(); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		network.Reset("n1", "n2")
		if err := ask(); err != nil {
			t.Errorf("after the connections broke: %v", err)
		}
		if err := here.RequestVote("n2-1", "n2:7000", &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{}); err != nil {
			t.Errorf("after the connections broke: %v", err)
		}
		closeAll(t, there, voter)
		if err := ask(); err == nil {
			t.Error("a vote came from nowhere")
		}
		closeAll(t, here, candidate)
	})
}

// TestStrangersAreTurnedAway over real sockets.
func TestStrangersAreTurnedAway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	log := newLogBook()
	m, err := node.NewMux(node.MuxConfig{
		Network: node.TCP(), Address: address, ID: "n1-1", Timing: node.DefaultTiming(), Log: slog.New(log),
		Hello: func() node.Hello { return node.Hello{ID: "n1-1"} },
		Veto:  func() error { return nil }, Locate: func(raft.ServerID) string { return "" },
	})
	must(t, err)
	here := m.Transport(1)
	var vote raft.RequestVoteResponse
	ask := func(shard holdfast.ShardID, id string) error { return m.DialRaft(shard, id, address) }
	if err := ask(1, "n1-1"); err != nil {
		t.Errorf("the right node: %v", err)
	}
	if err := ask(1, "n1-2"); !errors.Is(err, node.ErrOtherNode) {
		t.Errorf("another id: %v", err)
	}
	if err := ask(2, "n1-1"); !errors.Is(err, node.ErrNoShard) {
		t.Errorf("another shard: %v", err)
	}
	if err := here.RequestVote("n1-2", raft.ServerAddress(address), &raft.RequestVoteRequest{}, &vote); !errors.Is(err, node.ErrOtherNode) {
		t.Errorf("a vote for another id: %v", err)
	}
	if h, _, rtt, err := m.Hello(address, node.SystemClock()); err != nil || h.ID != "n1-1" || rtt <= 0 {
		t.Errorf("hello: %+v %v %v", h, rtt, err)
	}
	conn, err := net.Dial("tcp", address)
	must(t, err)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
	if n, err := conn.Read(make([]byte, 10)); err == nil {
		t.Errorf("a stranger was answered with %d bytes", n)
	}
	closeAll(t, conn, here, m, m)
	if !log.has("a connection is not from a node") {
		t.Error("a stranger is not in the log")
	}
}
