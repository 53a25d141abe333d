package node_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

func TestAClaimIsAcknowledgedSoonAfterTheLeadersDeath(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		first := c.hold(shard, event, 1, 5)
		c.do(shard, first)
		c.kill(c.awaitLeader(shard))
		died := time.Now()
		r, _ := c.do(shard, c.hold(shard, event, 2, 6))
		if r[0].Outcome != holdfast.OK {
			t.Fatalf("%+v", r[0])
		}
		if gap := time.Since(died); gap > 2*time.Second {
			t.Errorf("the next claim was acknowledged after %v", gap)
		}
		if r, _ = c.do(shard, first); r[0].Outcome != holdfast.OK || !r[0].Repeated {
			t.Errorf("what was acknowledged before: %+v", r[0])
		}
	})
}

// The library alone looks for its leader so seldom that another led after 600 ms.
func TestFollowersMissTheirLeaderInTime(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		const shard, losses = 1, 15
		var took []time.Duration
		for range losses {
			old := c.awaitLeader(shard)
			for i := range c.nodes {
				c.net.Cut(name(i), name(old))
				c.net.Cut(name(old), name(i))
			}
			lost := time.Now()
			c.await("another leads", func() bool { i := c.leader(shard); return i >= 0 && i != old })
			took = append(took, time.Since(lost))
			c.net.HealAll()
			time.Sleep(5 * time.Second)
		}
		slices.Sort(took)
		if median := took[losses/2]; median > 500*time.Millisecond {
			t.Errorf("another leads after %v, in the middle", median)
		}
		t.Logf("%v", took)
	})
}

// An isolated leader has batches in every place: in its log, in flight and queued. Each is answered once.
func TestEveryBatchIsAnsweredOnceWhenLeadershipIsLost(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 1000})
		old := c.awaitLeader(shard)
		for i := range c.nodes {
			if i != old {
				c.net.Cut(name(i), name(old))
			}
		}
		const batches = 100
		var answers [batches]atomic.Int32
		var replies [batches]node.Reply
		var holds [batches]*command.Hold
		for i := range batches {
			holds[i] = c.hold(shard, event, 1, holdfast.SeatIndex(i))
			b := batch(shard, holds[i])
			b.Done = func(r node.Reply) {
				replies[i] = r
				answers[i].Add(1)
			}
			c.nodes[old].Submit(b)
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		c.await("the old leader has stepped down", func() bool { return !c.nodes[old].Leads(shard) })
		fresh := c.awaitLeader(shard)
		time.Sleep(5 * time.Second)
		unknown := 0
		for i := range batches {
			if n := answers[i].Load(); n != 1 {
				t.Fatalf("batch %d was answered %d times", i, n)
			}
			switch kind := holdfast.KindOf(replies[i].Err); kind {
			case holdfast.Unknown:
				unknown++
			case holdfast.NotLeader, holdfast.Unavailable:
				if _, err := c.nodes[fresh].Read(t.Context(), shard, false, func(m *fsm.Machine) {
					if _, found := m.Hold(holdfast.HoldID(holds[i].ID)); found {
						t.Errorf("batch %d was said not to be attempted, and was executed", i)
					}
				}); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("batch %d: %v", i, replies[i].Err)
			}
		}
		if unknown == 0 || unknown == batches {
			t.Errorf("%d of %d batches are unknown: the test has lost its point", unknown, batches)
		}
		c.net.HealAll()
		for i := range batches { // a client repeats with the same id
			if r, _ := c.do(shard, holds[i]); r[0].Outcome != holdfast.OK {
				t.Errorf("batch %d repeated: %+v", i, r[0])
			}
		}
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

func TestReadsSayHowOldTheyAre(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		_, at := c.do(shard, c.hold(shard, event, 1, 5))
		leader := c.awaitLeader(shard)
		follower := (leader + 1) % 3

		var held uint32
		count := func(m *fsm.Machine) {
			view, _ := m.Event(event)
			held = view.Total[holdfast.Held]
		}
		strict, err := c.nodes[leader].Read(t.Context(), shard, false, count)
		if err != nil || held != 1 || strict.Index <= at.Index || strict.Stale != 0 {
			t.Errorf("strict on the leader: %d held at %+v, %v", held, strict, err)
		}
		var failure *holdfast.Error
		if _, err := c.nodes[follower].Read(t.Context(), shard, false, count); !errors.As(err, &failure) || failure.Kind != holdfast.NotLeader {
			t.Errorf("strict on a follower: %v", err)
		} else if want := name(leader) + ":8000"; failure.Leader != want {
			t.Errorf("sent to %q, want %q", failure.Leader, want)
		}
		c.await("the follower has applied the hold", func() bool {
			_, err := c.nodes[follower].Read(t.Context(), shard, true, count)
			return err == nil && held == 1
		})
		c.net.Cut(name(follower), name(leader))
		c.net.Cut(name(follower), name(3-leader-follower))
		time.Sleep(10 * time.Second)
		stale, err := c.nodes[follower].Read(t.Context(), shard, true, count)
		if err != nil || held != 1 || stale.Stale < 9*time.Second {
			t.Errorf("stale: %d held at %+v, %v", held, stale, err)
		}
	})
}

// A leader that is cut off must not answer strict reads, whatever it believes.
func TestACutOffLeaderAnswersNoStrictRead(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		_, shard := c.event("one", 1000, command.Rules{})
		old := c.awaitLeader(shard)
		for i := range c.nodes {
			if i != old {
				c.net.Cut(name(i), name(old))
			}
		}
		if _, err := c.nodes[old].Read(t.Context(), shard, false, func(*fsm.Machine) {}); err == nil {
			t.Error("it answered")
		}
	})
}

func TestAHoldIsNeverEndedEarlyByFailovers(t *testing.T) {
	const ttl = 20 * time.Second
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{HoldTTLMs: uint32(ttl.Milliseconds()), SkipCoolDown: true})
		r, _ := c.do(shard, c.hold(shard, event, 1, 5))
		began := time.Now() // the hold began a little before
		lives := func() bool {
			i, found := c.leader(shard), true
			if i >= 0 {
				_, _ = c.nodes[i].Read(t.Context(), shard, false, func(m *fsm.Machine) { _, found = m.Hold(r[0].Hold) })
			}
			return found
		}
		failovers := 0
		for lives() {
			if time.Since(began) > 2*ttl {
				t.Fatalf("the hold lives on after %v and %d failovers", time.Since(began), failovers)
			}
			if failovers < 5 {
				failovers++
				i := c.awaitLeader(shard)
				c.kill(i)
				c.awaitLeader(shard)
				c.open(i)
				c.awaitReady()
			}
			time.Sleep(100 * time.Millisecond)
		}
		lived := time.Since(began)
		if lived < ttl-50*time.Millisecond {
			t.Errorf("the hold ended after %v of %v, over %d failovers", lived, ttl, failovers)
		}
		t.Logf("a hold of %v ended after %v, over %d failovers", ttl, lived, failovers)
	})
}

func TestAWatchGoesOnOverAFailover(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 1000})
		seen := map[holdfast.SeatIndex]holdfast.SeatState{}
		var revision holdfast.Revision
		var cuts int
		watch := func(i int, until func() bool) {
			enough := errors.New("enough")
			err := c.nodes[i].Watch(t.Context(), shard, event, revision+min(revision, 1), func(ch node.Changes) error {
				if ch.Cut {
					cuts++
					for seat, state := range ch.States {
						seen[holdfast.SeatIndex(seat)] = holdfast.SeatState(state)
					}
				} else if ch.Revision < revision {
					t.Errorf("back from revision %d to %d", revision, ch.Revision)
				}
				revision = ch.Revision
				for n, seat := range ch.Seats {
					seen[seat] = ch.SeatStates[n]
				}
				if until() {
					return enough
				}
				return nil
			})
			if !errors.Is(err, enough) {
				t.Errorf("watch: %v", err)
			}
		}
		held := func(n int) func() bool {
			return func() bool {
				have := 0
				for _, state := range seen {
					if state == holdfast.Held {
						have++
					}
				}
				return have >= n
			}
		}
		claim := func(from, to int) {
			for i := from; i < to; i++ {
				c.do(shard, c.hold(shard, event, 1, holdfast.SeatIndex(i)))
			}
		}
		old := c.awaitLeader(shard)
		claim(0, 10)
		watch(old, held(10))
		c.kill(old)
		claim(10, 20)
		watch(c.awaitLeader(shard), held(20))
		if cuts != 1 {
			t.Errorf("%d cuts were sent, want one at the beginning", cuts)
		}
	})
}

func TestASlowWatcherGetsACut(t *testing.T) {
	inCluster(t, 1, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 40_000, command.Rules{ManyOpenHolds: true, SeatsPerHold: 64, SeatsPerBuyer: 60_000})
		enough, messages := errors.New("enough"), 0
		states := make([]byte, 40_000)
		err := c.nodes[0].Watch(t.Context(), shard, event, 0, func(ch node.Changes) error {
			messages++
			switch {
			case ch.Cut:
				copy(states, ch.States)
			default:
				for n, seat := range ch.Seats {
					states[seat] = byte(ch.SeatStates[n])
				}
			}
			if messages == 1 { // while this watcher is busy, more happens than is kept
				for i := range 64 * 10 {
					h := c.hold(shard, event, 1)
					seats := make([]holdfast.SeatIndex, 62)
					for n := range seats {
						seats[n] = holdfast.SeatIndex(i*62 + n)
					}
					h.Wants[0].Seats, h.Wants[0].Count = seats, 62
					release := &command.Release{Buyer: h.Buyer, Hold: holdfast.HoldID(h.ID)}
					release.ID, release.Event = c.id(shard), event
					again := c.hold(shard, event, 1)
					again.Wants = h.Wants
					c.do(shard, h, release, again)
				}
				return nil
			}
			if !ch.Cut {
				t.Error("it was sent changes, not a cut")
			}
			return enough
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		for seat := range 64 * 10 * 62 {
			if states[seat] != byte(holdfast.Held) {
				t.Fatalf("seat %d is %v", seat, holdfast.SeatState(states[seat]))
			}
		}
	})
}

func TestLeadersSpreadOverTheNodes(t *testing.T) {
	inCluster(t, 3, node.Config{Shards: 2}, func(t *testing.T, c *cluster) {
		c.await("three nodes lead one shard each", func() bool {
			leaders := []int{c.leader(0), c.leader(1), c.leader(2)}
			slices.Sort(leaders)
			return slices.Equal(leaders, []int{0, 1, 2})
		})
	})
}

// The library panics when it cannot save its term. A node ends in order instead, and says why.
func TestANodeThatCannotSaveItsTermEndsInOrder(t *testing.T) {
	inCluster(t, 3, node.Config{Timing: node.Timing{Transfer: time.Hour}}, func(t *testing.T, c *cluster) {
		hold, shard := c.holder()
		leader := c.awaitLeader(shard)
		bad, good := (leader+1)%3, (leader+2)%3
		c.disks[bad].SetFaults(sim.Faults{SyncError: syscall.EIO})
		must(t, c.nodes[leader].Transfer(t.Context(), shard, name(good))) // a vote, and so a term to save
		select {
		case err := <-c.nodes[bad].Failed():
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it goes on")
		}
		hold() // the others do
		if err := c.nodes[bad].Close(); err != nil && !errors.Is(err, syscall.EIO) {
			t.Errorf("close: %v", err)
		}
		c.disks[bad].SetFaults(sim.Faults{})
		c.open(bad)
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

// holder makes an event and gives what holds one seat after the other of it.
func (c *cluster) holder() (hold func(), shard holdfast.ShardID) {
	c.t.Helper()
	event, shard := c.event("one", 10_000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 10_000})
	seat := holdfast.SeatIndex(0)
	return func() {
		c.t.Helper()
		if r, _ := c.do(shard, c.hold(shard, event, 1, seat)); r[0].Outcome != holdfast.OK {
			c.t.Fatalf("seat %d: %v", seat, r[0].Outcome)
		}
		seat++
	}, shard
}

func name(i int) string { return []string{"n1", "n2", "n3", "n4", "n5"}[i] }

// A disk that stands still holds Raft's loop up, which then neither steps down nor hands over, while its heartbeats go on.
func TestALeaderWhoseDiskStandsStillIsReplaced(t *testing.T) {
	inCluster(t, 3, node.Config{Timing: node.Timing{Transfer: time.Hour}}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		old := c.awaitLeader(shard)
		c.disks[old].SetFaults(sim.Faults{SyncTime: 20 * time.Second})
		began := time.Now()
		lost := submit(c.nodes[old], shard, c.hold(shard, event, 1, 5)) // it is on its way to the disk
		if kind := holdfast.KindOf(lost.Err); kind != holdfast.Unknown {
			t.Errorf("what was with the disk was answered with %v", lost.Err)
		}
		if refused := submit(c.nodes[old], shard, c.hold(shard, event, 2, 6)); holdfast.KindOf(refused.Err) != holdfast.Unavailable {
			t.Errorf("what came after was answered with %v", refused.Err)
		}
		r, _ := c.do(shard, c.hold(shard, event, 3, 7))
		if gap := time.Since(began); r[0].Outcome != holdfast.OK || gap > 2*time.Second {
			t.Errorf("a claim was answered %v after %v", r[0].Outcome, gap)
		}
		if c.nodes[old].Leads(shard) || c.nodes[old].Ready() {
			t.Error("the member says that it serves, and its disk stands still")
		}
		if s := c.nodes[old].Status(); s.Shards[shard].Role == "leader" || s.LastAppend < 600*time.Millisecond {
			t.Errorf("it calls itself %s, and says that a write takes %v", s.Shards[shard].Role, s.LastAppend)
		}
		c.disks[old].SetFaults(sim.Faults{})
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

// Where every disk is slow, another leader would be no better, and none could be elected: that takes several writes.
func TestALeaderWhoseDiskIsAsSlowAsTheOthersStays(t *testing.T) {
	inCluster(t, 3, node.Config{Timing: node.Timing{Transfer: time.Hour}}, func(t *testing.T, c *cluster) {
		hold, shard := c.holder()
		leader := c.awaitLeader(shard)
		for _, disk := range c.disks {
			disk.SetFaults(sim.Faults{SyncTime: 800 * time.Millisecond})
		}
		for range 20 {
			hold()
		}
		if now := c.awaitLeader(shard); now != leader {
			t.Errorf("leadership went from member %d to %d", leader+1, now+1)
		}
		for _, disk := range c.disks {
			disk.SetFaults(sim.Faults{})
		}
		c.awaitReady()
		c.checkReplicas(shard)
	})
}

func TestALeaderWithASlowDiskHandsOver(t *testing.T) {
	for _, slow := range []time.Duration{350 * time.Millisecond, 700 * time.Millisecond} {
		inCluster(t, 3, node.Config{Timing: node.Timing{Transfer: time.Second}}, func(t *testing.T, c *cluster) {
			hold, shard := c.holder()
			old := c.awaitLeader(shard)
			c.disks[old].SetFaults(sim.Faults{SyncTime: slow})
			began := time.Now()
			for time.Since(began) < 3*time.Second {
				hold()
				time.Sleep(10 * time.Millisecond)
			}
			began = time.Now()
			for range 100 { // and it does not come back
				hold()
				time.Sleep(100 * time.Millisecond)
			}
			if c.leader(shard) == old || time.Since(began) > 11*time.Second {
				t.Errorf("a sync takes %v, and member %d leads after %d; 100 claims took %v", slow, c.leader(shard)+1, old+1, time.Since(began))
			}
		})
	}
}

func TestALeaderShortOfDiskHandsOverToWhoHasRoom(t *testing.T) {
	inCluster(t, 3, node.Config{Timing: node.Timing{Transfer: time.Hour}}, func(t *testing.T, c *cluster) {
		hold, shard := c.holder()
		for range 2 { // and then the next, to the last that has room
			old := c.awaitLeader(shard)
			c.disks[old].Fill(node.HeadroomDefault / 2)
			began, refused := time.Now(), time.Duration(0)
			for time.Since(began) < 10*time.Second {
				asked := time.Now()
				hold()
				refused = max(refused, time.Since(asked))
				time.Sleep(100 * time.Millisecond)
			}
			if refused > 2*time.Second {
				t.Errorf("a claim waited for %v", refused)
			}
			if c.nodes[old].Leads(shard) {
				t.Error("it leads, and has no room")
			}
		}
		last := c.awaitLeader(shard)
		c.disks[last].Fill(node.HeadroomDefault / 2)
		time.Sleep(5 * time.Second)
		if c.leader(shard) != last {
			t.Error("leadership went to a member that has no more room")
		}
	})
}
