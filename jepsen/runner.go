//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/cluster"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/nemesis"
	"github.com/holdfast-db/holdfast/jepsen/report"
	"github.com/holdfast-db/holdfast/jepsen/workload"
	"github.com/holdfast-db/holdfast/payment"
)

// runner is one run: rounds of load and faults on one cluster, each of them judged when it is over.
type runner struct {
	options   runOptions
	log       *slog.Logger
	workloads []workload.Workload
	faults    []nemesis.Fault // that can be injected here
	result    result
	cluster   *cluster.Cluster
	shop      *cluster.Shop // nil: no workload needs one
	places    *cluster.Log
	schedule  *nemesis.Schedule
	began     time.Time
	stall     stall
	spent     spent
	binary    string // that all clusters are of
	lossy     cluster.LossyDisks
	lives     int // clusters so far
	rounds    int
	page      report.Page
	gaps      map[string][]time.Duration // of faults that struck alone
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
	r.binary = filepath.Join(r.options.dir, "holdfast")
	if err := cluster.Build(r.binary); err != nil {
		return nil, err
	}
	watching, end := context.WithCancel(ctx)
	defer end()
	go r.stall.watch(watching)
	r.began = time.Now()
	for done, well := time.Duration(0), true; well && done < r.options.duration && ctx.Err() == nil; {
		if done, well, err = r.life(ctx, done); err != nil {
			return nil, err
		}
	}
	return &r.result, r.finish()
}

// life is that of one cluster. It gives for how long the run has gone on after it; well is false when the cluster did not
// recover: what was found is found, and there is no more to look for.
func (r *runner) life(ctx context.Context, done time.Duration) (_ time.Duration, well bool, err error) {
	r.lives++
	r.spent.now("start")
	r.cluster, err = cluster.Start(cluster.Config{Dir: filepath.Join(r.options.dir, fmt.Sprintf("cluster-%d", r.lives)), Members: r.options.members,
		Namespaces: r.result.Network == "namespaces", Lossy: r.lossy, SnapshotEntries: r.options.snapshots, Binary: r.binary, Logger: r.log})
	if err != nil {
		return done, false, err
	}
	defer func() { err = errors.Join(err, r.cluster.Close(), r.tidy()) }()
	r.shop = nil
	if slices.ContainsFunc(r.workloads, func(w workload.Workload) bool { return w.NeedsShop }) {
		if r.shop, err = r.cluster.OpenShop(); err != nil {
			return done, false, err
		}
	}
	r.prepare()
	whole := true
	for well = true; well && whole && done < r.options.duration && ctx.Err() == nil; whole = r.cluster.Whole() {
		length := min(r.options.round, r.options.duration-done)
		if left := r.options.duration - done - length; left < 5*time.Second {
			length += left
		}
		if length, well, err = r.round(ctx, length); err != nil {
			return done, false, err
		}
		done += length
	}
	r.spent.now("verify")
	r.verifyArchives()
	r.exits()
	return done, well, nil
}

// tidy takes away what nobody needs of a cluster that is closed.
func (r *runner) tidy() error {
	if r.options.keep || len(r.page.Violations) > 0 {
		return nil
	}
	return os.RemoveAll(r.cluster.Dir())
}

// prepare sorts out what can be injected here, once.
func (r *runner) prepare() {
	field := &nemesis.Field{Cluster: r.cluster, Shop: r.shop, Rotten: map[int]bool{}}
	r.places = r.cluster.NewLog()
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
	r.schedule = &nemesis.Schedule{Field: field, Faults: r.faults, Seed: r.options.seed, Log: r.log, Patience: patience, Hurry: r.hurry()}
	r.schedule.Begin()
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

// round is one history of every workload. It gives how long it was: it ends early when a member has lost its data for good.
// well is false when the cluster did not recover.
func (r *runner) round(ctx context.Context, length time.Duration) (_ time.Duration, well bool, err error) {
	over := make(chan struct{})
	env := &workload.Env{Client: r.cluster.Client(), Seed: r.options.seed, Round: r.rounds, Length: length, Vigour: r.options.vigour, Live: &workload.Live{},
		Over: over, Shop: r.shopOf()}
	r.rounds++
	r.spent.now("open")
	env.Began = time.Now()
	var jobs []workload.Job
	for _, w := range r.workloads {
		opening, cancel := context.WithTimeout(ctx, 30*time.Second)
		job, err := w.Start(opening, env)
		cancel()
		if err != nil {
			return 0, false, fmt.Errorf("workload %s: %w", w.Name, err)
		}
		jobs = append(jobs, job)
	}
	r.spent.now("load")
	now := func() time.Duration { return time.Since(env.Began) }
	faults, sick := r.schedule.Run(ctx, now, length-lastCalm)
	if sick != nil {
		r.violation("", check.Violation{Check: "liveness", Message: sick.Error()}, "")
	}
	if len(r.faults) > 0 && now() < length-lastCalm {
		time.Sleep(lastCalm / 3)
		length, env.Cut = now(), true
		close(over)
	}
	r.spent.now("drain")
	for _, j := range jobs {
		j.Wait()
	}
	r.spent.now("heal")
	r.result.Seconds += length.Seconds()
	r.measure(env, faults, length)
	if err := r.cluster.Mend(); err != nil {
		return length, false, err
	}
	if err := ctx.Err(); err != nil {
		return length, false, err // interrupted: there is nothing to judge
	}
	if sick != nil {
		return length, false, nil
	}
	if sick = r.cluster.Await(patience); sick == nil && r.shop != nil {
		sick = r.shop.Await(patience)
	}
	if sick != nil {
		r.violation("", check.Violation{Check: "liveness", Message: sick.Error()}, "")
		return length, false, nil
	}
	return length, true, r.judge(ctx, env, jobs, faults)
}

// shopOf is the shop as workloads see it.
func (r *runner) shopOf() *workload.Shop {
	if r.shop == nil {
		return nil
	}
	return &workload.Shop{Frontends: r.shop.Addresses(), Provider: r.shop.Provider(), Account: cluster.ShopAccount, Reconcile: r.shop.Reconcile,
		Books: func() (all []history.Charge, err error) {
			charges, err := r.shop.Books()
			for _, c := range charges {
				key, bad := payment.ParseKey(c.Key)
				if err = errors.Join(err, bad); bad == nil {
					all = append(all, history.Charge{Payment: c.Payment, Event: key.Event, Hold: key.Hold, Attempt: int(key.Attempt), Status: c.Status,
						Captured: c.Captured, Refunded: c.Refunded})
				}
			}
			return all, err
		}}
}

// measure takes what happened into the figures: for how long nobody could buy, fault by fault.
func (r *runner) measure(env *workload.Env, faults []history.Fault, length time.Duration) {
	answers, offset := env.Live.Answers(), env.Began.Sub(r.began)
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

// judge reads the end of every workload back, completes the histories from the log, and has them checked.
func (r *runner) judge(ctx context.Context, env *workload.Env, jobs []workload.Job, faults []history.Fault) error {
	r.spent.now("rest")
	reading, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var all []*history.History
	last := holdfast.Stamp{}
	for i, j := range jobs {
		h, err := j.Finish(reading)
		if err != nil {
			r.violation(r.workloads[i].Name, check.Violation{Check: "answers", Message: err.Error()}, "")
		}
		h.Faults = faults
		all = append(all, h)
		if h.Final.Read.Index > last.Index {
			last = h.Final.Read
		}
	}
	r.spent.now("log")
	at, logged, err := r.places.Places(last)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	if !logged {
		r.log.Warn("all members lack a part of the log: this round is not replayed")
	}
	r.spent.now("compare")
	r.compare(reading)
	r.spent.now("judge")
	for _, h := range all {
		h.Final.Logged = logged && h.Final.Read.Index != 0 && len(h.Visits) == 0
		for i := range h.Operations {
			if at, ok := at[h.Operations[i].Command]; ok {
				h.Operations[i].Decided = at
			}
		}
		r.check(env, h)
	}
	return nil
}

// check judges one history, and keeps it when there is something to look at.
func (r *runner) check(env *workload.Env, h *history.History) {
	r.result.Histories++
	r.result.Operations += h.Count()
	r.page.Count(h, env.Began.Sub(r.began))
	began := time.Now()
	found := check.Judge(h)
	r.log.Info("judged", "workload", h.Workload, "round", env.Round, "operations", h.Count(), "violations", len(found), "took", time.Since(began).Round(time.Millisecond))
	if len(found) == 0 && !r.options.keep {
		return
	}
	file := filepath.Join(r.options.dir, fmt.Sprintf("%s-%03d%s", h.Workload, r.result.Histories, history.Suffix))
	if err := h.Save(file); err != nil {
		r.log.Error("a history cannot be kept", "error", err)
		file = ""
	}
	unexplained := false
	for _, v := range found {
		if v.Check == check.Undecided {
			r.result.Unknown++
		}
		unexplained = unexplained || v.Check == "linearizable"
		r.violation(h.Workload, v, file)
	}
	if !unexplained {
		return
	}
	if picture, ok := check.Smallest(h); ok && len(r.page.Pictures) < 3 {
		r.page.Pictures = append(r.page.Pictures, report.Picture{Title: h.Workload + ": " + picture.Title, HTML: picture.HTML})
	}
}

func (r *runner) violation(where string, v check.Violation, file string) {
	r.result.Violations++
	r.page.Violations = append(r.page.Violations, report.Violation{Where: where, Check: v.Check, Message: v.Message, File: filepath.Base(file)})
	if len(r.result.Found) < foundMax {
		r.result.Found = append(r.result.Found, strings.TrimSpace(where+" "+v.String()))
	}
	r.log.Error("violation", "workload", where, "check", v.Check, "message", v.Message)
}

// compare has every member take its state hash at one entry of every shard.
func (r *runner) compare(ctx context.Context) {
	for shard := holdfast.Directory; shard <= cluster.Shard; shard++ {
		at, sums, err := r.cluster.Digests(ctx, shard)
		if err != nil {
			r.violation("", check.Violation{Check: "liveness", Message: fmt.Sprintf("shard %d: the members do not tell their state: %v", shard, err)}, "")
			continue
		}
		for i, sum := range sums {
			if sum != sums[0] {
				r.violation("", check.Violation{Check: "replicas", Message: fmt.Sprintf("%s has another state than %s in shard %d at entry %d",
					cluster.Name(i), cluster.Name(0), shard, at.Index)}, "")
			}
		}
	}
}

// verifyArchives replays what every member archived, offline: every invariant is worked out from scratch on the way.
func (r *runner) verifyArchives() {
	for i := range r.cluster.Members() {
		r.cluster.Stop(i, 10*time.Second)
		switch err := r.cluster.Verify(i); {
		case err != nil && r.schedule.Field.Rotten[i]:
			r.log.Info("an audit noticed the damage", "member", cluster.Name(i), "error", err)
		case err != nil:
			r.violation("", check.Violation{Check: "archive", Message: err.Error()}, "")
		}
	}
}

// exits are violations: no process may end by itself but when its disk fails.
func (r *runner) exits() {
	for _, e := range r.cluster.Exits() {
		r.violation("", check.Violation{Check: "exit", Message: fmt.Sprintf("%s ended by itself (%s): %s", e.Who, e.How, e.Last)}, "")
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
		Violations: x.Violations, Unknown: x.Unknown, LongestGapMs: x.LongestGapMs, LongestAnyGapMs: x.LongestAnyGapMs,
		Command: fmt.Sprintf("go run ./jepsen run --duration %v --nemesis %s --workload %s --members %d --network %s --disk %s --seed %d",
			r.options.duration, r.options.nemeses, r.options.workloads, x.Members, x.Network, r.options.disk, x.Seed)}
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
