package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// cluster is a cluster in one process and in virtual time, on a network and disks in memory.
type cluster struct {
	t      testing.TB
	net    *sim.Network
	disks  []*sim.Disk
	nodes  []*node.Node // nil: not running
	config node.Config  // what all have in common
	tune   func(*node.Node)
	random uint64 // for ids
}

// inCluster runs a test in a bubble with a cluster that serves.
func inCluster(t *testing.T, members int, config node.Config, test func(*testing.T, *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newNodes(t, members, config)
		defer c.closeAll()
		c.openAll()
		c.awaitReady()
		test(t, c)
	})
}

func newNodes(t testing.TB, members int, config node.Config) *cluster {
	c := &cluster{t: t, net: sim.NewNetwork(1), config: config, nodes: make([]*node.Node, members)}
	for i := range members {
		c.disks = append(c.disks, sim.NewDisk(uint64(i), 4<<30))
		c.config.Peers = append(c.config.Peers, fmt.Sprintf("n%d:7000", i+1))
	}
	if c.config.BootstrapExpect == 0 {
		c.config.BootstrapExpect = members
	}
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		c.config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c
}

func (c *cluster) open(i int) {
	c.t.Helper()
	cfg := c.config
	cfg.Name = fmt.Sprintf("n%d", i+1)
	cfg.RaftAddress = fmt.Sprintf("n%d:7000", i+1)
	cfg.ClientAddress = fmt.Sprintf("n%d:8000", i+1)
	cfg.Network, cfg.Disk = c.net.Host(cfg.Name), c.disks[i].Mount()
	n, err := node.New(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.tune != nil {
		c.tune(n)
	}
	if err := n.Open(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

func (c *cluster) openAll() {
	c.t.Helper()
	for i := range c.nodes {
		c.open(i)
	}
}

// kill ends a node as a power failure would, as seen from outside: the network and the disk are gone at once.
func (c *cluster) kill(i int) {
	c.net.Crash(fmt.Sprintf("n%d", i+1))
	c.disks[i] = c.disks[i].PowerOff() // the library panics when its disk fails under it: the old one is left to it
	_ = c.nodes[i].Close()             // what it tries to say reaches nobody
	c.nodes[i] = nil
}

func (c *cluster) closeAll() {
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		if err := n.Close(); err != nil {
			c.t.Errorf("close node %d: %v", i+1, err)
		}
		c.nodes[i] = nil
	}
}

// await waits in virtual time until a condition holds.
func (c *cluster) await(what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, n := range c.nodes {
				if n != nil {
					c.t.Logf("%+v", n.Status())
				}
			}
			c.t.Fatalf("waited 30 s until %s", what)
		}
	}
}

func (c *cluster) awaitReady() {
	c.t.Helper()
	c.await("all nodes are ready", func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *node.Node) bool { return n != nil && !n.Ready() })
	})
}

// leader is the index of the node that leads and serves a shard; -1: none.
func (c *cluster) leader(shard holdfast.ShardID) int {
	return slices.IndexFunc(c.nodes, func(n *node.Node) bool { return n != nil && n.Leads(shard) })
}

func (c *cluster) awaitLeader(shard holdfast.ShardID) int {
	c.t.Helper()
	c.await(fmt.Sprintf("shard %d has a leader", shard), func() bool { return c.leader(shard) >= 0 })
	return c.leader(shard)
}

// submit gives a batch to a node and waits for the reply.
func submit(n *node.Node, shard holdfast.ShardID, cmds ...packable) node.Reply {
	b := batch(shard, cmds...)
	reply := make(chan node.Reply, 1)
	b.Done = func(r node.Reply) { reply <- r }
	n.Submit(b)
	return <-reply
}

// packable is any command.
type packable interface{ Append([]byte) []byte }

func batch(shard holdfast.ShardID, cmds ...packable) node.Batch {
	b := node.Batch{Shard: shard, Count: len(cmds)}
	for _, cmd := range cmds {
		b.Commands = cmd.Append(b.Commands)
	}
	return b
}

// results decodes what a reply carries.
func results(t testing.TB, r node.Reply) (out []command.Result) {
	t.Helper()
	for rest := r.Results; len(rest) > 0; {
		var one command.Result
		var err error
		if rest, err = command.DecodeResult(rest, &one); err != nil {
			t.Fatal(err)
		}
		out = append(out, one)
	}
	return out
}

// do has commands decided by whoever leads, and repeats them as a client would until they are.
func (c *cluster) do(shard holdfast.ShardID, cmds ...packable) ([]command.Result, holdfast.Stamp) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		i := c.leader(shard)
		if i < 0 {
			continue
		}
		r := submit(c.nodes[i], shard, cmds...)
		if r.Err == nil {
			return results(c.t, r), r.Stamp
		}
		if !errors.Is(r.Err, holdfast.NotLeader) && !errors.Is(r.Err, holdfast.Unavailable) && !errors.Is(r.Err, holdfast.Unknown) {
			c.t.Fatal(r.Err)
		}
	}
	c.t.Fatalf("shard %d did not decide in 30 s", shard)
	return nil, holdfast.Stamp{}
}

// id makes the id of a command for a shard, valid for the longest time, or nearly.
func (c *cluster) id(shard holdfast.ShardID) holdfast.CommandID {
	clock := holdfast.Clock(0)
	for _, n := range c.nodes {
		if n != nil {
			for _, r := range n.Routes().Shards {
				if r.Shard == shard {
					clock = max(clock, r.Clock)
				}
			}
		}
	}
	c.random++
	var random [10]byte
	for i := range 8 {
		random[i] = byte(c.random >> (8 * i))
	}
	return holdfast.NewCommandID(clock.Add(50*time.Second), random)
}

// event creates an event with so many numbered seats in rows of 100 and opens its sale. The shard's leader must
// create it by itself.
func (c *cluster) event(name string, seats int, rules command.Rules) (holdfast.EventID, holdfast.ShardID) {
	c.t.Helper()
	spec := command.EventSpec{
		Name: name, Title: name, Currency: "eur", Rules: rules, Tiers: []command.Tier{{Name: "all", PriceMinor: 5000}},
		Sections: []command.Section{{Name: "floor"}},
	}
	for i := 0; i < seats; i += 100 {
		spec.Sections[0].Rows = append(spec.Sections[0].Rows,
			command.Row{Label: fmt.Sprint(i / 100), First: 1, Seats: uint16(min(100, seats-i)), Tier: holdfast.AnyTier})
	}
	assign := &command.AssignEvent{Spec: spec}
	assign.ID = c.id(holdfast.Directory)
	assigned, _ := c.do(holdfast.Directory, assign)
	if assigned[0].Outcome != holdfast.OK {
		c.t.Fatal(assigned[0].Outcome)
	}
	event, shard := assigned[0].Event, assigned[0].Shard
	c.await("the event exists", func() bool {
		i, found := c.leader(shard), false
		if i >= 0 {
			_, _ = c.nodes[i].Read(c.t.Context(), shard, true, func(m *fsm.Machine) { _, found = m.Event(event) })
		}
		return found
	})
	open := &command.SetSale{State: holdfast.SaleOpen}
	open.ID, open.Event = c.id(shard), event
	if r, _ := c.do(shard, open); r[0].Outcome != holdfast.OK {
		c.t.Fatal(r[0].Outcome)
	}
	return event, shard
}

// hold makes a command that wants seats for a buyer.
func (c *cluster) hold(shard holdfast.ShardID, event holdfast.EventID, buyer byte, seats ...holdfast.SeatIndex) *command.Hold {
	h := &command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Count: uint8(len(seats)), Seats: seats}}}
	h.ID, h.Event, h.Buyer = c.id(shard), event, holdfast.BuyerID{buyer}
	return h
}

// digests compares the state of all running replicas at one Mark.
func (c *cluster) checkReplicas(shard holdfast.ShardID) {
	c.t.Helper()
	m := &command.Mark{}
	m.ID = c.id(shard)
	_, at := c.do(shard, m)
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	var first [32]byte
	for i, n := range c.nodes {
		if n == nil {
			continue
		}
		sum, err := n.Digest(ctx, shard, at.Index)
		if err != nil {
			c.t.Fatalf("digest of node %d: %v", i+1, err)
		}
		if first == ([32]byte{}) {
			first = sum
		}
		if sum != first {
			c.t.Errorf("shard %d: node %d differs at %d", shard, i+1, at.Index)
		}
		if _, err := n.Read(ctx, shard, true, func(m *fsm.Machine) {
			for _, v := range m.Check() {
				c.t.Errorf("node %d: %v", i+1, v)
			}
		}); err != nil {
			c.t.Error(err)
		}
	}
}
