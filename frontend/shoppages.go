package frontend

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
)

// The pages of the shop: events, seats, checkout, orders.

// listMax bounds the events of the list that are looked at closely: each is a watch.
const listMax = 50

func (s *Server) listPage(w http.ResponseWriter, r *http.Request) {
	list, err := s.rooms.known.all(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	g := s.guest(w, r)
	v := page.ListView{Frame: g.frame}
	for _, e := range list[:min(len(list), listMax)] {
		c, err := s.rooms.named(r.Context(), e.Name)
		if err != nil {
			continue // it is being created, or too many are looked at: the others are shown
		}
		g.room, g.view = c, c.board.look(s.now())
		listed := page.ListedEvent{EventHead: g.head(), Sale: g.view.sum(s.now())}
		for i, t := range g.view.event.Spec.Tiers {
			if i == 0 || t.PriceMinor < listed.From.AmountMinor {
				listed.From = g.money(t.PriceMinor)
			}
		}
		v.Events = append(v.Events, listed)
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.List(w, v) })
}

func (g *guest) perHold() int { return int(g.view.event.Spec.Rules.WithDefaults().SeatsPerHold) }

func (s *Server) eventPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	v := page.EventView{Event: g.head(), Sale: g.view.sum(s.now()), Tiers: g.tiers(), HasLine: g.view.event.Spec.Line.Enabled,
		PerBuyer: int(g.view.event.Spec.Rules.SeatsPerBuyer), BuyerIs: identityStrength[g.view.event.Spec.Line.Who], PerHold: g.perHold(), Draw: g.draw()}
	if q, ok := g.place(); ok && v.HasLine {
		v.InLine = true
		v.Admitted = stand(g.view.line, &q.token).state == holdfast.PlaceAdmitted
	} else if v.HasLine {
		v.Join = g.join()
	}
	if h, ok := g.openHold(r.Context()); ok {
		v.Hold = g.pageHold(h)
	}
	v.Frame = g.frame
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Event(w, v) })
}

// openHold gives the visitor's hold in this event, if it is still open: the one that the browser made last, or one that
// the line knows of, as an offer.
func (g *guest) openHold(ctx context.Context) (client.Hold, bool) {
	key, err := g.s.keyOf(g.r, &g.visitor, g.room)
	if err != nil {
		return client.Hold{}, false
	}
	if c, err := g.r.Cookie(cookieHold); err == nil {
		id, event, err := parseName(g.r, "hold_", c.Value)
		if err == nil && event == g.room.ref.ID.String() {
			if h, ok := g.ownOpen(ctx, key, id); ok {
				return h, true
			}
		}
	}
	if !g.view.event.Spec.Line.Enabled {
		return client.Hold{}, false
	}
	visitor, err := g.s.cfg.Client.Visitor(ctx, g.room.ref, key.Buyer(), client.AllowStale())
	if err != nil || len(visitor.Holds) == 0 {
		return client.Hold{}, false
	}
	h, ok := g.ownOpen(ctx, key, visitor.Holds[0])
	if ok {
		g.s.rememberHold(g.w, g.room, h.ID)
	}
	return h, ok
}

func (g *guest) ownOpen(ctx context.Context, key holdfast.PlaceKey, id holdfast.HoldID) (client.Hold, bool) {
	h, err := g.s.cfg.Client.GetHold(ctx, g.room.ref, id)
	return h, err == nil && h.Buyer == key.Buyer() && h.State != holdfast.HoldSold
}

func (s *Server) seatsPage(w http.ResponseWriter, r *http.Request) {
	g, ok := s.eventGuest(w, r)
	if !ok {
		return
	}
	spec := &g.view.event.Spec
	v := page.SeatsView{Frame: g.frame, Event: g.head(), Sale: g.view.sum(s.now()), Tiers: g.tiers(), Sections: g.sections(), Revision: g.view.revision,
		PerHold: g.perHold(), Left: -1, TakesCode: len(spec.Allocations) > 0, Wanted: wanted(r)}
	if spec.Line.Enabled {
		v.ReadOnly = true
		if q, ok := g.current(); ok {
			st, err := g.standOn(r.Context(), &q)
			if err == nil && (st.state == holdfast.PlaceAdmitted || st.state == holdfast.PlaceOffered) {
				v.ReadOnly, v.SessionRemainingMs = false, st.until.Milliseconds()
			}
		}
	}
	if h, ok := g.openHold(r.Context()); ok {
		v.Hold = g.pageHold(h)
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Seats(w, v) })
}

// wanted reads what the form of "best available" is to be filled with.
func wanted(r *http.Request) page.Wanted {
	v := page.Wanted{Count: 2, Tier: holdfast.AnyTier, Section: holdfast.AnySection}
	if n, err := strconv.ParseUint(r.FormValue("section"), 10, 16); err == nil {
		v.Section = holdfast.SectionIndex(n)
	}
	if n, err := strconv.ParseUint(r.FormValue("tier"), 10, 8); err == nil {
		v.Tier = holdfast.TierIndex(n)
	}
	return v
}

// bestForm reads the form of "best available".
func bestForm(r *http.Request) bestIn {
	number := func(field string) *int {
		if n, err := strconv.Atoi(r.PostFormValue(field)); err == nil {
			return &n
		}
		return nil
	}
	in := bestIn{Tier: number("tier"), Section: number("section")}
	if n := number("count"); n != nil {
		in.Count = *n
	}
	return in
}

// wish is what the form asks for: the best seats, or, in a section without seats, as many places.
func (g *guest) wish() holdIn {
	best, code := bestForm(g.r), g.r.PostFormValue("code")
	spec := &g.view.event.Spec
	if best.Section != nil && *best.Section >= 0 && *best.Section < len(spec.Sections) && spec.Sections[*best.Section].General() {
		return holdIn{General: &generalIn{Section: *best.Section, Count: best.Count}, Code: code}
	}
	if best.Section == nil {
		// An event with nothing but places has no best seats.
		for i := range spec.Sections {
			if !spec.Sections[i].General() {
				return holdIn{Best: &best, Code: code}
			}
		}
		return holdIn{General: &generalIn{Section: 0, Count: best.Count}, Code: code}
	}
	return holdIn{Best: &best, Code: code}
}

// holdForm holds the best available, or swaps what is held for it.
func (s *Server) holdForm(w http.ResponseWriter, r *http.Request) {
	g, ok := s.form(w, r)
	if !ok {
		return
	}
	o, err := s.ownerOf(r, g.room.ref.Name)
	if err != nil {
		g.refuse(err, "/seats")
		return
	}
	var h client.Hold
	if old, ok := g.openHold(r.Context()); ok {
		h, err = s.swap(r, o, old.ID, g.wish())
	} else {
		h, err = s.hold(r.Context(), o, g.wish(), repeat{})
	}
	switch {
	case errors.Is(err, holdfast.SessionRequired):
		g.refuse(err, "/line")
	case errors.Is(err, holdfast.SoldOut):
		g.refuse(err, "/returns")
	case err != nil:
		g.refuse(err, "/seats")
	default:
		s.rememberHold(w, g.room, h.ID)
		g.see("/checkout")
	}
}

func (s *Server) releaseForm(w http.ResponseWriter, r *http.Request) {
	g, ok := s.form(w, r)
	if !ok {
		return
	}
	o, err := s.ownerOf(r, g.room.ref.Name)
	if h, held := g.openHold(r.Context()); err == nil && held {
		err = s.release(r.Context(), o, h.ID)
	}
	if err != nil {
		g.refuse(err, "/checkout")
		return
	}
	s.setNotice(w, page.NoticeGood, "The seats went back. Nothing was charged.")
	g.see("/seats")
}

func (s *Server) orderPage(w http.ResponseWriter, r *http.Request) {
	c, order, err := s.orderRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	g := s.guest(w, r)
	g.room, g.view = c, c.board.look(s.now())
	v := page.OrderView{Frame: g.frame, Event: g.head(), Order: order.ID, State: pageOrderStates[order.State], Total: order.Amount,
		Refunded: g.money(order.RefundedMinor + order.OwedMinor), BoughtMs: order.SoldAt.UnixMilli()}
	if order.Disputed {
		v.State = page.OrderDisputed
	}
	if v.State == page.OrderCapturing {
		v.Refresh = 3
	}
	if h, err := s.unpaidHold(r.Context(), c, order); err == nil && order.State == holdfast.OrderUnpaid {
		v.PayAgain, v.PayAgainRemainingMs = &page.Link{Text: "Pay again", URL: s.orderPays(c.ref.ID, order.ID)}, h.Remaining.Milliseconds()
	}
	for _, l := range order.Lines {
		line := page.Line{Text: lineTexts[l.Kind], Amount: g.money(l.AmountMinor)}
		if l.Kind == holdfast.LineSeats {
			line.Count = len(order.Seats)
		}
		v.Lines = append(v.Lines, line)
	}
	if len(order.Lines) == 0 {
		v.Lines = []page.Line{{Text: lineTexts[holdfast.LineSeats], Count: len(order.Seats), Amount: order.Amount}}
	}
	tickets, err := s.ticketsOf(c, order)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for i, t := range tickets {
		v.Tickets = append(v.Tickets, page.Ticket{Seat: g.seats(order.Seats[i : i+1])[0], Code: t.Code, QR: []byte(t.QR), Why: capital(t.Why)})
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Order(w, v) })
}

var pageOrderStates = map[holdfast.OrderState]page.OrderState{holdfast.OrderCapturing: page.OrderCapturing, holdfast.OrderPaid: page.OrderPaid,
	holdfast.OrderUnpaid: page.OrderUnpaid, holdfast.OrderRefunded: page.OrderRefunded, holdfast.OrderCancelled: page.OrderCancelled}

func (s *Server) findPage(w http.ResponseWriter, r *http.Request) {
	g := s.guest(w, r)
	v := page.FindView{Frame: g.frame}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Find(w, v) })
}

// findForm mails links to the orders of an address. It answers the same whether there are any.
func (s *Server) findForm(w http.ResponseWriter, r *http.Request) {
	g := s.guest(w, r)
	if err := s.checkCSRF(&g.visitor, r.PostFormValue("csrf")); err != nil {
		s.fail(w, r, err)
		return
	}
	v := page.FindView{Frame: g.frame, Mail: strings.TrimSpace(r.PostFormValue("mail"))}
	in := checkoutIn{Mail: v.Mail, Name: "x"}
	address, err := in.check()
	if err != nil {
		v.Errors = map[string]string{"mail": "This is not a mail address."}
	} else if err = s.finder.ask(r.Context(), address); err != nil {
		s.fail(w, r, err)
		return
	} else {
		v.Sent = true
	}
	g.show(http.StatusOK, func(w io.Writer) error { return s.pages.Find(w, v) })
}
