package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// Members is how many nodes a simulated cluster has.
const Members = 3

// Plan is all that a seed decides. The zero Load and no Faults make a cluster that nobody disturbs.
type Plan struct {
	Name   string // the kind of plan
	Seed   uint64
	Length time.Duration // of the load
	Load   Load
	Rules  model.Rules
	// Sluggish members believe in their leadership for seconds after they were cut off.
	Sluggish [Members]bool
	Drift    [Members]int // by how many millionths each monotonic clock is fast
	Snapshot int          // entries between two snapshots; 0: as in production
	Faults   []Fault      // by At
}

// Load is what clients do.
type Load struct {
	Clients int           // each does one thing after the other
	Crowd   int           // the most buyers whose commands a client puts in one batch
	Seats   int           // in the house
	Think   time.Duration // on average, between two steps of a client
	Loss    float64       // the part of the answers that are lost on the way
	Pulse   bool          // one client more does nothing but hold and give back, without rest, so that gaps are seen
}

// Kind is what goes wrong.
type Kind string

// The kinds of faults. The first group concerns processes, the second what is between and below them.
const (
	Crash    Kind = "crash"     // the node loses what it did not sync, and comes back
	CrashAll Kind = "crash-all" // all nodes at once
	Restart  Kind = "restart"   // in an orderly way
	Pause    Kind = "pause"     // nothing goes in or out of the node
	Wipe     Kind = "wipe"      // the node comes back with an empty disk, as another member

	Isolate   Kind = "isolate"    // the node is cut off from the others; clients still reach it
	Deaf      Kind = "deaf"       // it hears nobody
	Mute      Kind = "mute"       // nobody hears it
	Bridge    Kind = "bridge"     // the others hear only it, not each other
	SlowLinks Kind = "slow-links" // by up to Size
	LossLinks Kind = "loss-links" // a tenth is lost and sent again
	Reset     Kind = "reset"      // all its connections break
	SlowDisk  Kind = "slow-disk"  // every sync takes up to Size
	FullDisk  Kind = "full-disk"  // nearly
	WallJump  Kind = "wall-jump"  // its wall clock jumps by Size
	WallsJump Kind = "walls-jump" // all wall clocks jump by Size
)

var processFaults = []Kind{Crash, Crash, Crash, CrashAll, Restart, Pause, Pause}

var otherFaults = []Kind{Isolate, Isolate, Deaf, Mute, Bridge, SlowLinks, LossLinks, Reset, SlowDisk, FullDisk, WallJump, WallsJump}

// Leader as a fault's node means whoever leads when it begins.
const Leader = -1

// Fault is one thing that goes wrong for a while.
type Fault struct {
	At, For time.Duration
	Kind    Kind
	Node    int // or Leader
	Size    time.Duration
}

// single reports whether the fault strikes one member.
func (f Fault) single() bool {
	return f.Kind != CrashAll && f.Kind != WallsJump && f.Kind != Bridge
}

func (f Fault) String() string {
	who := "leader"
	if f.Node != Leader {
		who = nodeName(f.Node)
	}
	return fmt.Sprintf("%7.2fs for %5.2fs  %-10s %s %v", f.At.Seconds(), f.For.Seconds(), f.Kind, who, f.Size)
}

func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %v of load: %+v\nrules %+v, sluggish %v, drift %v ppm, a snapshot every %d entries\n", p.Seed, p.Length, p.Load, p.Rules, p.Sluggish, p.Drift, p.Snapshot)
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	return b.String()
}

// Storm is the kind of plan in which things go wrong all the time, two at a time.
const Storm = "storm"

// PlanOf makes the plan of a seed that is of a kind; "": of the kind that the seed decides.
func PlanOf(kind string, seed uint64, length time.Duration) (Plan, error) {
	if kind != "" && kind != Storm {
		return Plan{}, fmt.Errorf("there is no kind of plan %q: there is %s", kind, Storm)
	}
	return NewPlan(seed, length), nil
}

// NewPlan makes the plan of a seed.
func NewPlan(seed uint64, length time.Duration) Plan {
	r := rand.New(rand.NewPCG(seed, 11))
	between := func(least, most time.Duration) time.Duration {
		return (least + time.Duration(r.Int64N(int64(most-least)))).Truncate(time.Millisecond)
	}
	p := Plan{
		Name: Storm, Seed: seed, Length: length,
		Load: Load{
			Clients: 4 + r.IntN(12), Crowd: 1 + r.IntN(6), Seats: 100 + int(length.Seconds()*float64(5+r.IntN(40))), Think: between(20*time.Millisecond, 150*time.Millisecond),
			Loss: []float64{0, 0.002, 0.02}[r.IntN(3)],
		},
		Rules: model.Rules{
			HoldTTL: between(time.Second, 8*time.Second), PayWindow: between(time.Second, 6*time.Second),
			Grace: holdfast.GraceMax, CoolDown: between(100*time.Millisecond, 3*time.Second),
		},
		Snapshot: []int{0, 50, 300}[r.IntN(3)],
	}
	if r.IntN(3) == 0 {
		p.Sluggish[r.IntN(Members)] = true
	}
	for i := range p.Drift {
		p.Drift[i] = r.IntN(401) - 200
	}
	// Two tracks, so that things of different kinds go wrong at the same time.
	for _, kinds := range [][]Kind{processFaults, otherFaults} {
		for at := between(time.Second, 8*time.Second); at < length-time.Second; {
			f := Fault{At: at, For: between(100*time.Millisecond, 6*time.Second), Kind: kinds[r.IntN(len(kinds))], Node: r.IntN(Members+2) - 2}
			if f.Node < 0 { // two times of five
				f.Node = Leader
			}
			switch f.Kind {
			case SlowLinks, SlowDisk:
				f.Size = between(time.Millisecond, 150*time.Millisecond)
			case WallJump, WallsJump:
				f.Size = between(-2*time.Hour, 2*time.Hour)
			}
			p.Faults = append(p.Faults, f)
			at += f.For + between(200*time.Millisecond, 8*time.Second)
		}
	}
	if r.IntN(4) == 0 { // once at most: of three voters one is gone for good
		p.Faults = append(p.Faults, Fault{At: between(5*time.Second, length), For: between(time.Second, 5*time.Second), Kind: Wipe, Node: Leader})
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return p
}
