package frontend

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestSeatsThatComeBackAreOfferedToWhoWaits: over HTTP, from the list to the hold that was made for the visitor, and to
// nobody else.
func TestSeatsThatComeBackAreOfferedToWhoWaits(t *testing.T) {
	spec := command.EventSpec{Name: "evening", Currency: "eur", Tiers: []command.Tier{{Name: "A"}},
		Sections: []command.Section{{Name: "Stalls", Rows: []command.Row{{Label: "1", First: 1, Seats: 2, Tier: holdfast.AnyTier}}}}, Line: command.LineRules{Enabled: true}}
	g := newGround(t, spec)
	s := g.serve()
	first, second := newBrowser(t), newBrowser(t)
	first.join(s)
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	g.cluster.Admit(g.event, 1)
	s.sees("the first is called", func(l *lineNow) bool { return l.served == 1 })
	first.poll(s)
	event := "/api/v1/events/evening"
	if a := first.api(s, "POST", event+"/returns", returnsIn{Count: 2}); a.status != 409 {
		t.Errorf("waiting for seats that are free: %d %s", a.status, a.body)
	}
	h := first.api(s, "POST", event+"/holds", holdIn{Best: &bestIn{Count: 2}}).want(201).hold()
	second.api(s, "POST", event+"/returns", returnsIn{Count: 2}).want(401)
	second.join(s)
	var r returnsOut
	second.api(s, "POST", event+"/returns", returnsIn{Count: 2}).want(200).into(&r)
	if !r.Joined || r.Rank != 0 {
		t.Errorf("on the list: %+v", r)
	}
	if a := second.do("GET", s.base+"/e/evening/returns", nil).want(200); len(a.body) == 0 {
		t.Error("no page")
	}
	first.api(s, "DELETE", "/api/v1/holds/"+h.ID, nil).want(204)
	g.cluster.Advance(time.Second)
	var offer string
	until(t, "the seats are offered", func() bool {
		c, _ := s.rooms.named(t.Context(), "evening")
		v, err := g.client.Visitor(t.Context(), c.ref, anonymousKeyOf(t, s, second).Buyer())
		if err == nil && v.State == holdfast.PlaceOffered && len(v.Holds) == 1 {
			offer = holdName(g.event.ID, v.Holds[0])
		}
		return offer != ""
	})
	if got := second.api(s, "GET", "/api/v1/holds/"+offer, nil).want(200).hold(); len(got.Seats) != 2 {
		t.Errorf("the offer: %+v", got)
	}
	p := second.poll(s)
	if p.Hold != offer || p.Room != "admitted" {
		t.Errorf("the place does not tell of the offer: %+v", p)
	}
	var c checkoutOut
	second.api(s, "POST", "/api/v1/holds/"+offer+"/checkout", checkoutIn{Mail: "b@example.org", Name: "Bob"}).want(200).into(&c)
	if c.Order == "" {
		t.Errorf("%+v", c)
	}
}

// anonymousKeyOf is the key of a browser in the event.
func anonymousKeyOf(t *testing.T, s *site, b *browser) holdfast.PlaceKey {
	t.Helper()
	p := b.join(s)
	var key holdfast.PlaceKey
	raw := decodeHex(t, p.Key)
	copy(key[:], raw)
	return key
}

func decodeHex(t *testing.T, text string) []byte {
	t.Helper()
	secret, ok := parseSecret(text)
	if !ok {
		t.Fatalf("%q is not 32 bytes in hex", text)
	}
	return secret[:]
}

// TestKeysAreRenewedWithOverlap: what the old key signed is believed here and at the other frontend while the new one
// signs.
func TestKeysAreRenewedWithOverlap(t *testing.T) {
	g := newGround(t, lined("evening"))
	one, two := g.serve(), g.serve()
	old := newBrowser(t).join(one)
	before := one.keys.mine().id
	one.keys.rotate()
	if one.keys.mine().id == before {
		t.Fatal("the key was not renewed")
	}
	fresh := newBrowser(t).join(one)
	g.clock.advance(2 * keysAge)
	for _, s := range []*site{one, two} {
		c, err := s.rooms.named(t.Context(), "evening")
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"old": old.Token, "new": fresh.Token} {
			tk, err := openToken(text, c.pollKey, c.ref.ID)
			if err == nil {
				err = s.keys.verify(t.Context(), &tk, text)
			}
			if err != nil {
				t.Errorf("signed by the %s key: %v", what, err)
			}
		}
	}
	stranger, _ := newSigner(g.clock.now())
	c, _ := two.rooms.named(t.Context(), "evening")
	tk := token{Event: c.ref.ID, Position: noPosition, State: tokenWaiting}
	text := tk.issue(c.pollKey, stranger, g.clock.now())
	opened, err := openToken(text, c.pollKey, c.ref.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.keys.verify(t.Context(), &opened, text); err == nil {
		t.Error("a key that nobody gave out is believed")
	}
}

// TestAPlaceOutlivesAFrontendWhoseKeyNobodyKnew: a frontend gave a place and died before the directory had its key. The
// visitor is let in elsewhere all the same, since the shard knows the place; one that the shard does not know is refused.
func TestAPlaceOutlivesAFrontendWhoseKeyNobodyKnew(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	b := newBrowser(t)
	p := b.join(s)
	g.draw()
	g.cluster.Admit(g.event, 1)
	c, err := s.rooms.named(t.Context(), "evening")
	if err != nil {
		t.Fatal(err)
	}
	tk, err := openToken(p.Token, c.pollKey, c.ref.ID)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newSigner(g.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	poll := func(tk token) answer {
		text := tk.issue(c.pollKey, stranger, g.clock.now())
		return newBrowser(t).api(s, "GET", "/api/v1/events/evening/line/place", nil, "Authorization", "Place "+text)
	}
	until(t, "the frontend knows that somebody is called", func() bool { return c.board.line.Load().served > 0 })
	var got placeOut
	poll(tk).want(200).into(&got)
	if got.State != "admitted" || got.Number != p.Number || got.Token == "" {
		t.Errorf("with the shard's word: %+v", got)
	}
	forged := tk
	forged.Key[0] ^= 1
	if a := poll(forged).want(401); a.code() != "token_invalid" {
		t.Errorf("a place that nobody was given: %s", a.body)
	}
}

// TestAnEventThatWasKnownIsNotForgotten: a member that has just come back may give a list that is old.
func TestAnEventThatWasKnownIsNotForgotten(t *testing.T) {
	event := func(id holdfast.EventID, title string) client.EventSummary {
		return client.EventSummary{EventRef: client.EventRef{ID: id}, Title: title}
	}
	known := []client.EventSummary{event(1, "old"), event(2, "two")}
	for what, c := range map[string]struct{ fresh, want []client.EventSummary }{
		"an empty list": {nil, known},
		"an old list":   {known[:1], known},
		"a new event":   {[]client.EventSummary{event(3, "three"), known[1], known[0]}, []client.EventSummary{known[0], known[1], event(3, "three")}},
		"a new title":   {[]client.EventSummary{event(1, "new")}, []client.EventSummary{event(1, "new"), known[1]}},
	} {
		if got := withKnown(c.fresh, known); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", what, got)
		}
	}
	if withKnown(nil, nil) == nil {
		t.Error("no events are a list too")
	}
}
