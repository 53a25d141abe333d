package client

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
)

// validity is how long after the clock that was last seen a new command stays valid. Half of what shards allow:
// the clock that was seen is a little behind already, and callers that repeat an unknown command want all of it.
const validity = 30 * time.Second

// clockAgeMax is how old the last sight of a shard's clock may be when an id is made. The clock cannot have run
// further than that meanwhile, so at least validity − clockAgeMax of the command's life is left.
const clockAgeMax = 5 * time.Second

const (
	_ = uint64(holdfast.ValidityMax - validity)
	_ = uint64(validity - 2*clockAgeMax)
)

// newID makes an id that is valid until the given instant. The random part has to be unique, not secret: a hold's
// id opens nothing without its buyer's. The runtime's generator is ChaCha8, seeded by the system.
func newID(validUntil holdfast.Clock) holdfast.CommandID {
	var random [10]byte
	binary.LittleEndian.PutUint64(random[:], rand.Uint64())
	binary.LittleEndian.PutUint16(random[8:], uint16(rand.Uint32()))
	return holdfast.NewCommandID(validUntil, random)
}

// shardClock is the newest instant seen on a shard's hold clock, and when it was seen. Safe for concurrent use;
// between the two stores a reader sees the old instant as newly seen, which only shortens a validity.
type shardClock struct {
	epoch  time.Time     // before the first sight, so that none is at 0
	clock  atomic.Uint64 // holdfast.Clock
	seenNs atomic.Int64  // since epoch; 0: never
}

func (s *shardClock) saw(clock holdfast.Clock) {
	s.seenNs.Store(int64(time.Since(s.epoch)))
	for {
		old := s.clock.Load()
		if uint64(clock) <= old || s.clock.CompareAndSwap(old, uint64(clock)) {
			return
		}
	}
}

func (s *shardClock) last() (clock holdfast.Clock, fresh bool) {
	seen := s.seenNs.Load()
	return holdfast.Clock(s.clock.Load()), seen != 0 && time.Since(s.epoch)-time.Duration(seen) <= clockAgeMax
}

// validUntil gives the validity of commands made now. When the shard's clock was not seen lately it asks for it
// first, until the deadline.
func (l *lane) validUntil(ctx context.Context, deadline time.Time) (holdfast.Clock, *holdfast.Error) {
	for wait := (backoff{}); ; {
		if clock, fresh := l.clock.last(); fresh {
			return clock.Add(validity), nil
		}
		failure := l.c.routes.learn(ctx, deadline)
		if _, fresh := l.clock.last(); fresh {
			continue
		}
		if failure == nil {
			failure = &holdfast.Error{Kind: holdfast.Unavailable, Shard: l.shard, Message: "no member knows the shard; nothing was attempted"}
		}
		if !l.c.sleep(ctx, &wait, deadline, 0) {
			return 0, failure
		}
	}
}
