//go:build linux

package nemesis

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// partitions keep members from each other. Clients reach all of them, so a leader that was cut off is asked on.
var partitions = []Fault{
	{Name: "isolate-leader", What: "the leader hears nobody and is heard by nobody", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.leader(r)
		return cut(f, apart([]int{i}, f.others(i)))
	}},
	{Name: "isolate-one", What: "a member hears nobody and is heard by nobody", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.any(r)
		return cut(f, apart([]int{i}, f.others(i)))
	}},
	{Name: "halves", What: "two parts of the cluster, one with a majority", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		all := f.mixed(r)
		half := len(all) / 2
		return cut(f, apart(all[:half], all[half:]))
	}},
	{Name: "shatter", What: "nobody hears anybody", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		var ways [][2]int
		for i := range f.Cluster.Members() {
			ways = append(ways, apart([]int{i}, f.others(i))...)
		}
		return cut(f, ways)
	}},
	{Name: "bridge", What: "two members hear each other by way of a third only", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		all := f.mixed(r) // the first is the bridge
		half := (len(all) + 1) / 2
		return cut(f, apart(all[1:half], all[half:]))
	}},
	{Name: "majority-ring", What: "everybody hears a majority, each another one", Missing: func(f *Field) error {
		if n := f.Cluster.Members(); n < 5 {
			return fmt.Errorf("%d members have no such ring; --members 5 has", n)
		}
		return nil
	}, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		all, n := f.mixed(r), f.Cluster.Members()
		var ways [][2]int
		for i := range n {
			for away := n/4 + 1; away <= n/2; away++ { // neighbours on both sides are a majority
				ways = append(ways, apart([]int{all[i]}, []int{all[(i+away)%n]})...)
			}
		}
		return cut(f, ways)
	}},
	{Name: "mute-leader", What: "one way: the leader hears everybody and is heard by nobody", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.leader(r)
		return cut(f, from(i, f.others(i)))
	}},
	{Name: "deaf-leader", What: "one way: the leader is heard by everybody and hears nobody", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.leader(r)
		return cut(f, to(i, f.others(i)))
	}},
	{Name: "one-way", What: "one member is not heard by another", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		all := f.mixed(r)
		return cut(f, [][2]int{{all[0], all[1]}})
	}},
}

func from(i int, others []int) (ways [][2]int) {
	for _, j := range others {
		ways = append(ways, [2]int{i, j})
	}
	return ways
}

func to(i int, others []int) (ways [][2]int) {
	for _, j := range others {
		ways = append(ways, [2]int{j, i})
	}
	return ways
}

// apart are all ways between two groups.
func apart(a, b []int) (ways [][2]int) {
	for _, i := range a {
		ways = append(append(ways, from(i, b)...), to(i, b)...)
	}
	return ways
}

func cut(f *Field, ways [][2]int) (func() error, error) {
	return alter(f, ways, cluster.Link{Cut: true})
}

// alter makes links what they are not, until healed.
func alter(f *Field, ways [][2]int, l cluster.Link) (func() error, error) {
	set := func(l cluster.Link) (err error) {
		for _, w := range ways {
			err = errors.Join(err, f.Cluster.Link(w[0], w[1], l))
		}
		return err
	}
	return func() error { return set(cluster.Link{}) }, set(l)
}
