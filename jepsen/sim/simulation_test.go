package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "the first seed to play")
	seedsFlag = flag.Uint64("seeds", 2, "how many seeds to play of each kind")
	loadFlag  = flag.Duration("load", 2*time.Minute, "how long each seed's load lasts, in virtual time")
	planFlag  = flag.String("plan", "", "the kind of plan; default: all kinds")
	logFlag   = flag.Bool("log", false, "print what the nodes log")
)

func logger() *slog.Logger {
	if !*logFlag {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TestSimulation plays a few seeds of every kind that seeds decide for; jepsen sim plays many. One that failed is played again with
//
//	go test ./jepsen/sim -run TestSimulation -plan KIND -seed N -seeds 1
//
// and with -artifacts its history is kept. Since a seed is no schedule, it is played a few times more at once, to see how
// often it fails.
func TestSimulation(t *testing.T) {
	for _, k := range planKinds() {
		wanted := k.of > 0 && *planFlag == "" || k.name == *planFlag // others are made only if somebody asks for them
		for seed := *seedFlag; wanted && seed < *seedFlag+*seedsFlag; seed++ {
			t.Run(fmt.Sprintf("%s/seed=%d", k.name, seed), func(t *testing.T) {
				began := time.Now()
				r := play(t, k.plan(seed, *loadFlag))
				t.Logf("%.1f s: %v", time.Since(began).Seconds(), r)
				if len(r.Violations) > 0 {
					explain(t, r)
				}
			})
		}
	}
}

func play(t *testing.T, p Plan) *Report { return Play(t, p, Sabotage{}, logger()) }

// explain fails the test and says what there is to know.
func explain(t *testing.T, r *Report) {
	for _, v := range r.Violations {
		t.Error(v)
	}
	t.Logf("%v", r.Plan)
	for _, p := range r.Played {
		t.Logf("at %.2fs: %v", p.Began.Seconds(), p.Fault)
	}
	if text, err := json.MarshalIndent(r, "", " "); err == nil {
		path := filepath.Join(t.ArtifactDir(), "report.json")
		t.Logf("history: %s (%v)", path, os.WriteFile(path, text, 0o644))
	}
	const more = 5
	again := 0
	for range more {
		if len(play(t, r.Plan).Violations) > 0 {
			again++
		}
	}
	t.Logf("of %d times more it failed %d; again: go test ./jepsen/sim -run TestSimulation -plan %s -seed %d -seeds 1 -load %v", more, again, r.Plan.Name, r.Plan.Seed, *loadFlag)
}
