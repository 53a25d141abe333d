package sim

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/model"
)

// For how long nobody can buy when one thing goes wrong, with the leader in the middle of it. Time is virtual, so the
// machine's load does not matter: what is measured is timeouts, elections, and how soon clients turn.
func TestNobodyWaitsLong(t *testing.T) {
	const every, lasts = 15 * time.Second, 4 * time.Second
	for _, c := range []struct {
		kind Kind
		most time.Duration
		size time.Duration // as the plan's; 0: 100 ms
	}{
		{Crash, 2 * time.Second, 0},
		{Restart, 300 * time.Millisecond, 0}, // leadership is handed over before
		{Pause, 1500 * time.Millisecond, 0},  // clients wait a second before they turn to another node
		{Isolate, 2 * time.Second, 0},
		{Deaf, 2 * time.Second, 0},
		{Mute, 2 * time.Second, 0},
		{Bridge, 100 * time.Millisecond, 0}, // the leader hears both
		{Reset, 500 * time.Millisecond, 0},
		{SlowLinks, 500 * time.Millisecond, 0},
		{WallJump, 100 * time.Millisecond, 0},
		{SlowDisk, time.Second, 0},
		{StuckDisk, 2 * time.Second, 550 * time.Millisecond}, // its leader hands over
		{StuckDisk, 2 * time.Second, lasts},                  // its leader lets go after two elections
		{FullDisk, 500 * time.Millisecond, 0},
		{Wipe, 2 * time.Second, 0},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			p := Plan{
				Seed: 1, Length: 4*every + lasts, Load: Load{Clients: 4, Crowd: 2, Seats: 8000, Think: 50 * time.Millisecond, Pulse: 10 * time.Millisecond},
				Rules: model.Rules{HoldTTL: 5 * time.Second, PayWindow: 5 * time.Second, Grace: holdfast.GraceMax, CoolDown: time.Second},
			}
			size := cmp.Or(c.size, 100*time.Millisecond)
			for at := every; at < p.Length-every; at += every {
				p.Faults = append(p.Faults, Fault{At: at, For: lasts, Kind: c.kind, Node: Leader, Size: size})
				if c.kind == Wipe {
					break // the second would take the majority
				}
			}
			r := play(t, p)
			if len(r.Violations) > 0 {
				explain(t, r)
			}
			var gaps []time.Duration
			for _, f := range r.Played {
				gaps = append(gaps, f.Gap.Round(time.Millisecond))
			}
			slices.Sort(gaps)
			t.Logf("%v", gaps)
			if longest := gaps[len(gaps)-1]; longest > c.most {
				t.Errorf("nobody could buy for %v, at most it may be %v", longest, c.most)
			}
		})
	}
}
