//go:build linux

package nemesis

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/seam"
)

// clocks are wrong: by the seam that a build for the harness has in the process's own source of time.
var clocks = []Fault{
	{Name: "clock-jump", What: "the leader's wall clock jumps by up to an hour, either way", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return skew(f, []int{f.leader(r)}, seam.Skew{OffsetMs: r.Int64N(2*time.Hour.Milliseconds()) - time.Hour.Milliseconds()})
	}},
	{Name: "clock-jump-all", What: "every wall clock jumps, each elsewhere", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		var heals []func() error
		for _, i := range f.everybody() {
			heal, err := skew(f, []int{i}, seam.Skew{OffsetMs: r.Int64N(20_000) - 10_000})
			heals = append(heals, heal)
			if err != nil {
				return all(heals), err
			}
		}
		return all(heals), nil
	}},
	{Name: "clock-strobe", What: "a wall clock jumps to and fro ten times a second", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i, ahead := f.leader(r), false
		return again(50*time.Millisecond, func() error {
			ahead = !ahead
			s := seam.Skew{OffsetMs: 2000}
			if !ahead {
				s.OffsetMs = -2000
			}
			return f.Cluster.Skew(i, s)
		}, func() error { return f.Cluster.Skew(i, seam.Skew{}) })
	}},
	{Name: "clock-drift", What: "the leader's clocks run 5% slow", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return skew(f, []int{f.leader(r)}, seam.Skew{RatePPM: -50_000})
	}},
}

func skew(f *Field, who []int, s seam.Skew) (func() error, error) {
	set := func(s seam.Skew) (err error) {
		for _, i := range who {
			err = errors.Join(err, f.Cluster.Skew(i, s))
		}
		return err
	}
	return func() error { return set(seam.Skew{}) }, set(s)
}

// all heals one after the other.
func all(heals []func() error) func() error {
	return func() (err error) {
		for _, heal := range heals {
			err = errors.Join(err, heal())
		}
		return err
	}
}
