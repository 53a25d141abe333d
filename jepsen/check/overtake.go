package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast/jepsen/history"
)

// feedLag is how long a frontend may be behind the line while the cluster is broken: it says so by then, or catches up.
const feedLag = 15 * time.Second

// overtaken looks for visitors who were told to wait though somebody behind them had been let in long before.
func overtaken(polls []history.Poll, exempt map[int]bool) (found []Violation) {
	var in []history.Poll // let in, in order of when they knew
	for _, p := range polls {
		if p.State == admitted && p.Position >= 0 && !exempt[p.Visit] {
			in = append(in, p)
		}
	}
	slices.SortFunc(in, func(a, b history.Poll) int { return cmp.Compare(a.Return, b.Return) })
	byCall := slices.Clone(polls)
	slices.SortFunc(byCall, func(a, b history.Poll) int { return cmp.Compare(a.Call, b.Call) })
	furthest, next := history.Poll{Position: -1}, 0
	for _, p := range byCall {
		for ; next < len(in) && in[next].Return+feedLag < p.Call; next++ {
			if in[next].Position > furthest.Position {
				furthest = in[next]
			}
		}
		if p.State == waiting && p.Position >= 0 && p.Position < furthest.Position && !exempt[p.Visit] {
			found = append(found, Violation{"fairness", fmt.Sprintf("visitor %d at position %d was told to wait at %v; visitor %d at position %d had been let in by %v",
				p.Visit, p.Position, p.Call, furthest.Visit, furthest.Position, furthest.Return)})
		}
	}
	return found
}
