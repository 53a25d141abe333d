package frontend

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/frontend/page"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// lineNow is what is known of a line: what the watch says of it, and, read once when that changes its state, what places
// are computed from.
type lineNow struct {
	state    holdfast.LineState
	paused   bool
	issued   uint32
	served   holdfast.Position
	sessions uint32
	returns  uint32
	round    uint64 // of the beacon

	cohort     uint32
	commitment [32]byte
	chain      [32]byte
	seed       [32]byte
	drawn      bool // seed and cohort are known here
}

// lineOut is a line for everybody.
type lineOut struct {
	State      string `json:"state"`
	Paused     bool   `json:"paused"`
	Leaderless bool   `json:"leaderless"`
	Issued     uint32 `json:"issued"`
	Served     uint32 `json:"served"`
	Sessions   uint32 `json:"sessions"`
	Cohort     uint32 `json:"cohort,omitempty"`
	OpensMs    int64  `json:"opens_ms,omitempty"`
	DrawMs     int64  `json:"draw_ms,omitempty"`
	Commitment string `json:"commitment,omitempty"`
	Chain      string `json:"chain,omitempty"` // R, once frozen: two of them for one event would prove fraud
	Seed       string `json:"seed,omitempty"`
}

func lineOutOf(v view) lineOut {
	rules := &v.event.Spec.Line
	out := lineOut{State: holdfast.LineClosed.String(), Leaderless: v.leaderless, OpensMs: rules.OpensMs, DrawMs: rules.DrawMs}
	l := v.line
	if l == nil {
		return out
	}
	out.State, out.Paused, out.Issued, out.Served, out.Sessions, out.Cohort = l.state.String(), l.paused, l.issued, uint32(l.served), l.sessions, l.cohort
	none := [32]byte{}
	if l.commitment != none {
		out.Commitment = hex.EncodeToString(l.commitment[:])
	}
	if l.chain != none {
		out.Chain = hex.EncodeToString(l.chain[:])
	}
	if l.drawn {
		out.Seed = hex.EncodeToString(l.seed[:])
	}
	return out
}

// placeOut is a visitor's place. Room, paused, leaderless and sale say together what a page about it looks like.
type placeOut struct {
	Number     uint32   `json:"number"`
	State      string   `json:"state"` // what became of the place: one word, always
	Room       string   `json:"room"`
	Position   *uint32  `json:"position"` // null before the draw
	Ahead      int64    `json:"ahead"`    // -1: nobody can know yet
	Served     uint32   `json:"served"`
	Issued     uint32   `json:"issued"`
	Token      string   `json:"token,omitempty"` // when there is a new one
	Key        string   `json:"key,omitempty"`   // in the answer to joining: what the draw was made of
	Index      *uint16  `json:"index,omitempty"` // in its block
	Path       []string `json:"path,omitempty"`
	NextPollMs int64    `json:"next_poll_ms"`
	Odds       string   `json:"odds"`
	WaitMs     [2]int64 `json:"wait_ms"` // both 0: unknown
	Cause      string   `json:"cause,omitempty"`
	Paused     bool     `json:"paused"`
	Leaderless bool     `json:"leaderless"`
	Sale       string   `json:"sale"`
	Chain      string   `json:"chain,omitempty"`

	CallRemainingMs    int64  `json:"call_remaining_ms,omitempty"`
	SessionRemainingMs int64  `json:"session_remaining_ms,omitempty"`
	Hold               string `json:"hold,omitempty"` // that waits for the buyer: an offer, or an open one
}

// standing is a place as the server works with it.
type standing struct {
	state    holdfast.PlaceState
	drawn    bool
	position holdfast.Position
	until    time.Duration // of the turn or the session; 0: nothing ends, or it is not known
	hold     holdfast.HoldID
	retry    time.Duration // when the cluster said to ask again; 0: it did not
}

// stand computes where a place stands, from its token and the feed alone. This is what a poll costs.
func stand(l *lineNow, t *token) standing {
	st := standing{state: holdfast.PlaceWaiting}
	if l == nil || !l.drawn {
		return st
	}
	st.drawn, st.position = true, t.Position
	if t.Position == noPosition {
		st.position = draw.Position(l.seed, l.cohort, t.Number, t.Key)
	}
	switch {
	case t.State == tokenAdmitted:
		st.state = holdfast.PlaceAdmitted
	case st.position < l.served:
		st.state = holdfast.PlaceCalled
	case t.State == tokenDeferred, t.State == tokenListed && t.Position != noPosition:
		st.state = holdfast.PlaceDeferred
	}
	return st
}

// roomOf says which page the standing is.
func roomOf(st standing, v *view) page.RoomState {
	switch st.state {
	case holdfast.PlaceAdmitted, holdfast.PlaceOffered:
		return page.RoomAdmitted
	case holdfast.PlaceFinished:
		return page.RoomDone
	case holdfast.PlaceLeft:
		return page.RoomLeft
	}
	switch {
	case v.sale == holdfast.SaleClosed || v.line != nil && v.line.state == holdfast.LineOver:
		return page.RoomOver
	case v.current && v.stock.gone() && v.event.Spec.Units() > 0:
		return page.RoomSoldOut
	}
	switch st.state {
	case holdfast.PlaceCalled, holdfast.PlaceMissed:
		return page.RoomTurn
	case holdfast.PlaceDeferred:
		return page.RoomDeferred
	case holdfast.PlaceLapsed:
		return page.RoomBehind
	}
	if !st.drawn {
		return page.RoomEarly
	}
	return page.RoomWaiting
}

// placeRequest is a request about a place: the room, the visitor, and the token with its text.
type placeRequest struct {
	room    *room
	visitor visitor
	token   token
	text    string
	given   bool // the place was given by this request
}

func (s *Server) placeRequest(r *http.Request) (q placeRequest, err error) {
	if q.room, err = s.rooms.named(r.Context(), r.PathValue("event")); err != nil {
		return q, err
	}
	q.visitor = s.visitor(r)
	if q.text = placeText(r, &q.visitor, q.room.ref.ID); q.text == "" {
		return q, errTokenMissing
	}
	if q.token, err = openToken(q.text, q.room.pollKey, q.room.ref.ID); err == nil && !q.token.fresh(s.now()) {
		err = errTokenExpired
	}
	return q, err
}

// getPlace answers a poll: for whoever waits from what is known here, at no cost to the cluster. Whoever is called is let
// in by it.
func (s *Server) getPlace(w http.ResponseWriter, r *http.Request) {
	q, err := s.placeRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	st, changed, err := s.advance(r.Context(), &q)
	if err != nil {
		s.failIn(w, r, err, q.room.ref.ID)
		return
	}
	out := s.placeOut(&q, st)
	if changed || q.token.due(s.now()) {
		out.Token = s.reissue(w, r, &q)
	}
	s.json(w, http.StatusOK, out)
}

// reissue gives the visitor a fresh token for the place as it is now.
func (s *Server) reissue(w http.ResponseWriter, r *http.Request, q *placeRequest) string {
	text := q.token.issue(q.room.pollKey, s.keys.mine(), s.now())
	if q.visitor.bearer == "" {
		s.setPlace(w, r, q.room.ref.ID, text)
	}
	return text
}

// advance brings a place as far as it can come: in, when it is called. changed reports that the token says something
// else now.
func (s *Server) advance(ctx context.Context, q *placeRequest) (st standing, changed bool, err error) {
	st = stand(q.room.board.line.Load(), &q.token)
	before, over := q.token, q.room.over(s.now())
	if before.State != tokenAdmitted && over {
		st, err = s.outcome(ctx, q, st)
		return st, false, err
	}
	if st.state == holdfast.PlaceAdmitted {
		if st, err = s.inside(ctx, q, st); err != nil || over {
			return st, false, err
		}
		if st.state == holdfast.PlaceCalled {
			// What they had inside is over, and it is their turn again.
			q.token.State, q.token.Position = tokenDeferred, st.position
		}
	}
	switch st.state {
	case holdfast.PlaceCalled:
		// It matters: the signature is checked, and the shard checks the path.
		if err := s.believe(ctx, q); err != nil {
			return st, false, err
		}
		st, err = s.redeem(ctx, q, st)
	case holdfast.PlaceWaiting, holdfast.PlaceDeferred:
		if before.State == tokenListed {
			st, err = s.offered(ctx, q, st)
		}
		if before.State != tokenAdmitted {
			return st, false, err
		}
	}
	switch st.state {
	case holdfast.PlaceAdmitted, holdfast.PlaceOffered:
		q.token.State = tokenAdmitted
	case holdfast.PlaceDeferred, holdfast.PlaceLapsed:
		q.token.State, q.token.Position = tokenDeferred, st.position
	}
	return st, before.State != q.token.State || before.Position != q.token.Position, err
}

// over reports whether nobody is called any more, for good.
func (c *room) over(now time.Time) bool {
	v := c.board.glance(now)
	return v.sale == holdfast.SaleClosed || v.line != nil && v.line.state == holdfast.LineOver
}

// outcome asks what became of a place in the end: from the feed alone that cannot be told.
func (s *Server) outcome(ctx context.Context, q *placeRequest, st standing) (standing, error) {
	place, err := s.placeNow(ctx, q)
	if errors.Is(err, holdfast.NotFound) {
		return st, errTokenInvalid
	} else if err != nil {
		return st, err
	}
	st.state, st.position = place.State, place.Position
	return st, nil
}

// believe checks a token when it matters. Its MAC was found right, so a frontend of this fleet made it; when the signature
// is by a key that the directory does not have, or not here yet, that frontend was new and may be dead by now. Nobody loses
// the place for that: the shard is asked whether it is what the token says.
func (s *Server) believe(ctx context.Context, q *placeRequest) error {
	err := s.keys.verify(ctx, &q.token, q.text)
	if !errors.Is(err, errSignerUnknown) {
		return err
	}
	if err = s.confirmPlace(ctx, q); errors.Is(err, holdfast.NotFound) {
		return errTokenInvalid
	}
	return err
}

// redeem asks the shard to let the visitor in.
func (s *Server) redeem(ctx context.Context, q *placeRequest, st standing) (standing, error) {
	a, err := s.cfg.Client.Redeem(ctx, q.ref())
	var no *client.Refusal
	switch {
	case err == nil:
		st.state, st.until = holdfast.PlaceAdmitted, a.Remaining
		return st, nil
	case !errors.As(err, &no):
		return st, err
	}
	switch no.Outcome {
	case holdfast.TurnMissed:
		st.state, st.position = holdfast.PlaceDeferred, no.Turn.Position
	case holdfast.TurnAwaited:
		// The place was put back before, which this token does not know yet.
		if no.Turn.Position != st.position {
			st.state, st.position = holdfast.PlaceDeferred, no.Turn.Position
		} else {
			st.state = holdfast.PlaceWaiting // the feed was a moment ahead of the shard
		}
	case holdfast.SessionsFull, holdfast.LinePaused:
		st.retry = max(no.RetryAfter, pollMin)
	case holdfast.PlaceSpent:
		return s.spent(ctx, q, st)
	case holdfast.PlaceUnproven:
		return st, errTokenInvalid
	default:
		return st, err
	}
	return st, nil
}

// ref is the place with what the shard checks.
func (q *placeRequest) ref() client.PlaceRef {
	return client.PlaceRef{Event: q.room.ref, Number: q.token.Number, Key: q.token.Key, Path: q.token.Path}
}

// inside asks a member how it stands with somebody who was let in. Only those cost a question, and they are as many as
// the ceiling at most.
func (s *Server) inside(ctx context.Context, q *placeRequest, st standing) (standing, error) {
	v, err := s.cfg.Client.Visitor(ctx, q.room.ref, q.token.Key.Buyer(), client.AllowStale())
	if errors.Is(err, holdfast.NotFound) || err == nil && notLetIn(v.State) {
		// The token says that they were let in. That member has not heard of it; the leader has.
		v, err = s.cfg.Client.Visitor(ctx, q.room.ref, q.token.Key.Buyer())
	}
	if err != nil {
		return st, err
	}
	st.state, st.position = v.State, v.Position
	if v.Session != 0 {
		st.until = q.room.board.remaining(min(v.Session, v.Latest), s.now())
	}
	if len(v.Holds) > 0 {
		st.hold = v.Holds[0]
	}
	return st, nil
}

func notLetIn(state holdfast.PlaceState) bool {
	return state == holdfast.PlaceWaiting || state == holdfast.PlaceCalled
}

// offered asks a member whether seats that came back are held for somebody who waits for them. Only who is on that list
// costs a question.
func (s *Server) offered(ctx context.Context, q *placeRequest, st standing) (standing, error) {
	v, err := s.cfg.Client.Visitor(ctx, q.room.ref, q.token.Key.Buyer(), client.AllowStale())
	switch {
	case errors.Is(err, holdfast.NotFound):
		return st, nil
	case err != nil:
		return st, err
	case v.State == holdfast.PlaceOffered && len(v.Holds) > 0:
		st.state, st.hold = holdfast.PlaceOffered, v.Holds[0]
	}
	return st, nil
}

// spent tells whether a place that had its turn bought or left.
func (s *Server) spent(ctx context.Context, q *placeRequest, st standing) (standing, error) {
	v, err := s.cfg.Client.Visitor(ctx, q.room.ref, q.token.Key.Buyer())
	if err != nil {
		return st, err
	}
	st.state = v.State
	return st, nil
}

// callPoll is how often somebody is to ask whose turn it is, or who is inside.
const (
	callPoll    = 2 * time.Second
	insidePoll  = 5 * time.Second
	overPoll    = 30 * time.Second
	earlyPoll   = 10 * time.Second
	nearDraw    = time.Minute
	spreadBytes = 4
)

// placeOut says a standing.
func (s *Server) placeOut(q *placeRequest, st standing) placeOut {
	now := s.now()
	v := q.room.board.glance(now)
	out := placeOut{Number: uint32(q.token.Number), State: st.state.String(), Ahead: -1, Odds: string(oddsUnknown), Leaderless: v.leaderless, Sale: v.sale.String()}
	room := roomOf(st, &v)
	out.Room = room.String()
	var ahead uint64
	if l := v.line; l != nil {
		// The feed may not have said yet that this place was given out.
		out.Issued, out.Served, out.Paused = max(l.issued, out.Number+1), uint32(l.served), l.paused
		if l.chain != [32]byte{} {
			out.Chain = hex.EncodeToString(l.chain[:])
		}
		if st.drawn {
			position := uint32(st.position)
			out.Position = &position
			if st.position > l.served {
				ahead = uint64(st.position - l.served)
			}
			out.Ahead = int64(ahead)
			low, high, cause := q.room.board.outflow.wait(now, ahead)
			out.WaitMs, out.Cause = [2]int64{low.Milliseconds(), high.Milliseconds()}, causeTexts[cause]
		}
		if st.drawn || l.issued > 0 {
			// Before the draw everybody may be anywhere: the odds are those of the middle.
			about := ahead
			if !st.drawn {
				about = uint64(l.issued) / 2
			}
			out.Odds = string(oddsOf(v.stock, about))
		}
	}
	switch room {
	case page.RoomTurn:
		out.CallRemainingMs = st.until.Milliseconds()
	case page.RoomAdmitted:
		out.SessionRemainingMs = st.until.Milliseconds()
	}
	if !st.hold.IsZero() {
		out.Hold = holdName(q.room.ref.ID, st.hold)
	}
	out.NextPollMs = s.pollAfter(&v, q, st, room, ahead, out.WaitMs[0]).Milliseconds()
	return out
}

// pollAfter says when to ask again.
func (s *Server) pollAfter(v *view, q *placeRequest, st standing, room page.RoomState, ahead uint64, lowMs int64) time.Duration {
	spread := binary.LittleEndian.Uint32(q.token.Key[len(q.token.Key)-spreadBytes:]) ^ uint32(v.revision)*2654435761
	switch {
	case st.retry > 0:
		return st.retry
	case q.token.State == tokenListed:
		return overPoll / 3
	case room == page.RoomTurn:
		return callPoll
	case room == page.RoomAdmitted:
		return insidePoll
	case room == page.RoomOver, room == page.RoomDone, room == page.RoomLeft, room == page.RoomSoldOut:
		return overPoll
	case room == page.RoomEarly:
		d := earlyPoll
		if at := v.event.Spec.Line.DrawMs; at > 0 {
			if left := time.UnixMilli(at).Sub(s.now()); left > nearDraw {
				d = min(left/4, pollMax)
			}
		}
		return d*4/5 + time.Duration(uint64(d)*2/5*uint64(spread&0xFFFF)>>16)
	}
	return nextPoll(ahead, time.Duration(lowMs)*time.Millisecond, s.gate.busy(), spread)
}
