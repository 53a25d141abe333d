//go:build linux

package nemesis

import (
	"errors"
	"math/rand/v2"
)

// kills end processes without a word. What was acknowledged must have been on disk.
var kills = []Fault{
	{Name: "kill-leader", What: "the leader's process is killed and started again", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return kill(f, f.leader(r))
	}},
	{Name: "kill-follower", What: "a follower's process is killed and started again", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return kill(f, f.follower(r))
	}},
	{Name: "kill-majority", What: "a majority is killed at once", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return kill(f, f.mixed(r)[:f.Cluster.Members()/2+1]...)
	}},
	{Name: "kill-all", What: "every process is killed at once", Strike: func(f *Field, _ *rand.Rand) (func() error, error) {
		return kill(f, f.everybody()...)
	}},
}

func kill(f *Field, who ...int) (func() error, error) {
	for _, i := range who {
		f.Cluster.Kill(i)
	}
	return func() error { return start(f, who) }, nil
}

func start(f *Field, who []int) (err error) {
	for _, i := range who {
		err = errors.Join(err, f.Cluster.Start(i))
	}
	return err
}
