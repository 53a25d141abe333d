//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/sim"
)

// simOptions are the flags of sim.
type simOptions struct {
	duration time.Duration
	seeds    uint64
	seed     uint64
	load     time.Duration
	plan     string
	replay   string
	kept     *sim.Plan // that replay names; nil: seeds make plans
	workers  int
	replays  int
	first    bool
	dir      string
	form     string
}

// workerCommand is the name under which sim starts this program again, to play plans. It is not for people.
const workerCommand = "sim-worker"

func simCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o simOptions
	set := flag.NewFlagSet("jepsen sim", flag.ContinueOnError)
	set.DurationVar(&o.duration, "duration", time.Minute, "how long new plans are begun, in real time")
	set.Uint64Var(&o.seeds, "seeds", 0, "how many plans are played at most; 0: as many as there is time for")
	set.Uint64Var(&o.seed, "seed", 1, "the first seed; the others follow it")
	set.DurationVar(&o.load, "load", 5*time.Minute, "how long clients and faults are at work in each plan, in virtual time")
	set.StringVar(&o.plan, "plan", "", "play only this kind of plan; default: each seed decides")
	set.StringVar(&o.replay, "replay", "", "play the plan in this file, which a run kept that failed, and no other; --seeds says how often")
	set.IntVar(&o.workers, "workers", runtime.NumCPU(), "processes that play plans")
	set.IntVar(&o.replays, "replays", 5, "how often a seed that failed is played again, to see how often it fails")
	set.BoolVar(&o.first, "first", false, "stop at the first violation")
	set.StringVar(&o.dir, "dir", "", "for histories that failed; default: a new folder in the temporary one")
	set.StringVar(&o.form, "o", "text", "text or json")
	rest, err := parse(set, args, stderr)
	if err != nil {
		return err
	}
	if _, err := sim.PlanOf(o.plan, 1, o.load); err != nil {
		return fmt.Errorf("%w: --plan: %w", errUsage, err)
	}
	if len(rest) > 0 || o.form != "text" && o.form != "json" || o.workers < 1 || o.replays < 0 || o.duration <= 0 || o.load < 10*time.Second {
		return fmt.Errorf("%w: see jepsen sim -h", errUsage)
	}
	if o.replay != "" {
		kept, err := sim.LoadPlan(o.replay)
		if err != nil {
			return fmt.Errorf("%w: --replay: %w", errUsage, err)
		}
		o.kept, o.replays = &kept.Plan, 0
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "holdfast-sim-"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	result, err := simulate(ctx, o)
	if err != nil {
		return err
	}
	if err := result.print(stdout, o.form); err != nil {
		return err
	}
	if result.Violations > 0 {
		return errViolated
	}
	return nil
}

// simResult is what sim prints.
type simResult struct {
	FirstSeed    uint64           `json:"first_seed"`
	Seeds        int              `json:"seeds"`
	Seconds      float64          `json:"seconds"`
	VirtualHours float64          `json:"virtual_hours"` // of load: what opening and reading back took is not in it
	Faults       int              `json:"faults"`
	FaultKinds   map[sim.Kind]int `json:"faults_by_kind"`
	// Struck says how many of the faults that wait for a certain step of a node, or for its notice, found it.
	Struck map[sim.Kind]int `json:"struck"`
	// Deeds is what people did who came through frontends, in plans with such scenes, and what befell frontends.
	Deeds       map[string]int `json:"deeds"`
	Plans       map[string]int `json:"plans_by_kind"`
	Leaders     uint64         `json:"leader_changes"`
	Operations  int            `json:"operations"`
	Entries     uint64         `json:"entries"`
	Commits     uint64         `json:"commits"` // entries with commands
	CommitsRate float64        `json:"commits_per_virtual_second"`
	Speed       float64        `json:"virtual_seconds_per_second"`
	// LongestGapMs is how long no command was answered at most after a fault of one member that struck alone, in plans in
	// which a client asks all the time; GapsMs the same by its kind.
	LongestGapMs int64              `json:"longest_write_gap_ms"`
	GapsMs       map[sim.Kind]int64 `json:"longest_write_gap_ms_by_kind"`
	Violations   int                `json:"violations"`
	Failing      []simFailed        `json:"failing"` // by seed; the first failedMax
	Dir          string             `json:"dir"`

	load time.Duration
}

// simFailed is a seed that failed.
type simFailed struct {
	Seed        uint64   `json:"seed"`
	Plan        string   `json:"plan"`
	Violations  int      `json:"violations"`
	Violation   string   `json:"violation"` // the first
	All         []string `json:"all"`       // the first of each check
	History     string   `json:"history"`   // jepsen check judges it again
	FailedAgain int      `json:"failed_again"`
	Of          int      `json:"of"`
	Again       string   `json:"again"` // the command
}

// failedMax is how many failing seeds are told.
const failedMax = 50

// simulation is a run of sim. Its workers' goroutines share it.
type simulation struct {
	options simOptions
	began   time.Time
	stop    context.CancelFunc

	mu     sync.Mutex
	next   uint64 // seeds that somebody took
	result simResult
	failed error
}

// simulate plays plans with as many workers as there shall be.
func simulate(ctx context.Context, o simOptions) (*simResult, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := &simulation{options: o, began: time.Now(), stop: stop}
	s.result = simResult{FirstSeed: o.seed, FaultKinds: map[sim.Kind]int{}, Struck: map[sim.Kind]int{}, Deeds: map[string]int{}, GapsMs: map[sim.Kind]int64{}, Plans: map[string]int{}, Failing: []simFailed{}, Dir: o.dir}
	var playing sync.WaitGroup
	for range o.workers {
		playing.Go(func() {
			p := &sim.Player{Command: []string{program, workerCommand}, Keep: o.dir, Patience: patienceOf(o.load)}
			if err := s.play(ctx, p); err != nil && ctx.Err() == nil {
				s.fail(err)
			}
		})
	}
	playing.Wait()
	if s.failed != nil {
		return nil, s.failed
	}
	return s.result.sum(time.Since(s.began)), nil
}

// patienceOf is how long a plan may take until its worker counts as hung: hundreds of times what it takes.
func patienceOf(load time.Duration) time.Duration { return max(3*time.Minute, load) }

func (s *simulation) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = err
	}
	s.stop()
}

// take gives the next seed; ok is false when there is none, or no time left.
func (s *simulation) take() (seed uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.seeds > 0 && s.next == s.options.seeds || time.Since(s.began) >= s.options.duration {
		return 0, false
	}
	s.next++
	return s.options.seed + s.next - 1, true
}

// play is the life of one worker's goroutine.
func (s *simulation) play(ctx context.Context, p *sim.Player) (err error) {
	defer func() {
		if closed := p.Close(); err == nil {
			err = closed
		}
	}()
	o := s.options
	for {
		seed, ok := s.take()
		if !ok {
			return nil
		}
		job := sim.Job{Seed: seed, Load: o.load, Kind: o.plan, Plan: o.kept}
		played, err := p.Play(ctx, job)
		if err != nil {
			return err
		}
		failed := s.note(&played)
		if failed == nil {
			continue
		}
		if o.first { // nobody begins another; what others are playing is of no interest any more
			s.stop()
			return nil
		}
		again := sim.Player{Command: p.Command, Patience: p.Patience}
		for range o.replays {
			replay, err := again.Play(ctx, job)
			if err != nil {
				return err
			}
			failed.Of++
			if len(replay.Violations) > 0 {
				failed.FailedAgain++
			}
		}
		if err := again.Close(); err != nil {
			return err
		}
		s.tell(*failed)
	}
}

// note counts a plan that was played. It gives what is to be told when it failed.
func (s *simulation) note(p *sim.Summary) *simFailed {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.result
	r.Seeds++
	r.Plans[p.Kind]++
	r.load += p.Load
	for kind, n := range p.Faults {
		r.Faults += n
		r.FaultKinds[kind] += n
	}
	for kind, n := range p.Struck {
		r.Struck[kind] += n
	}
	for deed, n := range p.Deeds {
		r.Deeds[deed] += n
	}
	r.Leaders += p.Leaders
	r.Operations += p.Operations
	r.Entries += p.Entries
	r.Commits += p.Commits
	for kind, gap := range p.Gaps {
		r.GapsMs[kind] = max(r.GapsMs[kind], gap.Milliseconds())
		r.LongestGapMs = max(r.LongestGapMs, gap.Milliseconds())
	}
	r.Violations += len(p.Violations)
	if len(p.Violations) == 0 {
		return nil
	}
	f := &simFailed{
		Seed: p.Seed, Plan: p.Kind, Violations: len(p.Violations), Violation: p.Violations[0].String(), History: p.History,
		Again: fmt.Sprintf("go run ./jepsen sim --seeds 100 --replay %s", sim.PlanFile(s.options.dir, p.Seed)),
	}
	told := map[string]bool{}
	for _, v := range p.Violations {
		if !told[v.Check] {
			f.All = append(f.All, v.String())
		}
		told[v.Check] = true
	}
	if s.options.first {
		r.Failing = append(r.Failing, *f)
	}
	return f
}

func (s *simulation) tell(f simFailed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.result.Failing) < failedMax {
		s.result.Failing = append(s.result.Failing, f)
	}
}

// sum works out what follows from the counts.
func (r *simResult) sum(took time.Duration) *simResult {
	r.Seconds, r.VirtualHours = took.Seconds(), r.load.Hours()
	if r.load > 0 {
		r.CommitsRate, r.Speed = float64(r.Commits)/r.load.Seconds(), r.load.Seconds()/took.Seconds()
	}
	slices.SortFunc(r.Failing, func(a, b simFailed) int { return int(a.Seed) - int(b.Seed) })
	return r
}

func (r *simResult) print(to io.Writer, form string) error {
	if form == "json" {
		return json.NewEncoder(to).Encode(r)
	}
	fmt.Fprintf(to, "%d plans from seed %d in %.0f s: %.1f virtual hours (%.0f virtual seconds a second), %d faults, %d changes of leaders\n",
		r.Seeds, r.FirstSeed, r.Seconds, r.VirtualHours, r.Speed, r.Faults, r.Leaders)
	fmt.Fprintf(to, "%d operations in %d commits (%.1f a virtual second) of %d entries\n", r.Operations, r.Commits, r.CommitsRate, r.Entries)
	for _, kind := range slices.Sorted(maps.Keys(r.Plans)) {
		fmt.Fprintf(to, "  plans %-12s %d\n", kind, r.Plans[kind])
	}
	for _, kind := range slices.Sorted(maps.Keys(r.FaultKinds)) {
		fmt.Fprintf(to, "  faults %-14s %d", kind, r.FaultKinds[kind])
		if n := r.Struck[kind]; n > 0 {
			fmt.Fprintf(to, ", %d of them met the step they waited for, or were noticed", n)
		}
		fmt.Fprintln(to)
	}
	for _, deed := range slices.Sorted(maps.Keys(r.Deeds)) {
		fmt.Fprintf(to, "  deeds  %-14s %d\n", deed, r.Deeds[deed])
	}
	fmt.Fprintf(to, "longest write gap after a fault of one member that struck alone: %d ms\n%d violations\n", r.LongestGapMs, r.Violations)
	for _, f := range r.Failing {
		fmt.Fprintf(to, "  seed %d: %s (%d of them); failed again %d times of %d; %s\n    %s\n", f.Seed, f.Violation, f.Violations, f.FailedAgain, f.Of, f.History, f.Again)
	}
	return nil
}

// workerMain is a worker's life, if this process is one.
func workerMain(args []string) {
	if len(args) == 2 && args[1] == workerCommand {
		sim.Work(os.Stdin, os.NewFile(3, "answers"))
	}
}
