package sim

import (
	"sync"
	"time"
)

// clock is a machine's clock: a wall clock that jumps and is otherwise kept right by whoever keeps clocks right, and a
// monotonic one that drifts. It outlives crashes.
type clock struct {
	start time.Time
	drift int // millionths

	mu     sync.Mutex
	offset time.Duration // of the wall clock
}

func newClock(drift int) *clock { return &clock{start: time.Now(), drift: drift} }

func (c *clock) Monotonic() time.Duration {
	passed := time.Since(c.start)
	return passed + passed*time.Duration(c.drift)/1_000_000
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}
