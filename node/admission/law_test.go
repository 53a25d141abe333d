package admission

import (
	"math"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

// busyLine is a line in the middle of a sale.
func busyLine() Facts {
	return Facts{
		Waiting: 10000, Called: 80, Active: 900, Looking: 300, Free: 5000, Capacity: 20000,
		CalledTotal: 5000, CameTotal: 4400, ComingMs: 4_400_000, HeldTotal: 4000, UnitsTotal: 8000, SoldTotal: 3000,
		Busy: 0.2, Ceiling: 2000, Window: 2 * time.Minute,
	}
}

// pace runs the law on a line for some seconds: nine in ten of the called come in the next second, a thirtieth of those who
// look find a seat or give up, a sixtieth of those who have one pay. It gives how many were called in the last ten.
func pace(m *Memory, f *Facts, seconds int) (called int) {
	for i := range seconds {
		count, _ := m.Step(*f, time.Second)
		came, found, paid := count*9/10, f.Looking/30, (f.Active-f.Looking)/60
		f.CalledTotal, f.CameTotal, f.HeldTotal = f.CalledTotal+uint64(count), f.CameTotal+uint64(came), f.HeldTotal+uint64(found)
		f.ComingMs += uint64(1000 * came)
		f.UnitsTotal, f.SoldTotal = f.UnitsTotal+uint64(2*found), f.SoldTotal+uint64(paid)
		f.Looking, f.Active = f.Looking+came-found, f.Active+came-paid
		if i >= seconds-10 {
			called += count
		}
	}
	return called
}

// settled is the memory of a leader that has paced that line for a while.
func settled(f Facts) (Memory, Facts) {
	m := Resume(f, Left{})
	pace(&m, &f, 60)
	return m, f
}

// TestSomebodyIsLookingWhileSomethingIsFree: however small the target has become, one person a step is let in when nobody
// looks, and not one place of which seven in ten are nobody's.
func TestSomebodyIsLookingWhileSomethingIsFree(t *testing.T) {
	f := Facts{Waiting: 10000, Free: 1000, Capacity: 1000, Busy: 0.9, Ceiling: 40, Window: 4 * time.Second}
	m := Resume(f, Left{Target: 1, Busy: 0.9})
	const seconds = 60
	came, owed := 0, 0.0
	for range seconds {
		count, _ := m.Step(f, time.Second)
		owed += 0.3 * float64(count) // so many come, look for a moment, and leave
		come := int(owed)
		owed -= float64(come)
		f.CalledTotal, f.CameTotal, f.ComingMs = f.CalledTotal+uint64(count), f.CameTotal+uint64(come), f.ComingMs+uint64(500*come)
		came += come
	}
	if came < seconds*2/3 {
		t.Errorf("%d came in %d s in which nobody was looking", came, seconds)
	}
}

func step(m Memory, f Facts, change func(*Facts)) (int, holdfast.Bound) {
	change(&f)
	return m.Step(f, time.Second)
}

func TestWhoIsLetInAndWhyNotMore(t *testing.T) {
	m, f := settled(busyLine())
	for _, c := range []struct {
		what     string
		change   func(*Facts)
		why      holdfast.Bound
		low, top int
	}{
		{"a line in the middle of a sale", func(*Facts) {}, holdfast.BoundTarget, 1, 120},
		{"the organizer paused", func(f *Facts) { f.Paused = true }, holdfast.BoundPause, 0, 0},
		{"nobody waits", func(f *Facts) { f.Waiting = 0 }, holdfast.BoundLine, 0, 0},
		{"two wait", func(f *Facts) { f.Waiting, f.Looking = 2, 0 }, holdfast.BoundLine, 2, 2},
		{"nothing is free", func(f *Facts) { f.Free = 0 }, holdfast.BoundStock, 0, 0},
		{"as many look as the stock is good for", func(f *Facts) { f.Free = 100 }, holdfast.BoundStock, 0, 0},
		{"the ceiling is reached", func(f *Facts) { f.Active = 2000; f.Looking = 250 }, holdfast.BoundCeiling, 0, 0},
		{"one a second at most", func(f *Facts) { f.RateMax = 1; f.Looking = 250 }, holdfast.BoundRate, 1, 1},
		{"a provider of two orders a second", func(f *Facts) { f.Orders = 2; f.Looking = 250 }, holdfast.BoundProvider, 1, 4},
		{"the last unit and nobody looking", func(f *Facts) { f.Free, f.Looking, f.Called = 1, 0, 0 }, holdfast.BoundStock, 0, 2},
	} {
		count, why := step(m, f, c.change)
		if why != c.why && c.what != "a line in the middle of a sale" || count < c.low || count > c.top {
			t.Errorf("%s: %d are called by %s, want %d to %d by %s", c.what, count, why, c.low, c.top, c.why)
		}
	}
}

func TestSomebodyIsCalledWhileAnythingIsFreeAndNobodyLooks(t *testing.T) {
	f := Facts{Waiting: 50, Free: 1, Capacity: 1000, Ceiling: 100, Window: 2 * time.Minute, CalledTotal: 900, CameTotal: 800, ComingMs: 4_000_000}
	m := Resume(f, Left{})
	called := 0
	for range 10 {
		count, _ := m.Step(f, time.Second)
		called, f.CalledTotal = called+count, f.CalledTotal+uint64(count)
	}
	if called < 1 || called > 6 {
		t.Errorf("%d were called in ten seconds for one unit", called)
	}
}

func TestASaturatedPathLetsNobodyIn(t *testing.T) {
	m, f := settled(busyLine())
	target := m.Target
	f.Busy = 1
	if called := pace(&m, &f, 20); called != 0 || m.Target > 0.7*target {
		t.Errorf("%d were called, and the target went from %.0f to %.0f", called, target, m.Target)
	}
	if _, why := m.Step(f, time.Second); why != holdfast.BoundSaturated {
		t.Errorf("the reason is %s", why)
	}
	f.Busy = 0.1
	if called := pace(&m, &f, 40); called == 0 {
		t.Error("nobody was called when the path was free again")
	}
}

// The next leader goes on in the same pace, though it knows the state alone.
func TestALeaderThatKnowsTheStateAloneNeitherBurstsNorStalls(t *testing.T) {
	m, f := settled(busyLine())
	before := pace(&m, &f, 10)
	f.Called, f.Fresh = 80, 20
	next := Resume(f, Left{Target: m.Target, Busy: f.Busy, Session: 80 * time.Second})
	first, _ := next.Step(f, time.Second)
	if after := pace(&next, &f, 10); first > before/5 || after < before/2 || after > before*3/2 {
		t.Errorf("%d were called in ten seconds before, %d in the first second of the next leader and %d in ten", before, first, after)
	}
}

func TestALineThatNobodyWasCalledFromBeginsAtTheFirstTarget(t *testing.T) {
	f := Facts{Waiting: 1000, Free: 500, Capacity: 500, Ceiling: 400, Window: time.Minute}
	m := Resume(f, Left{})
	if count, _ := m.Step(f, time.Second); count < 1 || count > 40 || m.Target != startShare*400 {
		t.Errorf("%d were called with a target of %.0f", count, m.Target)
	}
}

// Whatever is read, the law gives a number that makes sense: it is computed from what others sent.
func FuzzStep(f *testing.F) {
	f.Add(uint16(10), uint16(3), uint16(100), uint16(50), uint16(2000), uint16(9000), 0.5, 10.0, int64(time.Second))
	f.Fuzz(func(t *testing.T, called, looking, active, waiting, ceiling, free uint16, busy, rate float64, elapsed int64) {
		if math.IsNaN(busy) || math.IsInf(rate, 0) || math.IsNaN(rate) {
			return
		}
		facts := Facts{Waiting: int(waiting), Called: int(called), Active: int(active), Looking: int(looking), Free: int(free), Capacity: int(free) + 100,
			Busy: min(max(busy, 0), 1), Ceiling: int(ceiling), RateMax: max(rate, 0), Window: 2 * time.Minute, CalledTotal: uint64(called), CameTotal: uint64(active)}
		m := Resume(facts, Left{})
		for range 5 {
			count, why := m.Step(facts, time.Duration(elapsed))
			if count < 0 || count > facts.Waiting || why.String() == "" {
				t.Fatalf("%d of %d were called", count, facts.Waiting)
			}
			if math.IsNaN(m.Target) || m.Target < 0 || m.Target > math.Max(1, float64(ceiling)) && m.Target > 2*float64(looking)+2*float64(called) {
				t.Fatalf("the target is %v with a ceiling of %d", m.Target, ceiling)
			}
			facts.CalledTotal += uint64(count)
		}
	})
}

func TestGauge(t *testing.T) {
	g := Gauge{Command: 10 * time.Microsecond}
	for range 5 {
		if u := g.Read(time.Second, 100, 2*time.Millisecond); u > 0.01 {
			t.Errorf("an idle path is %.2f busy", u)
		}
	}
	if u := g.Read(time.Second, 50000, 2*time.Millisecond); u != 0.5 {
		t.Errorf("half of what is known to be possible is %.2f busy", u)
	}
	if u := g.Read(time.Second, 100, 60*time.Millisecond); u < 0.85 || u > 0.95 {
		t.Errorf("a path ten times slower is %.2f busy", u)
	}
	if u := g.Read(0, 100, time.Second); u != 0 {
		t.Errorf("no time is %.2f busy", u)
	}
}
