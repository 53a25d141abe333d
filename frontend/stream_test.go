package frontend

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// event is one server-sent event.
type sse struct{ name, id, data string }

// listen reads a stream until its context ends.
func listen(t *testing.T, s *site, query, last string) (<-chan sse, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", s.base+"/api/v1/events/"+s.g.event.Name+"/stream"+query, nil)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header)
	}
	events := make(chan sse, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		defer resp.Body.Close()
		var e sse
		for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
			switch name, value, _ := strings.Cut(scan.Text(), ": "); name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					events <- e
				}
				e = sse{}
			}
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return events, stop
}

func next(t *testing.T, events <-chan sse, name string) sse {
	t.Helper()
	for late := time.After(10 * time.Second); ; {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended before %s", name)
			}
			if e.name == name {
				return e
			}
		case <-late:
			t.Fatalf("no %s came", name)
		}
	}
}

// TestAStreamGoesOnWhereItWas: at the other frontend, from the revision that was seen last, and nothing is missed.
func TestAStreamGoesOnWhereItWas(t *testing.T) {
	g := newGround(t, hall("evening"))
	one, two := g.serve(), g.serve()
	b := newBrowser(t)
	for _, s := range []*site{one, two} {
		until(t, "the seats are known", func() bool { return b.api(s, "GET", "/api/v1/events/evening/seats", nil).status == 200 })
	}
	events, stop := listen(t, one, "", "")
	next(t, events, "sale")
	next(t, events, "line")
	b.api(one, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{3}}).want(201)
	e := next(t, events, "seats")
	if !strings.Contains(e.data, "[[3,1]]") {
		t.Errorf("%+v", e)
	}
	stop()
	newBrowser(t).api(one, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{5}}).want(201)
	events, _ = listen(t, two, "", e.id)
	if e := next(t, events, "seats"); !strings.Contains(e.data, "[[5,1]]") {
		t.Errorf("resumed: %+v", e)
	}
	if err := g.client.PauseSale(t.Context(), g.event); err != nil {
		t.Fatal(err)
	}
	var sale saleEvent
	for sale.Sale != "paused" {
		if err := json.Unmarshal([]byte(next(t, events, "sale").data), &sale); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAStreamThatMissedTooMuchIsToldToBeginAnew: the memory is bounded, and nobody is told half of what happened.
func TestAStreamThatMissedTooMuchIsToldToBeginAnew(t *testing.T) {
	g := newGround(t, hall("evening"))
	event, err := g.client.Event(t.Context(), g.event)
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(event, time.Hour, noon)
	b.take(client.Changes{Revision: 10, Cut: true, States: make([]holdfast.SeatState, 46)}, noon)
	if _, _, _, ok := b.since(9); ok {
		t.Error("what was before the cut is known")
	}
	for r := holdfast.Revision(11); r < 11+newsMax+500; r++ {
		b.take(client.Changes{Revision: r, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(r % 46)}, SeatStates: []holdfast.SeatState{holdfast.Held}}, noon)
	}
	if len(b.news) > newsMax {
		t.Errorf("%d pieces are kept", len(b.news))
	}
	if _, _, _, ok := b.since(100); ok {
		t.Error("what was dropped is taken for seen")
	}
	news, now, _, ok := b.since(newsMax)
	if !ok || now != 10+newsMax+500 || news[0].revision != newsMax+1 || len(news) != 510 {
		t.Errorf("%v: %d pieces to %d", ok, len(news), now)
	}
	if news, _, _, ok := b.since(now + 5); !ok || len(news) != 0 {
		t.Error("who has seen more elsewhere is told to begin anew")
	}
	many := make([]holdfast.SeatIndex, newsUnitsMax/2+1)
	for range 3 {
		b.take(client.Changes{Revision: b.revision + 1, Seats: many, SeatStates: make([]holdfast.SeatState, len(many))}, noon)
	}
	if b.newsUnit > newsUnitsMax {
		t.Errorf("%d units are kept", b.newsUnit)
	}
}

// TestAStreamOutlivesTheTimeForReadingARequest, and ends at once when the frontend drains.
func TestAStreamOutlivesTheTimeForReadingARequest(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve(func(c *Config) { c.readTimeout = 50 * time.Millisecond })
	events, _ := listen(t, s, "", "")
	next(t, events, "line")
	ended := time.After(300 * time.Millisecond)
	for waiting := true; waiting; {
		select {
		case _, ok := <-events:
			if !ok {
				t.Fatal("the stream ended with the time for reading")
			}
		case <-ended:
			waiting = false
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Errorf("draining: %v", err)
	}
	for range events { // until it ends
	}
}

// TestTheBoardCountsWhatIsLeft: two units are set apart for friends, and not for everybody to take.
func TestTheBoardCountsWhatIsLeft(t *testing.T) {
	g := newGround(t, hall("evening"))
	event, err := g.client.Event(t.Context(), g.event)
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(event, time.Hour, noon)
	states := make([]holdfast.SeatState, 46)
	states[0], states[21] = holdfast.Sold, holdfast.Paying
	b.take(client.Changes{Revision: 10, Cut: true, States: states}, noon)
	b.take(client.Changes{Revision: 12, Seats: []holdfast.SeatIndex{1, 21}, SeatStates: []holdfast.SeatState{holdfast.Held, holdfast.Free}}, noon)
	v := b.look(noon)
	if v.stock != (stock{free: 42, held: 1, sold: 1}) || v.sections[0].Free != 16 || v.sections[0].Blocked != 2 || v.tiers[1].Free != 26 || v.tiers[0].Sold != 1 {
		t.Errorf("%+v, %+v, %+v", v.stock, v.sections, v.tiers)
	}
}
