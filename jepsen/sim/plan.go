package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/model"
	"github.com/holdfast-db/holdfast/node"
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
	Timing node.Timing // of all members
	// Sluggish members believe in their leadership for seconds after they were cut off.
	Sluggish [Members]bool
	Drift    [Members]int // by how many millionths each monotonic clock is fast
	Snapshot int          // entries between two snapshots; 0: as in production
	Faults   []Fault      // by At
	Scenes   []Scene      // who comes besides the clients of the seats
	Troubles []Fault      // that befall the frontends of scenes; by At
}

// Load is what clients do.
type Load struct {
	Clients int           // each does one thing after the other
	Crowd   int           // the most buyers whose commands a client puts in one batch
	Seats   int           // in the house
	Think   time.Duration // on average, between two steps of a client
	Loss    float64       // the part of the answers that are lost on the way
	Twins   float64       // the part of the batches that arrive once more, before or long after
	Pulse   time.Duration // one client more does nothing but hold and give back, and rests so long, so that gaps are seen; 0: none does
}

// Kind is what goes wrong.
type Kind string

// The kinds of faults. The first group concerns processes, the second what is between and below them.
const (
	Crash         Kind = "crash"          // the node loses what it did not sync, and comes back
	CrashSync     Kind = "crash-sync"     // so, just before or after the Nth sync from now on
	CrashSnapshot Kind = "crash-snapshot" // so, in the midst of a snapshot: at the Nth step of writing, installing or truncating behind it
	CrashAll      Kind = "crash-all"      // all nodes at once
	Restart       Kind = "restart"        // in an orderly way
	Pause         Kind = "pause"          // nothing goes in or out of the node
	Wipe          Kind = "wipe"           // the node comes back with an empty disk, as another member
	Rot           Kind = "rot"            // the node crashes, and a bit of its log or of a snapshot turns over; if it notices, as with wipe

	Isolate     Kind = "isolate"      // the node is cut off from the others; clients still reach it
	Deaf        Kind = "deaf"         // it hears nobody
	Mute        Kind = "mute"         // nobody hears it
	Bridge      Kind = "bridge"       // the others hear only it, not each other
	SlowLinks   Kind = "slow-links"   // by up to Size
	NarrowLinks Kind = "narrow-links" // one KiB takes Size
	LossLinks   Kind = "loss-links"   // a tenth is lost and sent again
	Reset       Kind = "reset"        // all its connections break
	SlowDisk    Kind = "slow-disk"    // every sync takes up to Size
	StuckDisk   Kind = "stuck-disk"   // so, for seconds
	FailDisk    Kind = "fail-disk"    // syncs fail, and what they were to save is lost: the node must end, and comes back when they do not
	FullDisk    Kind = "full-disk"    // nearly
	WallJump    Kind = "wall-jump"    // its wall clock jumps by Size
	WallsJump   Kind = "walls-jump"   // all wall clocks jump by Size
	Transfers   Kind = "transfers"    // every Size an operator hands leadership of a shard to somebody
	HandOver    Kind = "hand-over"    // every Size the wall clock of whoever leads jumps, so that it gives leadership away
)

var processFaults = []Kind{Crash, Crash, CrashSync, CrashSync, CrashSnapshot, CrashAll, Restart, Pause, Pause}

var otherFaults = []Kind{
	Isolate, Isolate, Deaf, Mute, Bridge, SlowLinks, NarrowLinks, LossLinks, Reset, SlowDisk, StuckDisk, FailDisk, FullDisk, WallJump, WallsJump, Transfers, HandOver,
}

// Leader as a fault's node means whoever leads when it begins.
const Leader = -1

// Fault is one thing that goes wrong for a while.
type Fault struct {
	At, For time.Duration
	Kind    Kind
	Node    int // or Leader
	Size    time.Duration
	Nth     int
}

// single reports whether the fault strikes one member.
func (f Fault) single() bool {
	return f.Node < Members && f.Kind != CrashAll && f.Kind != WallsJump && f.Kind != Bridge && f.Kind != Transfers && f.Kind != HandOver
}

func (f Fault) String() string {
	who := "leader"
	if f.Node != Leader {
		who = hostName(f.Node)
	}
	return fmt.Sprintf("%7.2fs for %5.2fs  %-14s %s %v %d", f.At.Seconds(), f.For.Seconds(), f.Kind, who, f.Size, f.Nth)
}

func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %v of load: %+v\nrules %+v, sluggish %v, drift %v ppm, a snapshot every %d entries\n", p.Seed, p.Length, p.Load, p.Rules, p.Sluggish, p.Drift, p.Snapshot)
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	for _, s := range p.Scenes {
		fmt.Fprintf(&b, "scene %s: %d people, who think for %v\n", s.Name, s.People, s.Think)
	}
	for _, f := range p.Troubles {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	return b.String()
}
