package frontend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// joinIn is what a visitor brings to join.
type joinIn struct {
	// Secret is the browser's, 32 bytes in base64url or hex; without it the server keeps one in a cookie.
	Secret string `json:"secret"`
	// Assertion is the embedding shop's word on who it is.
	Assertion string `json:"assertion"`
	// Challenge, with what answers it: Work for a proof of work, Captcha for a provider's, Delay for a delay ticket.
	Challenge string `json:"challenge"`
	Work      string `json:"work"`
	Captcha   string `json:"captcha"`
	Delay     string `json:"delay"`
}

// challengeOut is what has to be done before joining.
type challengeOut struct {
	Kind string `json:"kind"` // none, work, captcha
	// Value and Bits: find a number such that SHA-256(value ":" number), in decimal, begins with so many zero bits.
	Value     string `json:"value,omitempty"`
	Bits      int    `json:"bits,omitempty"`
	ExpiresMs int64  `json:"expires_ms,omitempty"`
	// Delay is the other way: a ticket that is good after DelayMs.
	Delay   string `json:"delay,omitempty"`
	DelayMs int64  `json:"delay_ms,omitempty"`
	SiteKey string `json:"site_key,omitempty"`
	Script  string `json:"script,omitempty"`
}

// joining is somebody who wants into a line: who it is, and the place they already have, if any.
type joining struct {
	room    *room
	visitor visitor
	key     holdfast.PlaceKey
	token   token
	text    string
	had     bool // token is of this line and this key; it may have run out
}

// joining finds out who wants in. A browser without a secret is given one.
func (s *Server) joining(w http.ResponseWriter, r *http.Request, in *joinIn) (j joining, err error) {
	if j.room, err = s.rooms.named(r.Context(), r.PathValue("event")); err != nil {
		return j, err
	}
	j.visitor = s.visitor(r)
	if in.Secret != "" {
		if j.visitor.secret, j.visitor.known = parseSecret(in.Secret); !j.visitor.known {
			return j, invalid("secret", "32 bytes in base64url or hex")
		}
		j.visitor.literal = true
	}
	if in.Assertion != "" {
		if j.visitor.account, err = s.assertion(in.Assertion, j.room.ref.Name); err != nil {
			return j, err
		}
		s.setCookie(w, cookieAccount, s.seal(j.visitor.account, s.now().Add(accountLife)), accountLife)
	}
	if j.text = placeText(r, &j.visitor, j.room.ref.ID); j.text != "" {
		j.token, err = openToken(j.text, j.room.pollKey, j.room.ref.ID)
		if j.had = err == nil; !j.had && j.visitor.bearer != "" {
			return j, err
		}
	}
	if j.had && j.visitor.bearer != "" {
		j.key = j.token.Key
		return j, nil
	}
	if j.room.who() == command.Anonymous && !j.visitor.known {
		s.greet(w, &j.visitor)
	}
	if j.key, err = s.placeKey(&j.visitor, j.room.ref.ID, j.room.who()); err != nil {
		return j, err
	}
	j.had = j.had && j.token.Key == j.key
	return j, nil
}

// enter gives the visitor's place: the one they have, also when its token has run out, or a new one.
func (s *Server) enter(ctx context.Context, r *http.Request, j *joining, in *joinIn) (placeRequest, error) {
	q := placeRequest{room: j.room, visitor: j.visitor, token: j.token, text: j.text}
	if j.had && (j.token.fresh(s.now()) || j.room.over(s.now())) {
		return q, nil
	}
	if j.had {
		// The token is too old to be believed; the shard knows whether the place is.
		switch err := s.confirmPlace(ctx, &q); {
		case err == nil:
			return q, nil
		case !errors.Is(err, holdfast.NotFound) && !errors.Is(err, errTokenInvalid):
			return q, err
		}
	}
	known, err := s.recall(ctx, j)
	switch {
	case err != nil:
		return q, err
	case known.State == holdfast.PlaceLeft:
		return q, errPlaceLeft
	case known.State == holdfast.PlaceAdmitted, known.State == holdfast.PlaceOffered, known.State == holdfast.PlaceFinished:
		q.token = token{Event: j.room.ref.ID, Number: known.Number, Position: known.Position, State: tokenAdmitted, Key: j.key}
		return q, nil
	}
	if err := s.mayJoin(ctx, r, j, in); err != nil {
		return q, err
	}
	place, err := j.room.door.join(ctx, j.key)
	if err != nil {
		return q, err
	}
	q.token = token{Event: j.room.ref.ID, Number: place.number, Index: place.index, Position: noPosition, State: tokenWaiting, Key: j.key, Path: place.path}
	if known.State != holdfast.PlaceWaiting {
		// A turn was missed, or a hold lapsed. The new place proves the key; where it stands the shard has not forgotten.
		q.token.State, q.token.Position = tokenDeferred, known.Position
	}
	q.given = true
	return q, nil
}

var errPlaceLeft = &refusal{http.StatusConflict, "place_left", "you left this line; one of your identity has one place here, and yours was given up", "", 0}

// recall asks the shard of somebody whose token is lost and who is known by an account. It knows who was let in, or had a
// turn. Who only waits costs it nothing, and it knows nothing of them: State is PlaceWaiting then.
func (s *Server) recall(ctx context.Context, j *joining) (known client.Visitor, err error) {
	if j.room.who() == command.Anonymous {
		return known, nil // whoever has lost the cookie is somebody else
	}
	known, err = s.cfg.Client.Visitor(ctx, j.room.ref, j.key.Buyer()) // a member's old state would cost a place
	if errors.Is(err, holdfast.NotFound) {
		return client.Visitor{}, nil
	}
	return known, err
}

// placeNow asks any member how a place stands. One that has just come back may not have heard of it; the leader has, so
// nobody is told by an old state that the place is not there.
func (s *Server) placeNow(ctx context.Context, q *placeRequest) (client.Place, error) {
	place, err := s.cfg.Client.Place(ctx, q.ref(), client.AllowStale())
	if errors.Is(err, holdfast.NotFound) {
		return s.cfg.Client.Place(ctx, q.ref())
	}
	return place, err
}

// confirmPlace asks the shard whether a place is what its token says, whatever the token's age. What the token said of the
// place's state is forgotten: polls find it out.
func (s *Server) confirmPlace(ctx context.Context, q *placeRequest) error {
	place, err := s.placeNow(ctx, q)
	if err == nil && place.State == holdfast.PlaceLeft {
		return errTokenInvalid
	}
	if err == nil {
		q.token.State, q.token.Position = tokenWaiting, noPosition
	}
	return err
}

// mayJoin decides before the line who may join it: how many from one address, how many at all, and the challenge.
func (s *Server) mayJoin(ctx context.Context, r *http.Request, j *joining, in *joinIn) error {
	if s.draining.Load() {
		return errDraining
	}
	if wait, ok := s.perJoiner.take(household(s.address(r))); !ok {
		s.limited.Add(1)
		return &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: wait, Message: "too many people join from your address; you have no place yet, and before the draw nobody gains by being earlier"}
	}
	if wait, ok := s.joins.take(struct{}{}); !ok {
		return &holdfast.Error{Kind: holdfast.Overloaded, RetryAfter: max(wait, joinWait), Message: "too many people join at this moment; you have no place yet, and before the draw nobody gains by being earlier"}
	}
	return s.challenged(ctx, r, j, in)
}

// challenged checks the answer to the event's challenge.
func (s *Server) challenged(ctx context.Context, r *http.Request, j *joining, in *joinIn) error {
	rules := j.room.board.rules()
	event, key, now := j.room.ref.ID, j.room.workKey, s.now()
	switch {
	case rules.Challenge == command.ChallengeNone:
		return nil
	case in.Delay != "":
		left, ok := checkDelay(key, event, j.key, now, in.Delay)
		if !ok {
			return errChallengeWrong
		}
		if left > 0 {
			return &refusal{http.StatusTooManyRequests, "challenge_wait", "not yet: the ticket is good when its time is over", "delay", left}
		}
		return nil
	case rules.Challenge == command.ChallengeWork:
		if in.Challenge == "" {
			return errChallengeOpen
		}
		if !checkWork(key, event, j.key, now, in.Challenge, in.Work, int(rules.WorkBits)) {
			return errChallengeWrong
		}
		return nil
	case s.cfg.Captcha == nil:
		return errChallengeDown
	case in.Captcha == "":
		return errChallengeOpen
	}
	ok, err := s.cfg.Captcha.verify(ctx, in.Captcha, s.address(r).String())
	if err == nil && !ok {
		return errChallengeWrong
	}
	return err
}

// rules are the line's.
func (b *board) rules() command.LineRules {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.event.Spec.Line
}

// challenge makes the challenge for a key.
func (s *Server) challenge(c *room, key holdfast.PlaceKey) challengeOut {
	rules, now := c.board.rules(), s.now()
	out := challengeOut{Kind: challengeNames[rules.Challenge]}
	if rules.Challenge == command.ChallengeNone {
		return out
	}
	delay := delayOf(int(rules.WorkBits))
	out.Delay, out.DelayMs = delayTicket(c.workKey, c.ref.ID, key, now.Add(delay)), delay.Milliseconds()
	out.ExpiresMs = (epochOf(now) + 2) * challengeEpoch.Milliseconds()
	switch {
	case rules.Challenge == command.ChallengeWork:
		out.Value, out.Bits = workValue(c.workKey, c.ref.ID, key, epochOf(now)), int(rules.WorkBits)
	case s.cfg.Captcha != nil:
		out.SiteKey, out.Script = s.cfg.Captcha.SiteKey, s.cfg.Captcha.Script
		out.Delay, out.DelayMs = "", 0 // a captcha asks whether somebody is there: time alone does not answer that
	}
	return out
}

func (s *Server) getChallenge(w http.ResponseWriter, r *http.Request) {
	in := joinIn{Secret: r.FormValue("secret")}
	j, err := s.joining(w, r, &in)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.json(w, http.StatusOK, s.challenge(j.room, j.key))
}

// joinPatience is how long a visitor waits for the commit of the block.
const joinPatience = 10 * time.Second

// postLine joins, or gives the place that the visitor has.
func (s *Server) postLine(w http.ResponseWriter, r *http.Request) {
	var in joinIn
	if err := read(r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	j, err := s.joining(w, r, &in)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), joinPatience)
	defer cancel()
	q, err := s.enter(ctx, r, &j, &in)
	if err != nil {
		s.failIn(w, r, err, j.room.ref.ID)
		return
	}
	st := stand(q.room.board.line.Load(), &q.token)
	if q.room.over(s.now()) {
		if st, _, err = s.advance(ctx, &q); err != nil {
			s.failIn(w, r, err, j.room.ref.ID)
			return
		}
	}
	out := s.placeOut(&q, st)
	out.Token = s.reissue(w, r, &q)
	if q.given {
		s.mailWayBack(r, &q, out.Token)
	}
	out.Key, out.Index, out.Path = hex.EncodeToString(q.token.Key[:]), &q.token.Index, hexPath(q.token.Path)
	s.json(w, http.StatusOK, out)
}

func hexPath(path [][32]byte) []string {
	out := make([]string, len(path))
	for i := range path {
		out[i] = hex.EncodeToString(path[i][:])
	}
	return out
}

// leave gives the place up.
func (s *Server) leave(ctx context.Context, q *placeRequest) error {
	if err := s.believe(ctx, q); err != nil {
		return err
	}
	err := s.cfg.Client.LeaveLine(ctx, q.ref())
	if errors.Is(err, holdfast.PlaceSpent) {
		err = nil
	}
	if err == nil {
		q.room.door.forget(q.token.Key)
	}
	return err
}

func (s *Server) deletePlace(w http.ResponseWriter, r *http.Request) {
	q, err := s.placeRequest(r)
	if err == nil {
		err = s.leave(r.Context(), &q)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if q.visitor.bearer == "" {
		s.mayComeAgain(w, &q.visitor, q.room.ref.ID)
		s.dropCookie(w, cookiePlace+strconv.FormatUint(uint64(q.room.ref.ID), 10))
	}
	w.WriteHeader(http.StatusNoContent)
}

// returnsIn is what somebody on the list for seats that come back wants.
type returnsIn struct {
	Count   int  `json:"count"`
	Tier    *int `json:"tier"`
	Section *int `json:"section"`
}

type returnsOut struct {
	Joined bool   `json:"joined"`
	Rank   uint32 `json:"rank"`            // so many stand before
	Token  string `json:"token,omitempty"` // with which polls tell of an offer
}

func (s *Server) postReturns(w http.ResponseWriter, r *http.Request) {
	q, err := s.placeRequest(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var in returnsIn
	if err := read(r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	out, err := s.joinReturns(r.Context(), &q, in)
	if err != nil {
		s.failIn(w, r, err, q.room.ref.ID)
		return
	}
	out.Token = s.reissue(w, r, &q)
	s.json(w, http.StatusOK, out)
}

// joinReturns puts the place on the list. It is proved as for redeeming.
func (s *Server) joinReturns(ctx context.Context, q *placeRequest, in returnsIn) (returnsOut, error) {
	if err := s.believe(ctx, q); err != nil {
		return returnsOut{}, err
	}
	want := holdIn{Best: &bestIn{Count: in.Count, Tier: in.Tier, Section: in.Section}}
	wants, err := want.wants()
	if err != nil {
		return returnsOut{}, err
	}
	wish := client.ReturnsRequest{PlaceRef: q.ref(), Count: int(wants[0].Count), Tier: wants[0].Tier, Section: wants[0].Section}
	if _, err := s.cfg.Client.JoinReturns(ctx, wish); err != nil {
		return returnsOut{}, err
	}
	if q.token.State != tokenAdmitted { // whoever is inside is asked for anyway
		q.token.State = tokenListed
	}
	place, err := s.cfg.Client.Place(ctx, q.ref())
	return returnsOut{Joined: place.Returns, Rank: place.Rank}, err
}

func (s *Server) deleteReturns(w http.ResponseWriter, r *http.Request) {
	q, err := s.placeRequest(r)
	if err == nil {
		err = s.cfg.Client.LeaveReturns(r.Context(), q.room.ref, q.token.Key.Buyer())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// getDraw gives the public record of the draw. Once it is drawn it never changes.
func (s *Server) getDraw(w http.ResponseWriter, r *http.Request) {
	c, err := s.rooms.named(r.Context(), r.PathValue("event"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	record, err := s.cfg.Client.DrawRecord(r.Context(), c.ref, client.AllowStale())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := json.Marshal(record)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if record.Drawn {
		w.Header().Set("Cache-Control", "public, max-age=86400, immutable")
	} else {
		w.Header().Set("Cache-Control", "public, max-age=2")
	}
	sum := sha256.Sum256(body)
	s.cached(w, r, `"`+hex.EncodeToString(sum[:8])+`"`, append(body, '\n'))
}
