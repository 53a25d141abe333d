package sandbox_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast/payment"
	"github.com/holdfast-db/holdfast/payment/sandbox"
)

// raw sends a create with a key, as anybody could, and gives status, whether the answer was remembered, and body.
func (b *bank) raw(key, amount string) (status int, replayed bool, body string) {
	b.t.Helper()
	secret, _ := b.Keys()
	form := url.Values{"amount": {amount}, "currency": {"eur"}}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://sandbox/v1/payment_intents", strings.NewReader(form.Encode()))
	b.must(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	r.Header.Set("Idempotency-Key", key)
	answer, err := b.Transport().RoundTrip(r)
	b.must(err)
	raw, err := io.ReadAll(answer.Body)
	b.must(err)
	return answer.StatusCode, answer.Header.Get("Idempotent-Replayed") == "true", string(raw)
}

func TestIdempotencyKeysAreStripes(t *testing.T) {
	b := open(t, sandbox.Config{})
	status, replayed, first := b.raw("k1", "1000")
	if status != http.StatusOK || replayed {
		t.Fatalf("%d, replayed %v: %s", status, replayed, first)
	}
	if status, replayed, again := b.raw("k1", "1000"); status != http.StatusOK || !replayed || again != first {
		t.Errorf("repeated: %d, replayed %v", status, replayed)
	}
	if status, _, body := b.raw("k1", "1001"); status != http.StatusBadRequest || !strings.Contains(body, "idempotency_error") {
		t.Errorf("with other parameters: %d %s", status, body)
	}
	if status, _, _ := b.raw("k2", "1"); status != http.StatusBadRequest {
		t.Errorf("too small: %d", status)
	}
	if status, replayed, _ := b.raw("k2", "1000"); status != http.StatusOK || replayed {
		t.Errorf("a refused request was remembered: %d, replayed %v", status, replayed)
	}
	b.must(b.SetFaults(sandbox.Fault{Do: sandbox.ErrorBefore, Count: 1}))
	for range 2 {
		if status, _, _ := b.raw("k3", "1000"); status != http.StatusInternalServerError {
			t.Errorf("the stored error: %d", status)
		}
	}
	if _, replayed, _ := b.raw("k3", "1000"); !replayed {
		t.Error("the error was not stored")
	}
	for _, do := range []sandbox.Do{sandbox.Unavailable, sandbox.RateLimit, sandbox.Busy} {
		b.must(b.SetFaults(sandbox.Fault{Do: do, Count: 1}))
		if status, _, _ := b.raw("k4", "1000"); status < 400 {
			t.Errorf("%s: %d", do, status)
		}
	}
	if status, replayed, _ := b.raw("k4", "1000"); status != http.StatusOK || replayed {
		t.Errorf("what was not begun was remembered: %d, replayed %v", status, replayed)
	}
	b.Advance(23 * time.Hour)
	if _, replayed, _ := b.raw("k1", "1000"); !replayed {
		t.Error("the key was forgotten within the day")
	}
	b.Advance(2 * time.Hour)
	if status, replayed, again := b.raw("k1", "1000"); status != http.StatusOK || replayed || again == first {
		t.Errorf("after a day the key is remembered: %d, replayed %v", status, replayed)
	}
	if n := len(b.Books()); n != 4 {
		t.Errorf("%d payments in the books, want k1 twice, k2 and k4", n)
	}
}

func TestAKeyThatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sandbox.Config{Latency: sandbox.Latency{Base: time.Second}})
		in := b.intent(10_00)
		var first payment.Payment
		var both sync.WaitGroup
		both.Go(func() { first = b.create(in) })
		time.Sleep(time.Millisecond)
		if _, err := b.client.Create(t.Context(), in); payment.KindOf(err) != payment.Busy {
			t.Errorf("while the first is under way: %v", err)
		}
		both.Wait()
		if again := b.create(in); again.Ref != first.Ref || len(b.Books()) != 1 {
			t.Errorf("the key made %+v", b.Books())
		}
		b.must(b.Close())
	})
}

func TestLimitsAreStripes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sandbox.Config{})
		p := b.create(b.intent(10_00))
		passed, limited := 0, 0
		for range 250 {
			_, err := b.client.Look(t.Context(), p.Ref)
			var e *payment.Error
			switch {
			case err == nil:
				passed++
			case errors.As(err, &e) && e.Kind == payment.Limited && e.RetryAfter == time.Second:
				limited++
			default:
				t.Fatal(err)
			}
		}
		if passed != 100 || limited != 150 {
			t.Errorf("%d reads passed at once, %d were refused", passed, limited)
		}
		if _, err := b.client.Create(t.Context(), b.intent(10_00)); err != nil {
			t.Errorf("writes have limits of their own: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := b.client.Look(t.Context(), p.Ref); err != nil {
			t.Errorf("a second later: %v", err)
		}
		if c := b.Counts(); c.Limited != 150 {
			t.Errorf("counted %+v", c)
		}
		b.must(b.Close())
	})
}

func TestFaultsOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sandbox.Config{})
		p := b.paid("pm_card_visa")
		kinds := map[sandbox.Do]payment.Kind{
			sandbox.Down: payment.Unknown, sandbox.Unavailable: payment.Unknown, sandbox.RateLimit: payment.Limited, sandbox.Busy: payment.Busy,
			sandbox.ErrorBefore: payment.Unknown, sandbox.DropAfter: payment.Unknown,
		}
		for do, want := range kinds {
			b.must(b.SetFaults(sandbox.Fault{Do: do, Op: "look", Count: 2}))
			for i, want := range []payment.Kind{want, want, 0} {
				if _, err := b.client.Look(t.Context(), p.Ref); payment.KindOf(err) != want {
					t.Errorf("%s, request %d: %v, want %v", do, i, err, want)
				}
			}
			if left := b.Faults(); len(left) != 0 {
				t.Errorf("%s is not used up: %+v", do, left)
			}
		}

		b.must(b.SetFaults(sandbox.Fault{Do: sandbox.Down, ForMs: 60_000}))
		if _, err := b.client.Look(t.Context(), p.Ref); payment.KindOf(err) != payment.Unknown {
			t.Errorf("down: %v", err)
		}
		time.Sleep(time.Minute)
		b.is(p, payment.StatusAuthorised)

		// The client gives up after 20 s, the answer comes after 30: what it asked for was done.
		b.must(b.SetFaults(sandbox.Fault{Do: sandbox.Slow, Op: "capture", Count: 1}))
		if _, err := b.client.Capture(t.Context(), b.act(p)); payment.KindOf(err) != payment.Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow capture: %v", err)
		}
		b.is(p, payment.StatusCaptured)
		if got, err := b.client.Capture(t.Context(), b.act(p)); err != nil || got.CapturedMinor != 100_00 {
			t.Errorf("the capture repeated: %+v, %v", got, err)
		}
		time.Sleep(time.Minute) // until the sandbox has given its answer to nobody
		b.must(b.Close())
	})
}

// The two that a naive client gets wrong: an error that hides a success, and an error that is stored and hides
// nothing.
func TestStoredErrorsDoNotStopAnAct(t *testing.T) {
	for _, do := range []sandbox.Do{sandbox.ErrorBefore, sandbox.ErrorAfter} {
		b := open(t, sandbox.Config{})
		again := func(act func() error) {
			t.Helper()
			b.must(b.SetFaults(sandbox.Fault{Do: do, Count: 1}))
			if err := act(); payment.KindOf(err) != payment.Unknown {
				t.Errorf("%s: %v", do, err)
			}
			if err := act(); err != nil {
				t.Errorf("%s, repeated: %v", do, err)
			}
		}
		in := b.intent(100_00)
		var p payment.Payment
		again(func() (err error) { p, err = b.client.Create(t.Context(), in); return err })
		b.must(b.Act(p.Ref, sandbox.ActConfirm, sandbox.Arguments{Method: "pm_card_visa"}))
		again(func() error { _, err := b.client.Capture(t.Context(), b.act(p)); return err })
		again(func() error { _, err := b.client.Refund(t.Context(), b.refund(p, 1, 30_00)); return err })
		void := b.paid("pm_card_visa")
		again(func() error { _, err := b.client.Void(t.Context(), b.act(void)); return err })
		books := b.Books()
		if len(books) != 2 || books[0].CapturedMinor != 100_00 || books[0].RefundedMinor != 30_00 || books[0].Refunds != 1 || books[1].Status != "canceled" {
			t.Errorf("%s: the books are %+v", do, books)
		}
	}
}

// A payment was begun while our clock was far ahead, and the answer to its making was lost: it must be found all the same
// once the clock is right.
func TestAPaymentOfTheFutureIsFound(t *testing.T) {
	b := open(t, sandbox.Config{})
	in := b.intent(100_00)
	in.Since = in.Since.Add(44 * time.Minute)
	b.must(b.SetFaults(sandbox.Fault{Do: sandbox.ErrorAfter, Count: 1}))
	if _, err := b.client.Create(t.Context(), in); payment.KindOf(err) != payment.Unknown {
		t.Errorf("the first try: %v", err)
	}
	p, err := b.client.Create(t.Context(), in)
	b.must(err)
	if books := b.Books(); len(books) != 1 || p.Key != in.Key {
		t.Errorf("found %+v, and the books are %+v", p, books)
	}
}

func TestFaultsByChanceFollowTheSeed(t *testing.T) {
	course := func(seed uint64) (statuses []int) {
		b := open(t, sandbox.Config{Seed: seed, WritesPerSecond: 10_000, Chance: map[sandbox.Do]uint32{sandbox.ErrorAfter: 200, sandbox.RateLimit: 100}})
		for i := range 200 {
			status, _, _ := b.raw(string(rune('a'+i)), "1000")
			statuses = append(statuses, status)
		}
		return statuses
	}
	one, same, other := course(1), course(1), course(2)
	count := map[int]int{}
	differs := false
	for i := range one {
		if one[i] != same[i] {
			t.Fatalf("request %d got %d and %d of one seed", i, one[i], same[i])
		}
		differs = differs || one[i] != other[i]
		count[one[i]]++
	}
	if !differs || count[500] < 20 || count[500] > 60 || count[429] < 8 || count[429] > 35 {
		t.Errorf("of 200 requests: %v; another seed differs: %v", count, differs)
	}
}

func TestLatencyIsADistribution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sandbox.Config{Latency: sandbox.Latency{Base: 50 * time.Millisecond, Mean: 100 * time.Millisecond, Max: time.Second}})
		p := b.create(b.intent(10_00))
		var sum, most time.Duration
		for range 200 {
			began := time.Now()
			b.look(p)
			d := time.Since(began)
			if d < 50*time.Millisecond || d > time.Second {
				t.Fatalf("answered after %v", d)
			}
			sum, most = sum+d, max(most, d)
		}
		if mean := sum / 200; mean < 120*time.Millisecond || mean > 180*time.Millisecond || most < 300*time.Millisecond {
			t.Errorf("the mean is %v, the longest %v", mean, most)
		}
		b.must(b.Close())
	})
}

func TestACardWhoseAnswerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, sandbox.Config{})
		p := b.create(b.intent(10_00))
		secret, _ := b.Keys()
		var wait sync.WaitGroup
		wait.Go(func() {
			began := time.Now()
			r := request(t, http.MethodPost, "http://sandbox/v1/payment_intents/"+string(p.Ref)+"/confirm", url.Values{"payment_method": {"pm_sandbox_hang"}})
			r.Header.Set("Authorization", "Bearer "+secret.Reveal())
			answer, err := b.Transport().RoundTrip(r)
			if err != nil || answer.StatusCode != http.StatusOK || time.Since(began) != 90*time.Second {
				t.Errorf("answered after %v: %v", time.Since(began), err)
			}
		})
		synctest.Wait()
		b.is(p, payment.StatusAuthorised)
		wait.Wait()
		b.must(b.Close())
	})
}
