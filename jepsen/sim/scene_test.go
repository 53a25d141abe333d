package sim

import (
	"flag"
	"testing"
	"time"
)

var (
	sceneSeedsFlag = flag.Uint64("scene-seeds", 1, "how many seeds to play of each scene")
	sceneKindFlag  = flag.String("scene-kind", "storm", "the kind of plan in which scenes are played")
)

// TestScenes plays each scene by itself, thick, so that all of it is played in a short test. The seeds of TestSimulation
// have them thin, and together.
func TestScenes(t *testing.T) {
	for _, name := range sceneNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := *seedFlag; seed < *seedFlag+*sceneSeedsFlag; seed++ {
				plan, began := onlyScene(t, *sceneKindFlag, name, seed, 40*time.Second), time.Now()
				r := play(t, plan)
				t.Logf("%.1f s: %v", time.Since(began).Seconds(), r)
				if len(r.Violations) > 0 {
					explain(t, r)
				}
			}
		})
	}
}

// onlyScene is a seed's plan with one scene, and few others.
func onlyScene(t *testing.T, kind, name string, seed uint64, length time.Duration) Plan {
	p, err := PlanOf(kind, seed, length)
	if err != nil {
		t.Fatal(err)
	}
	p.Load.Clients = min(p.Load.Clients, 3)
	p.Scenes = []Scene{{Name: name, People: directors[name].most, Think: 200 * time.Millisecond}}
	p.befall()
	return p
}
