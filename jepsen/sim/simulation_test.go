package sim

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "the first seed to play")
	seedsFlag = flag.Uint64("seeds", 8, "how many seeds to play")
	loadFlag  = flag.Duration("load", 5*time.Minute, "how long each seed's load lasts, in virtual time")
	logFlag   = flag.Bool("log", false, "print what the nodes log")
)

func logger() *slog.Logger {
	if !*logFlag {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TestSimulation plays seeds. One that failed is played again with
//
//	go test ./jepsen/sim -run TestSimulation -seed N -seeds 1
func TestSimulation(t *testing.T) {
	for seed := *seedFlag; seed < *seedFlag+*seedsFlag; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			plan := NewPlan(seed, *loadFlag)
			began := time.Now()
			var r *Report
			inBubble(t, func(*testing.T) { r = Run(plan, Sabotage{}, logger()) })
			t.Logf("%.1f s: %v", time.Since(began).Seconds(), r)
			if len(r.Violations) == 0 {
				return
			}
			for _, v := range r.Violations {
				t.Error(v)
			}
			t.Logf("%v", plan)
			for _, f := range r.Played {
				t.Log(f)
			}
			t.Logf("again: go test ./jepsen/sim -run TestSimulation -seed %d -seeds 1 -load %v", seed, *loadFlag)
		})
	}
}
