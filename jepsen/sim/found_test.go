package sim

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPlansThatFoundSomething plays what once brought something to light, each once. A plan decides no schedule, so most
// of these would not fail every time even if what they found were back: what was mended has a test of its own too. To
// add one, copy the file that a failed run kept to testdata/plans, and cut it down.
func TestPlansThatFoundSomething(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*" + planSuffix)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), planSuffix), func(t *testing.T) {
			kept, err := LoadPlan(file)
			if err != nil {
				t.Fatal(err)
			}
			r := play(t, kept.Plan)
			if len(r.Violations) > 0 {
				explain(t, r)
			}
			if len(r.Played) != len(kept.Plan.Faults)+len(kept.Plan.Troubles) || len(r.Operations) == 0 {
				t.Errorf("it played %d faults of %d, and %d operations", len(r.Played), len(kept.Plan.Faults)+len(kept.Plan.Troubles), len(r.Operations))
			}
		})
	}
}
