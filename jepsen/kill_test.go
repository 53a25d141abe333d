//go:build linux

package jepsen

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

var (
	forFlag  = flag.Duration("for", 30*time.Second, "how long to kill processes under load")
	seedFlag = flag.Uint64("seed", 1, "in which order")
)

// fault is something that is done to processes, and how long until they may go on.
type fault struct {
	kind  string
	at    time.Duration
	until time.Duration // when the next began
}

// TestKill kills and stops processes under load: the leader, a follower, all three. Nothing that was acknowledged may
// be lost, no seat sold twice, every answer must be explained by one order of all operations, and at the end all members
// must have the same state, which a replay of each archive must reach too. It prints for how long nobody could buy.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes take real time")
	}
	p := startProcesses(t)
	cl, err := client.New(p.clients[:])
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	p.await(cl, holdfast.Directory, 30*time.Second)
	l := startLoad(t, cl, *forFlag)
	faults := disturb(p, l)
	l.working.Wait()

	p.await(cl, l.event.Shard, 30*time.Second)
	operations, final := l.recorder.Operations(), readBack(t, cl, l.event)
	compareReplicas(t, p, cl, l.event.Shard)
	for _, v := range check.All(model.Rules{}, operations, final) {
		t.Error(v)
	}
	for i := range members {
		p.kill(i)
		p.verify(i)
	}
	report(t, operations, final, faults)
}

// disturb does one thing after the other to the processes as long as the load lasts.
func disturb(p *processes, l *load) (faults []fault) {
	random := rand.New(rand.NewPCG(*seedFlag, 8))
	kinds := []string{"kill leader", "kill follower", "kill all", "kill leader", "stop leader", "stop all"}
	for round := 0; ; round++ {
		time.Sleep(time.Second + time.Duration(random.Int64N(int64(500*time.Millisecond))))
		if l.now() > l.length-2*time.Second {
			break
		}
		leader := p.await(l.client, l.event.Shard, 20*time.Second)
		f := fault{kind: kinds[round%len(kinds)], at: l.now()}
		who := map[string][]int{"leader": {leader}, "follower": {(leader + 1 + random.IntN(2)) % members}, "all": {0, 1, 2}}[strings.Fields(f.kind)[1]]
		pause := time.Duration(random.Int64N(int64(time.Second)))
		if strings.HasPrefix(f.kind, "kill") {
			for _, i := range who {
				p.kill(i)
			}
			time.Sleep(pause)
			for _, i := range who {
				p.start(i)
			}
		} else {
			for _, i := range who {
				p.signal(i, syscall.SIGSTOP)
			}
			time.Sleep(500*time.Millisecond + pause)
			for _, i := range who {
				p.signal(i, syscall.SIGCONT)
			}
		}
		if len(faults) > 0 {
			faults[len(faults)-1].until = f.at
		}
		faults = append(faults, f)
	}
	if len(faults) > 0 {
		faults[len(faults)-1].until = l.length
	}
	return faults
}

// readBack reads the end.
func readBack(t *testing.T, cl *client.Client, event client.EventRef) (f history.Final) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seats, err := cl.Seats(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	f.Seats, f.Clock = seats.States, seats.Stamp.Clock
	for o, err := range cl.Orders(ctx, event) {
		if err != nil {
			t.Fatal(err)
		}
		f.Orders = append(f.Orders, history.Order{ID: o.ID, Buyer: o.Buyer, Seats: o.Seats})
	}
	return f
}

// compareReplicas compares the state hashes of all members at one entry.
func compareReplicas(t *testing.T, p *processes, cl *client.Client, shard holdfast.ShardID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	mark, err := cl.Mark(ctx, shard)
	if err != nil {
		t.Fatal(err)
	}
	var sums [members][32]byte
	for i := range members {
		for {
			if sums[i], err = cl.Digest(ctx, p.clients[i], shard, mark.Index); err == nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("n%d does not tell its state: %v", i+1, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if sums[i] != sums[0] {
			t.Errorf("n%d has another state than n1 at entry %d", i+1, mark.Index)
		}
	}
}

// report prints what was done, and for how long nobody could buy.
func report(t *testing.T, operations []history.Operation, final history.Final, faults []fault) {
	outcomes, reads, again := map[holdfast.Outcome]int{}, 0, 0
	for i := range operations {
		o := &operations[i]
		if o.Kind == history.Read {
			reads++
			continue
		}
		outcomes[o.Outcome]++
		if o.Repeated {
			again++
		}
	}
	answers := history.AnswersOf(operations)
	byKind := map[string][]time.Duration{}
	for _, f := range faults {
		byKind[f.kind] = append(byKind[f.kind], answers.Gap(f.at, f.until))
	}
	t.Logf("%d commands (%d ok, %d told again, %d unknown for good) and %d reads in %v; %d orders; %d faults",
		len(operations)-reads, outcomes[holdfast.OK], again, outcomes[0], reads, *forFlag, len(final.Orders), len(faults))
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		gaps := byKind[kind]
		slices.Sort(gaps)
		t.Logf("%-14s nobody could buy for %v", kind, rounded(gaps))
	}
}

func rounded(all []time.Duration) (out []string) {
	for _, d := range all {
		out = append(out, fmt.Sprint(d.Round(time.Millisecond)))
	}
	return out
}
