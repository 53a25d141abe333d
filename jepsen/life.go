//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/cluster"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/jepsen/nemesis"
	"github.com/holdfast-db/holdfast/jepsen/workload"
	"github.com/holdfast-db/holdfast/payment"
)

// life is one cluster, from its start until it is done with.
type life struct {
	*runner
	cluster *cluster.Cluster
	shop    *cluster.Shop // nil: no workload needs one
	places  *cluster.Log
	field   *nemesis.Field
	resting []task // of the last round: shops that come to rest
}

// task is a workload of a round whose clients are done.
type task struct {
	workload workload.Workload
	job      workload.Job
	env      *workload.Env
	faults   []history.Fault
}

// live starts a cluster and works on it, for as long as there is time and no member loses its data for good. It gives for how
// long the run has gone on after it; well is false when the cluster did not recover: what was found is found, and there is
// no more to look for.
func (r *runner) live(ctx context.Context, done time.Duration) (_ time.Duration, well bool, err error) {
	r.lives++
	r.spent.now("start")
	l := &life{runner: r}
	l.cluster, err = cluster.Start(cluster.Config{Dir: filepath.Join(r.options.dir, fmt.Sprintf("cluster-%d", r.lives)), Members: r.options.members,
		Namespaces: r.result.Network == "namespaces", Lossy: r.lossy, SnapshotEntries: r.options.snapshots, Binary: r.binary, Logger: r.log})
	if err != nil {
		return done, false, err
	}
	if slices.ContainsFunc(r.workloads, func(w workload.Workload) bool { return w.NeedsShop }) {
		if l.shop, err = l.cluster.OpenShop(); err != nil {
			return done, false, errors.Join(err, l.cluster.Close())
		}
	}
	l.field = &nemesis.Field{Cluster: l.cluster, Shop: l.shop, Rotten: map[int]bool{}}
	l.places = l.cluster.NewLog()
	r.prepare(l.field)
	whole := true
	for well = true; well && whole && done < r.options.duration && ctx.Err() == nil && !r.enough(); whole = l.cluster.Whole() {
		length := min(r.options.round, r.options.duration-done)
		if left := r.options.duration - done - length; left < 5*time.Second {
			length += left
		}
		if length, well, err = l.round(ctx, length); err != nil {
			return done, false, errors.Join(err, l.cluster.Close())
		}
		done += length
	}
	r.spent.now("retire")
	return done, well, r.retiring.start(func() error { return l.retire(ctx, well) })
}

// retire lets the shops of the last round come to rest, has everything verified, and ends the cluster.
func (l *life) retire(ctx context.Context, well bool) error {
	if well && ctx.Err() == nil {
		l.end(ctx, l.resting)
	}
	l.verifyArchives()
	l.exits()
	err := l.cluster.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.options.keep || len(l.page.Violations) > 0 {
		return err
	}
	return errors.Join(err, os.RemoveAll(l.cluster.Dir()))
}

// round is one history of every workload. It gives how long it was: it ends early when a member has lost its data for good.
// well is false when the cluster did not recover.
func (l *life) round(ctx context.Context, length time.Duration) (_ time.Duration, well bool, err error) {
	over := make(chan struct{})
	env := &workload.Env{Client: l.cluster.Client(), Seed: l.options.seed, Round: l.rounds, Length: length, Vigour: l.options.vigour, Live: &workload.Live{},
		Over: over, Shop: l.shopOf(), Members: map[string]string{}}
	for i := range l.cluster.Members() {
		env.Members[cluster.Name(i)] = l.cluster.Address(i)
	}
	l.rounds++
	l.spent.now("open")
	env.Began = time.Now()
	tasks, err := l.begin(ctx, env)
	if err != nil {
		return 0, false, err
	}
	l.spent.now("load")
	now := func() time.Duration { return time.Since(env.Began) }
	faults, sick := l.schedule.Run(ctx, now, length-lastCalm)
	if sick != nil {
		l.violation("", check.Violation{Check: "liveness", Message: sick.Error()}, "")
	}
	if len(l.faults) > 0 && now() < length-lastCalm {
		time.Sleep(lastCalm / 3)
		length = now()
		close(over)
	}
	time.Sleep(max(0, length-now()))
	l.spent.now("drain")
	for i := range tasks {
		tasks[i].faults = faults
		tasks[i].job.Wait()
	}
	l.spent.now("heal")
	l.measure(env, faults, length)
	if err := l.cluster.Mend(); err != nil {
		return length, false, err
	}
	if err := ctx.Err(); err != nil {
		return length, false, err // interrupted: there is nothing to judge
	}
	if sick != nil {
		return length, false, nil
	}
	if sick = l.cluster.Await(patience); sick == nil && l.shop != nil {
		sick = l.shop.Await(patience)
	}
	if sick != nil {
		l.violation("", check.Violation{Check: "liveness", Message: sick.Error()}, "")
		return length, false, nil
	}
	return length, true, l.judge(ctx, tasks)
}

// begin has all workloads open what they need, and their clients begin.
func (l *life) begin(ctx context.Context, env *workload.Env) ([]task, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tasks, failed := make([]task, len(l.workloads)), make([]error, len(l.workloads))
	var opening sync.WaitGroup
	for i, w := range l.workloads {
		opening.Go(func() {
			job, err := w.Start(ctx, env)
			if err != nil {
				failed[i] = fmt.Errorf("workload %s: %w", w.Name, err)
			}
			tasks[i] = task{workload: w, job: job, env: env}
		})
	}
	opening.Wait()
	return tasks, errors.Join(failed...)
}

// judge reads the end of every workload back, completes the histories from the log, and has them checked while the run goes
// on. A shop needs time to come to rest: that of this round is read back behind the next, and that of the last round now.
func (l *life) judge(ctx context.Context, tasks []task) error {
	l.spent.now("read")
	var now, resting []task
	for _, t := range tasks {
		if t.workload.NeedsShop {
			resting = append(resting, t)
		} else {
			now = append(now, t)
		}
	}
	reading, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	last, seen := holdfast.Stamp{}, make([]*history.History, len(now))
	for i, t := range now {
		if seen[i] = l.readBack(reading, t); seen[i].Final.Read.Index > last.Index {
			last = seen[i].Final.Read
		}
	}
	l.spent.now("rest")
	l.end(ctx, l.resting)
	l.resting = resting
	l.spent.now("log")
	at, logged, err := l.places.Places(last)
	if err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	if !logged {
		l.log.Warn("all members lack a part of the log: this round is not replayed")
	}
	l.spent.now("compare")
	l.compare(reading)
	l.spent.now("judge")
	return l.judging.start(func() error {
		for i, h := range seen {
			h.Final.Logged = logged && h.Final.Read.Index != 0
			for i := range h.Operations {
				if at, ok := at[h.Operations[i].Command]; ok {
					h.Operations[i].Decided = at
				}
			}
			l.check(now[i].env, h)
		}
		return nil
	})
}

// end reads back what became of shops that should have come to rest, and judges it.
func (l *life) end(ctx context.Context, tasks []task) {
	reading, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, t := range tasks {
		l.check(t.env, l.readBack(reading, t))
	}
}

// readBack gives the history of a workload. What clients should not have been told is a violation.
func (l *life) readBack(ctx context.Context, t task) *history.History {
	h, err := t.job.Finish(ctx)
	if err != nil {
		l.violation(t.workload.Name, check.Violation{Check: "answers", Message: err.Error()}, "")
	}
	h.Faults = t.faults
	return h
}

// shopOf is the shop as workloads see it.
func (l *life) shopOf() *workload.Shop {
	if l.shop == nil {
		return nil
	}
	return &workload.Shop{Frontends: l.shop.Addresses(), Provider: l.shop.Provider(), Account: cluster.ShopAccount, Reconcile: l.shop.Reconcile, Act: l.shop.Act,
		Books: func() (all []history.Charge, err error) {
			charges, err := l.shop.Books()
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

// compare has every member take its state hash at one entry of every shard.
func (l *life) compare(ctx context.Context) {
	for shard := holdfast.Directory; shard <= cluster.Shard; shard++ {
		at, sums, err := l.cluster.Digests(ctx, shard)
		if err != nil {
			l.violation("", check.Violation{Check: "liveness", Message: fmt.Sprintf("shard %d: the members do not tell their state: %v", shard, err)}, "")
			continue
		}
		for i, sum := range sums {
			if sum != sums[0] {
				l.violation("", check.Violation{Check: "replicas", Message: fmt.Sprintf("%s has another state than %s in shard %d at entry %d",
					cluster.Name(i), cluster.Name(0), shard, at.Index)}, "")
			}
		}
	}
}

// verifyArchives replays what every member archived, offline: every invariant is worked out from scratch on the way.
func (l *life) verifyArchives() {
	for i := range l.cluster.Members() {
		l.cluster.Stop(i, 10*time.Second)
		switch err := l.cluster.Verify(i); {
		case err != nil && l.field.Rotten[i]:
			l.log.Info("an audit noticed the damage", "member", cluster.Name(i), "error", err)
		case err != nil:
			l.violation("", check.Violation{Check: "archive", Message: err.Error()}, "")
		}
	}
}

// exits are violations: no process may end by itself but when its disk fails.
func (l *life) exits() {
	for _, e := range l.cluster.Exits() {
		l.violation("", check.Violation{Check: "exit", Message: fmt.Sprintf("%s ended by itself (%s): %s", e.Who, e.How, e.Last)}, "")
	}
}
