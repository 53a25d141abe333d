package sim

import (
	"time"

	"github.com/holdfast-db/holdfast/jepsen/check"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// Summary is what is counted of a plan that was played.
type Summary struct {
	Seed       uint64         `json:"seed"`
	Kind       string         `json:"kind"`    // of plan
	Load       time.Duration  `json:"load"`    // for how long, in virtual time, clients and faults were at work
	Virtual    time.Duration  `json:"virtual"` // that, and what opening, healing and reading back took
	Operations int            `json:"operations"`
	Entries    uint64         `json:"entries"` // that the shard committed
	Commits    uint64         `json:"commits"` // of them, those with commands
	Leaders    uint64         `json:"leaders"` // changes of them, of both groups
	Faults     map[Kind]int   `json:"faults"`
	Struck     map[Kind]int   `json:"struck"`          // see Report
	Deeds      map[string]int `json:"deeds,omitempty"` // see Report
	// Gaps are the longest times without an answer after a fault of one member that struck alone, by its kind; none where nobody
	// asked all the time.
	Gaps       map[Kind]time.Duration `json:"gaps,omitempty"`
	Violations []check.Violation      `json:"violations,omitempty"`
	History    string                 `json:"history,omitempty"` // the file in which it was kept
}

// Summary counts.
func (r *Report) Summary() Summary {
	s := Summary{
		Seed: r.Plan.Seed, Kind: r.Plan.Name, Load: min(r.Plan.Length, r.Virtual), Virtual: r.Virtual, Operations: len(r.Operations),
		Entries: r.Entries, Commits: r.Commits, Leaders: r.Leaders, Faults: map[Kind]int{}, Struck: r.Struck, Deeds: r.Deeds, Gaps: map[Kind]time.Duration{}, Violations: r.Violations,
	}
	for _, p := range r.Played {
		s.Faults[p.Kind]++
		if r.Plan.Load.Pulse > 0 && p.Alone {
			s.Gaps[p.Kind] = max(s.Gaps[p.Kind], p.Gap)
		}
	}
	return s
}

// History is the run in the form in which jepsen run keeps its own, so that jepsen check judges both.
func (r *Report) History() *history.History {
	h := &history.History{
		Head: history.Head{
			Workload: "sim", Seed: r.Plan.Seed, Began: r.Began, Length: r.Plan.Length,
			HoldTTL: r.Plan.Rules.HoldTTL, PayWindow: r.Plan.Rules.PayWindow, CoolDown: r.Plan.Rules.CoolDown,
			SeatsPerBuyer: r.Plan.Rules.SeatsPerBuyer, ManyHolds: r.Plan.Rules.ManyHolds, Extension: r.Plan.Rules.Extension, Price: priceMinor,
		},
		Operations: r.Operations, Changes: r.Changes, Sights: r.Sights, Final: r.Final,
	}
	for i, p := range r.Played {
		until := r.Plan.Length
		if i+1 < len(r.Played) {
			until = r.Played[i+1].Began
		}
		h.Faults = append(h.Faults, history.Fault{
			Names: []string{string(p.Kind) + " " + hostName(p.Node)}, From: p.Began, Healed: p.Began + p.For, Until: until, Single: p.single(),
		})
	}
	return h
}
