// Package holdclock is the law by which leaders stamp entries with the time that passes on the hold clock: see "Time" in
// docs/architecture.md. It reads no clock; a simulation can play it without a cluster.
package holdclock

import (
	"time"

	"github.com/holdfast-db/holdfast"
)

// Steps are the steps that one leader gives out, one reign after the other. It is told the leader's monotonic clock, which nobody
// else's agrees with.
type Steps struct {
	stamped time.Duration // up to when the hold clock was advanced by this reign
}

// Begin begins a reign: the first step is measured from now, when all of the terms before has been applied, so that no time
// counts that another leader has counted.
func (s *Steps) Begin(now time.Duration) { s.stamped = now }

// Next gives the step that is due now. What is less than a microsecond is left for the next.
func (s *Steps) Next(now time.Duration) uint32 {
	step := s.Since(now) / time.Microsecond
	if step > holdfast.StepMax/time.Microsecond {
		step = holdfast.StepMax / time.Microsecond // a silence pauses the holds instead of ending them
		s.stamped = now
	} else {
		s.stamped += step * time.Microsecond
	}
	return uint32(step)
}

// Since is how long ago the clock was advanced.
func (s *Steps) Since(now time.Duration) time.Duration { return max(now-s.stamped, 0) }

// Admitted is what stays of an entry's step when the log takes it: none, if its term is another than that for which it was packed.
// Then leadership was lost and won again in between, and another leader has stamped the same time before.
func Admitted(step uint32, packed, taken uint64) uint32 {
	if packed != taken {
		return 0
	}
	return step
}
