package frontend

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

// The pains of others, each as a test that it does not happen here.

// TestPain06TheStartOfASaleMeltsNothing: a herd comes at once to a house that is too small for it. Every request is
// answered at once, with a place or with when to come again; who comes again has a place; none is lost, none given
// twice, and no seat is held by nobody.
func TestPain06TheStartOfASaleMeltsNothing(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve(func(c *Config) {
		c.Limits = Limits{InFlightMax: 40, AddressPerSecond: 1e6, AddressBurst: 1e6, AddressJoinsPerMinute: 1e7, JoinsPerSecond: 1e6}
	})
	const herd = 300
	tr := &http.Transport{MaxIdleConnsPerHost: 200}
	defer tr.CloseIdleConnections()
	crowd := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	join := func(secret [32]byte) (placeOut, int, string) {
		body, _ := json.Marshal(joinIn{Secret: b64.EncodeToString(secret[:])})
		began := time.Now()
		resp, err := crowd.Post(s.base+"/api/v1/events/evening/line", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return placeOut{}, 0, ""
		}
		defer resp.Body.Close()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("an answer took %v", took)
		}
		var p placeOut
		_ = json.NewDecoder(resp.Body).Decode(&p)
		return p, resp.StatusCode, resp.Header.Get("Retry-After")
	}
	var mu sync.Mutex
	numbers, sentAway := map[uint32]int{}, 0
	var all sync.WaitGroup
	for i := range herd {
		all.Go(func() {
			secret := [32]byte{1, byte(i), byte(i >> 8)}
			for range 1000 {
				p, status, again := join(secret)
				mu.Lock()
				switch {
				case status == 200:
					numbers[p.Number]++
					mu.Unlock()
					return
				case status == 429 && again != "":
					sentAway++
				default:
					t.Errorf("status %d, come again %q", status, again)
				}
				mu.Unlock()
			}
			t.Error("somebody was sent away for ever")
		})
	}
	all.Wait()
	if len(numbers) != herd {
		t.Errorf("%d places for %d people", len(numbers), herd)
	}
	line, err := g.client.Line(t.Context(), g.event)
	if err != nil || line.Issued != herd {
		t.Errorf("the shard gave %d places, %v", line.Issued, err)
	}
	if e, err := g.client.Event(t.Context(), g.event); err != nil || e.Total.Held != 0 || e.Holds != 0 {
		t.Errorf("%+v are held by nobody, %v", e.Total, err)
	}
	if line.Enters >= herd/2 {
		t.Errorf("%d commands for %d people: they do not share", line.Enters, herd)
	}
	t.Logf("%d people, %d commands, %d answers to come again", herd, line.Enters, sentAway)
}

// TestPain07TheFastestFingerWinsNothing: who joins first before the draw is not called first, and a choice of several
// kinds is one claim, all of it or nothing.
func TestPain07TheFastestFingerWinsNothing(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	const people = 24
	crowd := make([]*browser, people)
	for i := range crowd {
		crowd[i] = newBrowser(t)
		crowd[i].join(s)
	}
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	inOrder := 0
	for i, b := range crowd {
		if p := b.poll(s); *p.Position == uint32(i) {
			inOrder++
		}
	}
	if inOrder > people/2 {
		t.Errorf("%d of %d stand where they came: the draw draws nothing", inOrder, people)
	}
	free := newGround(t, hall("matinee"))
	f := free.serve()
	one := 1
	ann := newBrowser(t)
	h := ann.api(f, "POST", "/api/v1/events/matinee/holds", holdIn{Best: &bestIn{Count: 2, Section: &one}, Seats: []holdfast.SeatIndex{0}, General: &generalIn{Section: 2, Count: 3}}).want(201).hold()
	if len(h.Seats) != 6 {
		t.Errorf("of three kinds in one claim it has %+v", h.Seats)
	}
	bob := newBrowser(t)
	bob.api(f, "POST", "/api/v1/events/matinee/holds", holdIn{Seats: []holdfast.SeatIndex{0}, General: &generalIn{Section: 2, Count: 3}}).want(409)
	if e, err := free.client.Event(t.Context(), free.event); err != nil || e.Total.Held != 6 {
		t.Errorf("a claim that was refused took something: %+v %v", e.Total, err)
	}
}

// TestPain13BotsGainNothing: many tabs are one place, seats are held by nobody who was not called, a hold that lapsed
// is followed by a pause, and asking more often tells no more.
func TestPain13BotsGainNothing(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	bot := newBrowser(t)
	first := bot.join(s)
	var tabs sync.WaitGroup
	for range 20 {
		tabs.Go(func() {
			if p := bot.join(s); p.Number != first.Number {
				t.Errorf("a tab has place %d", p.Number)
			}
		})
	}
	tabs.Wait()
	if l, _ := g.client.Line(t.Context(), g.event); l.Issued != 1 {
		t.Errorf("20 tabs have %d places", l.Issued)
	}
	for range 10 {
		if a := bot.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 1}}).want(403); a.code() != "session_required" {
			t.Errorf("%s", a.body)
		}
	}
	before := g.logIndex()
	for range 50 {
		bot.poll(s)
	}
	if after := g.logIndex(); after != before {
		t.Errorf("50 polls cost the cluster %d entries", after-before)
	}

	free := newGround(t, hall("matinee"))
	f := free.serve()
	freezer := newBrowser(t)
	path := "/api/v1/events/matinee/holds"
	freezer.api(f, "POST", path, holdIn{Best: &bestIn{Count: 8}}).want(201)
	free.cluster.Advance(5*time.Minute + time.Second)
	a := freezer.api(f, "POST", path, holdIn{Best: &bestIn{Count: 8}}).want(429)
	if a.code() != "buyer_cooling_down" || a.header.Get("Retry-After") == "" {
		t.Errorf("holding again at once: %s", a.body)
	}
	newBrowser(t).api(f, "POST", path, holdIn{Best: &bestIn{Count: 8}}).want(201)
}

// logIndex is how far the shard's log has come: a poll that asked the shard would move it.
func (g *ground) logIndex() uint64 {
	e, err := g.client.Event(g.t.Context(), g.event)
	if err != nil {
		g.t.Fatal(err)
	}
	return e.Stamp.Index
}
