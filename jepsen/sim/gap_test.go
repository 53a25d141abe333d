package sim

import (
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
	}{
		{Crash, 2 * time.Second},
		{Restart, 300 * time.Millisecond}, // leadership is handed over before
		{Pause, 1500 * time.Millisecond},  // clients wait a second before they turn to another node
		{Isolate, 2 * time.Second},
		{Deaf, 2 * time.Second},
		{Mute, 2 * time.Second},
		{Bridge, 100 * time.Millisecond}, // the leader hears both
		{Reset, 500 * time.Millisecond},
		{SlowLinks, 500 * time.Millisecond},
		{WallJump, 100 * time.Millisecond},
		{StuckDisk, 2 * time.Second}, // its leader lets go after two elections
		{FullDisk, 500 * time.Millisecond},
		{Wipe, 2 * time.Second},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			p := Plan{
				Seed: 1, Length: 4*every + lasts, Load: Load{Clients: 4, Crowd: 2, Seats: 8000, Think: 50 * time.Millisecond, Pulse: 10 * time.Millisecond},
				Rules: model.Rules{HoldTTL: 5 * time.Second, PayWindow: 5 * time.Second, Grace: holdfast.GraceMax, CoolDown: time.Second},
			}
			size := 100 * time.Millisecond
			if c.kind == StuckDisk {
				size = lasts
			}
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
