package node_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

func TestAllNodesRestart(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		hold := c.hold(shard, event, 1, 5)
		_, before := c.do(shard, hold)
		for i := range c.nodes {
			c.kill(i)
		}
		c.openAll()
		c.awaitReady()
		r, at := c.do(shard, hold)
		if r[0].Outcome != holdfast.OK || !r[0].Repeated {
			t.Errorf("%+v", r[0])
		}
		if at.Index <= before.Index || at.Term <= before.Term || at.Clock < before.Clock {
			t.Errorf("before %+v, after %+v", before, at)
		}
		c.checkReplicas(shard)
	})
}

func TestANodeRestartsFromASnapshot(t *testing.T) {
	inCluster(t, 1, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 1000})
		for i := range 100 {
			c.do(shard, c.hold(shard, event, 1, holdfast.SeatIndex(i)))
		}
		for _, s := range []holdfast.ShardID{holdfast.Directory, shard} {
			if err := c.nodes[0].TakeSnapshot(s); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			c.do(shard, c.hold(shard, event, 1, holdfast.SeatIndex(100+i)))
		}
		c.checkReplicas(shard)
		c.kill(0)
		c.open(0)
		c.awaitReady()
		if _, err := c.nodes[0].Read(t.Context(), shard, false, func(m *fsm.Machine) {
			if view, _ := m.Event(event); view.Total[holdfast.Held] != 200 {
				t.Errorf("%d units are held", view.Total[holdfast.Held])
			}
		}); err != nil {
			t.Error(err)
		}
		if s := c.nodes[0].Status().Shards[shard]; s.SnapshotIndex == 0 || s.Entries > 150 {
			t.Errorf("status %+v", s)
		}
		if second, _ := c.event("two", 10, command.Rules{}); second != event+1 {
			t.Errorf("the directory has forgotten: a second event is %v", second)
		}
	})
}

// A follower that was away for longer than the log is kept gets a snapshot, and its archive goes on from there.
func TestAFollowerThatWasAwayIsSentASnapshot(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 1000})
		away := (c.awaitLeader(shard) + 1) % 3
		c.kill(away)
		for i := range 300 {
			c.do(shard, c.hold(shard, event, 1, holdfast.SeatIndex(i)))
		}
		if err := c.nodes[c.awaitLeader(shard)].TakeSnapshotKeeping(shard, 10); err != nil {
			t.Fatal(err)
		}
		c.open(away)
		c.awaitReady()
		c.checkReplicas(shard)
		if s := c.nodes[away].Status().Shards[shard]; s.SnapshotIndex == 0 {
			t.Errorf("it was not sent a snapshot: %+v", s)
		}
		c.kill(away) // its archive is whole, too
		c.open(away)
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

func TestAWipedNodeComesBackAsALearner(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		c.do(shard, c.hold(shard, event, 1, 5))
		wiped := (c.awaitLeader(shard) + 1) % 3
		was := c.nodes[wiped].Status().ID
		c.kill(wiped)
		c.disks[wiped].Wipe()
		c.open(wiped)
		is := c.nodes[wiped].Status().ID
		if is == was {
			t.Fatalf("it is %s again", is)
		}
		c.await("it is a learner of every shard and has the state", func() bool {
			for _, s := range c.nodes[c.awaitLeader(shard)].Status().Shards {
				if !slices.Contains(s.Learners, is) || slices.Contains(s.Voters, is) || !slices.Contains(s.Voters, was) {
					return false
				}
			}
			found := false
			_, _ = c.nodes[wiped].Read(t.Context(), shard, true, func(m *fsm.Machine) {
				view, _ := m.Event(event)
				found = view.Total[holdfast.Held] == 1
			})
			return found
		})
		c.checkReplicas(shard)

		// It cannot help to elect: with one more voter gone there is no majority.
		other := 3 - wiped - c.awaitLeader(shard)
		c.kill(other)
		c.await("nobody leads", func() bool { return c.leader(shard) < 0 })
		time.Sleep(10 * time.Second)
		if c.leader(shard) >= 0 {
			t.Error("a majority was made with the wiped node")
		}
		c.open(other)
		c.awaitReady()
	})
}

func TestAGroupIsOpenedAnewWithoutHarm(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 1000})
		for i := range 20 {
			if i%5 == 0 {
				c.nodes[c.awaitLeader(shard)].Reopen(shard)
			}
			if r, _ := c.do(shard, c.hold(shard, event, 1, holdfast.SeatIndex(i))); r[0].Outcome != holdfast.OK {
				t.Errorf("%+v", r[0])
			}
		}
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

// A simulated cluster was said to have no common state, since one member's shard had been opened anew while it was asked for its hash
// (jepsen sim, seed 389).
func TestWhoWaitsForAHashIsToldThatTheShardIsOpenedAnew(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		const shard, never = 1, 1 << 40
		member := c.nodes[c.awaitLeader(shard)]
		told := make(chan error, 1)
		go func() {
			_, err := member.Digest(t.Context(), shard, never)
			told <- err
		}()
		time.Sleep(time.Second)
		member.Reopen(shard)
		select {
		case err := <-told:
			if holdfast.KindOf(err) != holdfast.Unavailable {
				t.Errorf("it is told: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is told in ten seconds")
		}
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

func TestANodeWhoseDiskFailsStopsAndSaysSo(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		sick := c.awaitLeader(shard)
		c.disks[sick].SetFaults(sim.Faults{SyncError: errors.New("input/output error")})
		submit(c.nodes[sick], shard, c.hold(shard, event, 1, 5))
		select {
		case err := <-c.nodes[sick].Failed():
			t.Logf("it says: %v", err)
		case <-time.After(5 * time.Second):
			t.Fatal("it says nothing")
		}
		c.kill(sick)
		if r, _ := c.do(shard, c.hold(shard, event, 2, 6)); r[0].Outcome != holdfast.OK {
			t.Errorf("%+v", r[0])
		}
		c.disks[sick].SetFaults(sim.Faults{})
		c.open(sick)
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

// skewed is a wall clock that can be set wrong.
type skewed struct {
	node.Clock
	by *atomic.Int64
}

func (s skewed) Now() time.Time { return s.Clock.Now().Add(time.Duration(s.by.Load())) }

func TestALeaderWhoseClockJumpsGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 3, node.Config{Timing: node.Timing{Transfer: time.Second}})
		defer c.closeAll()
		var skews [3]atomic.Int64
		for i := range c.nodes {
			c.config.Clock = skewed{node.SystemClock(), &skews[i]}
			c.open(i)
		}
		c.awaitReady()
		event, shard := c.event("one", 100, command.Rules{})
		wrong := c.awaitLeader(shard)
		skews[wrong].Store(int64(time.Minute))
		c.await("it leads nothing", func() bool { return !c.nodes[wrong].Leads(holdfast.Directory) && !c.nodes[wrong].Leads(shard) })
		for range 30 {
			time.Sleep(time.Second)
			if c.nodes[wrong].Leads(shard) {
				t.Fatal("it leads again")
			}
		}
		if r, _ := c.do(shard, c.hold(shard, event, 1, 1)); r[0].Outcome != holdfast.OK {
			t.Errorf("%+v", r[0])
		}
		var wall int64
		if _, err := c.nodes[c.awaitLeader(shard)].Read(t.Context(), shard, false, func(m *fsm.Machine) { wall = m.WallMs() }); err != nil {
			t.Fatal(err)
		}
		t.Logf("the shard's wall clock is %v ahead", time.UnixMilli(wall).Sub(time.Now()))
	})
}

func TestAFounderWithAWrongClockWaitsAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, 3, node.Config{})
		defer c.closeAll()
		var skew atomic.Int64
		skew.Store(int64(time.Minute))
		c.config.Clock = skewed{node.SystemClock(), &skew}
		c.open(0)
		c.config.Clock = nil
		c.open(1)
		c.open(2)
		c.await("it waits for its clock", func() bool { return strings.Contains(c.nodes[0].Status().Waiting, "clock") })
		skew.Store(0)
		c.awaitReady()
	})
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c := loopback(t, node.Limits{})
	event, shard := c.event("one", 100, command.Rules{})
	c.do(shard, c.hold(shard, event, 1, 5))
	for _, n := range c.nodes {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
	goleak.VerifyNone(t, before)
}

// What hashicorp/raft#697 leaves behind: a log that goes on beyond a snapshot that it contradicts.
func TestALogThatContradictsTheSnapshotIsRemoved(t *testing.T) {
	for _, test := range []struct {
		what        string
		have        []uint64 // entries of term 1
		term        uint64   // of the snapshot at 5
		first, last uint64   // of what is left
	}{
		{"the snapshot is of the log", []uint64{1, 2, 3, 4, 5, 6, 7}, 1, 1, 7},
		{"the log was a loser's", []uint64{1, 2, 3, 4, 5, 6, 7}, 2, 0, 0},
		{"the snapshot was installed far ahead", []uint64{1, 2, 6, 7}, 2, 6, 7},
		{"the log was truncated behind the snapshot", []uint64{6, 7}, 2, 6, 7},
		{"the log does not reach the snapshot", []uint64{1, 2}, 2, 1, 2},
	} {
		storage, err := node.OpenStorage(node.StorageConfig{Disk: sim.NewDisk(1, 1<<30).Mount(), Name: "n1", Shards: 1,
			Log: slog.New(slog.DiscardHandler), Fatal: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		stores, err := storage.Stores(1)
		if err != nil {
			t.Fatal(err)
		}
		for _, index := range test.have {
			if err := stores.Log.StoreLog(&raft.Log{Index: index, Term: 1, Type: raft.LogNoop}); err != nil {
				t.Fatal(err)
			}
		}
		sink, err := stores.Snapshots.Create(raft.SnapshotVersionMax, 5, test.term, raft.Configuration{}, 1, nil)
		if err == nil {
			err = sink.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := node.Mend(stores); err != nil {
			t.Errorf("%s: %v", test.what, err)
		}
		first, _ := stores.Log.FirstIndex()
		last, _ := stores.Log.LastIndex()
		if first != test.first || last != test.last {
			t.Errorf("%s: left %d to %d, want %d to %d", test.what, first, last, test.first, test.last)
		}
		if err := errors.Join(stores.Close(), storage.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestASnapshotThatIsInstalledTwiceOpensTheGroupAnew(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		i := (c.awaitLeader(shard) + 1) % 3
		was := c.nodes[i].GroupOf(shard)
		c.nodes[i].Restored(shard, 5)
		c.nodes[i].Restored(shard, 6)
		time.Sleep(2 * time.Second)
		if c.nodes[i].GroupOf(shard) != was {
			t.Error("two different snapshots opened it anew")
		}
		c.nodes[i].Restored(shard, 6)
		c.await("it is opened anew", func() bool { g := c.nodes[i].GroupOf(shard); return g != nil && g != was })
		c.awaitReady()
		c.do(shard, c.hold(shard, event, 1, 5))
		c.checkReplicas(shard)
	})
}

// A node that is closed hands over first: nobody is left in doubt, and hardly anybody waits.
func TestARollingRestartLeavesNobodyInDoubt(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 10_000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 10_000})
		stop, done := make(chan struct{}), make(chan struct{})
		var claims, refused int
		var longest time.Duration
		var nodes sync.Mutex // the test changes them
		go func() {
			defer close(done)
			last := time.Now()
			for seat := holdfast.SeatIndex(0); ; time.Sleep(2 * time.Millisecond) {
				select {
				case <-stop:
					return
				default:
				}
				nodes.Lock()
				i := c.leader(shard)
				if i < 0 {
					nodes.Unlock()
					continue
				}
				n, hold := c.nodes[i], c.hold(shard, event, 1, seat)
				nodes.Unlock()
				switch r := submit(n, shard, hold); holdfast.KindOf(r.Err) {
				case 0:
					longest, last = max(longest, time.Since(last)), time.Now()
					claims++
					seat++
				case holdfast.NotLeader, holdfast.Unavailable:
					refused++
				default:
					t.Errorf("a claim: %v", r.Err)
					seat++
				}
			}
		}()
		for i := range c.nodes {
			time.Sleep(time.Second)
			nodes.Lock()
			n := c.nodes[i]
			nodes.Unlock()
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			nodes.Lock()
			c.nodes[i] = nil
			c.open(i)
			nodes.Unlock()
			c.awaitReady()
		}
		close(stop)
		<-done
		c.checkReplicas(shard)
		if longest > 300*time.Millisecond {
			t.Errorf("the longest gap between two claims was %v", longest)
		}
		t.Logf("%d claims, %d refused, longest gap %v", claims, refused, longest)
	})
}

func TestALeaderShortOfDiskTakesOnlyWhatSettles(t *testing.T) {
	inCluster(t, 1, node.Config{Headroom: 1 << 20}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 100, command.Rules{})
		hold := c.hold(shard, event, 1, 5)
		c.do(shard, hold)
		c.disks[0].Fill(512 << 10)
		c.await("the disk is low", func() bool { return c.nodes[0].Status().DiskLow })
		if r := submit(c.nodes[0], shard, c.hold(shard, event, 2, 6)); !errors.Is(r.Err, holdfast.Overloaded) {
			t.Errorf("a hold: %v", r.Err)
		}
		release := &command.Release{Buyer: hold.Buyer, Hold: holdfast.HoldID(hold.ID)}
		release.ID, release.Event = c.id(shard), event
		b, reply := batch(shard, release), make(chan node.Reply, 1)
		b.Settles, b.Done = true, func(r node.Reply) { reply <- r }
		c.nodes[0].Submit(b)
		if r := <-reply; r.Err != nil {
			t.Errorf("a release: %v", r.Err)
		}
	})
}

func TestANodeThatCannotStartLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	open := func(address string) error {
		n, err := node.New(node.Config{Name: "n1", Dir: dir, RaftAddress: address, BootstrapExpect: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Open(t.Context()); err != nil {
			return err
		}
		return n.Close()
	}
	if err := open(l.Addr().String()); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("an address in use: %v", err)
	}
	l.Close()
	if err := open(l.Addr().String()); err != nil {
		t.Errorf("the folder was not let go of: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "shard-1", "raft.db")); err != nil {
		t.Fatal(err)
	}
	if err := open(l.Addr().String()); err == nil {
		t.Error("it opened without the store of a shard")
	}
	goleak.VerifyNone(t, before)
}
