//go:build linux

package main

import (
	"context"
	"sync/atomic"
	"time"
)

// stall watches how late this process wakes up. When the computer has other things to do, or stops, so do the members:
// a gap that is no longer than a stall says nothing about them.
type stall struct{ longest atomic.Int64 }

// watch watches until ctx ends.
func (s *stall) watch(ctx context.Context) {
	const every = 5 * time.Millisecond
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := time.Now()
			s.longest.Store(max(s.longest.Load(), int64(now.Sub(last)-every)))
			last = now
		}
	}
}
