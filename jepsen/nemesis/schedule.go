//go:build linux

package nemesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Schedule is which faults strike when, as a seed decides: first each of them once, in some order; then alone or two
// at a time, as long as there is time.
type Schedule struct {
	Field  *Field
	Faults []Fault // all of them possible
	Seed   uint64
	Log    *slog.Logger

	// Hurry shortens how long faults last, to this part; 0: 1.
	Hurry float64
	// Patience is how long the cluster may take to be well after a heal.
	Patience time.Duration
	// Stuck is called when faults have not ended after stuckMax: they wait for something that never comes, and the run
	// with them.
	Stuck func(names []string)

	random *rand.Rand
	next   []Fault // of the first round
}

// Begin draws the order.
func (s *Schedule) Begin() {
	s.random = rand.New(rand.NewPCG(s.Seed, 11))
	for _, i := range s.random.Perm(len(s.Faults)) {
		s.next = append(s.next, s.Faults[i])
	}
	if s.Hurry == 0 {
		s.Hurry = 1
	}
}

// Left is how many faults have not struck yet.
func (s *Schedule) Left() int { return len(s.next) }

const (
	calmMin = 200 * time.Millisecond
	calmMax = 600 * time.Millisecond
	// stuckMax is how long faults may take, from the strike until the cluster is well: twice what the longest may
	// take, a rolling restart after which a member needs all the patience there is.
	stuckMax = 5 * time.Minute
)

// Run lets faults strike until the time is over, and heals the last; or until one has cost a member its data for good.
// now is the time of the run. An error says that a fault could not be brought about or healed, or that the cluster did
// not become well: then there is no use in going on.
func (s *Schedule) Run(ctx context.Context, now func() time.Duration, until time.Duration) (struck []history.Fault, err error) {
	if len(s.Faults) == 0 {
		return nil, nil
	}
	for {
		calm := time.NewTimer(time.Duration(float64(calmMin+time.Duration(s.random.Int64N(int64(calmMax-calmMin)))) * max(s.Hurry, 0.4)))
		select {
		case <-ctx.Done():
			return struck, nil
		case <-calm.C:
		}
		if now() >= until {
			return struck, nil
		}
		one, err := s.strike(ctx, now, s.draw())
		if len(struck) > 0 {
			struck[len(struck)-1].Until = one.From
		}
		one.Until = now()
		struck = append(struck, one)
		if err != nil || !s.Field.Cluster.Whole() {
			return struck, err
		}
	}
}

// draw says what strikes next.
func (s *Schedule) draw() []Fault {
	if len(s.next) > 0 {
		one := s.next[0]
		s.next = s.next[1:]
		return []Fault{one}
	}
	both := []Fault{s.any()}
	if s.random.IntN(2) == 0 {
		if other := s.any(); other.Name != both[0].Name && !(other.Destroys && both[0].Destroys) && !other.Alone && !both[0].Alone {
			both = append(both, other)
		}
	}
	return both
}

// spared is how many draws of a fault that destroys come to nothing, for each that does not: such a fault ends the life
// of a cluster, and one that lives longer sees more combinations of the others.
const spared = 3

func (s *Schedule) any() Fault {
	f := s.Faults[s.random.IntN(len(s.Faults))]
	for f.Destroys && s.random.IntN(spared+1) != 0 {
		f = s.Faults[s.random.IntN(len(s.Faults))]
	}
	return f
}

// strike brings faults about at the same time, heals them, and waits until the cluster is well.
func (s *Schedule) strike(ctx context.Context, now func() time.Duration, faults []Fault) (one history.Fault, err error) {
	one.From, one.Single = now(), len(faults) == 1 && faults[0].Single
	one.Names = names(faults)
	stuck := time.AfterFunc(stuckMax, func() { s.Stuck(one.Names) })
	defer stuck.Stop()
	var heals []func() error
	for _, f := range faults {
		one.Destroys = one.Destroys || f.Destroys
		heal, failed := f.Strike(s.Field, s.random)
		if heals = append(heals, heal); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f.Name, failed))
		}
	}
	lasts := time.Duration(0)
	for _, f := range faults {
		if f.Lasts == 0 {
			f.Lasts = Lasts
		}
		lasts = max(lasts, f.Lasts)
	}
	s.Log.Info("struck", "faults", one.Names, "error", err)
	if err == nil {
		wait := time.NewTimer(time.Duration(float64(lasts) * s.Hurry * (0.5 + s.random.Float64()/2)))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
	}
	// What destroys is healed last: a member that looks damaged then is.
	for _, last := range []bool{false, true} {
		for i, heal := range heals {
			if faults[i].Destroys == last {
				err = errors.Join(err, heal())
			}
		}
	}
	one.Healed = now()
	if err == nil {
		err = s.Field.Cluster.Recover(s.Patience)
	}
	if err == nil {
		s.Field.Cluster.EndExcuses()
	}
	if err != nil {
		err = fmt.Errorf("%v: %w", one.Names, err)
	}
	s.Log.Info("healed", "faults", one.Names, "well_after", (now() - one.Healed).Round(time.Millisecond), "error", err)
	return one, err
}

func names(faults []Fault) (all []string) {
	for _, f := range faults {
		all = append(all, f.Name)
	}
	return all
}
