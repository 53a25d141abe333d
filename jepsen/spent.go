//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// spent is where the time of a run goes: one thing after the other.
type spent struct {
	on    string
	since time.Time
	total map[string]time.Duration
}

// now says what the run does from now on; "": nothing more.
func (s *spent) now(on string) {
	if s.total == nil {
		s.total = map[string]time.Duration{}
	}
	if s.on != "" {
		s.total[s.on] += time.Since(s.since)
	}
	s.on, s.since = on, time.Now()
}

// seconds are for the result.
func (s *spent) seconds() map[string]float64 {
	all := map[string]float64{}
	for what, d := range s.total {
		all[what] = float64(d.Milliseconds()) / 1000
	}
	return all
}

func (s *spent) String() string {
	var all []string
	for _, what := range slices.SortedFunc(maps.Keys(s.total), func(a, b string) int { return int(s.total[b] - s.total[a]) }) {
		all = append(all, fmt.Sprintf("%s %.1f s", what, s.total[what].Seconds()))
	}
	return strings.Join(all, ", ")
}
