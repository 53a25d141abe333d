package visitor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast/frontend/visitor"
)

// desk is a frontend that answers as it is told to, and remembers what it was asked.
type desk struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	asked   []*http.Request
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, r)
	if len(d.answers) == 0 {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	answer := d.answers[0]
	d.answers = d.answers[1:]
	answer(w)
}

func says(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// dies breaks the connection in the middle of an answer.
func dies(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func serve(t *testing.T, d *desk) string {
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAVisitorGoesOnAtAnotherFrontendWithTheSameKey(t *testing.T) {
	dying, sound := &desk{answers: []func(http.ResponseWriter){dies}}, &desk{answers: []func(http.ResponseWriter){says(201, `{"id":"hold_1"}`)}}
	failed := 0
	v := visitor.New(visitor.Config{Frontends: []string{serve(t, dying), serve(t, sound)}, Event: "e", Failed: func(error) { failed++ }})
	h, err := v.Hold(t.Context(), "key", visitor.Want{Best: &visitor.Best{Count: 2}})
	if err != nil || h.ID != "hold_1" || failed != 1 {
		t.Fatalf("%+v, %v, %d attempts failed", h, err, failed)
	}
	for _, d := range []*desk{dying, sound} {
		if len(d.asked) != 1 || d.asked[0].Header.Get("Idempotency-Key") != "key" {
			t.Errorf("a frontend was asked %d times, or without the key", len(d.asked))
		}
	}
}

func TestARefusalIsAnAnswer(t *testing.T) {
	d := &desk{answers: []func(http.ResponseWriter){says(409, `{"error":{"code":"seat_held","message":"m","taken":[4],"near":[6],"retry_after_ms":7}}`)}}
	v := visitor.New(visitor.Config{Frontends: []string{serve(t, d)}, Event: "e"})
	_, err := v.Hold(t.Context(), "key", visitor.Want{Seats: []uint32{4}})
	var p *visitor.Problem
	if !errors.As(err, &p) || p.Code != "seat_held" || !slices.Equal(p.Taken, []uint32{4}) || !slices.Equal(p.Near, []uint32{6}) || p.RetryAfter != 7*time.Millisecond {
		t.Errorf("%+v", err)
	}
	if len(d.asked) != 1 {
		t.Errorf("it was asked %d times", len(d.asked))
	}
}

func TestWhatIsOverloadedIsAskedAgainUntilTimeIsOver(t *testing.T) {
	busy := says(429, `{"error":{"code":"overloaded","retry_after_ms":1}}`)
	d := &desk{answers: []func(http.ResponseWriter){busy, busy, says(200, `{"number":3,"state":"waiting","token":"t"}`)}}
	v := visitor.New(visitor.Config{Frontends: []string{serve(t, d)}, Event: "e"})
	if p, err := v.Join(t.Context()); err != nil || p.Number != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	d.mu.Lock()
	d.answers = slices.Repeat([]func(http.ResponseWriter){busy}, 1000)
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := v.Place(ctx); err == nil {
		t.Error("a frontend that is always busy answered")
	}
	if last := d.asked[len(d.asked)-1]; last.Header.Get("Authorization") != "Place t" {
		t.Error("the token was not shown")
	}
}

func TestAVisitorWaitsUntilItIsCalled(t *testing.T) {
	place := func(state string) func(http.ResponseWriter) {
		return says(200, fmt.Sprintf(`{"number":3,"state":%q,"next_poll_ms":1}`, state))
	}
	d := &desk{answers: []func(http.ResponseWriter){place("waiting"), place("called"), place("admitted")}}
	v := visitor.New(visitor.Config{Frontends: []string{serve(t, d)}, Event: "e"})
	if p, err := v.Await(t.Context()); err != nil || p.State != "admitted" {
		t.Errorf("%+v, %v", p, err)
	}
}
