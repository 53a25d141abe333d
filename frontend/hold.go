package frontend

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// holdIn is what is asked for: one or more of best, seats and general, all of them or none.
type holdIn struct {
	Best       *bestIn              `json:"best"`
	Seats      []holdfast.SeatIndex `json:"seats"`
	General    *generalIn           `json:"general"`
	Allocation string               `json:"allocation"` // a name; empty: public
	Code       string               `json:"code"`       // that opens the allocation
}

type bestIn struct {
	Count   int  `json:"count"`
	Tier    *int `json:"tier"`
	Section *int `json:"section"`
	Apart   bool `json:"apart"` // take them even when they are not side by side
}

type generalIn struct {
	Section int `json:"section"`
	Count   int `json:"count"`
}

// holdOut is a hold as its buyer sees it.
type holdOut struct {
	ID          string         `json:"id"`
	Event       string         `json:"event"`
	State       string         `json:"state"`
	Seats       []seatOut      `json:"seats"`
	Amount      holdfast.Money `json:"amount"`
	DeadlineMs  int64          `json:"deadline_ms"`
	RemainingMs int64          `json:"remaining_ms"`
	Attempt     uint32         `json:"attempt,omitempty"`
	Allowance   *int           `json:"allowance,omitempty"` // how many more the buyer may have
	Index       uint64         `json:"index"`               // of the shard's log, where this was true
}

type seatOut struct {
	Index      holdfast.SeatIndex `json:"index"`
	Label      string             `json:"label"`
	Section    string             `json:"section"`
	Row        string             `json:"row,omitempty"`
	Number     string             `json:"number,omitempty"`
	Tier       string             `json:"tier"`
	PriceMinor int64              `json:"price_minor"`
}

// holdName is how a hold is called in the API: its id and its event's number, so that any frontend finds the shard.
func holdName(event holdfast.EventID, hold holdfast.HoldID) string {
	return hold.String() + "." + strconv.FormatUint(uint64(event), 10)
}

// cookieHold names the hold that the browser made last: pages find it, and name it without its event.
const cookieHold = "hf_hold"

// parseName reads what holdName writes, with either prefix. Without a number it is the event that the request names, or
// in which the browser held last.
func parseName(r *http.Request, prefix, text string) (id [16]byte, event string, err error) {
	name, number, numbered := strings.Cut(text, ".")
	digits, ok := strings.CutPrefix(name, prefix)
	raw, bad := hex.DecodeString(digits)
	if !ok || bad != nil || len(raw) != len(id) {
		return id, "", notFound(strings.TrimSuffix(prefix, "_"))
	}
	copy(id[:], raw)
	switch {
	case numbered:
		event = "evt_" + number
	case r.FormValue("event") != "":
		event = r.FormValue("event")
	default:
		if c, err := r.Cookie(cookieHold); err == nil {
			if _, number, ok := strings.Cut(c.Value, "."); ok {
				event = "evt_" + number
			}
		}
	}
	if event == "" {
		return id, "", invalid("event", "which event? name it as ?event=NAME")
	}
	return id, event, nil
}

// owner is who asks about a hold of an event: the room and the buyer.
type owner struct {
	room  *room
	key   holdfast.PlaceKey
	buyer holdfast.BuyerID
}

// ownerOf finds out who asks, from the place's token or from who the visitor is.
func (s *Server) ownerOf(r *http.Request, event string) (owner, error) {
	c, err := s.rooms.named(r.Context(), event)
	if err != nil {
		return owner{}, err
	}
	v := s.visitor(r)
	key, err := s.keyOf(r, &v, c)
	if err != nil {
		return owner{}, err
	}
	o := owner{room: c, key: key, buyer: key.Buyer()}
	if wait, ok := s.perSession.take(o.buyer); !ok {
		s.limited.Add(1)
		return owner{}, &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: wait, Message: "too many requests in a moment; nothing was changed, and your seats stay yours"}
	}
	return o, nil
}

// keyOf gives the visitor's key in an event: that of a token, or the visitor's own.
func (s *Server) keyOf(r *http.Request, v *visitor, c *room) (holdfast.PlaceKey, error) {
	if text := placeText(r, v, c.ref.ID); text != "" {
		t, err := openToken(text, c.pollKey, c.ref.ID)
		switch {
		case err == nil && t.fresh(s.now()):
			return t.Key, nil
		case v.bearer != "" && err == nil:
			return holdfast.PlaceKey{}, errTokenExpired
		case v.bearer != "":
			return holdfast.PlaceKey{}, err
		}
	}
	return s.placeKey(v, c.ref.ID, c.who())
}

// who is the kind of identity that the event counts on.
func (c *room) who() command.Identity {
	c.board.mu.RLock()
	defer c.board.mu.RUnlock()
	return c.board.event.Spec.Line.Who
}

// wants translates what is asked for. The shard checks it again; here a mistake gets a field's name.
func (in *holdIn) wants() (wants []command.Want, err error) {
	count := func(field string, n int) (uint8, error) {
		if n < 1 || n > holdfast.UnitsPerHoldMax {
			return 0, invalid(field, "%d, 1 to %d", n, holdfast.UnitsPerHoldMax)
		}
		return uint8(n), nil
	}
	if b := in.Best; b != nil {
		w := command.Want{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Adjacent: !b.Apart}
		if w.Count, err = count("best.count", b.Count); err != nil {
			return nil, err
		}
		if b.Section != nil {
			if *b.Section < 0 || *b.Section >= int(holdfast.AnySection) {
				return nil, invalid("best.section", "there is no section %d", *b.Section)
			}
			w.Section = holdfast.SectionIndex(*b.Section)
		}
		if b.Tier != nil {
			if *b.Tier < 0 || *b.Tier >= int(holdfast.AnyTier) {
				return nil, invalid("best.tier", "there is no tier %d", *b.Tier)
			}
			w.Tier = holdfast.TierIndex(*b.Tier)
		}
		wants = append(wants, w)
	}
	if len(in.Seats) > holdfast.UnitsPerHoldMax {
		return nil, invalid("seats", "%d, at most %d", len(in.Seats), holdfast.UnitsPerHoldMax)
	}
	if len(in.Seats) > 0 {
		wants = append(wants, command.Want{Kind: command.WantSeats, Seats: in.Seats})
	}
	if g := in.General; g != nil {
		w := command.Want{Kind: command.WantGeneral}
		if w.Count, err = count("general.count", g.Count); err != nil {
			return nil, err
		}
		if g.Section < 0 || g.Section >= int(holdfast.AnySection) {
			return nil, invalid("general.section", "there is no section %d", g.Section)
		}
		w.Section = holdfast.SectionIndex(g.Section)
		wants = append(wants, w)
	}
	if len(wants) == 0 {
		return nil, invalid("seats", "name seats, or how many of the best, or how many in a section")
	}
	return wants, nil
}

// allocation finds the part of the house that is asked for. All but the public one are opened by a code.
func (s *Server) allocation(c *room, in *holdIn) (holdfast.AllocationIndex, error) {
	name := in.Allocation
	if in.Code != "" {
		if opened := s.cfg.Codes[c.ref.Name][in.Code]; opened != "" && (name == "" || name == opened) {
			name = opened
		} else {
			return 0, &refusal{http.StatusForbidden, "code_invalid", "this code opens nothing here; nothing was taken", "code", 0}
		}
	} else if name != "" && name != "public" {
		return 0, &refusal{http.StatusForbidden, "code_required", "these seats are set apart; a code opens them", "code", 0}
	}
	if name == "" || name == "public" {
		return holdfast.Public, nil
	}
	for i, a := range c.board.look(s.now()).event.Spec.Allocations {
		if a.Name == name {
			return holdfast.AllocationIndex(i + 1), nil
		}
	}
	return 0, invalid("allocation", "there is no allocation %q", name)
}

// hold makes a hold for an owner. A repetition of a request finds the hold that the first one made.
func (s *Server) hold(ctx context.Context, o owner, in holdIn, again repeat) (client.Hold, error) {
	wants, err := in.wants()
	if err != nil {
		return client.Hold{}, err
	}
	allocation, err := s.allocation(o.room, &in)
	if err != nil {
		return client.Hold{}, err
	}
	clock := o.room.board.hour(s.now())
	for try := 1; ; try++ {
		h, err := s.cfg.Client.Hold(ctx, client.HoldRequest{ID: again.id(clock), Event: o.room.ref, Buyer: o.buyer, Allocation: allocation, Wants: wants})
		var no *client.Refusal
		if err == nil || !errors.As(err, &no) {
			return h, err
		}
		switch {
		case no.Outcome == holdfast.BuyerHasHold && again.made(no.Hold):
			return s.cfg.Client.GetHold(ctx, o.room.ref, no.Hold)
		case again.given && try == 1 && (no.Outcome == holdfast.CommandExpired || no.Outcome == holdfast.CommandTooFar):
			clock = no.Stamp.Clock // this frontend's idea of the clock was off
			continue
		}
		return h, err
	}
}

// hour is the shard's hold clock, as far as it is known here.
func (b *board) hour(now time.Time) holdfast.Clock {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.clock == 0 {
		return b.event.Stamp.Clock
	}
	return b.clock.Add(min(max(now.Sub(b.clockAt), 0), staleMax))
}

func (s *Server) postHold(w http.ResponseWriter, r *http.Request) {
	v := s.visitor(r)
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if v.bearer == "" && c.who() == command.Anonymous && !v.known {
		s.greet(w, &v) // an event without a line asks nothing first
		r.AddCookie(&http.Cookie{Name: cookieVisitor, Value: b64.EncodeToString(v.secret[:])})
	}
	o, err := s.ownerOf(r, r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var in holdIn
	if err := read(r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	again, err := s.repeatOf(r, o.room.ref.ID, o.buyer)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h, err := s.hold(r.Context(), o, in, again)
	if err != nil {
		s.failIn(w, r, err, o.room.ref.ID)
		return
	}
	s.rememberHold(w, o.room, h.ID)
	s.json(w, http.StatusCreated, s.holdOut(o.room, h, true))
}

// rememberHold notes which hold the browser made last.
func (s *Server) rememberHold(w http.ResponseWriter, c *room, id holdfast.HoldID) {
	s.setCookie(w, cookieHold, holdName(c.ref.ID, id), visitorLife)
}

func (s *Server) holdOut(c *room, h client.Hold, allowed bool) holdOut {
	v := c.board.look(s.now())
	out := holdOut{ID: holdName(c.ref.ID, h.ID), Event: c.ref.Name, State: h.State.String(), Seats: seatsOut(v, h.Seats), Amount: h.Amount,
		RemainingMs: promised(h).Milliseconds(), DeadlineMs: s.now().Add(promised(h)).UnixMilli(), Attempt: uint32(h.Attempt), Index: h.Stamp.Index}
	if allowed && v.event.Spec.Rules.SeatsPerBuyer > 0 {
		out.Allowance = &h.Allowance
	}
	return out
}

func seatsOut(v view, seats []holdfast.SeatIndex) []seatOut {
	out := make([]seatOut, 0, len(seats))
	for _, unit := range seats {
		out = append(out, seatOutOf(v, unit))
	}
	return out
}

func seatOutOf(v view, unit holdfast.SeatIndex) seatOut {
	out := seatOut{Index: unit, Label: v.event.Layout.Label(unit)}
	place, ok := v.event.Layout.Place(unit)
	_, tier, known := v.geometry.of(unit)
	if !ok || !known {
		return out
	}
	sec := &v.event.Spec.Sections[place.Section]
	out.Section, out.Tier, out.PriceMinor = sec.Name, v.event.Spec.Tiers[tier].Name, v.event.Spec.Tiers[tier].PriceMinor
	if !sec.General() {
		row := &sec.Rows[place.Row]
		out.Row, out.Number = row.Label, strconv.FormatUint(uint64(row.First)+uint64(place.Seat), 10)
	}
	return out
}

// holdRequest reads the hold that the path names, and who asks about it.
func (s *Server) holdRequest(r *http.Request) (owner, holdfast.HoldID, error) {
	id, event, err := parseName(r, "hold_", r.PathValue("hold"))
	if err != nil {
		return owner{}, id, err
	}
	o, err := s.ownerOf(r, event)
	return o, id, err
}

// ownHold reads a hold for its owner. Of others' it says no more than that they are not yours.
func (s *Server) ownHold(ctx context.Context, o owner, id holdfast.HoldID) (client.Hold, error) {
	h, err := s.cfg.Client.GetHold(ctx, o.room.ref, id)
	if err == nil && h.Buyer != o.buyer {
		return client.Hold{}, &client.Refusal{Op: "get hold", Outcome: holdfast.HoldNotYours}
	}
	return h, err
}

func (s *Server) getHold(w http.ResponseWriter, r *http.Request) {
	o, id, err := s.holdRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h, err := s.ownHold(r.Context(), o, id)
	if err != nil {
		s.failIn(w, r, err, o.room.ref.ID)
		return
	}
	s.json(w, http.StatusOK, s.holdOut(o.room, h, false))
}

// patchHold gives a hold other seats, or changes nothing.
func (s *Server) patchHold(w http.ResponseWriter, r *http.Request) {
	o, id, err := s.holdRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var in holdIn
	if err := read(r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	h, err := s.swap(r, o, id, in)
	if err != nil {
		s.failIn(w, r, err, o.room.ref.ID)
		return
	}
	s.json(w, http.StatusOK, s.holdOut(o.room, h, true))
}

func (s *Server) swap(r *http.Request, o owner, id holdfast.HoldID, in holdIn) (client.Hold, error) {
	again, err := s.repeatOf(r, o.room.ref.ID, o.buyer)
	if err != nil {
		return client.Hold{}, err
	}
	wants, err := in.wants()
	if err != nil {
		return client.Hold{}, err
	}
	allocation, err := s.allocation(o.room, &in)
	if err != nil {
		return client.Hold{}, err
	}
	return s.cfg.Client.Swap(r.Context(), client.SwapRequest{ID: again.id(o.room.board.hour(s.now())), Event: o.room.ref, Buyer: o.buyer, Hold: id, Allocation: allocation, Wants: wants})
}

// deleteHold gives the seats back. A hold that is over already is as good.
func (s *Server) deleteHold(w http.ResponseWriter, r *http.Request) {
	o, id, err := s.holdRequest(r)
	if err == nil {
		err = s.release(r.Context(), o, id)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) release(ctx context.Context, o owner, id holdfast.HoldID) error {
	err := s.cfg.Client.Release(ctx, client.HoldRef{Event: o.room.ref, Buyer: o.buyer, Hold: id})
	if errors.Is(err, holdfast.HoldReleased) || errors.Is(err, holdfast.HoldLapsed) {
		return nil
	}
	return err
}
