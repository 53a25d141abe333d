package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/node"
)

// The simulation is checked: each fault that is planted here breaks a promise, and must be caught by the check of that
// name. Which seed brings it to light depends on the schedule, so that a few may be needed.
func TestPlantedFaultsAreCaught(t *testing.T) {
	const seedsMax = 40 // most are caught by the first few
	for _, c := range []struct {
		name   string
		by     string // which check
		broken Sabotage
		faults func(p *Plan) // what the plan must have for it to matter
	}{
		{"disks that forget what they synced lose sales", "durable", Sabotage{Forget: true}, only(CrashAll)},
		{"a sale is acknowledged before it is committed", "durable", Sabotage{Submit: eager}, only(CrashAll, Crash)},
		{"what is unknown is told to be done", "log", Sabotage{Submit: hopeful}, only(CrashAll, Isolate)},
		{"reads that any node answers are stale", "linearizable", Sabotage{Stale: always}, only(Isolate)},
		{"reads that any node answers go back in time", "order", Sabotage{Stale: always}, only(Isolate)},
		{"reads that a deposed leader answers are stale", "order", Sabotage{Stale: believing}, deposed},
		{"a retry under another id", "replay", Sabotage{FreshIDs: true}, only(Crash, Isolate)},
		{"holds that run twice as fast", "clock", Sabotage{Clock: hasty}, only(Crash)},
		{"holds that follow the wall clock", "clock", Sabotage{Clock: wallOnly}, only(WallsJump)},
		{"an entry that one replica reads back otherwise", "replicas", Sabotage{Alter: alter}, only(Crash)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			caught := map[string]int{}
			for seed := uint64(1); seed <= seedsMax; seed++ {
				plan := NewPlan(seed, 20*time.Second)
				plan.Snapshot, plan.Load.Loss = 0, 0.02
				c.faults(&plan)
				var r *Report
				inBubble(t, func(*testing.T) { r = Run(plan, c.broken, nil) })
				for _, v := range r.Violations {
					caught[v.Check]++
				}
				if caught[c.by] > 0 {
					first := slices.IndexFunc(r.Violations, func(v check.Violation) bool { return v.Check == c.by })
					t.Logf("seed %d: %v", seed, r.Violations[first])
					return
				}
			}
			t.Errorf("%d seeds, and check %s found nothing; the others: %v", seedsMax, c.by, slices.Sorted(maps.Keys(caught)))
		})
	}
}

// only leaves the plan nothing but faults of these kinds, one after the other.
func only(kinds ...Kind) func(*Plan) {
	return func(p *Plan) {
		p.Faults = nil
		for at := 2 * time.Second; at < p.Length-time.Second; at += 3 * time.Second {
			f := Fault{At: at, For: 1500 * time.Millisecond, Kind: kinds[len(p.Faults)%len(kinds)], Node: Leader}
			if f.Kind == WallsJump {
				f.Size = time.Hour
			}
			p.Faults = append(p.Faults, f)
		}
	}
}

// deposed lets the member that the shard prefers lead, and cuts it off for longer than the others take to elect; it
// believes in its leadership all that time, and clients go on asking it.
func deposed(p *Plan) {
	p.Length, p.Sluggish, p.Faults = 40*time.Second, [Members]bool{preferred: true}, nil
	for at := 13 * time.Second; at < p.Length-4*time.Second; at += 15 * time.Second {
		p.Faults = append(p.Faults, Fault{At: at, For: 3 * time.Second, Kind: Isolate, Node: preferred})
	}
}

func always(*node.Node) bool { return true }

// believing is what the library's own check of its lease comes to when acknowledgements from before a pause are
// counted after it.
func believing(n *node.Node) bool { return n.Leads(Shard) }

// eager acknowledges whatever the leader takes, before anything comes of it.
func eager(c *Cluster, i int, b node.Batch) node.Reply {
	l := c.at(i)
	if l == nil || !l.node.Leads(Shard) {
		return c.Submit(i, b)
	}
	go c.Submit(i, b)
	trip()
	return done(l, b)
}

// hopeful says that what is unknown is done.
func hopeful(c *Cluster, i int, b node.Batch) node.Reply {
	l := c.at(i)
	r := c.Submit(i, b)
	if l != nil && (errors.Is(r.Err, holdfast.Unknown) || errors.Is(r.Err, errLost)) {
		return done(l, b)
	}
	return r
}

// done is an answer by which everything succeeded just now.
func done(l *life, b node.Batch) (r node.Reply) {
	for rest := b.Commands; len(rest) > 0; {
		var cmd []byte
		cmd, rest, _ = command.Split(rest)
		r.Results = (&command.Result{Outcome: holdfast.OK, Hold: holdfast.HoldID(command.IDOf(cmd))}).Append(r.Results)
	}
	s := l.node.Status().Shards[Shard]
	r.Stamp = holdfast.Stamp{Shard: Shard, Term: s.Term, Index: s.LastIndex + 1, Clock: s.Clock}
	return r
}

type hastyClock struct{ node.Clock }

func (c hastyClock) Monotonic() time.Duration { return 2 * c.Clock.Monotonic() }

func hasty(c node.Clock) node.Clock { return hastyClock{c} }

type wallClock struct {
	node.Clock
	start time.Time
}

func (c wallClock) Monotonic() time.Duration { return max(c.Now().Sub(c.start), 0) }

func wallOnly(c node.Clock) node.Clock { return wallClock{c, time.Now().Add(-24 * time.Hour)} }

// alter turns over a bit of a buyer's id where n3 reads a hold back, and mends the checksum: a disk that is wrong and
// does not know it.
func alter(name string, l *raft.Log) {
	if name != "n3" {
		return
	}
	forge(l, command.KindHold, func(d *command.Decoder, cmd []byte) (command.Command, error) {
		h, err := d.Hold(cmd)
		if err == nil {
			h.Buyer[0] ^= 1
		}
		return h, err
	})
}

// forge puts another command in the place of an entry's first, if that is of a kind.
func forge(l *raft.Log, kind command.Kind, another func(d *command.Decoder, cmd []byte) (command.Command, error)) {
	e, err := command.OpenEntry(l.Data)
	if l.Type != raft.LogCommand || err != nil || e.Count == 0 {
		return
	}
	cmd, rest, err := command.Split(e.Commands)
	if err != nil || command.KindOf(cmd) != kind {
		return
	}
	var d command.Decoder
	forged, err := another(&d, cmd)
	if err != nil {
		panic(fmt.Sprint("a command in the log does not decode: ", err))
	}
	l.Data = command.FinishEntry(append(forged.Append(command.BeginEntry(nil)), rest...), e.StepMicros, e.WallMs, e.Count)
}
