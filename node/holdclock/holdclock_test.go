package holdclock

import (
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

func TestStepsAddUpToTheTimeThatPassed(t *testing.T) {
	var s Steps
	s.Begin(time.Hour)
	sum, now := time.Duration(0), time.Hour
	for i := range 1000 {
		now += time.Duration(i) * 777 * time.Nanosecond
		sum += time.Duration(s.Next(now)) * time.Microsecond
	}
	if lost := now - time.Hour - sum; lost < 0 || lost >= time.Microsecond {
		t.Errorf("of %v %v were given out", now-time.Hour, sum)
	}
}

func TestASilencePauses(t *testing.T) {
	var s Steps
	s.Begin(0)
	if step := s.Next(time.Minute); step != uint32(holdfast.StepMax/time.Microsecond) {
		t.Errorf("a minute's silence gives %d µs", step)
	}
	if step := s.Next(time.Minute + time.Millisecond); step != 1000 {
		t.Errorf("the millisecond after it gives %d µs", step)
	}
	if step := s.Next(time.Second); step != 0 || s.Since(time.Second) != 0 {
		t.Errorf("a clock that went back gives %d µs", step)
	}
}

func TestAnEntryOfAnotherTermBringsNoTime(t *testing.T) {
	if Admitted(7, 3, 3) != 7 || Admitted(7, 3, 4) != 0 {
		t.Error("a step counts in another term than its own, or not in its own")
	}
}
