package node_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// wrongClock is a clock whose wall is off.
type wrongClock struct {
	node.Clock
	off atomic.Int64 // time.Duration
}

func (c *wrongClock) Now() time.Time { return c.Clock.Now().Add(time.Duration(c.off.Load())) }

// acquaintance is a node that does nothing but say hello.
type acquaintance struct {
	hello atomic.Pointer[node.Hello]
	clock *wrongClock
	mux   *node.Mux
	peers *node.Peers
}

func meet(t *testing.T, network *sim.Network, names ...string) []*acquaintance {
	var all []*acquaintance
	var addresses []string
	for _, name := range names {
		addresses = append(addresses, name+":7000")
	}
	for i, name := range names {
		a := &acquaintance{clock: &wrongClock{Clock: node.SystemClock()}}
		a.hello.Store(&node.Hello{ID: name + "-1", Name: name, Address: addresses[i], Peers: addresses, Expect: len(names), Shards: 1})
		self := func() node.Hello {
			h := *a.hello.Load()
			h.WallMicros = a.clock.Now().UnixMicro()
			return h
		}
		var err error
		a.mux, err = node.NewMux(node.MuxConfig{
			Network: network.Host(name), Address: addresses[i], ID: name + "-1", Timing: node.DefaultTiming(), Log: slog.New(slog.DiscardHandler),
			Hello: self, Veto: func() error { return nil }, Locate: func(raft.ServerID) string { return "" },
		})
		must(t, err)
		a.peers = node.NewPeers(self, addresses, a.mux, a.clock, node.DefaultTiming(), slog.New(slog.DiscardHandler))
		all = append(all, a)
	}
	return all
}

func part(t *testing.T, all []*acquaintance) {
	for _, a := range all {
		must(t, a.peers.Close())
	}
	for _, a := range all {
		must(t, a.mux.Close())
	}
}

func TestPeersKnowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := sim.NewNetwork(1)
		all := meet(t, network, "n1", "n2", "n3")
		time.Sleep(2 * time.Second)
		got := all[1].peers.All()
		var names []string
		for _, p := range got {
			names = append(names, fmt.Sprint(p.Name, " ", p.Known, " ", p.Age < 2*time.Second))
		}
		if want := []string{"n2 true true", "n1 true true", "n3 true true"}; !slices.Equal(names, want) {
			t.Errorf("n2 knows %q, want %q", names, want)
		}
		if at := all[0].peers.Locate("n3-1"); at != "n3:7000" {
			t.Errorf("n3-1 is at %q", at)
		}
		if at := all[0].peers.Locate("n3-2"); at != "" {
			t.Errorf("an id that nobody has is at %q", at)
		}
		network.Cut("n1", "n3")
		time.Sleep(30 * time.Second)
		for _, p := range all[0].peers.All() {
			if p.Name == "n3" && p.Age < 28*time.Second {
				t.Errorf("n1 heard from n3 %v ago", p.Age)
			}
		}
		network.HealAll()
		time.Sleep(5 * time.Second)
		part(t, all)
	})
}

func TestSkewIsMeasuredAgainstTheMedian(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := sim.NewNetwork(1)
		all := meet(t, network, "n1", "n2", "n3")
		for _, a := range []string{"n1", "n2", "n3"} {
			for _, b := range []string{"n1", "n2", "n3"} {
				network.Set(a, b, sim.Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
			}
		}
		expect := func(want ...time.Duration) {
			t.Helper()
			time.Sleep(3 * time.Second)
			for i, a := range all {
				if got := a.peers.Skew(); (got - want[i]).Abs() > 50*time.Millisecond {
					t.Errorf("the skew of n%d is %v, want %v", i+1, got, want[i])
				}
				if doubt := a.peers.Doubt(); (doubt != nil) != (want[i].Abs() > 500*time.Millisecond) {
					t.Errorf("with a skew of %v n%d says: %v", want[i], i+1, doubt)
				}
			}
		}
		expect(0, 0, 0)
		all[2].clock.off.Store(int64(time.Hour))
		expect(0, 0, time.Hour)
		all[1].clock.off.Store(int64(-300 * time.Millisecond))
		expect(0, -300*time.Millisecond, time.Hour)
		network.Cut("n3", "n1") // with two, nobody knows who is wrong
		time.Sleep(10 * time.Second)
		if skew := all[0].peers.Skew(); skew != 0 {
			t.Errorf("with one peer the skew is %v", skew)
		}
		network.HealAll()
		part(t, all)
	})
}

func TestAPeerAtAnotherAddressIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := meet(t, sim.NewNetwork(1), "n1", "n2")
		liar := *all[1].hello.Load()
		liar.Address = "elsewhere:7000"
		all[1].hello.Store(&liar)
		// It may have answered before.
		time.Sleep(10 * time.Second)
		for _, p := range all[0].peers.All()[1:] {
			if p.Known && p.Age < 5*time.Second {
				t.Errorf("it is known as %+v", p)
			}
		}
		part(t, all)
	})
}

// members are the hellos of a cluster to be: addresses a:1, b:1, …
func hellos(n int) []node.Peer {
	var all []node.Peer
	var addresses []string
	for i := range n {
		addresses = append(addresses, string(rune('a'+i))+":1")
	}
	for i, address := range addresses {
		all = append(all, node.Peer{Known: true, Hello: node.Hello{
			ID: address[:1] + fmt.Sprintf("-%08x", 100-i), Address: address, Peers: addresses, Expect: n, Shards: 2,
		}})
	}
	return all
}

// from is the table as the i-th of them has it: its own hello first.
func from(all []node.Peer, i int) []node.Peer {
	return slices.Concat(all[i:i+1], all[:i], all[i+1:])
}

func TestExactlyOneMemberFoundsTheCluster(t *testing.T) {
	for n := 1; n <= 5; n++ {
		all := hellos(n)
		for i := range all {
			d := node.Decide(from(all, i), node.DefaultTiming())
			if i > 0 {
				if d.Cluster != "" || d.Founders != nil || !strings.Contains(d.Waiting, "a:1") {
					t.Errorf("member %d of %d: %+v", i, n, d)
				}
				continue
			}
			if len(d.Founders) != n || !strings.HasPrefix(d.Cluster, "hf-") || !slices.IsSortedFunc(d.Founders, func(a, b node.Member) int { return strings.Compare(a.ID, b.ID) }) {
				t.Errorf("the first of %d: %+v", n, d)
			}
			all[n-1].ID = "z-another"
			if again := node.Decide(from(all, i), node.DefaultTiming()); again.Cluster == d.Cluster {
				t.Error("other members are the same cluster")
			}
		}
	}
}

func TestAMemberWithoutClusterWaits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(all []node.Peer)
		want   string
	}{
		"one has not answered":      {func(all []node.Peer) { all[2].Known = false }, "for an answer of c:1"},
		"one does not answer now":   {func(all []node.Peer) { all[2].Age = 5 * time.Second }, "for an answer of c:1"},
		"one has other peers":       {func(all []node.Peer) { all[1].Peers = []string{"a:1", "b:1", "d:1"} }, "for b:1 to be started with the same"},
		"one has other shards":      {func(all []node.Peer) { all[1].Shards = 3 }, "for b:1 to be started with the same"},
		"one only joins":            {func(all []node.Peer) { all[1].Expect = 0 }, "for b:1 to be started with the same"},
		"it only joins":             {func(all []node.Peer) { all[0].Expect = 0 }, "for a peer that belongs to a cluster"},
		"two are the same":          {func(all []node.Peer) { all[2].ID = all[1].ID }, "for the peers to be different nodes"},
		"two clusters":              {func(all []node.Peer) { all[1].Cluster, all[2].Cluster = "hf-1", "hf-2" }, "for the peers to be of one cluster"},
		"a cluster of other shards": {func(all []node.Peer) { all[1].Cluster, all[1].Shards = "hf-1", 7 }, "to be started with 7 shards"},
	} {
		all := hellos(3)
		c.change(all)
		if d := node.Decide(all, node.DefaultTiming()); d.Cluster != "" || d.Founders != nil || !strings.Contains(d.Waiting, c.want) {
			t.Errorf("%s: %+v, want to wait %s", name, d, c.want)
		}
	}
}

func TestAMemberJoinsTheClusterThatItMeets(t *testing.T) {
	all := hellos(3)
	all[1].Cluster, all[2].Known = "hf-1", false
	for _, expect := range []int{0, 3} {
		all[0].Expect = expect
		if d := node.Decide(all, node.DefaultTiming()); d.Cluster != "hf-1" || d.Founders != nil {
			t.Errorf("%+v", d)
		}
	}
}

// TestThereIsOneClusterWhateverAnswers: members see any part of each other, are wiped and decide in any order. There
// are never founders for two clusters as long as one of the first is left.
func TestThereIsOneClusterWhateverAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "members")
		all := hellos(n)
		clusters := map[string]bool{}
		for step := range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, n-1).Draw(t, "member")
			if rapid.IntRange(0, 9).Draw(t, "event") == 0 && len(clusters) == 0 { // wiped before anything was founded
				all[i].ID = fmt.Sprintf("%s-w%d", all[i].Address[:1], step)
				continue
			}
			if all[i].Cluster != "" {
				continue
			}
			seen := from(slices.Clone(all), i)
			for j := 1; j < n; j++ {
				seen[j].Known = rapid.Bool().Draw(t, "answers")
			}
			d := node.Decide(seen, node.DefaultTiming())
			if all[i].Cluster = d.Cluster; d.Founders != nil {
				clusters[d.Cluster] = true
			}
		}
		if len(clusters) > 1 {
			t.Fatalf("there are %d clusters", len(clusters))
		}
	})
}
