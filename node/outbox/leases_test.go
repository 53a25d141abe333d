package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

func TestAnEffectIsOneWorkersUntilItsLeaseEnds(t *testing.T) {
	var l Leases
	if !l.Take(0, 1, "a") || l.Take(0, 1, "b") || l.Take(LeaseFor-1, 1, "a") {
		t.Error("an effect that is out was given again")
	}
	if l.Keep("b", nil); l.Take(1, 1, "b") {
		t.Error("a worker gave back what another has")
	}
	if !l.Take(LeaseFor, 1, "b") {
		t.Error("an effect whose lease has run out was not given")
	}
	if l.Keep("a", nil); l.Take(LeaseFor, 1, "a") {
		t.Error("the first worker gave back what has become the second's")
	}
	l.Take(LeaseFor, 2, "b")
	if l.Keep("b", []holdfast.EffectID{2}); !l.Take(LeaseFor, 1, "a") || l.Take(LeaseFor, 2, "a") {
		t.Error("of two effects the one that was kept was given, or the other was not")
	}
	if l.Clear(); !l.Take(LeaseFor, 1, "b") {
		t.Error("a new leader kept a lease of the old one")
	}
}

func TestLeasesAreBounded(t *testing.T) {
	var l Leases
	now, next := time.Duration(0), holdfast.EffectID(0)
	for l.Room(now, 1000) > 0 {
		if n := l.Room(now, 1000); n > LeasesPerCallMax {
			t.Fatalf("a call gives %d", n)
		}
		for range l.Room(now, 1000) {
			next++
			l.Take(now, next, "a")
		}
	}
	if l.Out() != LeasesMax {
		t.Errorf("%d are out, want %d", l.Out(), LeasesMax)
	}
	if now += LeaseFor; l.Room(now, 3) != 3 || l.Out() != 0 {
		t.Errorf("after all leases ended there is room for %d beside %d", l.Room(now, 3), l.Out())
	}
	if l.Room(now, -1) != 0 {
		t.Error("room for less than nothing")
	}
}

func TestAQuestionThatWasOvertakenChangesNothing(t *testing.T) {
	var l Leases
	if !l.latest(0, Query{Worker: "a", Number: 5}) || l.latest(0, Query{Worker: "a", Number: 4}) || !l.latest(0, Query{Worker: "b", Number: 1}) {
		t.Error("the order of questions is not kept")
	}
	if l.sweep(3 * LeaseFor); !l.latest(3*LeaseFor, Query{Worker: "a", Number: 1}) {
		t.Error("a worker that was not heard of for long is still remembered")
	}
	for i := range 2 * workersMax {
		l.latest(3*LeaseFor, Query{Worker: fmt.Sprint(i)})
	}
	if len(l.workers) != workersMax {
		t.Errorf("%d workers are remembered", len(l.workers))
	}
}
