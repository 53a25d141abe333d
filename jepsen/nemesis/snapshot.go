//go:build linux

package nemesis

import (
	"math/rand/v2"
	"time"
)

// snapshots are made at the worst moment: a member is kept away for longer than the others keep their logs, so that it
// has to be given a snapshot; and it, or who sends it, is killed meanwhile. The harness has members make snapshots every
// few thousand entries, which is often.
var snapshots = []Fault{
	{Name: "lag", What: "a member is away until it has to be sent a snapshot", Single: true, Lasts: 6 * time.Second, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return kill(f, f.follower(r))
	}},
	{Name: "kill-installer", What: "a member comes back empty and is killed while it is sent a snapshot", Destroys: true, Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.follower(r)
		f.Cluster.Kill(i)
		if err := f.Cluster.Wipe(i); err != nil {
			return nothing, err
		}
		wait := time.Duration(r.IntN(400)) * time.Millisecond
		return func() error {
			if err := f.Cluster.Start(i); err != nil {
				return err
			}
			time.Sleep(wait) // it may be at any point of its way back
			f.Cluster.Kill(i)
			return f.Cluster.Start(i)
		}, nil
	}},
	{Name: "kill-snapshotter", What: "members are killed in turn, thrice a second, whatever they are writing", Lasts: 4 * time.Second, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return again(300*time.Millisecond, func() error {
			i := f.any(r)
			f.Cluster.Kill(i)
			return f.Cluster.Start(i)
		}, nothing)
	}},
}
