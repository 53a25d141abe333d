package node_test

import (
	"errors"
	"net"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

func TestAClaimPassesThroughThreeNodes(t *testing.T) {
	inCluster(t, 3, node.Config{Shards: 2}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 1000, command.Rules{})
		won, at := c.do(shard, c.hold(shard, event, 1, 5, 6))
		if won[0].Outcome != holdfast.OK || len(won[0].Seats) != 2 {
			t.Fatalf("%+v", won[0])
		}
		lost, later := c.do(shard, c.hold(shard, event, 2, 6, 7))
		if lost[0].Outcome != holdfast.SeatHeld {
			t.Fatalf("%+v", lost[0])
		}
		if later.Index <= at.Index || later.Clock < at.Clock || at.Shard != shard || at.Term == 0 {
			t.Errorf("stamps %+v, %+v", at, later)
		}
		c.checkReplicas(shard)
	})
}

func TestANodeIsClosedWhateverBecameOfIt(t *testing.T) {
	closed := func(what string, n *node.Node) {
		t.Helper()
		if err := errors.Join(n.Close(), n.Close()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := n.Open(t.Context()); !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("%s: opened after it was closed: %v", what, err)
		}
	}
	cfg := node.Config{Name: "n1", RaftAddress: "127.0.0.1:1", Dir: t.TempDir()}
	never, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	closed("never opened", never)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.RaftAddress = taken.Addr().String()
	failed, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := failed.Open(t.Context()); err == nil {
		t.Fatal("it listens where somebody else does")
	}
	closed("failed to open", failed)
}
