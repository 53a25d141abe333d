package retry

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Validity is how long after the clock that was last seen a new command stays valid. Half of what shards allow: the clock that
// was seen is a little behind already, and callers that repeat an unknown command want all of it.
const Validity = 30 * time.Second

// clockAgeMax is how old the last sight of a shard's clock may be when an id is made. The clock cannot have run further than
// that meanwhile, so at least Validity − clockAgeMax of the command's life is left.
const clockAgeMax = 5 * time.Second

const (
	_ = uint64(holdfast.ValidityMax - Validity)
	_ = uint64(Validity - 2*clockAgeMax)
)

// ShardClock is the newest instant seen on a shard's hold clock, and when it was seen: instants of any monotonic clock that is
// above 0. Safe for concurrent use; between the two stores a reader sees the old instant as newly seen, which only shortens a
// validity.
type ShardClock struct {
	clock  atomic.Uint64 // holdfast.Clock
	seenNs atomic.Int64  // 0: never
}

// Saw notes an instant of the shard's clock that was told now.
func (s *ShardClock) Saw(clock holdfast.Clock, now time.Duration) {
	s.seenNs.Store(int64(now))
	for {
		old := s.clock.Load()
		if uint64(clock) <= old || s.clock.CompareAndSwap(old, uint64(clock)) {
			return
		}
	}
}

// ValidUntil gives the validity of commands made now; false when the shard's clock was not seen lately and has to be asked for.
func (s *ShardClock) ValidUntil(now time.Duration) (holdfast.Clock, bool) {
	seen := s.seenNs.Load()
	if seen == 0 || now-time.Duration(seen) > clockAgeMax {
		return 0, false
	}
	return holdfast.Clock(s.clock.Load()).Add(Validity), true
}

// Missed reports whether commands came outside their validity, so that other ids would do better. It is told to nobody whose
// commands may have happened: Call makes that Unknown.
func Missed(o holdfast.Outcome) bool {
	return o == holdfast.CommandExpired || o == holdfast.CommandTooFar
}
