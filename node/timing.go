package node

import (
	"fmt"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Timing is every duration that a cluster's behaviour depends on. A zero field means its default. All members of a
// cluster should have the same.
type Timing struct {
	// Heartbeat is how long a follower waits for its leader before it stands for election; it waits one to one and a
	// half of these. Leaders beat every tenth to fifth of it.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes, and a leadership transfer for its target to catch up.
	Election time.Duration
	// Lease is how long a leader goes on without hearing from a majority before it steps down. It decides
	// nothing but that: reads go through the log. At most Heartbeat.
	Lease time.Duration
	// Commit is how long an idle leader waits before it tells followers the commit index.
	Commit time.Duration
	// Tick is how often a leader writes an empty entry while something waits for the hold clock.
	Tick time.Duration
	// Hello is how often a node asks each peer who it is and what time it has.
	Hello time.Duration
	// RPC bounds one exchange between nodes; for a snapshot it is scaled with the size.
	RPC time.Duration
	// SkewMax is how far the wall clock may be from the median of the peers before the node doubts it.
	SkewMax time.Duration
	// Transfer is the least time between two moves of leadership that serve balance.
	Transfer time.Duration
}

// DefaultTiming is what a zero Timing means. With the library's own second for Heartbeat and Election a failover
// took 2.3 s at the median; with 300 ms it took 0.6 s, and takes 0.4 s since followers look in time (missleader.go); no
// election was seen under full load.
func DefaultTiming() Timing {
	return Timing{
		Heartbeat: 300 * time.Millisecond,
		Election:  300 * time.Millisecond,
		Lease:     300 * time.Millisecond, // with half of it, leaders on busy machines stepped down without need; see decision 13
		Commit:    100 * time.Millisecond,
		Tick:      250 * time.Millisecond,
		Hello:     time.Second,
		RPC:       2 * time.Second,
		SkewMax:   500 * time.Millisecond,
		Transfer:  10 * time.Second,
	}
}

// withDefaults fills in zero fields.
func (t Timing) withDefaults() Timing {
	d := DefaultTiming()
	for _, f := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&t.Heartbeat, d.Heartbeat}, {&t.Election, d.Election}, {&t.Lease, d.Lease}, {&t.Commit, d.Commit}, {&t.Tick, d.Tick},
		{&t.Hello, d.Hello}, {&t.RPC, d.RPC}, {&t.SkewMax, d.SkewMax}, {&t.Transfer, d.Transfer},
	} {
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	return t
}

// check refuses what the library would refuse later and less clearly, and what would break a promise of ours.
func (t Timing) check() error {
	refuse := func(field, format string, args ...any) error {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "node timing", Field: field, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case t.Heartbeat < 5*time.Millisecond:
		return refuse("heartbeat", "%v is shorter than 5ms", t.Heartbeat)
	case t.Election < t.Heartbeat:
		return refuse("election", "%v is shorter than the heartbeat of %v", t.Election, t.Heartbeat)
	case t.Lease < 5*time.Millisecond || t.Lease > t.Heartbeat:
		return refuse("lease", "%v is not between 5ms and the heartbeat of %v", t.Lease, t.Heartbeat)
	case t.Commit < time.Millisecond:
		return refuse("commit", "%v is shorter than 1ms", t.Commit)
	case t.Tick <= 0 || t.Tick > holdfast.StepMax:
		// A silence longer than StepMax pauses holds: a leader must not pause them by itself.
		return refuse("tick", "%v is not between 0 and %v", t.Tick, holdfast.StepMax)
	case t.RPC < t.Heartbeat:
		return refuse("rpc", "%v is shorter than the heartbeat of %v", t.RPC, t.Heartbeat)
	case t.Hello <= 0 || t.SkewMax <= 0 || t.Transfer <= 0:
		return refuse("hello", "hello, skew and transfer must be positive")
	}
	return nil
}
