package payment_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/payment"
)

// drain takes everything, so that a test begins with nothing saved.
func drain(b *payment.Budget) {
	b.Limited()
}

func TestWhatComesFirstGetsWhatThereIs(t *testing.T) {
	b := payment.NewBudget(payment.Limits{ReadsPerSecond: 100, WritesPerSecond: 100})
	drain(b)
	var want, got payment.Acts
	for c := range want {
		want[c] = 1000
	}
	for range 100 {
		b.Pass(100 * time.Millisecond)
		for c, n := range b.Grant(want) {
			got[c] += n
		}
	}
	// 1,000 writes in ten seconds: every class that writes has a fiftieth for itself, creates have the rest.
	if got[payment.Creating] < 880 {
		t.Errorf("creates got %d of 1,000 writes", got[payment.Creating])
	}
	for _, c := range []payment.Class{payment.Cancelling, payment.Capturing, payment.Voiding, payment.Refunding} {
		if got[c] < 15 || got[c] > 40 { // and the parts of a request that creates leave
			t.Errorf("%v got %d, want about its floor of 20", c, got[c])
		}
	}
	if got[payment.Looking] < 900 || got[payment.Reconciling] < 15 {
		t.Errorf("looks got %d of 1,000 reads, reconciliation %d", got[payment.Looking], got[payment.Reconciling])
	}
}

func TestWhatIsNotWantedIsLeftToOthers(t *testing.T) {
	b := payment.NewBudget(payment.Limits{ReadsPerSecond: 100, WritesPerSecond: 100})
	drain(b)
	b.Pass(time.Minute) // fills the floors and the burst
	b.Grant(payment.Acts{payment.Capturing: 1000})
	var captured uint32
	for range 100 {
		b.Pass(100 * time.Millisecond)
		captured += b.Grant(payment.Acts{payment.Capturing: 1000})[payment.Capturing]
	}
	if captured < 990 || captured > 1001 {
		t.Errorf("captures alone got %d of 1,000", captured)
	}
}

func TestGivenBackIsGrantedAgain(t *testing.T) {
	b := payment.NewBudget(payment.Limits{ReadsPerSecond: 10, WritesPerSecond: 10})
	first := b.Grant(payment.Acts{payment.Refunding: 100})
	if first[payment.Refunding] == 0 || b.Grant(payment.Acts{payment.Refunding: 100})[payment.Refunding] != 0 {
		t.Fatalf("granted %v, and then more", first)
	}
	b.GiveBack(first)
	if again := b.Grant(payment.Acts{payment.Refunding: 100}); again != first {
		t.Errorf("granted %v, after it was given back %v", first, again)
	}
}

// No schedule of wishes gets more requests out of the budget than the account's limits allow.
func TestTheLimitsHoldForAnySchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Uint32Range(1, 2000).Draw(t, "rate")
		burst := time.Duration(rapid.IntRange(0, 3000).Draw(t, "burstMs")) * time.Millisecond
		b := payment.NewBudget(payment.Limits{ReadsPerSecond: rate, WritesPerSecond: rate, Burst: burst})
		if burst == 0 {
			burst = time.Second
		}
		var passed time.Duration
		var reads, writes uint64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			d := time.Duration(rapid.IntRange(0, 2_000_000).Draw(t, "us")) * time.Microsecond
			b.Pass(d)
			passed += d
			var want payment.Acts
			for c := range want {
				want[c] = rapid.Uint32Range(0, 400).Draw(t, "want")
			}
			got := b.Grant(want)
			for c, n := range got {
				if n > want[c] {
					t.Fatalf("%v got %d, and wanted %d", payment.Class(c), n, want[c])
				}
			}
			writes += uint64(got[payment.Creating] + got[payment.Cancelling] + got[payment.Capturing] + got[payment.Voiding] + got[payment.Refunding])
			reads += uint64(got[payment.Looking] + got[payment.Refunding] + got[payment.Reconciling])
			floors := uint64(payment.Classes) * max(uint64(rate)/50+1, 1)
			most := uint64(passed.Seconds()*float64(rate)) + max(uint64(burst.Seconds()*float64(rate)), 1) + floors + 1
			if reads > most || writes > most {
				t.Fatalf("%d reads and %d writes in %v, the most is %d", reads, writes, passed, most)
			}
		}
	})
}
