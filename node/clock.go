package node

import "time"

// Clock is what a node measures by. Timers come from package time; only readings go through here, so that a test
// can give a node a wall clock that is wrong or jumps.
type Clock interface {
	// Now is the wall clock. It may jump.
	Now() time.Time
	// Monotonic is the time since some fixed instant. It never goes back and does not follow the wall clock.
	Monotonic() time.Duration
}

// SystemClock reads the clocks of the operating system.
func SystemClock() Clock { return systemClock{start: time.Now()} }

type systemClock struct{ start time.Time }

func (systemClock) Now() time.Time             { return time.Now() }
func (c systemClock) Monotonic() time.Duration { return time.Since(c.start) }
