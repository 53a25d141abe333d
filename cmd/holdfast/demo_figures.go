package main

import (
	"slices"
	"time"
)

// What the crowd measured.

// writeGap is the longest time without an acknowledged claim that began before, or within gapSearch after, the given
// moment, and ended after it.
func (w *crowd) writeGap(at time.Duration) time.Duration {
	w.mu.Lock()
	acks := slices.Clone(w.acks)
	w.mu.Unlock()
	slices.Sort(acks)
	longest := time.Duration(0)
	for i := 1; i < len(acks); i++ {
		if acks[i] >= at && acks[i-1] <= at+gapSearch {
			longest = max(longest, acks[i]-acks[i-1])
		}
	}
	return longest
}

// gapSearch is how soon after a fault the gap that it tears must begin: answers that were on their way still arrive.
const gapSearch = 500 * time.Millisecond

// latencies are the median and the 99th percentile of holds, without those that were asked for around a fault.
func (w *crowd) latencies(around []faultOut) (p50, p99 float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var took []time.Duration
	for _, h := range w.holds {
		if !slices.ContainsFunc(around, func(f faultOut) bool { return f.touches(h) }) {
			took = append(took, h.took)
		}
	}
	return percentile(took, 50), percentile(took, 99)
}

// percentile gives the p-th percentile in milliseconds, 0 of nothing. It sorts what it is given.
func percentile(took []time.Duration, p int) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[(len(took)-1)*p/100].Microseconds()) / 1000
}

// answered counts who left with an answer, and dropped who left without.
func (w *crowd) answered() (answered, without int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for how, n := range w.ended {
		if ending(how) != dropped {
			answered += n
		}
	}
	return answered, w.ended[dropped]
}
