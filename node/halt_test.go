package node_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// poison is an entry that is whole, and that no leader would have packed: an assignment in a shard's log.
func poison(c *cluster) []byte {
	bad := &command.AssignEvent{Spec: command.EventSpec{
		Name: "poison", Currency: "eur", Tiers: []command.Tier{{Name: "all"}}, Sections: []command.Section{{Name: "floor", Places: 1}},
	}}
	bad.ID = c.id(1)
	return command.FinishEntry(bad.Append(command.BeginEntry(nil)), 0, 0, 1)
}

func TestAPoisonEntryHaltsItsShardAndNoOther(t *testing.T) {
	inCluster(t, 3, node.Config{Shards: 2, Timing: node.Timing{Transfer: time.Hour}}, func(t *testing.T, c *cluster) {
		one, sick := c.event("one", 100, command.Rules{})
		two, well := c.event("two", 100, command.Rules{})
		if sick == well {
			t.Fatal("both events are on one shard")
		}
		leader := c.awaitLeader(sick)
		c.nodes[leader].Propose(sick, poison(c))
		halted := func(n *node.Node) bool { return n.Status().Shards[sick].Role == "halted" }
		c.await("a majority has halted", func() bool { // the third does not learn any more that the entry is committed
			return len(slices.DeleteFunc(slices.Clone(c.nodes), func(n *node.Node) bool { return !halted(n) })) >= 2
		})
		for _, n := range c.nodes {
			if !halted(n) {
				continue
			}
			r := submit(n, sick, c.hold(sick, one, 1, 5))
			if !errors.Is(r.Err, holdfast.Halted) || !strings.Contains(r.Err.Error(), "shard "+sick.String()) {
				t.Errorf("a claim is told %v", r.Err)
			}
			if _, err := n.Read(t.Context(), sick, true, func(*fsm.Machine) {}); !errors.Is(err, holdfast.Halted) {
				t.Errorf("a reader is told %v", err)
			}
			if err := n.Watch(t.Context(), sick, one, 0, func(node.Changes) error { return nil }); !errors.Is(err, holdfast.Halted) {
				t.Errorf("a watcher is told %v", err)
			}
			if n.Ready() {
				t.Error("the node says that it is ready")
			}
			if s := n.Status().Shards[sick]; s.AppliedIndex != 0 || s.Halted == "" {
				t.Errorf("status %+v", s)
			}
		}
		if r, _ := c.do(well, c.hold(well, two, 1, 5)); r[0].Outcome != holdfast.OK {
			t.Errorf("the other shard: %+v", r[0])
		}
		checkEvidence(t, c, leader, sick)

		// The entry does not count as applied: a restart meets it again, and the other shard goes on.
		if err := c.nodes[leader].Close(); err != nil {
			t.Error(err)
		}
		c.open(leader)
		c.awaitLeader(well)
		if r, _ := c.do(well, c.hold(well, two, 2, 6)); r[0].Outcome != holdfast.OK {
			t.Errorf("the other shard: %+v", r[0])
		}
	})
}

func checkEvidence(t *testing.T, c *cluster, i int, shard holdfast.ShardID) {
	t.Helper()
	dir, err := c.nodes[i].Disk().Dir("halted")
	if err != nil {
		t.Fatal(err)
	}
	names, err := dir.Names()
	if err != nil || len(names) != 2 {
		t.Fatalf("evidence: %v, %v", names, err)
	}
	read := func(name string) []byte {
		f, err := dir.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		b := make([]byte, size)
		if _, err := f.Read(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	var about struct {
		Shard uint32
		Index uint64
		Cause string
		Stack string
	}
	if err := json.Unmarshal(read(names[1]), &about); err != nil {
		t.Fatal(err)
	}
	if about.Shard != uint32(shard) || about.Index == 0 || !strings.Contains(about.Cause, "assign_event") || !strings.Contains(about.Stack, "Apply") {
		t.Errorf("evidence %+v", about)
	}
	if _, err := command.OpenEntry(read(names[0])); err != nil {
		t.Errorf("the entry in the evidence: %v", err)
	}
}

// Each kind of command has its machines; any other would halt them all. The leader refuses it.
func TestNobodyCanPoisonAShardThroughTheFrontDoor(t *testing.T) {
	inCluster(t, 1, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 100, command.Rules{})
		assign := &command.AssignEvent{Spec: command.EventSpec{Name: "x", Currency: "eur", Tiers: []command.Tier{{Name: "all"}},
			Sections: []command.Section{{Name: "floor", Places: 1}}}}
		assign.ID = c.id(shard)
		hold := c.hold(shard, event, 1, 5)
		miscounted := batch(shard, hold)
		miscounted.Count = 2
		for what, b := range map[string]node.Batch{
			"an assignment for a shard": batch(shard, assign), "a hold for the directory": batch(holdfast.Directory, hold),
			"a wrong count": miscounted, "nothing": {Shard: shard}, "no command": {Shard: shard, Commands: []byte{1, 2, 3}, Count: 1},
		} {
			reply := make(chan node.Reply, 1)
			b.Done = func(r node.Reply) { reply <- r }
			c.nodes[0].Submit(b)
			if r := <-reply; !errors.Is(r.Err, holdfast.Invalid) {
				t.Errorf("%s: %v", what, r.Err)
			}
		}
		if r := submit(c.nodes[0], 7, hold); !errors.Is(r.Err, holdfast.NotFound) {
			t.Errorf("a shard that does not exist: %v", r.Err)
		}
		if r, _ := c.do(shard, hold); r[0].Outcome != holdfast.OK {
			t.Errorf("%+v", r[0])
		}
	})
}
