package frontend

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
)

// TestTheDescriptionAndTheRoutesAreTheSame: every route of the API is described, and nothing else is.
func TestTheDescriptionAndTheRoutesAreTheSame(t *testing.T) {
	described := map[string]bool{}
	for path, item := range describedAPI().doc["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				described[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	s := &Server{metrics: &metrics{}}
	s.signIn.s = s
	for _, r := range s.routes() {
		if !strings.Contains(r.pattern, " /api/") {
			continue
		}
		if !described[r.pattern] {
			t.Errorf("%s is served and not described", r.pattern)
		}
		delete(described, r.pattern)
	}
	for left := range described {
		t.Errorf("%s is described and not served", left)
	}
}

func describedAPI() *description { return described() }

// TestWhatIsServedIsWhatIsDescribed walks the reads; checkAnswer holds each answer against the schema.
func TestWhatIsServedIsWhatIsDescribed(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	b := newBrowser(t)
	until(t, "the seats are known", func() bool { return b.api(s, "GET", "/api/v1/events/evening/seats", nil).status == 200 })
	for _, path := range []string{"/api/v1/openapi.json", "/api/v1/keys", "/api/v1/events", "/api/v1/events/evening", "/api/v1/events/" + g.event.ID.String(),
		"/api/v1/events/evening/map", "/api/v1/events/evening/seats", "/api/v1/events/evening/draw", "/api/v1/events/evening/line/challenge"} {
		b.api(s, "GET", path, nil).want(200)
	}
	for path, status := range map[string]int{"/api/v1/events/nothing": 404, "/api/v1/events/nothing/map": 404, "/api/v1/events/nothing/stream": 404,
		"/api/v1/holds/hold_00.1": 404, "/api/v1/holds/hold_00000000000000000000000000000000": 400, "/api/v1/orders/x": 404} {
		b.api(s, "GET", path, nil).want(status)
	}
	var e eventOut
	b.api(s, "GET", "/api/v1/events/evening", nil).into(&e)
	if e.Free != 44 || e.Total != 46 || e.Line == nil || e.Line.State != "open" || e.Line.Commitment == "" || *e.Tiers[0].Free != 18 || *e.Sections[2].Free != 20 || e.Strength == "" {
		t.Errorf("%+v", e)
	}
}

func TestMapsAndSeatsAreAnsweredFromTheBrowsersCache(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve()
	b := newBrowser(t)
	until(t, "the seats are known", func() bool { return b.api(s, "GET", "/api/v1/events/evening/seats", nil).status == 200 })
	for _, path := range []string{"/api/v1/events/evening/map", "/api/v1/events/evening/seats"} {
		a := b.api(s, "GET", path, nil).want(200)
		if tag := a.header.Get("ETag"); tag == "" || !strings.Contains(a.header.Get("Cache-Control"), "public") {
			t.Errorf("%s: ETag %q, Cache-Control %q", path, tag, a.header.Get("Cache-Control"))
		} else {
			b.api(s, "GET", path, nil, "If-None-Match", tag).want(304)
			b.api(s, "GET", path, nil, "If-None-Match", `"other", W/`+tag).want(304)
			b.api(s, "GET", path, nil, "If-None-Match", `"other"`).want(200)
		}
	}
	tag := b.api(s, "GET", "/api/v1/events/evening/seats", nil).header.Get("ETag")
	b.api(s, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{3}}).want(201)
	until(t, "the seat is seen to be held", func() bool {
		a := b.api(s, "GET", "/api/v1/events/evening/seats", nil, "If-None-Match", tag)
		return a.status == 200 && strings.Contains(string(a.body), `"states":"0001`)
	})
}

func TestRefusalsSayWhatHappenedAndWhatToDo(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve()
	ann, bob := newBrowser(t), newBrowser(t)
	path := "/api/v1/events/evening/holds"
	h := ann.api(s, "POST", path, holdIn{Seats: []holdfast.SeatIndex{3, 4}}).want(201).hold()
	a := bob.api(s, "POST", path, holdIn{Seats: []holdfast.SeatIndex{4, 5}}).want(409)
	var e errorOut
	a.into(&e)
	if e.Error.Code != "seat_held" || len(e.Error.Taken) != 1 || e.Error.Taken[0] != 4 || len(e.Error.Near) != 2 {
		t.Errorf("a seat that was just taken: %s", a.body)
	}
	a = ann.api(s, "POST", path, holdIn{Seats: []holdfast.SeatIndex{7}}).want(409)
	a.into(&e)
	if e.Error.Code != "buyer_has_hold" || e.Error.Hold != h.ID {
		t.Errorf("a second hold: %s", a.body)
	}
	for what, c := range map[string]struct {
		in     any
		status int
		field  string
	}{
		"nothing":          {holdIn{}, 400, "seats"},
		"too many":         {holdIn{Best: &bestIn{Count: 100}}, 400, "best.count"},
		"a misspelt field": {map[string]any{"seat": 1}, 400, "body"},
		"no such seat":     {holdIn{Seats: []holdfast.SeatIndex{4000}}, 400, ""},
		"more than a hold": {holdIn{Best: &bestIn{Count: 20}}, 400, ""},
		"set apart":        {holdIn{Seats: []holdfast.SeatIndex{18}, Allocation: "friends"}, 403, "code"},
		"a wrong code":     {holdIn{Seats: []holdfast.SeatIndex{18}, Code: "x"}, 403, "code"},
	} {
		a := bob.api(s, "POST", path, c.in).want(c.status)
		a.into(&e)
		if c.field != "" && e.Error.Field != c.field {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	newBrowser(t).api(s, "GET", "/api/v1/holds/"+h.ID, nil).want(401)
	bob.api(s, "POST", path, holdIn{Seats: []holdfast.SeatIndex{9}}).want(201)
	if a := bob.api(s, "GET", "/api/v1/holds/"+h.ID, nil).want(403); a.code() != "hold_not_yours" {
		t.Errorf("%s", a.body)
	}
	bob.api(s, "DELETE", "/api/v1/holds/"+h.ID, nil).want(403)
	bob.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "bob@example.org", Name: "Bob"}).want(403)
	ann.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(503) // nobody takes money here
	ann.api(s, "DELETE", "/api/v1/holds/"+h.ID, nil).want(204)
	ann.api(s, "DELETE", "/api/v1/holds/"+h.ID, nil).want(204)
	ann.api(s, "GET", "/api/v1/holds/"+h.ID, nil).want(410)
	b := newBrowser(t)
	b.do("POST", s.base+path, strings.Repeat("x", 20<<10)).want(413)
	r, _ := http.NewRequest("POST", s.base+path, strings.NewReader("seats=1"))
	r.Header.Set("Content-Type", "text/plain")
	b.send(r).want(415)
}

func TestACodeOpensAnAllocation(t *testing.T) {
	g := newGround(t, hall("evening"))
	s := g.serve(func(c *Config) { c.Codes = map[string]map[string]string{"evening": {"SESAME": "friends"}} })
	h := newBrowser(t).api(s, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{18, 19}, Code: "SESAME"}).want(201).hold()
	if len(h.Seats) != 2 {
		t.Errorf("%+v", h)
	}
}

// TestARepeatedRequestHasTheFirstOnesOutcome: at the same frontend, at another one, within an epoch and across its
// border; and with other contents it is refused.
func TestARepeatedRequestHasTheFirstOnesOutcome(t *testing.T) {
	g := newGround(t, hall("evening"))
	one, two := g.serve(), g.serve()
	b := newBrowser(t)
	path, in := "/api/v1/events/evening/holds", holdIn{Best: &bestIn{Count: 2}}
	h := b.api(one, "POST", path, in, "Idempotency-Key", "press").want(201).hold()
	b.move(one, two)
	for range 3 {
		for _, s := range []*site{one, two} {
			if again := b.api(s, "POST", path, in, "Idempotency-Key", "press").want(201).hold(); again.ID != h.ID || again.Seats[0].Index != h.Seats[0].Index {
				t.Fatalf("repeated: %+v, first %+v", again, h)
			}
		}
		g.cluster.Advance(repeatEpoch)
		for _, s := range []*site{one, two} {
			c, _ := s.rooms.named(t.Context(), "evening")
			c.board.mu.Lock()
			c.board.clock, c.board.clockAt = c.board.clock+holdfast.Clock(repeatEpoch/time.Microsecond), s.now()
			c.board.mu.Unlock()
		}
	}
	if a := b.api(one, "POST", path, in, "Idempotency-Key", "another press").want(409); a.code() != "buyer_has_hold" {
		t.Errorf("another request: %s", a.body)
	}
	lost := newBrowser(t)
	g.cluster.DropReply(1)
	first := lost.api(one, "POST", path, in, "Idempotency-Key", "lost").want(201).hold()
	lost.move(one, two)
	if again := lost.api(two, "POST", path, in, "Idempotency-Key", "lost").want(201).hold(); again.ID != first.ID {
		t.Errorf("after a lost answer: %s and %s", first.ID, again.ID)
	}
	if a := lost.api(two, "POST", path, holdIn{Best: &bestIn{Count: 3}}, "Idempotency-Key", "lost").want(422); a.code() != "command_reused" {
		t.Errorf("other contents: %s", a.body)
	}
	lost.api(two, "POST", path, in, "Idempotency-Key", strings.Repeat("k", 200)).want(400)
}

func TestFrontendsOfOneFleetMakeTheSameIds(t *testing.T) {
	p := repeat{random: [10]byte{1}, given: true}
	clock := holdfast.Clock(100 * time.Second / time.Microsecond)
	if a, b := p.id(clock), p.id(clock+holdfast.Clock(repeatEpoch/time.Microsecond)-1); a != b {
		t.Errorf("within an epoch: %v and %v", a, b)
	}
	for at := clock; at < clock+holdfast.Clock(time.Minute/time.Microsecond); at += 999_983 {
		if left := at.Until(p.id(at).ValidUntil()); left < repeatEpoch-time.Millisecond || left > holdfast.ValidityMax {
			t.Fatalf("at %d an id is valid for %v", at, left)
		}
	}
	if (repeat{}).id(clock) != (holdfast.CommandID{}) {
		t.Error("without a key the client chooses")
	}
}
