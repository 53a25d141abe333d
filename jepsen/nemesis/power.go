//go:build linux

package nemesis

import (
	"math/rand/v2"
	"time"
)

// powers cut the power of members: their processes end without a word, and of what they had not synced there is left what
// the seed says. A kill alone leaves everything, since the kernel writes it down in the end.
var powers = []Fault{
	{Name: "power-cut-one", What: "a member loses its power, and what it had not synced", Missing: needsPower, Single: true,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) { return cutPower(f, r, f.any(r)) }},
	{Name: "power-cut-leader", What: "the leader loses its power, and what it had not synced", Missing: needsPower, Single: true,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) { return cutPower(f, r, f.leader(r)) }},
	{Name: "power-cut-all", What: "all members lose their power at once, and what they had not synced", Missing: needsPower,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) { return cutPower(f, r, f.mixed(r)...) }},
	{Name: "power-cut-starting", What: "a member is killed, and loses its power while it comes back: what it found was not all durable", Missing: needsPower, Single: true,
		Strike: func(f *Field, r *rand.Rand) (func() error, error) {
			i := f.any(r)
			f.Cluster.Kill(i)
			if err := f.Cluster.Start(i); err != nil {
				return nothing, err
			}
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond) // it may be at any point of its way back
			return cutPower(f, r, i)
		}},
}

func needsPower(f *Field) error { return f.Cluster.CanCutPower() }

// changesMax is how many changes further on the power fails at most: a transaction of the log is some five.
const changesMax = 12

func cutPower(f *Field, r *rand.Rand, who ...int) (func() error, error) {
	_, err := f.Cluster.CutPower(who, 1+r.IntN(changesMax), r.Uint64())
	return func() error { return start(f, who) }, err
}
