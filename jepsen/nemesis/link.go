//go:build linux

package nemesis

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
)

// links are bad without being cut.
var links = []Fault{
	{Name: "delay", What: "everything between members takes 20 to 120 ms, in each direction", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return alter(f, f.between(), cluster.Link{Delay: 20 * time.Millisecond, Jitter: 100 * time.Millisecond})
	}},
	{Name: "delay-one", What: "everything from and to one member takes 100 to 300 ms", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		i := f.any(r)
		return alter(f, apart([]int{i}, f.others(i)), cluster.Link{Delay: 100 * time.Millisecond, Jitter: 200 * time.Millisecond})
	}},
	{Name: "loss", What: "one packet in ten between members is lost (on loopback: comes as late as if sent again)", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return alter(f, f.between(), cluster.Link{LossPercent: 10})
	}},
	{Name: "slow-link", What: "64 KiB a second between members", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return alter(f, f.between(), cluster.Link{BytesPerSec: 64 << 10})
	}},
	{Name: "flapping", What: "the links of one member are cut and mended ten times a second", Single: true, Strike: flap},
	{Name: "reset-peers", What: "all connections between members are reset, again and again", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return again(200*time.Millisecond, func() error {
			for _, w := range f.between() {
				f.Cluster.Reset(w[0], w[1])
			}
			return nil
		}, nothing)
	}},
	{Name: "reset-clients", What: "all connections of clients are reset, again and again: answers are lost", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return again(250*time.Millisecond, func() error {
			for _, i := range f.everybody() {
				f.Cluster.Reset(cluster.Everybody, i)
			}
			return nil
		}, nothing)
	}},
	{Name: "delay-clients", What: "what members answer to clients takes 50 to 500 ms", Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return alter(f, toClients(f), cluster.Link{Delay: 50 * time.Millisecond, Jitter: 450 * time.Millisecond})
	}},
}

// between are all ways between members.
func (f *Field) between() (ways [][2]int) {
	for i := range f.Cluster.Members() {
		ways = append(ways, from(i, f.others(i))...)
	}
	return ways
}

func toClients(f *Field) (ways [][2]int) {
	return to(cluster.Everybody, f.everybody())
}

func flap(f *Field, r *rand.Rand) (func() error, error) {
	i := f.any(r)
	ways, is := apart([]int{i}, f.others(i)), false
	set := func(cut bool) error {
		_, err := alter(f, ways, cluster.Link{Cut: cut})
		is = cut
		return err
	}
	return again(50*time.Millisecond, func() error { return set(!is) }, func() error { return set(false) })
}

// again does something at once and then at intervals, until healed, and in the end what ends it.
func again(every time.Duration, do, end func() error) (func() error, error) {
	if err := do(); err != nil {
		return end, err
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				stopped <- end()
				return
			case <-ticker.C:
				if err := do(); err != nil {
					<-stop
					stopped <- err
					return
				}
			}
		}
	}()
	return func() error {
		close(stop)
		return <-stopped
	}, nil
}
