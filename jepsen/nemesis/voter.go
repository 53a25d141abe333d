//go:build linux

package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// voters are losses of a member that had voted for what the others do not have.
var voters = []Fault{
	{Name: "wiped-voter", What: "the only follower that has everything loses its disk while the leader is down", Destroys: true, Alone: true, Lasts: 4 * time.Second,
		Missing: func(f *Field) error {
			if n := f.Cluster.Members(); n != 3 {
				return fmt.Errorf("of %d members others have everything too; --members 3", n)
			}
			return nil
		}, Strike: wipeVoter},
}

// wipeVoter leaves a follower behind, kills the two that have what was acknowledged since, and brings back the follower, and
// the second with an empty disk: together they would be a majority, and could elect a leader that lacks it. The one that
// is empty must not count. The leader that was comes back when the fault is healed, and with it everything.
func wipeVoter(f *Field, r *rand.Rand) (heal func() error, err error) {
	leader := f.leader(r)
	others := f.others(leader)
	behind, wiped := others[0], others[1]
	if r.IntN(2) == 0 {
		behind, wiped = wiped, behind
	}
	f.Cluster.Kill(behind)
	time.Sleep(time.Second) // meanwhile something is acknowledged
	f.Cluster.Kill(leader)
	f.Cluster.Kill(wiped)
	heal = func() error { return f.Cluster.Start(leader) }
	return heal, errors.Join(f.Cluster.Wipe(wiped), f.Cluster.Start(wiped), f.Cluster.Start(behind))
}
