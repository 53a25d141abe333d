package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/model"
	"github.com/holdfast-db/holdfast/node"
)

// Kinds of plans. All of them have clients that contend for seats from the first second to the last, and faults that
// follow each other closely; what differs is how fast everything goes. A virtual second of a cluster costs what its
// members say to each other in it, and members that are timed for links within one building beat twenty times a second.

// planKind is one kind.
type planKind struct {
	name   string
	of     int // how many plans are of it, of the sum of all; 0: it is played when it is asked for
	length int // how many times as long as asked for
	make   func(d *draft)
}

func planKinds() []planKind {
	return append([]planKind{
		{"storm", 5, 1, storm},
		{"alone", 2, 1, alone},
		{"distant", 33, 12, distant},
	}, aimedKinds()...)
}

// PlanOf makes the plan of a seed that is of a kind; "": of the kind that the seed decides. Some kinds last a multiple
// of the length.
func PlanOf(kind string, seed uint64, length time.Duration) (Plan, error) {
	kinds := planKinds()
	if kind == "" {
		sum := 0
		for _, k := range kinds {
			sum += k.of
		}
		n := rand.New(rand.NewPCG(seed, 10)).IntN(sum)
		for _, k := range kinds {
			if n -= k.of; n < 0 {
				return k.plan(seed, length), nil
			}
		}
	}
	var names []string
	for _, k := range kinds {
		if k.name == kind {
			return k.plan(seed, length), nil
		}
		names = append(names, k.name)
	}
	return Plan{}, fmt.Errorf("there is no kind of plan %q; there are %s", kind, strings.Join(names, ", "))
}

// NewPlan makes a seed's storm.
func NewPlan(seed uint64, length time.Duration) Plan { return planKinds()[0].plan(seed, length) }

func (k planKind) plan(seed uint64, length time.Duration) Plan {
	d := &draft{Plan: Plan{Name: k.name, Seed: seed, Length: length * time.Duration(k.length)}, random: rand.New(rand.NewPCG(seed, 11))}
	k.make(d)
	slices.SortStableFunc(d.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return d.Plan
}

// draft is a plan in the making.
type draft struct {
	Plan
	random *rand.Rand
}

func (d *draft) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(d.random.Int64N(int64(most-least)))).Truncate(time.Millisecond)
}

// storm: members within one building, many clients, two things wrong at a time.
func storm(d *draft) {
	r := d.random
	d.Load = Load{
		Clients: 4 + r.IntN(12), Crowd: 1 + r.IntN(6), Seats: d.seats(5 + r.IntN(40)), Think: d.between(20*time.Millisecond, 150*time.Millisecond),
		Loss: []float64{0, 0.002, 0.02}[r.IntN(3)], Twins: []float64{0, 0.01, 0.1}[r.IntN(3)],
	}
	d.rules(1)
	d.Snapshot = []int{0, 50, 300}[r.IntN(3)]
	if r.IntN(3) == 0 {
		d.Sluggish[r.IntN(Members)] = true
	}
	d.drift()
	if r.IntN(2) == 0 { // leadership goes back to where it belongs as soon as it can
		d.Timing.Transfer = time.Second
	}
	d.tracks(1, 1)
	d.loss(1)
	d.direct()
}

// alone: one fault of one member at a time, and the next when the last is long over, while a client asks all the
// time: so one sees for how long nobody could buy.
func alone(d *draft) {
	r := d.random
	d.Load = Load{Clients: 1 + r.IntN(4), Crowd: 1 + r.IntN(3), Seats: d.seats(5), Think: d.between(50*time.Millisecond, 300*time.Millisecond), Pulse: 40 * time.Millisecond}
	d.rules(1)
	d.Snapshot = []int{0, 100}[r.IntN(2)]
	d.drift()
	kinds := slices.Concat(processFaults, otherFaults)
	for at := d.between(gapAfter, 2*gapAfter); at < d.Length; {
		f := d.fault(kinds, at, 1)
		at += f.For + d.between(2*gapAfter+time.Second, 3*gapAfter)
		if f.single() && f.At+f.For+gapAfter < d.Length { // or nobody would ask any more
			d.Faults = append(d.Faults, f)
		}
	}
}

// distantTiming is for members that are far from each other. Five seconds are what Consul ships with.
var distantTiming = node.Timing{
	Heartbeat: 5 * time.Second, Election: 5 * time.Second, Lease: 5 * time.Second, Commit: time.Second, Tick: holdfast.StepMax,
	Hello: 5 * time.Second, RPC: 10 * time.Second, Transfer: time.Minute,
}

// slower is how many times slower than in a storm everything goes when members are distant.
const slower = 8

// distant: members far from each other, so that elections take seconds and faults last for up to a minute; few
// clients, for a long time.
func distant(d *draft) {
	r := d.random
	d.Timing = distantTiming
	d.Load = Load{
		Clients: 2 + r.IntN(3), Crowd: 1 + r.IntN(4), Seats: d.seats(1 + r.IntN(3)), Think: d.between(200*time.Millisecond, 1200*time.Millisecond),
		Loss: []float64{0, 0.002, 0.02}[r.IntN(3)], Twins: []float64{0, 0.01, 0.1}[r.IntN(3)],
	}
	d.rules(slower)
	d.Snapshot = []int{0, 20, 100}[r.IntN(3)]
	d.drift()
	d.tracks(slower, 4)
	d.loss(slower)
}

// seats is how many a house needs that fills at so many a second.
func (d *draft) seats(aSecond int) int { return 100 + int(d.Length.Seconds()*float64(aSecond)) }

// rules are those of the event, times as long as in a storm.
func (d *draft) rules(times time.Duration) {
	d.Rules = model.Rules{
		HoldTTL: times * d.between(time.Second, 8*time.Second), PayWindow: times * d.between(time.Second, 6*time.Second),
		Grace: holdfast.GraceMax, CoolDown: times * d.between(100*time.Millisecond, 3*time.Second),
	}
}

// drift lets monotonic clocks drift.
func (d *draft) drift() {
	for i := range d.Drift {
		d.Drift[i] = d.random.IntN(401) - 200
	}
}

// tracks fills two tracks with faults, so that things of different kinds go wrong at the same time. They last times as
// long as in a storm, and so do the rests between them, or longer.
func (d *draft) tracks(times, rest time.Duration) {
	for _, kinds := range [][]Kind{processFaults, otherFaults} {
		for at := d.between(time.Second, 8*time.Second); at < d.Length-time.Second; {
			f := d.fault(kinds, at, times)
			d.Faults = append(d.Faults, f)
			at += f.For + rest*d.between(200*time.Millisecond, 8*time.Second)
		}
	}
}

// loss takes the data of a member, in two plans of five; once at most: of three voters one is gone for good.
func (d *draft) loss(times time.Duration) {
	kind := map[int]Kind{0: Wipe, 1: Rot}[d.random.IntN(5)]
	if kind != "" && d.Length > 10*time.Second {
		d.Faults = append(d.Faults, Fault{At: d.between(5*time.Second, d.Length), For: times * d.between(time.Second, 5*time.Second), Kind: kind, Node: Leader, Nth: d.random.Int()})
	}
}

// fault makes one of some kinds.
func (d *draft) fault(kinds []Kind, at, times time.Duration) Fault {
	r := d.random
	f := Fault{At: at, For: times * d.between(100*time.Millisecond, 6*time.Second), Kind: kinds[r.IntN(len(kinds))], Node: r.IntN(Members+2) - 2}
	if f.Node < 0 { // two times of five
		f.Node = Leader
	}
	switch f.Kind {
	case CrashSync:
		f.Nth = 1 + r.IntN(40)
	case CrashSnapshot:
		f.Nth = 1 + r.IntN(10)
	case SlowLinks, SlowDisk:
		f.Size = times * d.between(time.Millisecond, 150*time.Millisecond)
	case NarrowLinks:
		f.Size = times * d.between(time.Millisecond, 100*time.Millisecond)
	case StuckDisk:
		f.Size = times * d.between(500*time.Millisecond, 4*time.Second)
	case Transfers:
		f.Size = times * d.between(50*time.Millisecond, time.Second)
	case HandOver:
		f.Size = times * d.between(500*time.Millisecond, 2*time.Second)
	case WallJump, WallsJump:
		f.Size = d.between(-2*time.Hour, 2*time.Hour)
	}
	return f
}
