package node_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// Leadership goes round as an operator wants while claims come: none of them is refused by the leader that gives it away,
// but those that come to it too late.
func TestAnOperatorMovesLeadershipAndNoClaimIsLost(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 4000, command.Rules{ManyOpenHolds: true, SeatsPerBuyer: 4000})
		for round := range 6 {
			from := c.awaitLeader(shard)
			to := (from + 1 + round%2) % 3
			const claims = 100
			var yes, elsewhere, other atomic.Int32
			for i := range claims {
				b := batch(shard, c.hold(shard, event, 1, holdfast.SeatIndex(round*claims+i)))
				b.Done = func(r node.Reply) {
					switch {
					case r.Err == nil:
						yes.Add(1)
					case errors.Is(r.Err, holdfast.NotLeader), errors.Is(r.Err, holdfast.Unavailable):
						elsewhere.Add(1)
					default:
						other.Add(1)
					}
				}
				c.nodes[from].Submit(b)
			}
			began := time.Now()
			if err := c.nodes[from].Transfer(t.Context(), shard, name(to)); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			c.await("the other leads", func() bool { return c.leader(shard) == to })
			if took := time.Since(began); took > time.Second {
				t.Errorf("round %d: it took %v", round, took)
			}
			c.await("all claims are answered", func() bool { return yes.Load()+elsewhere.Load()+other.Load() == claims })
			if other.Load() > 0 {
				t.Errorf("round %d: %d claims are in doubt", round, other.Load())
			}
			if err := c.nodes[to].Transfer(t.Context(), shard, name(to)); err != nil {
				t.Errorf("to who leads already: %v", err)
			}
		}
	})
}

// Who leads soon after it was started has not met everybody: that is no reason to deny a member (jepsen run, seed 24).
func TestAMemberThatTheLeaderHasNotMetIsOneThatDoesNotAnswer(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		const shard = holdfast.ShardID(1)
		leader := c.awaitLeader(shard)
		follower, away := (leader+1)%3, (leader+2)%3
		for _, other := range []int{leader, follower} {
			c.net.Cut(name(away), name(other))
			c.net.Cut(name(other), name(away))
		}
		c.kill(leader)
		c.open(leader)
		c.await("who has not met it leads", func() bool {
			if c.leader(shard) == follower {
				_ = c.nodes[follower].Transfer(t.Context(), shard, name(leader)) // an error: not yet
			}
			return c.leader(shard) == leader
		})
		if err := c.nodes[leader].Transfer(t.Context(), shard, name(away)); holdfast.KindOf(err) != holdfast.Unavailable {
			t.Errorf("it says %v", err)
		}
	})
}

func TestATransferIsRefusedByName(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		const shard = holdfast.ShardID(1)
		leader := c.awaitLeader(shard)
		follower, dead := (leader+1)%3, (leader+2)%3
		kind := func(on int, shard holdfast.ShardID, to string) holdfast.Kind {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return holdfast.KindOf(c.nodes[on].Transfer(ctx, shard, to))
		}
		if got := kind(follower, shard, name(follower)); got != holdfast.NotLeader {
			t.Errorf("of a follower: %v", got)
		}
		if got := kind(leader, shard, "nobody"); got != holdfast.NotFound {
			t.Errorf("to nobody: %v", got)
		}
		if got := kind(leader, 9, name(follower)); got != holdfast.NotFound {
			t.Errorf("of no shard: %v", got)
		}
		// One that is cut off does not answer, at first without anybody knowing.
		for _, other := range []int{leader, follower} {
			c.net.Cut(name(dead), name(other))
			c.net.Cut(name(other), name(dead))
		}
		time.Sleep(100 * time.Millisecond)
		if got := kind(leader, shard, name(dead)); got != holdfast.Unavailable {
			t.Errorf("to one that was cut off: %v", got)
		}
		time.Sleep(10 * time.Second)
		if got := kind(c.awaitLeader(shard), shard, name(dead)); got != holdfast.Unavailable {
			t.Errorf("to one that has been silent: %v", got)
		}
		// And the shard serves on.
		event, _ := c.event("one", 10, command.Rules{})
		if r, _ := c.do(shard, c.hold(shard, event, 1, 1)); r[0].Outcome != holdfast.OK {
			t.Errorf("a claim afterwards: %+v", r[0])
		}
	})
}

// TestWhoHasJustComeBackIsNotAskedToLead: the library backs off from a follower that failed, for up to ten seconds more after it
// is back. Asked in that time it would not take leadership, and claims would wait for as long as it was given. Asked again, it
// could leave hashicorp/raft#696 behind: goroutines for ever, at which the bubble's end panics.
func TestWhoHasJustComeBackIsNotAskedToLead(t *testing.T) {
	inCluster(t, 3, node.Config{Timing: node.Timing{Transfer: time.Hour}}, func(t *testing.T, c *cluster) {
		const shard = holdfast.ShardID(1)
		leader := c.awaitLeader(shard)
		gone := (leader + 1) % 3
		c.kill(gone)
		c.event("one", 10, command.Rules{}) // which it lacks
		time.Sleep(22 * time.Second)
		c.open(gone)
		refused := 0
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			began := time.Now()
			err := c.nodes[leader].Transfer(t.Context(), shard, name(gone))
			if err == nil {
				break
			}
			if refused++; holdfast.KindOf(err) != holdfast.Unavailable || time.Now().After(deadline) {
				t.Fatalf("after %d refusals: %v", refused, err)
			}
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("claims waited %v for nothing: %v", took, err)
			}
		}
		c.await("the other leads", func() bool { return c.leader(shard) == gone })
	})
}

func TestALearnerIsNotGivenLeadership(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		const shard = holdfast.ShardID(1)
		leader := c.awaitLeader(shard)
		gone := (leader + 1) % 3
		c.kill(gone)
		c.disks[gone] = sim.NewDisk(99, 4<<30)
		c.open(gone)
		c.await("it has joined as a learner", func() bool {
			for _, s := range c.nodes[c.awaitLeader(shard)].Status().Shards {
				if s.Shard == shard && len(s.Learners) == 1 {
					return true
				}
			}
			return false
		})
		if err := c.nodes[c.awaitLeader(shard)].Transfer(t.Context(), shard, name(gone)); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("to a learner: %v", err)
		}
	})
}
