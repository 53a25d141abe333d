package retry

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestEveryKindHasItsRule(t *testing.T) {
	for _, kind := range holdfast.Kinds() {
		if _, ok := table[kind]; !ok {
			t.Errorf("what follows from %s is in no table", kind)
		}
	}
	if len(table) != len(holdfast.Kinds()) {
		t.Errorf("%d rules for %d kinds", len(table), len(holdfast.Kinds()))
	}
}

func least(time.Duration) time.Duration  { return 0 }
func most(d time.Duration) time.Duration { return d - 1 }

func TestPausesGrowAndStayBounded(t *testing.T) {
	for _, random := range []func(time.Duration) time.Duration{least, most} {
		var b Backoff
		for last := time.Duration(0); last < pauseLongest/2; {
			d := b.Next(random)
			if d < pauseFirst/2 || d >= pauseLongest || d < last {
				t.Fatalf("a pause of %v after %v", d, last)
			}
			last = d
		}
	}
}

func TestResultsAreCutForTheirCalls(t *testing.T) {
	var packed []byte
	for i := range 5 {
		packed = (&command.Result{Outcome: holdfast.OK, Event: holdfast.EventID(i)}).Append(packed)
	}
	first, rest := Cut(packed, 2)
	second, rest := Cut(rest, 3)
	if len(first)+len(second) != len(packed) || len(rest) != 0 {
		t.Errorf("%d and %d bytes of %d, %d left", len(first), len(second), len(packed), len(rest))
	}
	if too, _ := Cut(packed, 6); too != nil {
		t.Error("six results were cut from five")
	}
	if short, _ := Cut(packed[:len(packed)-1], 5); short != nil {
		t.Error("a result that is cut off was taken")
	}
}

func fails(kind holdfast.Kind) End { return End{Failure: &holdfast.Error{Kind: kind}} }

func says(o holdfast.Outcome) End {
	return End{Results: (&command.Result{Outcome: o}).Append(nil)}
}

// TestWhatTheCallerIsTold plays calls attempt by attempt.
func TestWhatTheCallerIsTold(t *testing.T) {
	const aMoment, long = 100 * time.Microsecond, time.Minute
	hint := End{Failure: &holdfast.Error{Kind: holdfast.NotLeader, Leader: "n2"}}
	gone := End{Failure: Unanswered(1, nil), Gone: true}
	for name, c := range map[string]struct {
		ends []End
		left time.Duration
		do   []Do
		told holdfast.Kind // 0: the answer
	}{
		"an answer": {[]End{says(holdfast.SeatSold)}, long, []Do{Give}, 0},
		"at once where the hint leads, then later":    {[]End{hint, hint, says(holdfast.OK)}, long, []Do{Send, Wait, Give}, 0},
		"no time for a pause":                         {[]End{fails(holdfast.Unavailable)}, aMoment, []Do{Give}, holdfast.Unavailable},
		"what cannot be mended":                       {[]End{fails(holdfast.Overloaded), fails(holdfast.Invalid)}, long, []Do{Wait, Give}, holdfast.Invalid},
		"nothing attempted, after it may have been":   {[]End{fails(holdfast.Unknown), fails(holdfast.Invalid)}, long, []Do{Wait, Give}, holdfast.Unknown},
		"the outcome, after it may have happened":     {[]End{fails(holdfast.Unknown), says(holdfast.SeatHeld)}, long, []Do{Wait, Give}, 0},
		"too late to be remembered, may have been":    {[]End{fails(holdfast.Unknown), says(holdfast.CommandExpired)}, long, []Do{Wait, Give}, holdfast.Unknown},
		"too late, and never attempted":               {[]End{fails(holdfast.Unavailable), says(holdfast.CommandExpired)}, long, []Do{Wait, Give}, 0},
		"not remembered now, and may have been":       {[]End{fails(holdfast.Unknown), says(holdfast.CommandUnremembered), says(holdfast.OK)}, long, []Do{Wait, Wait, Give}, 0},
		"left behind unanswered":                      {[]End{gone}, long, []Do{Give}, holdfast.Unknown},
		"left behind before it was sent":              {[]End{{Failure: Stopped(nil, nil), Gone: true}}, long, []Do{Give}, holdfast.Unavailable},
		"left behind in the queue, after it was sent": {[]End{fails(holdfast.Unknown), {Failure: Stopped(nil, nil), Gone: true}}, long, []Do{Wait, Give}, holdfast.Unknown},
	} {
		call, id := Call{Shard: 1, ID: holdfast.CommandID{7}}, holdfast.CommandID{7}
		for i, end := range c.ends {
			next := call.Ended(end, func() time.Duration { return c.left }, least)
			if next.Do != c.do[i] {
				t.Errorf("%s: attempt %d led to %d", name, i+1, next.Do)
			}
			if next.Leader != "" && next.Leader != "n2" || (next.Leader == "") != (end.Failure == nil || end.Failure.Leader == "") {
				t.Errorf("%s: attempt %d leads to %q", name, i+1, next.Leader)
			}
			if i < len(c.ends)-1 {
				continue
			}
			if told := next.Failure; told != nil && told.Kind != c.told || told == nil && c.told != 0 {
				t.Errorf("%s: the caller is told %v", name, told)
			} else if c.told == holdfast.Unknown && !end.Gone && told.Command != id {
				t.Errorf("%s: the id to ask again with is %s", name, told.Command)
			} else if c.told == holdfast.Unknown && errors.Is(told, holdfast.CommandExpired) {
				t.Errorf("%s: the caller sees an outcome that says nothing", name)
			}
		}
	}
	call := Call{}
	over := End{Failure: &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: time.Second}}
	if next := call.Ended(over, func() time.Duration { return long }, least); next.Do != Wait || next.Wait != time.Second {
		t.Errorf("whoever says when to come again gets %+v", next)
	}
}

func TestAClockThatWasNotSeenLatelyMakesNoIDs(t *testing.T) {
	var c ShardClock
	if _, ok := c.ValidUntil(time.Hour); ok {
		t.Error("an id was made by a clock that nobody has seen")
	}
	c.Saw(1000, time.Hour)
	c.Saw(10, time.Hour+time.Second) // an answer that was overtaken
	if until, ok := c.ValidUntil(time.Hour + time.Second + clockAgeMax); !ok || until != holdfast.Clock(1000).Add(Validity) {
		t.Errorf("valid until %d, %v", until, ok)
	}
	if _, ok := c.ValidUntil(time.Hour + time.Second + clockAgeMax + 1); ok {
		t.Error("an id was made by an old sight of the clock")
	}
}

func TestTheHighestTermIsBelieved(t *testing.T) {
	l := Leader{}.Heard("a", 3).Heard("b", 2).Heard("", 9)
	if l != (Leader{"a", 3}) {
		t.Errorf("the leader is %v", l)
	}
	if l = l.Hinted("c"); l != (Leader{"c", 3}) || l.Heard("d", 3) != (Leader{"d", 3}) {
		t.Errorf("after a hint the leader is %v", l)
	}
}
