//go:build linux

package nemesis

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryFaultHasANameOfItsOwnAndSaysWhatItDoes(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All() {
		if f.Name == "" || f.What == "" || seen[f.Name] || f.Strike == nil && f.Missing == nil {
			t.Errorf("%+v", f)
		}
		seen[f.Name] = true
	}
	if len(seen) < 20 {
		t.Errorf("%d kinds", len(seen))
	}
}

func TestTheManualHasEveryFault(t *testing.T) {
	page, err := os.ReadFile("../../docs/verification.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(page), func(r rune) bool { return strings.ContainsRune(" `\n|,.;:()", r) })
	for _, name := range names(All()) {
		if !slices.Contains(words, name) {
			t.Errorf("docs/verification.md does not tell what %s does", name)
		}
	}
}

// What a seed decides is the order of the faults: first each of them once, then any, never two that destroy, nor another
// beside one that takes a cluster that is well.
func TestASeedIsAPlan(t *testing.T) {
	draw := func(seed uint64) (plan []string) {
		s := Schedule{Faults: All(), Seed: seed}
		s.Begin()
		for range 300 {
			faults := s.draw()
			destroys := 0
			for _, f := range faults {
				if f.Destroys {
					destroys++
				}
				if f.Alone && len(faults) > 1 {
					t.Fatalf("%v strike together", names(faults))
				}
			}
			if destroys > 1 {
				t.Fatalf("%v destroy together", names(faults))
			}
			plan = append(plan, strings.Join(names(faults), "+"))
		}
		return plan
	}
	one := draw(1)
	if !slices.Equal(one, draw(1)) || slices.Equal(one, draw(2)) {
		t.Error("a seed is not a plan of its own")
	}
	first := slices.Sorted(slices.Values(one[:len(All())]))
	if !slices.Equal(first, slices.Sorted(slices.Values(names(All())))) {
		t.Errorf("first comes %v", first)
	}
}

// A fault that waits for what never comes would hold the run up, and nobody would see why.
func TestAFaultThatDoesNotEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, freed := time.Now(), make(chan struct{})
		s := Schedule{Log: slog.New(slog.DiscardHandler), Hurry: 1, random: rand.New(rand.NewPCG(1, 1)), Stuck: func(names []string) {
			if !slices.Equal(names, []string{"stuck"}) || time.Since(began) != stuckMax {
				t.Errorf("%v told after %v", names, time.Since(began))
			}
			close(freed)
		}}
		_, err := s.strike(t.Context(), func() time.Duration { return time.Since(began) }, []Fault{{Name: "stuck", Strike: func(*Field, *rand.Rand) (func() error, error) {
			return func() error {
				<-freed
				return errors.New("freed")
			}, nil
		}}})
		if err == nil || time.Since(began) != stuckMax {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
