//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast/fsm/planted"
	"github.com/holdfast-db/holdfast/jepsen/cluster"
	"github.com/holdfast-db/holdfast/jepsen/lossy"
)

// A level is one of our own ways to test, as a process of its own with the fault in its environment: an exit that says
// "violated", by a check that the fault's row names, is a catch. Whatever else goes wrong is none.

// plantedLevel is one of them. They stand in the order of what they cost.
type plantedLevel struct {
	name string
	// aims reports whether it looks for a row's fault.
	aims func(r *plantedRow) bool
	// look looks for a fault as the rows say; "": nothing is planted. Without a catch the sight says what came instead, and
	// nothing when nothing did. An error is that it could not look.
	look func(ctx context.Context, b *plantedBench, rows []plantedRow, f planted.Fault) (plantedSight, error)
	// missing says why it cannot look on this computer; nil, or a nil answer: it can.
	missing func() error
}

func plantedLevels() []plantedLevel {
	onRun, onLossy := func(r *plantedRow) *runAim { return r.run }, func(r *plantedRow) *runAim { return r.lossy }
	return []plantedLevel{
		{name: "tests", aims: func(r *plantedRow) bool { return len(r.tests) > 0 }, look: lookByTests},
		{name: "exact", aims: func(r *plantedRow) bool { return r.exact }, look: lookByExact},
		{name: "sim", aims: func(r *plantedRow) bool { return r.sim != nil }, look: lookBySim},
		{name: "run", aims: func(r *plantedRow) bool { return r.run != nil }, look: lookByRun("auto", onRun)},
		{name: "lossy", aims: func(r *plantedRow) bool { return r.lossy != nil }, look: lookByRun("lossy", onLossy), missing: lossy.Missing},
	}
}

// build makes the programs that a level runs: nothing that this program itself judges with has a fault.
func (b *plantedBench) build(ctx context.Context, l plantedLevel) error {
	root, err := cluster.Sources()
	if err != nil {
		return err
	}
	tool := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = root, environ("")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	switch l.name {
	case "tests":
		for pkg := range suites(b.rows) {
			if err := tool("test", "-c", "-tags", "planted", "-o", b.testBinary(pkg), "./"+pkg); err != nil {
				return err
			}
		}
	case "exact", "sim":
		return tool("build", "-tags", "planted", "-o", b.harness(), "./jepsen")
	case "run", "lossy":
		return cluster.Build(b.product(), "planted")
	}
	return nil
}

func (b *plantedBench) product() string { return filepath.Join(b.options.dir, "holdfast") }
func (b *plantedBench) harness() string { return filepath.Join(b.options.dir, "jepsen") }

func (b *plantedBench) testBinary(pkg string) string {
	return filepath.Join(b.options.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// environ is ours with another fault.
func environ(f planted.Fault) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, planted.Variable+"=") })
	return append(env, planted.Variable+"="+string(f))
}

// program runs one of them. An exit is no error; what did not end in time has code -1.
func program(ctx context.Context, dir string, f planted.Fault, patience time.Duration, args ...string) (stdout, stderr string, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, log bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environ(f), &out, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it has processes of its own to end
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return out.String(), log.String(), -1, nil
	case errors.As(err, &exit):
		return out.String(), log.String(), exit.ExitCode(), nil
	}
	return out.String(), log.String(), 0, err
}

// suites are the tests of some rows, by package.
func suites(rows []plantedRow) map[string][]string {
	all := map[string][]string{}
	for _, r := range rows {
		for _, s := range r.tests {
			for _, name := range s.names {
				if !slices.Contains(all[s.pkg], name) {
					all[s.pkg] = append(all[s.pkg], name)
				}
			}
		}
	}
	return all
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\w+)`)

// lookByTests runs the product's own tests: one of those that the rows name must fail.
func lookByTests(ctx context.Context, b *plantedBench, rows []plantedRow, f planted.Fault) (s plantedSight, err error) {
	root, err := cluster.Sources()
	if err != nil {
		return s, err
	}
	all := suites(rows)
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		args := []string{b.testBinary(pkg), "-test.failfast", "-test.run", "^(" + strings.Join(all[pkg], "|") + ")$", "-test.timeout", "30m"}
		args = append(args, testFlags[pkg]...)
		patience := b.options.budget
		if f == "" {
			patience *= 10 // all of them
		}
		out, stderr, code, err := program(ctx, filepath.Join(root, pkg), f, patience, args...)
		if err != nil || ctx.Err() != nil {
			return s, cmp.Or(err, ctx.Err())
		}
		if m := failedTest.FindStringSubmatch(out); m != nil && code > 0 && slices.Contains(all[pkg], m[1]) {
			return plantedSight{Caught: f != "", Check: m[1], Says: sentence(out[strings.Index(out, m[0])+len(m[0]):], stderr)}, nil
		}
		if code != 0 {
			s.Says = fmt.Sprintf("the tests of %s ended with exit %d: %.300s", pkg, code, out)
		}
	}
	return s, nil
}

// sentence is the first line of what a test says that says something; stderr has a panic's.
func sentence(out, stderr string) string {
	if _, panicked, ok := strings.Cut(stderr, "panic: "); ok {
		out = "\npanic: " + panicked
	}
	for _, line := range strings.Split(out, "\n")[1:] {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--- ") {
			return fmt.Sprintf("%.200s", line)
		}
	}
	return "it failed"
}

// judged takes what a command of ours has found.
func judged(rows []plantedRow, f planted.Fault, code int, stderr string, found []string) (s plantedSight) {
	for _, says := range found {
		for _, r := range rows {
			if check := r.named(says); code == exitViolated && check != "" {
				return plantedSight{Caught: f != "", Check: check, Says: fmt.Sprintf("%.200s", says)}
			}
		}
	}
	switch {
	case len(found) > 0:
		s.Says = fmt.Sprintf("not by a check that is meant to: %.200s", found[0])
	case code != exitOK:
		s.Says, s.broken = fmt.Sprintf("exit %d: %s", code, stderr[max(0, len(stderr)-300):]), true
	}
	return s
}

// named is the check of a row that says something: violations are told as "WHERE CHECK: MESSAGE".
func (r *plantedRow) named(says string) string {
	head, _, _ := strings.Cut(says, ":")
	words := strings.Fields(head)
	if len(words) > 0 && slices.Contains(r.by, words[len(words)-1]) {
		return words[len(words)-1]
	}
	return ""
}

// startMax is how long a level may take besides looking.
const startMax = 4 * time.Minute

// exactSeeds is how many plans exact plays in a second at least.
const exactSeeds = 10

// lookByExact plays the shard, its callers and its workers step by step.
func lookByExact(ctx context.Context, b *plantedBench, rows []plantedRow, f planted.Fault) (s plantedSight, err error) {
	seeds := int(b.options.budget.Seconds()) * exactSeeds
	out, stderr, code, err := program(ctx, b.options.dir, f, b.options.budget+startMax, b.harness(), "exact", "--first", "--seeds", fmt.Sprint(seeds), "-o", "json")
	if err != nil || ctx.Err() != nil {
		return s, cmp.Or(err, ctx.Err())
	}
	var got exactOut
	var found []string
	if err := json.Unmarshal([]byte(out), &got); err == nil {
		for _, one := range got.Found {
			found = append(found, one.Violated.Check+": "+one.Violated.Detail)
		}
	}
	return judged(rows, f, code, stderr, found), nil
}

// lookBySim plays whole clusters in virtual time.
func lookBySim(ctx context.Context, b *plantedBench, rows []plantedRow, f planted.Fault) (s plantedSight, err error) {
	if err := os.MkdirAll(b.folder(f, "sim"), 0o755); err != nil {
		return s, err
	}
	var found []string
	for _, aim := range simAims(rows) {
		args := []string{b.harness(), "sim", "--first", "--duration", b.options.budget.String(), "--load", aim.load().String(), "--plan", aim.plan, "--dir", b.folder(f, "sim"), "-o", "json"}
		out, stderr, code, err := program(ctx, b.options.dir, f, b.options.budget+startMax, args...)
		if err != nil || ctx.Err() != nil {
			return s, cmp.Or(err, ctx.Err())
		}
		var got simResult
		if err := json.Unmarshal([]byte(out), &got); err == nil {
			for _, one := range got.Failing {
				found = append(found, one.All...)
			}
		}
		if s = judged(rows, f, code, stderr, found); s.Says != "" {
			return s, nil
		}
	}
	return s, nil
}

// simAims are the plans of some rows, each once.
func simAims(rows []plantedRow) (aims []simAim) {
	for _, r := range rows {
		if r.sim != nil && !slices.Contains(aims, *r.sim) {
			aims = append(aims, *r.sim)
		}
	}
	return aims
}

// lookByRun breaks real processes on disks of a kind, as the rows aim at it.
func lookByRun(disk string, aimOf func(*plantedRow) *runAim) func(context.Context, *plantedBench, []plantedRow, planted.Fault) (plantedSight, error) {
	return func(ctx context.Context, b *plantedBench, rows []plantedRow, f planted.Fault) (s plantedSight, err error) {
		self, err := os.Executable()
		if err == nil {
			err = os.MkdirAll(b.folder(f, disk), 0o755)
		}
		if err != nil {
			return s, err
		}
		var workloads, nemeses []string
		snapshots := 2000
		for _, r := range rows {
			if aim := aimOf(&r); aim != nil {
				workloads, nemeses = union(workloads, aim.workloads), union(nemeses, aim.nemeses)
				snapshots = min(snapshots, cmp.Or(aim.snapshots, snapshots))
			}
		}
		struck := "none"
		if len(nemeses) > 0 {
			struck = strings.Join(nemeses, ",")
		}
		out, stderr, code, err := program(ctx, b.options.dir, f, 2*b.options.budget+startMax, self, "run", "--binary", b.product(), "--first",
			"--duration", b.options.budget.String(), "--round", roundOf(b.options.budget).String(), "--workload", strings.Join(workloads, ","), "--nemesis", struck,
			"--snapshot-entries", fmt.Sprint(snapshots), "--network", b.options.network, "--disk", disk, "--vigour", "0.3", "--dir", b.folder(f, disk), "-o", "json")
		if err != nil || ctx.Err() != nil {
			return s, cmp.Or(err, ctx.Err())
		}
		var got result
		_ = json.Unmarshal([]byte(out), &got) // what is no result found nothing
		return judged(rows, f, code, stderr, got.Found), nil
	}
}

// roundOf is how long one history is.
func roundOf(budget time.Duration) time.Duration { return min(8*time.Second, budget) }

func union(all, more []string) []string {
	for _, one := range more {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// folder is where a level keeps what it found about a fault.
func (b *plantedBench) folder(f planted.Fault, level string) string {
	return filepath.Join(b.options.dir, cmp.Or(string(f), "nothing")+"-"+level)
}
