//go:build linux

package nemesis

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// restarts are what operators do on a good day.
var restarts = []Fault{
	{Name: "rolling-restart", What: "one member after the other is asked to stop, and started again", Lasts: time.Second, Alone: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		for _, i := range f.mixed(r) {
			asked := f.Cluster.Stop(i, 10*time.Second)
			if err := f.Cluster.Start(i); err != nil {
				return nothing, err
			}
			if !asked {
				return nothing, fmt.Errorf("%s was asked to stop, and had to be killed", cluster.Name(i))
			}
			if err := f.Cluster.Await(20 * time.Second); err != nil {
				return nothing, err
			}
		}
		return nothing, nil
	}},
	{Name: "stop-leader", What: "the leader is asked to stop, and started again", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.leader(r)
		if !f.Cluster.Stop(i, 10*time.Second) {
			return func() error { return f.Cluster.Start(i) }, fmt.Errorf("%s was asked to stop, and had to be killed", cluster.Name(i))
		}
		return func() error { return f.Cluster.Start(i) }, nil
	}},
}
