//go:build linux

package nemesis

import (
	"math/rand/v2"
	"time"
)

// pauses stop processes where they are and let them go on. A leader that wakes up does not know that it was replaced.
var pauses = []Fault{
	{Name: "pause-leader", What: "the leader's process is stopped and goes on", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return pause(f, f.leader(r))
	}},
	{Name: "pause-follower", What: "a follower's process is stopped and goes on", Single: true, Strike: func(f *Field, r *rand.Rand) (func() error, error) {
		return pause(f, f.follower(r))
	}},
	{Name: "pause-all", What: "every process is stopped and goes on", Strike: func(f *Field, _ *rand.Rand) (func() error, error) {
		return pause(f, f.everybody()...)
	}},
	{Name: "leader-storm", What: "whoever leads is stopped for an election's time, again and again", Lasts: 4 * time.Second, Strike: storm},
}

func pause(f *Field, who ...int) (func() error, error) {
	for _, i := range who {
		f.Cluster.Pause(i)
	}
	return func() error {
		for _, i := range who {
			f.Cluster.Resume(i)
		}
		return nil
	}, nil
}

// storm has leadership move as often as it can, from leaders that do not know it.
func storm(f *Field, r *rand.Rand) (func() error, error) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			i := f.leader(r)
			f.Cluster.Pause(i)
			time.Sleep(700 * time.Millisecond)
			f.Cluster.Resume(i)
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() error {
		close(stop)
		<-stopped
		return nil
	}, nil
}
