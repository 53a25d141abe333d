//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/cluster"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/nemesis"
	"github.com/holdfast-db/holdfast/jepsen/report"
	"github.com/holdfast-db/holdfast/jepsen/workload"
)

// runner is one run: rounds of load and faults on clusters, one after the other. What was seen in a round is judged while
// the next one runs, and a cluster that is done with comes to rest and is verified while its successor works: one of each
// at a time.
type runner struct {
	options   runOptions
	log       *slog.Logger
	workloads []workload.Workload
	faults    []nemesis.Fault // that can be injected here
	schedule  *nemesis.Schedule
	began     time.Time
	stall     stall
	spent     spent
	binary    string // that all clusters are of
	lossy     cluster.LossyDisks
	lives     int // clusters so far
	rounds    int
	judging   later
	retiring  later

	mu     sync.Mutex // guards what follows: what is found comes from several sides
	result result
	page   report.Page
	gaps   map[string][]time.Duration // of faults that struck alone
}

const (
	// patience is how long the cluster may take to be well after a heal. A member that lost its disk has to be given
	// everything.
	patience = time.Minute
	// foundMax is how many violations are told in full.
	foundMax = 20
	// lastCalm is how long before its end nothing strikes any more in a round.
	lastCalm = 1500 * time.Millisecond
)

func newRunner(o runOptions, log *slog.Logger) (*runner, error) {
	spaces, err := namespaces(o.network, log)
	if err != nil {
		return nil, err
	}
	r := &runner{options: o, log: log, gaps: map[string][]time.Duration{}}
	r.result = result{Seed: o.seed, Members: o.members, Network: "loopback", Nemeses: []struckOut{}, NotRun: []notRunOut{}}
	if spaces {
		r.result.Network = "namespaces"
	}
	if r.lossy, err = lossyDisks(o.disk); err != nil {
		return nil, err
	}
	if r.workloads, err = chosen("workload", o.workloads, workload.All(), func(w workload.Workload) string { return w.Name }); err != nil {
		return nil, err
	}
	r.faults, err = chosen("nemesis", o.nemeses, nemesis.All(), func(f nemesis.Fault) string { return f.Name })
	return r, err
}

// run works on clusters for the time: on one after the other, as members lose their data for good.
func (r *runner) run(ctx context.Context) (_ *result, err error) {
	r.spent.now("build")
	if r.binary = r.options.binary; r.binary == "" {
		r.binary = filepath.Join(r.options.dir, "holdfast")
		if err := cluster.Build(r.binary); err != nil {
			return nil, err
		}
	}
	watching, end := context.WithCancel(ctx)
	defer end()
	go r.stall.watch(watching)
	r.began = time.Now()
	for done, well := time.Duration(0), true; well && done < r.options.duration && ctx.Err() == nil && err == nil && !r.enough(); {
		done, well, err = r.live(ctx, done)
	}
	r.spent.now("end")
	if err = errors.Join(err, r.retiring.wait(), r.judging.wait(), ctx.Err()); err != nil {
		return nil, err // it failed or was interrupted: there is no verdict
	}
	return &r.result, r.finish()
}

// enough reports whether what was found is all that is wanted.
func (r *runner) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.options.first && r.result.Violations > 0
}

// prepare sorts out what can be injected here, once.
func (r *runner) prepare(field *nemesis.Field) {
	if r.schedule != nil {
		r.schedule.Field = field
		return
	}
	r.faults = slices.DeleteFunc(r.faults, func(f nemesis.Fault) bool {
		if f.Missing == nil {
			return false
		}
		why := f.Missing(field)
		if why != nil {
			r.result.NotRun = append(r.result.NotRun, notRunOut{f.Name, why.Error()})
		}
		return why != nil
	})
	r.schedule = &nemesis.Schedule{Field: field, Faults: r.faults, Seed: r.options.seed, Log: r.log, Patience: patience, Stuck: stuck, Hurry: r.hurry()}
	r.schedule.Begin()
}

// stuck ends the run where it stands, and tells what everything waits for, as go test does when a test does not end. Its
// processes end with it, and the next run takes its namespaces away.
func stuck(names []string) {
	debug.SetTraceback("all")
	panic(fmt.Sprintf("the faults %v do not end: see below what is waited for", names))
}

// hurry shortens faults so that each of them strikes once in the time that there is.
func (r *runner) hurry() float64 {
	need := time.Duration(0)
	for _, f := range r.faults {
		if need += time.Second; f.Lasts > 0 {
			need += f.Lasts
		} else {
			need += nemesis.Lasts
		}
	}
	if need <= r.options.duration {
		return 1
	}
	return max(0.15, float64(r.options.duration)/float64(need)/2)
}

// measure takes what happened into the figures: for how long nobody could buy, fault by fault.
func (r *runner) measure(env *workload.Env, faults []history.Fault, length time.Duration) {
	answers, offset := env.Live.Answers(), env.Began.Sub(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Seconds += length.Seconds()
	r.page.Loads = append(r.page.Loads, report.Load{From: offset, Until: offset + length})
	for i := range faults {
		f := &faults[i]
		r.result.Faults++
		r.result.FaultS += (f.Healed - f.From).Seconds()
		gap := time.Duration(0)
		if len(answers) > 0 { // else no workload of this run sends commands itself
			gap = answers.Gap(min(f.From, length), min(f.Until, length))
		}
		r.result.LongestAnyGapMs = max(r.result.LongestAnyGapMs, gap.Milliseconds())
		if f.Single {
			r.result.LongestGapMs = max(r.result.LongestGapMs, gap.Milliseconds())
		}
		for _, name := range f.Names {
			if len(f.Names) == 1 {
				r.gaps[name] = append(r.gaps[name], gap)
			} else {
				r.gaps[name] = append(r.gaps[name], 0)
			}
		}
		r.page.Faults = append(r.page.Faults, report.Fault{Names: f.Names, From: offset + f.From, Healed: offset + f.Healed, Gap: gap, Single: f.Single})
	}
}

// finish writes the page, and takes away what nobody needs.
func (r *runner) finish() error {
	for _, f := range r.faults {
		if gaps := r.gaps[f.Name]; len(gaps) > 0 {
			r.result.Nemeses = append(r.result.Nemeses, struckOut{f.Name, len(gaps), slices.Max(gaps).Milliseconds()})
		} else {
			r.result.NotRun = append(r.result.NotRun, notRunOut{f.Name, "the time was over before its turn"})
		}
	}
	r.spent.now("")
	r.log.Info("time was spent on", "what", r.spent.String())
	r.result.SpentS = r.spent.seconds()
	r.result.StallMs = time.Duration(r.stall.longest.Load()).Milliseconds()
	r.result.Report = filepath.Join(r.options.dir, "report.html")
	r.describe()
	return r.page.Save(r.result.Report)
}

// describe tells the page what the result says.
func (r *runner) describe() {
	x, p := &r.result, &r.page
	p.Head = report.Head{Seed: x.Seed, Members: x.Members, Network: x.Network, Seconds: x.Seconds, Operations: x.Operations, Histories: x.Histories,
		Violations: x.Violations, Unknown: x.Unknown, LongestGapMs: x.LongestGapMs, LongestAnyGapMs: x.LongestAnyGapMs, StallMs: x.StallMs,
		Command: fmt.Sprintf("go run ./jepsen run --duration %v --round %v --nemesis %s --workload %s --vigour %v --snapshot-entries %d --members %d --network %s --disk %s --seed %d",
			r.options.duration, r.options.round, r.options.nemeses, r.options.workloads, r.options.vigour, r.options.snapshots,
			x.Members, x.Network, r.options.disk, x.Seed)}
	for _, n := range x.Nemeses {
		p.Nemeses = append(p.Nemeses, report.Nemesis{Name: n.Name, What: whatOf(n.Name), Times: n.Times, GapMs: n.GapMs})
	}
	for _, n := range x.NotRun {
		p.Nemeses = append(p.Nemeses, report.Nemesis{Name: n.Name, What: whatOf(n.Name), Why: n.Why})
	}
}

func whatOf(name string) string {
	for _, f := range nemesis.All() {
		if f.Name == name {
			return f.What
		}
	}
	return ""
}
