package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/payment"
)

var all = payment.Limits{ReadsPerSecond: 100, WritesPerSecond: 100, Burst: time.Second}

// draw asks every 10 ms for a while for more captures than there are, and counts them.
func draw(b *Budgets, from, lasting time.Duration, limits payment.Limits) (got uint32) {
	for now := from; now < from+lasting; now += 10 * time.Millisecond {
		got += b.Grant(now, Ask{Account: "acct", Limits: limits, Want: payment.Acts{payment.Capturing: 1000}}).Acts[payment.Capturing]
	}
	return got
}

func TestALeaderGrantsTheRateFromNothing(t *testing.T) {
	var b Budgets
	first := b.Grant(0, Ask{Account: "acct", Limits: all, Want: payment.Acts{payment.Capturing: 1}})
	if first.Acts != (payment.Acts{}) || first.Again <= 0 || first.For != 0 {
		t.Errorf("a new leader gave %+v", first)
	}
	if got := draw(&b, 0, 10*time.Second, all); got > 1000 || got < 800 {
		t.Errorf("ten seconds gave %d captures", got)
	}
	if got := draw(&b, time.Minute, time.Second, all); got > 210 || got < 190 {
		t.Errorf("the second after a quiet while gave %d captures, want the rate and the burst", got)
	}
	b.Clear()
	if got := b.Grant(2*time.Minute, Ask{Account: "acct", Limits: all, Want: payment.Acts{payment.Capturing: 1}}).Acts; got != (payment.Acts{}) {
		t.Errorf("the next leader gave %v at once", got)
	}
}

func TestTheLowestLimitsThatAreToldHold(t *testing.T) {
	low := payment.Limits{ReadsPerSecond: 10, WritesPerSecond: 10, Burst: time.Second}
	var b Budgets
	got := uint32(0)
	for at := time.Duration(0); at < 10*time.Second; at += 100 * time.Millisecond {
		got += draw(&b, at, 50*time.Millisecond, all) + draw(&b, at+50*time.Millisecond, 50*time.Millisecond, low)
	}
	if got > 110 {
		t.Errorf("with callers who disagree, ten seconds gave %d captures", got)
	}
	if got := draw(&b, 20*time.Second+tellFor, 10*time.Second, all); got < 800 {
		t.Errorf("the lower limits held after nobody told them any more: %d captures", got)
	}
}

func TestWhatIsGivenBackOrRefusedCounts(t *testing.T) {
	var b Budgets
	ask := func(at time.Duration, q Ask) uint32 {
		q.Account, q.Limits, q.Want = "acct", all, payment.Acts{payment.Capturing: 1000}
		return b.Grant(at, q).Acts[payment.Capturing]
	}
	ask(0, Ask{})
	if got := ask(time.Second, Ask{}); got < 80 {
		t.Fatalf("a second gave %d", got)
	}
	if got := ask(time.Second, Ask{Back: payment.Acts{payment.Capturing: 40}}); got != 40 {
		t.Errorf("of 40 given back %d were given again", got)
	}
	if got := ask(2*time.Second, Ask{Limited: true}); got != 0 {
		t.Errorf("after the provider refused, %d were given", got)
	}
}

func TestBudgetsAreBounded(t *testing.T) {
	var b Budgets
	for i := range 3 * AccountsMax {
		g := b.Grant(0, Ask{Account: fmt.Sprint(i), Limits: all, Want: payment.Acts{1}})
		if i >= AccountsMax && g.Again == 0 {
			t.Fatal("beyond the limit somebody was not told when to ask again")
		}
	}
	if len(b.accounts) != AccountsMax {
		t.Errorf("%d accounts", len(b.accounts))
	}
	if b.Grant(time.Hour, Ask{Account: "new", Limits: all}); len(b.accounts) != 1 {
		t.Errorf("%d accounts after an hour", len(b.accounts))
	}
}
