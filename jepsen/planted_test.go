//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/fsm/planted"
	"github.com/holdfast-db/holdfast/jepsen/sim"
)

// TestEveryFaultIsLookedFor holds the rows against the list of faults, and what they name against what there is.
func TestEveryFaultIsLookedFor(t *testing.T) {
	rows := plantedRows()
	for i, d := range planted.All() {
		if i >= len(rows) || rows[i].fault != d.Fault {
			t.Fatalf("row %d is not that of %s", i, d.Fault)
		}
	}
	if len(rows) != len(planted.All()) {
		t.Errorf("%d rows for %d faults", len(rows), len(planted.All()))
	}
	for _, r := range rows {
		levels := 0
		for _, l := range plantedLevels() {
			if l.aims(&r) {
				levels++
			}
		}
		if levels == 0 || levels > len(r.tests)/max(len(r.tests), 1) && len(r.by) == 0 {
			t.Errorf("%s: %d levels look for it, and %v are meant to find it", r.fault, levels, r.by)
		}
		for _, s := range r.tests {
			for _, name := range s.names {
				if !isTest(t, s.pkg, name) {
					t.Errorf("%s: package %s has no %s", r.fault, s.pkg, name)
				}
			}
		}
		if r.sim != nil {
			if _, err := sim.PlanOf(r.sim.plan, 1, r.sim.load()); err != nil {
				t.Errorf("%s: %v", r.fault, err)
			}
		}
		if r.run != nil {
			for _, name := range r.run.workloads {
				if !slices.Contains(workloadNames(), name) {
					t.Errorf("%s: there is no workload %s", r.fault, name)
				}
			}
			for _, name := range r.run.nemeses {
				if !slices.Contains(nemesisNames(), name) {
					t.Errorf("%s: there is no nemesis %s", r.fault, name)
				}
			}
		}
	}
}

func isTest(t *testing.T, pkg, name string) bool {
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pkg), "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", pkg, err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^func ` + name + `\(`).Match(source) {
			return true
		}
	}
	return false
}

// TestACatchIsByTheCheckThatIsMeantTo: a crash, another check's complaint, or a complaint with the wrong exit catch nothing.
func TestACatchIsByTheCheckThatIsMeantTo(t *testing.T) {
	rows := []plantedRow{{fault: planted.FeedGap, by: []string{"feed"}}}
	for _, c := range []struct {
		what   string
		code   int
		found  []string
		caught bool
		says   bool
	}{
		{"nothing", exitOK, nil, false, false},
		{"the check", exitViolated, []string{"watch feed: a gap"}, true, true},
		{"the check without a place", exitViolated, []string{"feed: a gap"}, true, true},
		{"after others", exitViolated, []string{"liveness: slow", "watch feed: a gap"}, true, true},
		{"another check", exitViolated, []string{"watch replay: the feed: a gap"}, false, true},
		{"a crash", exitFailed, nil, false, true},
		{"out of time", -1, nil, false, true},
	} {
		s := judged(rows, planted.FeedGap, c.code, "words", c.found)
		if s.Caught != c.caught || (s.Says != "") != c.says || s.Caught && s.Check != "feed" {
			t.Errorf("%s: %+v", c.what, s)
		}
	}
	if s := judged(rows, "", exitViolated, "", []string{"feed: a gap"}); s.Caught || s.Says == "" {
		t.Errorf("where nothing is planted nothing is caught, and it is told: %+v", s)
	}
}

func TestWhatATestSaysIsOneSentence(t *testing.T) {
	const out = "=== RUN x\n--- FAIL: TestX (0.1s)\n    --- FAIL: TestX/a (0.1s)\n        x_test.go:7: got 1\nmore\n"
	if m := failedTest.FindStringSubmatch(out); m == nil || m[1] != "TestX" {
		t.Errorf("the test that failed is %v", m)
	}
	said := out[strings.Index(out, "--- FAIL: TestX"):]
	if s := sentence(said, ""); s != "x_test.go:7: got 1" {
		t.Errorf("it says %q", s)
	}
	if s := sentence(said, "panic: a seat [recovered]\ngoroutine 1\n"); s != "panic: a seat [recovered]" {
		t.Errorf("of a panic it says %q", s)
	}
}

// TestLevelsLookInOrderAndOnlyOnesThatFindNothing plays planted with levels of the test's own.
func TestLevelsLookInOrderAndOnlyOnesThatFindNothing(t *testing.T) {
	aims := func(*plantedRow) bool { return true }
	level := func(name string, catches ...planted.Fault) plantedLevel {
		return plantedLevel{name: name, aims: aims, look: func(_ context.Context, _ *plantedBench, _ []plantedRow, f planted.Fault) (s plantedSight, err error) {
			if slices.Contains(catches, f) {
				s = plantedSight{Caught: f != "", Check: "c", Says: "found"}
			}
			return s, nil
		}}
	}
	play := func(all bool, levels ...plantedLevel) (*plantedResult, error) {
		b := &plantedBench{options: plantedOptions{all: all, budget: time.Second, dir: t.TempDir()}, rows: []plantedRow{{fault: "a"}, {fault: "b"}, {fault: "c"}},
			log: slog.New(slog.DiscardHandler), controlled: map[string]bool{}}
		return b.run(t.Context(), levels)
	}
	r, err := play(false, level("x", "a"), level("y", "a", "b"))
	if err != nil || r.Planted != 3 || r.Caught != 2 || !slices.Equal(r.Missed, []planted.Fault{"c"}) || len(r.Controls) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(r.Faults[0].Looks) != 1 || len(r.Faults[1].Looks) != 2 || len(r.Faults[2].Looks) != 2 {
		t.Errorf("the first level that catches a fault is the last to look: %+v", r.Faults)
	}
	if r, err = play(true, level("x", "a"), level("y", "a", "b")); err != nil || len(r.Faults[0].Looks) != 2 || r.Caught != 2 {
		t.Errorf("with all levels: %+v, %v", r, err)
	}
	var out bytes.Buffer
	if err := r.print(&out, "text"); err != nil || !strings.Contains(out.String(), "3 faults planted, 2 caught, missed: [c]") {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err = play(false, level("x", "a", "")); !errors.Is(err, errCriesWolf) {
		t.Errorf("a level that finds something where nothing is: %v", err)
	}
}
