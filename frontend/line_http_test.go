package frontend

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// join lets somebody join the event's line.
func (b *browser) join(s *site) placeOut {
	b.t.Helper()
	return b.api(s, "POST", "/api/v1/events/"+s.g.event.Name+"/line", map[string]any{}).place()
}

func (b *browser) poll(s *site) placeOut {
	b.t.Helper()
	return b.api(s, "GET", "/api/v1/events/"+s.g.event.Name+"/line/place", nil).place()
}

// sees waits until a frontend's feed has come to a state of the line.
func (s *site) sees(what string, ok func(*lineNow) bool) {
	s.g.t.Helper()
	until(s.g.t, what, func() bool {
		c, err := s.rooms.named(s.g.t.Context(), s.g.event.Name)
		if err != nil {
			s.g.t.Fatal(err)
		}
		l := c.board.line.Load()
		return l != nil && ok(l)
	})
}

// TestAVisitorGoesAllTheWay: join, draw, call, session, hold, checkout, order, ticket, over HTTP.
func TestAVisitorGoesAllTheWay(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	b := newBrowser(t)
	event := "/api/v1/events/evening"
	b.api(s, "GET", event+"/line/place", nil).want(401)
	p := b.join(s)
	if p.Room != "early" || p.Position != nil || p.Ahead != -1 || p.Token == "" || p.Key == "" {
		t.Fatalf("joined: %+v", p)
	}
	if q := b.poll(s); q.Number != p.Number || q.Room != "early" {
		t.Fatalf("polled: %+v", q)
	}
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	if q := b.poll(s); q.Room != "waiting" || q.Position == nil || *q.Position != 0 {
		t.Fatalf("drawn: %+v", q)
	}
	record := &draw.Record{}
	b.api(s, "GET", event+"/draw", nil).want(200).into(record)
	if err := draw.Verify(record); err != nil {
		t.Fatalf("the record that is served proves nothing: %v", err)
	}
	b.api(s, "POST", event+"/holds", holdIn{Seats: []holdfast.SeatIndex{0}}).want(403)
	g.cluster.Admit(g.event, 1)
	s.sees("it is the visitor's turn", func(l *lineNow) bool { return l.served > 0 })
	q := b.poll(s)
	if q.Room != "admitted" || q.State != "admitted" || q.SessionRemainingMs <= 0 || q.Token == "" {
		t.Fatalf("called: %+v", q)
	}
	if again := b.poll(s); again.Room != "admitted" {
		t.Fatalf("inside: %+v", again)
	}
	h := b.api(s, "POST", event+"/holds", holdIn{Seats: []holdfast.SeatIndex{20, 21}}, "Idempotency-Key", "k1").want(201).hold()
	if len(h.Seats) != 2 || h.Seats[0].Row != "A" || h.Seats[0].Number != "5" || h.RemainingMs <= 0 || h.Amount.AmountMinor != 0 {
		t.Fatalf("held: %+v", h)
	}
	h = b.api(s, "PATCH", "/api/v1/holds/"+h.ID, holdIn{Seats: []holdfast.SeatIndex{21, 22}}).want(200).hold()
	if h.Seats[1].Index != 22 {
		t.Fatalf("swapped: %+v", h)
	}
	b.api(s, "GET", "/api/v1/holds/"+h.ID, nil).want(200)
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "no address", Name: "Ann"}).want(400)
	var paid checkoutOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200).into(&paid)
	if paid.Order == "" {
		t.Fatalf("what costs nothing is not an order at once: %+v", paid)
	}
	var confirmed confirmOut
	b.api(s, "POST", "/api/v1/holds/"+h.ID+"/confirm", nil).want(200).into(&confirmed)
	if confirmed.Order != paid.Order || confirmed.State != "sold" {
		t.Fatalf("confirmed: %+v", confirmed)
	}
	b.api(s, "GET", "/api/v1/orders/"+paid.Order, nil).want(200)
	var tickets ticketsOut
	b.api(s, "GET", "/api/v1/orders/"+paid.Order+"/tickets", nil).want(200).into(&tickets)
	if len(tickets.Tickets) != 2 || !tickets.Tickets[0].Valid || tickets.Tickets[0].Code == "" || tickets.Tickets[0].QR == "" {
		t.Fatalf("tickets: %+v", tickets)
	}
	until(t, "the place is finished", func() bool { return b.poll(s).Room == "done" })
	newBrowser(t).api(s, "GET", "/api/v1/orders/"+paid.Order, nil).want(401)
	stranger := newBrowser(t)
	stranger.join(s)
	stranger.api(s, "GET", "/api/v1/orders/"+paid.Order, nil).want(404)
	linked := newBrowser(t)
	linked.api(s, "GET", "/api/v1/orders/"+paid.Order+"?t="+s.cfg.Secret.orderToken(g.event.ID, mustOrder(t, paid.Order)), nil).want(200)
}

func mustOrder(t *testing.T, name string) holdfast.OrderID {
	t.Helper()
	id, err := holdfast.ParseOrderID(name[:len("ord_")+32])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestAFrontendIsKilledInMidSale: whoever was at it goes on at the other one, with the place, the session and the hold.
func TestAFrontendIsKilledInMidSale(t *testing.T) {
	g := newGround(t, lined("evening"))
	one, two := g.serve(), g.serve()
	crowd := make([]*browser, 8)
	for i := range crowd {
		crowd[i] = newBrowser(t)
		crowd[i].join(one)
	}
	g.draw()
	one.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	first, second := crowd[0], crowd[0]
	a, w := first.poll(one), first.poll(one)
	for _, b := range crowd { // the first and the last of them in the order of the draw
		if p := b.poll(one); *p.Position < *a.Position {
			first, a = b, p
		} else if *p.Position > *w.Position {
			second, w = b, p
		}
	}
	g.cluster.Admit(g.event, int(*a.Position)+1)
	for _, s := range []*site{one, two} {
		s.sees("the first is called", func(l *lineNow) bool { return uint32(l.served) > *a.Position })
	}
	if p := first.poll(one); p.Room != "admitted" {
		t.Fatalf("called: %+v", p)
	}
	h := first.api(one, "POST", "/api/v1/events/evening/holds", holdIn{Seats: []holdfast.SeatIndex{20}}).want(201).hold()
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	first.move(one, two)
	second.move(one, two)
	if p := second.poll(two); p.Number != w.Number || p.Room != "waiting" {
		t.Errorf("the one who waits has place %+v, had %d", p, w.Number)
	}
	if p := second.join(two); p.Number != w.Number {
		t.Errorf("joining at the other frontend gave place %d, had %d", p.Number, w.Number)
	}
	if p := first.poll(two); p.Number != a.Number || p.Room != "admitted" {
		t.Errorf("the one inside has place %+v", p)
	}
	if got := first.api(two, "GET", "/api/v1/holds/"+h.ID, nil).want(200).hold(); got.ID != h.ID {
		t.Errorf("the hold is %+v", got)
	}
	g.cluster.Admit(g.event, int(*w.Position-*a.Position))
	two.sees("the second is called", func(l *lineNow) bool { return uint32(l.served) > *w.Position })
	// The token was signed by the frontend that is gone: its key is in the directory still.
	if p := second.poll(two); p.Room != "admitted" {
		t.Errorf("called after the frontend's death: %+v", p)
	}
	first.api(two, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200)
}

// TestTokensThatAreNotOursAreRefused: forged, altered, of another event, run out.
func TestTokensThatAreNotOursAreRefused(t *testing.T) {
	g := newGround(t, lined("evening"))
	other := lined("matinee")
	g.cluster.LoadEvent(other)
	s := g.serve()
	b := newBrowser(t)
	p := b.join(s)
	bare := newBrowser(t)
	path := "/api/v1/events/evening/line/place"
	bare.api(s, "GET", path, nil, "Authorization", "Place "+p.Token).want(200)
	for what, c := range map[string]struct{ path, token, code string }{
		"altered":          {path, p.Token[:40] + "AAAA" + p.Token[44:], "token_invalid"},
		"invented":         {path, "hf1.AAAA.AAAA.AAAA", "token_invalid"},
		"of another event": {"/api/v1/events/matinee/line/place", p.Token, "token_invalid"},
		"empty":            {path, "", "token_missing"},
	} {
		if a := bare.api(s, "GET", c.path, nil, "Authorization", "Place "+c.token).want(401); a.code() != c.code {
			t.Errorf("%s: %s", what, a.body)
		}
	}
	unsigned := p.Token[:len(p.Token)-86]
	bare.api(s, "GET", path, nil, "Authorization", "Place "+unsigned).want(200) // it polls
	bare.api(s, "DELETE", path, nil, "Authorization", "Place "+unsigned).want(401)
	g.clock.advance(tokenLife + time.Second)
	if a := bare.api(s, "GET", path, nil, "Authorization", "Place "+p.Token).want(401); a.code() != "token_expired" {
		t.Errorf("run out: %s", a.body)
	}
	// The place stands: the shard knows it, and gives a fresh token for it.
	again := bare.api(s, "POST", "/api/v1/events/evening/line", map[string]any{}, "Authorization", "Place "+p.Token).place()
	if again.Number != p.Number || again.Token == p.Token {
		t.Errorf("renewed: %+v", again)
	}
	bare.api(s, "GET", path, nil, "Authorization", "Place "+again.Token).want(200)
	bare.api(s, "DELETE", path, nil, "Authorization", "Place "+again.Token).want(204)
}

// TestAPlaceSurvivesTheBrowser: the same secret is the same place, whatever else was lost.
func TestAPlaceSurvivesTheBrowser(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	join := map[string]any{"secret": hex.EncodeToString(secret[:])}
	p := newBrowser(t).api(s, "POST", "/api/v1/events/evening/line", join).place()
	if q := newBrowser(t).api(s, "POST", "/api/v1/events/evening/line", join).place(); q.Number != p.Number || q.Key != p.Key {
		t.Errorf("joined again: %d and %d", p.Number, q.Number)
	}
	if q := newBrowser(t).join(s); q.Number == p.Number {
		t.Error("another browser has the same place")
	}
	newBrowser(t).api(s, "POST", "/api/v1/events/evening/line", map[string]any{"secret": "short"}).want(400)
}

// TestAnEventAsksForTheIdentityThatItCountsOn: and for no other.
func TestAnEventAsksForTheIdentityThatItCountsOn(t *testing.T) {
	spec := lined("evening")
	spec.Line.Who, spec.Rules.SeatsPerBuyer = command.ByLink, 4
	g := newGround(t, spec)
	s := g.serve(func(c *Config) { c.PublicURL = "http://shop.test"; c.Mail = &mailbox{} })
	b := newBrowser(t)
	if a := b.api(s, "POST", "/api/v1/events/evening/line", map[string]any{}).want(401); a.code() != "identity_required" {
		t.Errorf("%s", a.body)
	}
	open := func(b *browser, address string) {
		link := s.mailLink(address, "/e/evening/line")
		b.do("GET", s.base+link[len("http://shop.test"):], nil).want(303)
	}
	if a := b.do("GET", s.base+"/e/evening", nil); !strings.Contains(string(a.body), "4 for one buyer in all. The limit counts mail addresses") {
		t.Errorf("the page does not say what its limit counts: %s", a.body)
	}
	open(b, "ann@example.org")
	p := b.join(s)
	other := newBrowser(t) // another device, the same address
	open(other, "Ann@example.org")
	if q := other.join(s); q.Number != p.Number {
		t.Errorf("the same person has places %d and %d", p.Number, q.Number)
	}
	b.do("GET", s.base+"/signin/link?t=AAAA&to=/", nil).want(403)
	away, _ := url.Parse(s.mailLink("a@example.org", "https://evil.test/"))
	b.do("GET", s.base+away.RequestURI(), nil).want(400)
}

// TestAPlaceIsComeBackToByMail: from another device, at another frontend, when the token has run out and after the draw.
func TestAPlaceIsComeBackToByMail(t *testing.T) {
	spec := lined("evening")
	spec.Line.Who = command.ByLink
	g := newGround(t, spec)
	box := &mailbox{}
	set := func(c *Config) { c.PublicURL, c.Mail = "http://shop.test", box }
	one, two := g.serve(set), g.serve(set)
	b := newBrowser(t)
	link, _ := url.Parse(one.mailLink("ann@example.org", "/e/evening/line"))
	b.do("GET", one.base+link.RequestURI(), nil).want(303)
	p := b.join(one)
	until(t, "the way back is mailed", func() bool { return len(box.all()) == 1 })
	b.join(one) // which is the same place, and no second mail
	g.draw()
	two.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	g.clock.advance(2 * time.Hour)
	_, way, _ := strings.Cut(box.all()[0], "http://shop.test")
	way, _, _ = strings.Cut(way, "\n")
	phone := newBrowser(t)
	if a := phone.do("GET", two.base+way, nil).want(303); a.header.Get("Location") != "/e/evening/line" {
		t.Errorf("%s", a.header.Get("Location"))
	}
	if q := phone.poll(two); q.Number != p.Number || q.Position == nil || *q.Position != 0 {
		t.Errorf("on the phone: %+v, was %d", q, p.Number)
	}
	if len(box.all()) != 1 {
		t.Errorf("%d mails", len(box.all()))
	}
	newBrowser(t).do("GET", two.base+"/e/evening/line?place=hf1.AAAA.AAAA.AAAA", nil).want(303)
	if _, ok := one.openAddress(account{}, one.sealAddress(account{}, "ann@example.org")[1:]); ok {
		t.Error("an altered address is believed")
	}
	if _, ok := one.openAddress(account{hash: [32]byte{1}}, one.sealAddress(account{}, "ann@example.org")); ok {
		t.Error("another identity's address is believed")
	}
}

func TestTheChallengeComesBeforeTheLine(t *testing.T) {
	spec := lined("evening")
	spec.Line.Challenge, spec.Line.WorkBits = command.ChallengeWork, 8
	g := newGround(t, spec)
	s := g.serve()
	b := newBrowser(t)
	path := "/api/v1/events/evening/line"
	if a := b.api(s, "POST", path, map[string]any{}).want(403); a.code() != "challenge_required" {
		t.Errorf("%s", a.body)
	}
	var c challengeOut
	b.api(s, "GET", path+"/challenge", nil).want(200).into(&c)
	b.api(s, "POST", path, joinIn{Challenge: c.Value, Work: "x"}).want(403)
	newBrowser(t).api(s, "POST", path, joinIn{Challenge: c.Value, Work: solve(c.Value, 8)}).want(403) // somebody else's work
	b.api(s, "POST", path, joinIn{Challenge: c.Value, Work: solve(c.Value, 8)}).want(200)

	slow := newBrowser(t)
	slow.api(s, "GET", path+"/challenge", nil).want(200).into(&c)
	if a := slow.api(s, "POST", path, joinIn{Delay: c.Delay}).want(429); a.code() != "challenge_wait" {
		t.Errorf("%s", a.body)
	}
	g.clock.advance(time.Duration(c.DelayMs) * time.Millisecond)
	slow.api(s, "POST", path, joinIn{Delay: c.Delay}).want(200)
}

// TestEveryPlaceHasItsOneOutcomeUntilADayAfterTheSale: the one that the shard has for it, also with a token that has run out,
// at another frontend.
func TestEveryPlaceHasItsOneOutcomeUntilADayAfterTheSale(t *testing.T) {
	g := newGround(t, lined("evening"))
	one, two := g.serve(), g.serve()
	const crowd = 12
	people, proofs := make([]*browser, crowd), make([]client.PlaceRef, crowd)
	for i := range people {
		people[i] = newBrowser(t)
		proofs[i] = g.proof(t, people[i].join(one))
	}
	gone := newBrowser(t) // gives it up, and keeps the token
	text := gone.join(one).Token
	gone.api(one, "DELETE", "/api/v1/events/evening/line/place", nil, "Authorization", "Place "+text).want(204)
	g.draw()
	truth := func(i int) holdfast.PlaceState {
		place, err := g.client.Place(t.Context(), proofs[i])
		if err != nil {
			t.Fatal(err)
		}
		return place.State
	}
	call := func(enough func() bool) {
		for !enough() {
			g.cluster.Admit(g.event, 1)
		}
		line, err := g.client.Line(t.Context(), g.event)
		if err != nil {
			t.Fatal(err)
		}
		one.sees("people are called", func(l *lineNow) bool { return l.drawn && l.served >= line.Served })
	}
	// The first comes and buys, whoever is called before and besides never comes, and the others are not called.
	call(func() bool { return truth(0) == holdfast.PlaceCalled })
	buyer := people[0]
	if p := buyer.poll(one); p.State != "admitted" {
		t.Fatalf("%+v", p)
	}
	h := buyer.api(one, "POST", "/api/v1/events/evening/holds", holdIn{General: &generalIn{Section: 2, Count: 1}}).want(201).hold()
	buyer.api(one, "POST", "/api/v1/holds/"+h.ID+"/checkout", checkoutIn{Mail: "ann@example.org", Name: "Ann"}).want(200)
	call(func() bool { return truth(1) == holdfast.PlaceCalled })
	g.cluster.Advance(command.CallMsDefault*time.Millisecond + time.Second)
	if err := g.client.CloseSale(t.Context(), g.event); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*site{one, two} {
		until(t, "the end is told", func() bool { c, err := s.rooms.named(t.Context(), "evening"); return err == nil && c.over(s.now()) })
	}
	if truth(0) != holdfast.PlaceFinished || truth(1) != holdfast.PlaceMissed {
		t.Fatalf("who bought is %s, who did not come %s", truth(0), truth(1))
	}
	if p := gone.api(one, "GET", "/api/v1/events/evening/line/place", nil, "Authorization", "Place "+text).place(); p.State != "left" || p.Room != "left" {
		t.Errorf("who left is told %s", p.State)
	}
	for n, s := range []*site{one, two} {
		for i, b := range people {
			p := b.api(s, "POST", "/api/v1/events/evening/line", map[string]any{}).place()
			q := b.poll(s)
			if want := truth(i).String(); p.State != want || q.State != want || p.Number != uint32(i) {
				t.Errorf("place %d is told %s and %s, and the shard says %s", i, p.State, q.State, want)
			}
			b.move(one, two)
		}
		if n == 0 {
			g.clock.advance(20 * time.Hour)
			g.cluster.SetWall(g.cluster.Wall().Add(20 * time.Hour))
		}
	}
}

// proof is what the shard checks of a place.
func (g *ground) proof(t *testing.T, p placeOut) client.PlaceRef {
	t.Helper()
	ref := client.PlaceRef{Event: g.event, Number: holdfast.PlaceNumber(p.Number), Key: holdfast.PlaceKey(decodeHex(t, p.Key))}
	for _, hash := range p.Path {
		ref.Path = append(ref.Path, [32]byte(decodeHex(t, hash)))
	}
	return ref
}

// TestATurnThatWasMissedIsAPlaceALittleBehind: told at once, and kept in the token.
func TestATurnThatWasMissedIsAPlaceALittleBehind(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve()
	b := newBrowser(t)
	b.join(s)
	for range 30 {
		newBrowser(t).join(s)
	}
	g.draw()
	s.sees("the line is drawn", func(l *lineNow) bool { return l.drawn })
	position := *b.poll(s).Position
	g.cluster.Admit(g.event, int(position)+1)
	g.cluster.Advance(command.CallMsDefault*time.Millisecond + time.Second)
	g.cluster.Admit(g.event, 1)
	s.sees("the turn is over", func(l *lineNow) bool { return uint32(l.served) > position })
	p := b.poll(s)
	if p.Room != "deferred" || p.State != "deferred" || *p.Position <= position || p.Token == "" {
		t.Fatalf("missed: %+v, was at %d", p, position)
	}
	if q := b.poll(s); q.Room != "deferred" && q.Room != "admitted" {
		t.Errorf("polled again: %+v", q)
	}
}

// TestAPauseAndALostLeaderAreSaidOnThePlace: within 2 s of being known to nobody.
func TestAPauseAndALostLeaderAreSaidOnThePlace(t *testing.T) {
	g := newGround(t, lined("evening"))
	s := g.serve(func(c *Config) { c.QuietMax = quietMax })
	b := newBrowser(t)
	b.join(s)
	if err := g.client.SetLine(t.Context(), g.event, command.LinePause, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "the pause is told", func() bool { return b.poll(s).Paused })
	if quietMax > 2*time.Second {
		t.Fatal("a silence is told too late")
	}
	g.clock.advance(2 * time.Second) // in which no member said anything
	if p := b.poll(s); !p.Leaderless || p.Number != 0 {
		t.Errorf("after 2 s of silence: %+v", p)
	}
	g.cluster.FailNext(&holdfast.Error{Kind: holdfast.Unavailable, Message: "no leader"}, 1000)
	late := newBrowser(t)
	a := late.api(s, "POST", "/api/v1/events/evening/line", map[string]any{})
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("joining without a leader: %d %s", a.status, a.body)
	}
}
