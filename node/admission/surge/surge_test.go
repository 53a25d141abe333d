package surge

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/holdfast-db/holdfast/node/admission"

	"github.com/holdfast-db/holdfast"
)

// The bounds that docs/admission.md states. Every scenario keeps them, with every seed.
const (
	swingMax    = 0.35 // of the people who look for seats, around their course
	holdMsMax   = 50.  // p99 of holds, outside faults
	idleMax     = 16   // seconds in which something was free, somebody waited, and nobody looked: an eighth of a turn, and one
	overRuleMax = 1.5  // people above the stock rule: parts of a person are carried, and one is always called
	recoveryMax = 60   // seconds until as many come as before the fault
	burstMax    = 1.5  // of the people called in a second, after a fault against before it
	ordersOver  = 1.15 // orders a second over ten seconds, against what the provider takes
)

var seeds = []uint64{1, 2, 3}

// each runs every scenario with every seed.
func each(t *testing.T, check func(t *testing.T, r Report)) {
	for _, w := range Scenarios() {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			for _, seed := range seeds {
				w.Seed = seed
				if check(t, Run(w)); testing.Short() {
					return
				}
			}
		})
	}
}

func TestEverySurgeKeepsTheBounds(t *testing.T) {
	each(t, func(t *testing.T, r Report) {
		f, w := r.Figures, r.World
		if f.Sold != f.Units || f.StillWaiting == 0 {
			t.Errorf("seed %d: %d of %d units were sold while %d waited", w.Seed, f.Sold, f.Units, f.StillWaiting)
		}
		for _, c := range []struct {
			what       string
			got, bound float64
		}{
			{"swing", f.Swing, swingMax},
			{"p99 of holds, ms", f.HoldP99, holdMsMax},
			{"seconds with something free and nobody looking", float64(f.IdleS), idleMax},
			{"people over the stock rule", f.OverRule, overRuleMax},
			{"seconds to recover", float64(f.RecoveryS), recoveryMax},
			{"burst after the fault", f.Burst, burstMax},
			{"sessions", float64(f.ActiveMax), float64(w.Ceiling)},
			{"calls out of order", float64(f.OutOfOrder), 0},
		} {
			if c.got > c.bound {
				t.Errorf("seed %d: %s: %.2f, at most %.2f", w.Seed, c.what, c.got, c.bound)
			}
		}
		if w.Orders > 0 && f.OrdersMax > w.Orders*ordersOver {
			t.Errorf("seed %d: %.1f orders a second for a provider that takes %.1f", w.Seed, f.OrdersMax, w.Orders)
		}
		if f.RecoveryS < 0 {
			t.Errorf("seed %d: it never recovered", w.Seed)
		}
		if f.FoundNothing > f.Came/50 {
			t.Errorf("seed %d: %d of %d who came found nothing: they were told too late", w.Seed, f.FoundNothing, f.Came)
		}
	})
}

// A shard that can do more is used: the sale is not slower than the narrowest place allows, less a quarter.
func TestNothingIsLeftUnused(t *testing.T) {
	for _, w := range Scenarios() {
		if w.Name != "herd" && w.Name != "noshow" {
			continue
		}
		r := Run(w)
		used, n := 0.0, 0
		for _, s := range r.Samples {
			if s.Second >= 120 && s.Sold < w.Units/2 {
				used += float64(s.Active) / float64(w.Ceiling)
				n++
			}
		}
		if used/float64(n) < 0.85 {
			t.Errorf("%s: %.0f%% of the ceiling is used while the line is long", w.Name, 100*used/float64(n))
		}
	}
}

// The bounds bite: laws that one may think of first break them, though the machine's clamp keeps the worst away.
func TestWorseLawsBreakTheBounds(t *testing.T) {
	world := func(name string) World {
		for _, w := range Scenarios() {
			if w.Name == name {
				return w
			}
		}
		t.Fatalf("no scenario %q", name)
		return World{}
	}
	full := func(_ *admission.Memory, f admission.Facts) (int, holdfast.Bound) {
		return max(0, f.Ceiling-f.Active-f.Called), holdfast.BoundCeiling
	}
	even := func(_ *admission.Memory, f admission.Facts) (int, holdfast.Bound) { return 40, holdfast.BoundRate }
	nobody := func(_ *admission.Memory, f admission.Facts) (int, holdfast.Bound) { return 0, holdfast.BoundTarget }
	for _, c := range []struct {
		what, scenario string
		law            func(*admission.Memory, admission.Facts) (int, holdfast.Bound)
		broken         func(f Figures) bool
	}{
		{"as many as the ceiling holds: a slow shard is flooded", "weak", full, func(f Figures) bool { return f.HoldP99 > holdMsMax }},
		{"as many as the ceiling holds: more look than seats are left", "weak", full, func(f Figures) bool { return f.OverRule > overRuleMax }},
		{"as many as the ceiling holds: the no-shows keep it empty", "noshow", full, func(f Figures) bool { return f.SoldHalfS > 600 }},
		{"as many as the ceiling holds: people come in waves", "weak", full, func(f Figures) bool { return f.Swing > swingMax }},
		{"forty a second whatever happens: the clamp lets them in by fits and starts", "herd", even, func(f Figures) bool { return f.Swing > swingMax }},
		{"nobody: the clamp lets in one at a time, and the seats stay", "herd", nobody, func(f Figures) bool { return f.Sold < f.Units && f.IdleS <= idleMax }},
	} {
		w := world(c.scenario)
		w.law = c.law
		if f := Run(w).Figures; !c.broken(f) {
			t.Errorf("%s: %+v", c.what, f)
		}
	}
	dark := world("failover")
	dark.Faults = []Fault{{From: 100, To: 8000}}
	if f := Run(dark).Figures; f.RecoveryS != -1 {
		t.Errorf("a shard that never has a leader again recovered after %d s", f.RecoveryS)
	}
}

func TestTheSameWorldGivesTheSameRecord(t *testing.T) {
	w := Scenarios()[0]
	one, two := Run(w), Run(w)
	if !reflect.DeepEqual(one.Samples, two.Samples) {
		t.Error("two runs of one world differ")
	}
	w.Seed++
	if other := Run(w); reflect.DeepEqual(one.Samples, other.Samples) {
		t.Error("another seed changes nothing")
	}
}

func TestThePlotIsAnXMLDocumentWithEveryCurve(t *testing.T) {
	for _, w := range Scenarios()[:1] {
		var b bytes.Buffer
		if err := Plot(&b, Run(w)); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for dec := xml.NewDecoder(&b); ; {
			token, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
				lines++
			}
		}
		want := 0
		for _, p := range panels {
			want += len(p.curves)
		}
		if lines != want {
			t.Errorf("%d curves are drawn, want %d", lines, want)
		}
	}
}
