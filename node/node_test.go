package node_test

import (
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
