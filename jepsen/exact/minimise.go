package exact

import (
	"slices"
	"time"
)

// playsMax bounds what making one plan small may cost.
const playsMax = 3000

// Minimise makes a failing plan smaller for as long as it fails the same check: it leaves steps out, many at first and then one by
// one (delta debugging), and makes what is left shorter and simpler. It gives the plan, its outcome, and how often it played.
func Minimise(p Plan, o Options) (Plan, Outcome, int) {
	m := minimiser{options: o, best: Play(p, o), plan: p}
	if m.best.Violated == nil {
		return p, m.best, 1
	}
	m.plays = 1
	for smaller := true; smaller && m.plays < playsMax; {
		smaller = m.leaveOut()
		smaller = m.shrink() || smaller
	}
	return m.plan, m.best, m.plays
}

type minimiser struct {
	options Options
	plan    Plan
	best    Outcome
	plays   int
}

// try plays a candidate, and keeps it if it fails in the same way.
func (m *minimiser) try(p Plan) bool {
	if m.plays >= playsMax {
		return false
	}
	for range seedsTried {
		m.plays++
		got := Play(p, m.options)
		if got.Violated != nil && got.Violated.Check == m.best.Violated.Check {
			m.plan, m.best = p, got
			return true
		}
		p.Seed++
	}
	return false
}

// seedsTried are the seeds that a candidate is played with, its own first: what was left out may have moved what chance decides
// about the rest.
const seedsTried = 3

// leaveOut leaves out spans of steps, the longest first.
func (m *minimiser) leaveOut() (smaller bool) {
	for n := len(m.plan.Steps); n >= 1; n /= 2 {
		for at := 0; at < len(m.plan.Steps); {
			p := m.plan
			p.Steps = slices.Delete(slices.Clone(p.Steps), at, min(at+n, len(p.Steps)))
			if m.try(p) {
				smaller = true
			} else {
				at += n
			}
		}
	}
	return smaller
}

// shrink makes single steps simpler.
func (m *minimiser) shrink() (smaller bool) {
	for i := range m.plan.Steps {
		for _, simpler := range simplerThan(m.plan.Steps[i]) {
			p := m.plan
			p.Steps = slices.Clone(p.Steps)
			p.Steps[i] = simpler
			if m.try(p) {
				smaller = true
			}
		}
	}
	return smaller
}

// simplerThan gives steps that are simpler in one way, the simplest first.
func simplerThan(s Step) (all []Step) {
	add := func(change func(*Step)) {
		simpler := s
		if change(&simpler); simpler != s {
			all = append(all, simpler)
		}
	}
	add(func(s *Step) { s.At = s.At.Truncate(time.Second) })
	if s.Kind == Buyer {
		add(func(s *Step) { s.Course = Pays })
		add(func(s *Step) { s.AtOnce = false })
		add(func(s *Step) { s.Size = 1 })
		return all
	}
	if s.For > time.Second {
		add(func(s *Step) { s.For = time.Second })
		add(func(s *Step) { s.For = (s.For / 2).Truncate(time.Millisecond) })
	}
	if s.Kind == LostAnswers || s.Kind == LostRequests || s.Kind == Doubles {
		add(func(s *Step) { s.Size = 100 }) // always is simpler than now and then
	} else if s.Size > 1 {
		add(func(s *Step) { s.Size = 1 })
		add(func(s *Step) { s.Size = s.Size / 2 })
	}
	return all
}
