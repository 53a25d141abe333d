package node_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// The library takes over a snapshot of the leader's that is older than what it has applied, and applies the rest again.
// A watcher must not be sent back in time meanwhile.
func TestAWatcherIsNotSentBack(t *testing.T) {
	inCluster(t, 3, node.Config{}, func(t *testing.T, c *cluster) {
		event, shard := c.event("one", 100, command.Rules{ManyOpenHolds: true})
		follower := c.nodes[(c.awaitLeader(shard)+1)%len(c.nodes)]
		time.Sleep(time.Second) // until the follower has the event too
		cut, _, err := follower.Cut(t.Context(), shard, true)
		must(t, err)
		var older bytes.Buffer
		_, err = cut.WriteTo(&older)
		must(t, err)
		cut.Release()

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		seen := holdfast.Revision(0)
		watched := make(chan error)
		go func() {
			watched <- follower.Watch(ctx, shard, event, 0, func(ch node.Changes) error {
				if ch.Revision < seen {
					t.Errorf("a watcher at revision %d was sent %d", seen, ch.Revision)
				}
				seen = ch.Revision
				return nil
			})
		}()
		time.Sleep(100 * time.Millisecond)
		c.do(shard, c.hold(shard, event, 1, 1, 2, 3))
		time.Sleep(500 * time.Millisecond)
		must(t, follower.FallBack(shard, &older))
		if err := <-watched; seen < 3 {
			t.Errorf("the watcher saw revision %d, then %v", seen, err)
		}
	})
}
