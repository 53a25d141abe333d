package node

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

// The library looks whether its leader is silent at random moments, one to two Heartbeats apart, so that a follower misses a leader
// after one to three of them. A voter that does not miss its leader yet refuses its vote, so that an election begins when the
// last of the followers has looked. Here each looks when it is time to.

// missLeader is the goroutine that lets Raft look as soon as its leader has been silent for a Heartbeat and a random part of half of
// one: so one follower stands before the others, since a vote takes some milliseconds, with its write to the disk.
func (g *group) missLeader(ctx context.Context) {
	for {
		patience := g.timing.Heartbeat + rand.N(g.timing.Heartbeat/2)
		for left := patience; left > 0; left = patience - g.silence() {
			if pause(ctx, left, nil) != nil {
				return
			}
		}
		g.look()
	}
}

// silence is for how long a follower has heard nothing from its leader; 0 for who is none. Unlike contact, it takes a leader that was
// never heard for one that is silent, and a candidate for one who has looked.
func (g *group) silence() time.Duration {
	if g.raft.State() != raft.Follower {
		return 0
	}
	return time.Since(g.raft.LastContact())
}

// look lets Raft look whether its leader was silent for a Heartbeat. It does when that is made shorter; there is no other way.
func (g *group) look() {
	for _, longer := range []time.Duration{time.Millisecond, 0} {
		err := g.reload(func(c *raft.ReloadableConfig) {
			c.HeartbeatTimeout, c.ElectionTimeout = g.timing.Heartbeat+longer, g.timing.Election+longer
		})
		if err != nil {
			g.log.Error("Raft cannot be told to look for its leader: elections come later", "shard", uint32(g.shard), "error", err)
		}
	}
}
