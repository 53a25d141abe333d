package frontend

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// The pages of the waiting room. They work without JavaScript: a page loads itself anew when its place said to.

// place gives the visitor's place in the line, if they have one that is still believed.
func (g *guest) place() (placeRequest, bool) {
	q := placeRequest{room: g.room, visitor: g.visitor, text: placeText(g.r, &g.visitor, g.room.ref.ID)}
	if q.text == "" {
		return q, false
	}
	t, err := openToken(q.text, g.room.pollKey, g.room.ref.ID)
	q.token = t
	return q, err == nil
}

// current gives the place; one whose token has run out is asked for again from the shard. A page must not lose a place
// because a phone slept.
func (g *guest) current() (placeRequest, bool) {
	q, ok := g.place()
	if !ok || q.token.fresh(g.s.now()) {
		return q, ok
	}
	q.visitor = g.visitor
	if err := g.s.confirmPlace(g.r.Context(), &q); err != nil {
		return q, false
	}
	q.text = g.s.reissue(g.w, g.r, &q)
	return q, true
}

// standOn is stand for a page: it lets nobody in, since a page may be fetched by whoever looks at links first.
func (g *guest) standOn(ctx context.Context, q *placeRequest) (standing, error) {
	st := stand(g.view.line, &q.token)
	if st.state == holdfast.PlaceAdmitted {
		// What they had inside may be over, and their turn have come again.
		var err error
		if st, err = g.s.inside(ctx, q, st); err != nil || st.state != holdfast.PlaceCalled {
			return st, err
		}
	}
	switch st.state {
	case holdfast.PlaceCalled:
		p, err := g.s.placeNow(ctx, q)
		if err != nil {
			return st, err
		}
		st.state, st.position, st.until = p.State, p.Position, p.Remaining
		if st.state == holdfast.PlaceWaiting || st.state == holdfast.PlaceMissed {
			st.state = holdfast.PlaceCalled // the form finds out
		}
	default:
		if q.token.State == tokenListed {
			return g.s.offered(ctx, q, st)
		}
	}
	return st, nil
}

func (s *Server) roomPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	if text := r.FormValue("place"); text != "" {
		g.comeBack(text)
		return
	}
	v := page.RoomView{Frame: g.frame, Event: g.head(), State: page.RoomOutside, Sale: g.view.sum(s.now()), Draw: g.draw(), Live: true}
	if g.view.line != nil {
		v.Paused = g.view.line.paused
	}
	if q, ok := g.current(); ok {
		st, err := g.standOn(r.Context(), &q)
		if err != nil {
			s.failIn(w, r, err, g.room.ref.ID)
			return
		}
		out := s.placeOut(&q, st)
		v.State, v.Place = roomOf(st, &g.view), pagePlace(&out)
		v.Refresh = int((out.NextPollMs + 999) / 1000)
	}
	if v.State == page.RoomOutside || v.State == page.RoomLeft {
		v.Join = g.join()
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Room(w, v) })
}

var pageOdds = map[odds]page.Odds{oddsUnknown: page.OddsUnknown, oddsLikely: page.OddsLikely, oddsPossible: page.OddsPossible, oddsUnlikely: page.OddsUnlikely, oddsNone: page.OddsUnlikely}

func pagePlace(out *placeOut) page.Place {
	p := page.Place{Number: out.Number, Ahead: out.Ahead, Served: out.Served, Issued: out.Issued, WaitLowMs: out.WaitMs[0], WaitHighMs: out.WaitMs[1],
		Odds: pageOdds[odds(out.Odds)], Cause: out.Cause, CallRemainingMs: out.CallRemainingMs, SessionRemainingMs: out.SessionRemainingMs, NextPollMs: out.NextPollMs}
	if out.Position != nil {
		p.Drawn, p.Position = true, *out.Position
	}
	return p
}

// draw is what is public about the draw.
func (g *guest) draw() *page.Draw {
	l, rules := g.view.line, &g.view.event.Spec.Line
	none := [32]byte{}
	if l == nil || l.commitment == none {
		return nil
	}
	d := &page.Draw{Commit: hex.EncodeToString(l.commitment[:]), AtMs: rules.DrawMs, Cohort: l.cohort, Drawn: l.drawn, Frozen: l.state >= holdfast.LineFrozen}
	if d.AtMs > 0 {
		d.AtInMs = max(0, d.AtMs-g.s.now().UnixMilli())
	}
	if l.chain != none {
		d.Root = hex.EncodeToString(l.chain[:])
	}
	if l.drawn {
		d.Seed = hex.EncodeToString(l.seed[:])
	}
	if rules.Beacon.Kind == holdfast.BeaconChain {
		d.Beacon = "a chain of signed rounds, key " + hex.EncodeToString(rules.Beacon.PublicKey[:8]) + "…"
		if l.round > 0 {
			d.Beacon += ", round " + strconv.FormatUint(l.round, 10)
		}
	}
	return d
}

// joinForm joins, or goes in for whoever is called.
func (s *Server) joinForm(w http.ResponseWriter, r *http.Request) {
	g, ok := s.form(w, r)
	if !ok {
		return
	}
	if g.room.who() == command.ByLink && g.visitor.account.kind != command.ByLink {
		s.signIn.sendLink(w, r)
		return
	}
	in := joinIn{Challenge: r.PostFormValue("challenge"), Work: r.PostFormValue("work"), Delay: r.PostFormValue("delay")}
	for _, field := range []string{"captcha", "h-captcha-response", "cf-turnstile-response", "g-recaptcha-response"} {
		if in.Captcha == "" {
			in.Captcha = r.PostFormValue(field)
		}
	}
	j, err := s.joining(w, r, &in)
	if err != nil {
		g.refuse(err, "/line")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), joinPatience)
	defer cancel()
	q, err := s.enter(ctx, r, &j, &in)
	if err != nil {
		g.refuse(err, "/line")
		return
	}
	if q.text == "" || !j.had {
		q.text = s.reissue(w, r, &q)
	}
	if q.given {
		s.mailWayBack(r, &q, q.text)
	}
	st, changed, err := s.advance(ctx, &q)
	if err != nil {
		g.refuse(err, "/line")
		return
	}
	if changed {
		s.reissue(w, r, &q)
	}
	if st.state == holdfast.PlaceAdmitted {
		g.see("/seats")
		return
	}
	g.see("/line")
}

func (s *Server) leaveForm(w http.ResponseWriter, r *http.Request) {
	g, ok := s.form(w, r)
	if !ok {
		return
	}
	if q, ok := g.current(); ok {
		if err := s.leave(r.Context(), &q); err != nil {
			g.refuse(err, "/line")
			return
		}
		s.mayComeAgain(w, &g.visitor, g.room.ref.ID)
		s.dropCookie(w, cookiePlace+strconv.FormatUint(uint64(g.room.ref.ID), 10))
		s.setNotice(w, page.NoticeInfo, "You left the line.")
	}
	g.see("")
}

// delayPage is the way into the line for whoever cannot do the work: the first visit begins the wait, the page loads
// itself anew when it is over, and then the place is there.
func (s *Server) delayPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	in := joinIn{Delay: r.FormValue("t")}
	j, err := s.joining(w, r, &in)
	if err != nil {
		g.refuse(err, "/line")
		return
	}
	left, good := checkDelay(j.room.workKey, j.room.ref.ID, j.key, s.now(), in.Delay)
	if !good {
		c := s.challenge(j.room, j.key)
		if c.Delay == "" {
			g.see("/line")
			return
		}
		http.Redirect(w, r, "/e/"+g.room.ref.Name+"/delay?t="+c.Delay, http.StatusSeeOther)
		return
	}
	if left > 0 {
		v := page.ErrorView{Frame: g.frame, Status: http.StatusOK, Title: "One moment, please",
			Message: "You join the line when this wait is over. Leave this page open; it goes on by itself.", Code: "challenge_wait", RetryAfterMs: ceilMs(left)}
		v.Refresh = int((left + time.Second - 1) / time.Second)
		g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Error(w, v) })
		return
	}
	q, err := s.enter(r.Context(), r, &j, &in)
	if err != nil {
		g.refuse(err, "/line")
		return
	}
	text := s.reissue(w, r, &q)
	if q.given {
		s.mailWayBack(r, &q, text)
	}
	g.see("/line")
}

// drawLimits are the limits of what the record proves.
var drawLimits = []string{
	"Anonymous people with many devices have many places: the draw is fair between places.",
	"Where no public randomness was used, the organizer is trusted not to have joined last with a chosen key.",
	"Who came after the draw stands in the order of arrival, as the shard's log has it; the record says nothing about how quickly requests reached it.",
}

func (s *Server) drawPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	d := g.draw()
	if d == nil {
		s.fail(w, r, notFound("draw: nothing has been committed to yet"))
		return
	}
	v := page.DrawView{Frame: g.frame, Event: g.head(), Draw: *d, RecordURL: "/api/v1/events/" + g.room.ref.Name + "/draw", Limits: drawLimits}
	if q, ok := g.place(); ok {
		v.Own = &page.OwnPlace{Number: uint32(q.token.Number), Key: hex.EncodeToString(q.token.Key[:]), Path: hexPath(q.token.Path)}
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Draw(w, v) })
}

func (s *Server) returnsPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	v := page.ReturnsView{Frame: g.frame, Event: g.head(), Sale: g.view.sum(s.now()), Tiers: g.tiers(), Sections: g.sections(), PerHold: g.perHold(),
		Wanted: page.Wanted{Count: 2, Tier: holdfast.AnyTier, Section: holdfast.AnySection}}
	if g.view.line != nil {
		v.Length = int(g.view.line.returns)
	}
	if q, ok := g.current(); ok {
		v.Joinable = true
		place, err := s.cfg.Client.Place(r.Context(), q.ref(), client.AllowStale())
		if err == nil && q.token.State == tokenListed && !place.Returns {
			place, err = s.cfg.Client.Place(r.Context(), q.ref()) // that member may not have heard that they joined the list
		}
		if err == nil {
			v.Joined, v.Ahead, v.AheadKnown = place.Returns, int(place.Rank), place.Returns
			if place.State == holdfast.PlaceOffered {
				if h, ok := g.openHold(r.Context()); ok {
					v.Offer = g.pageHold(h)
				}
			}
		}
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Returns(w, v) })
}

func (s *Server) returnsForm(w http.ResponseWriter, r *http.Request) {
	g, ok := s.form(w, r)
	if !ok {
		return
	}
	q, ok := g.current()
	if !ok {
		g.refuse(errTokenMissing, "/line")
		return
	}
	var err error
	if r.PostFormValue("action") == "leave" {
		err = s.cfg.Client.LeaveReturns(r.Context(), g.room.ref, q.token.Key.Buyer())
	} else {
		in := bestForm(r)
		if _, err = s.joinReturns(r.Context(), &q, returnsIn{Count: in.Count, Tier: in.Tier, Section: in.Section}); err == nil {
			s.reissue(w, r, &q)
		}
	}
	if err != nil {
		g.refuse(err, "/returns")
		return
	}
	g.see("/returns")
}
