package frontend

import (
	"testing"
	"time"
)

// drain feeds an outflow with a line that is served at a rate, from second to second.
func drain(o *outflow, from time.Time, served, rate float64, seconds int) (time.Time, float64) {
	for range seconds {
		from, served = from.Add(time.Second), served+rate
		o.see(from, uint64(served), causeNone)
	}
	return from, served
}

func TestTheWaitIsUnknownUntilEnoughWasSeen(t *testing.T) {
	var o outflow
	o.see(noon, 0, causeNone)
	if low, high, cause := o.wait(noon, 100); low != 0 || high != 0 || cause != causeNone {
		t.Errorf("told %v to %v because of %q before anything was seen", low, high, cause)
	}
	at, _ := drain(&o, noon, 0, 10, 9)
	if _, high, _ := o.wait(at, 100); high != 0 {
		t.Errorf("told %v after 9 seconds", high)
	}
	at, _ = drain(&o, at, 90, 10, 10)
	if low, high, _ := o.wait(at, 100); low < 9*time.Second || high > 12*time.Second || low > high {
		t.Errorf("100 ahead at 10 a second: %v to %v", low, high)
	}
}

// TestTheWaitNeverGrowsWithoutACause: whatever the rate does, a range whose upper end is later than what was told before
// comes with the reason.
func TestTheWaitNeverGrowsWithoutACause(t *testing.T) {
	var o outflow
	at, served := noon, 0.0
	const mine = 20_000
	var due time.Time // when the last told range ends
	for _, phase := range []struct {
		rate    float64
		seconds int
	}{{20, 60}, {40, 60}, {15, 60}, {14, 60}, {30, 30}, {2, 60}} {
		for range phase.seconds {
			at, served = drain(&o, at, served, phase.rate, 1)
			_, high, cause := o.wait(at, uint64(mine-served))
			if high == 0 {
				continue
			}
			if end := at.Add(high); cause == causeNone && !due.IsZero() && end.After(due.Add(time.Duration(float64(high)*(1/slack-1))+time.Second)) {
				t.Fatalf("at %v a second the end moved from %v to %v and no cause was told", phase.rate, due, end)
			} else {
				due = end
			}
		}
	}
	if _, _, cause := o.wait(at, uint64(mine-served)); cause != causeSlower {
		t.Errorf("the last slowing down was told as %q", cause)
	}
}

func TestAPauseIsTheCauseAndNoMeasure(t *testing.T) {
	var o outflow
	at, served := drain(&o, noon, 0, 20, 60)
	before, _, _ := o.wait(at, 1000)
	for range 30 {
		at = at.Add(time.Second)
		o.see(at, uint64(served), causePaused)
	}
	if low, high, cause := o.wait(at, 1000); low != 0 || high != 0 || cause != causePaused {
		t.Errorf("paused: %v to %v because of %q", low, high, cause)
	}
	at, _ = drain(&o, at, served, 20, 60)
	if after, _, _ := o.wait(at, 1000); after > before+before/10 {
		t.Errorf("after the pause the wait is %v, before it was %v: the pause was taken for slowness", after, before)
	}
}

func TestOddsFollowFromStockAndPeopleAhead(t *testing.T) {
	for _, c := range []struct {
		s     stock
		ahead uint64
		want  odds
	}{
		{stock{free: 1000}, 100, oddsLikely}, {stock{free: 1000}, 450, oddsPossible}, {stock{free: 1000}, 5000, oddsUnlikely},
		{stock{held: 100}, 0, oddsLikely}, {stock{held: 10}, 50, oddsUnlikely}, {stock{sold: 10}, 0, oddsNone},
	} {
		if got := oddsOf(c.s, c.ahead); got != c.want {
			t.Errorf("%+v with %d ahead: %s, want %s", c.s, c.ahead, got, c.want)
		}
	}
}

func TestThePollIntervalGrowsWithTheDistance(t *testing.T) {
	last := time.Duration(0)
	for _, ahead := range []uint64{0, 500, 5_000, 50_000} {
		d := nextPoll(ahead, 0, 0, 0)
		if d <= last || d < pollMin*4/5 || d > pollMax*6/5 {
			t.Errorf("%d ahead: %v after %v", ahead, d, last)
		}
		last = d
	}
	if a, b := nextPoll(500, 0, 0, 0), nextPoll(500, 0, 0, 0xFFFF); b <= a {
		t.Error("people who came together come again together")
	}
	if calm, full := nextPoll(500, 0, 0.2, 7), nextPoll(500, 0, 1, 7); full <= calm {
		t.Error("a full house does not ask for patience")
	}
}
