package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// PlaceRef names a place in an event's line, and proves that it is its holder's: the path leads from the leaf of the key
// to the root of the Enter that made the place.
type PlaceRef struct {
	ID     holdfast.CommandID // as in HoldRequest; not for reads
	Event  EventRef
	Number holdfast.PlaceNumber
	Key    holdfast.PlaceKey
	Path   []draw.Hash
}

func (p *PlaceRef) proof() command.Proof {
	return command.Proof{Number: p.Number, Key: p.Key, Path: p.Path}
}

// EnterRequest makes Count places whose keys are the leaves under Root.
type EnterRequest struct {
	ID    holdfast.CommandID // as in HoldRequest
	Event EventRef
	Count int // 1 to holdfast.EnterPlacesMax
	Root  draw.Hash
}

// ReturnsRequest asks for seats that come back: Count side by side.
type ReturnsRequest struct {
	PlaceRef
	Count   int
	Section holdfast.SectionIndex // AnySection: any
	Tier    holdfast.TierIndex    // AnyTier: any
}

// Turn is where a place stands, as commands about it are answered. A refusal has it too, where that is known.
type Turn struct {
	Number   holdfast.PlaceNumber
	Position holdfast.Position
	Served   holdfast.Position // how far the line has come
	// Until is when the session, or the turn, ends unless something is done, and Remaining how long that was away; 0: nothing ends.
	Until     holdfast.Clock
	Remaining time.Duration
	Stamp     Stamp
}

func turnOf(r *command.Result, stamp holdfast.Stamp) Turn {
	return Turn{Number: r.Place, Position: r.Position, Served: r.Served, Until: r.Session, Remaining: stamp.Clock.Until(r.Session), Stamp: Stamp{Stamp: stamp}}
}

// LineSummary is a line as everybody may see it.
type LineSummary struct {
	State      holdfast.LineState
	Paused     bool
	Issued     uint32            // places
	Served     holdfast.Position // who stands before it has been called
	Tail       holdfast.Position // nobody stands at or behind it
	Cohort     uint32            // places that take part in the draw, once it is frozen
	Commitment draw.Hash
	Chain      draw.Hash // over the headers of the cohort, once it is frozen
	Seed       draw.Hash // zero until it is drawn; with it, draw.Position gives a place's position
	FrozenMs   int64     // wall clock, Unix milliseconds; 0: not yet
	DrawnMs    int64
	Round      uint64 // of the beacon, that the draw waits for or was made from; 0: none

	Sessions uint32         // live
	Looking  uint32         // of them without a hold
	Called   uint32         // and not come yet
	Ceiling  uint32         // sessions at a time
	Returns  uint32         // on the list for seats that come back
	Units    Counts         // of the public allocation
	Bound    holdfast.Bound // what decides how many are called
}

// Line is an event's line with all that can be asked about it.
type Line struct {
	Event EventRef
	LineSummary
	Counts   [holdfast.PlaceStates]uint32 // places by what became of them; they add up to Issued
	Enters   uint32                       // of holdfast.EntersMax
	OpenedMs int64
	// FallbackAtMs is from when on the draw is made without the beacon's round; Fallback says that it was.
	FallbackAtMs int64
	Fallback     bool
	Rate         uint32 // called in a second at most; 0: no limit

	// What the leader steers by: its own numbers, and what was seen lately.
	Target            uint32
	Busy              float64       // share of the commit path
	ProviderPerMinute uint32        // 0: no bound
	ShowUp            float64       // share of the called who come
	UnitsPerHold      float64       // units
	Pays              float64       // share of holds
	SessionMean       time.Duration // 0: none has ended
	Stamp             Stamp
}

// Place is what became of a place.
type Place struct {
	Event     EventRef
	Number    holdfast.PlaceNumber
	State     holdfast.PlaceState
	Drawn     bool // Position and Ahead say something
	Position  holdfast.Position
	Served    holdfast.Position
	Ahead     uint32         // positions between
	Until     holdfast.Clock // when the turn, the session or the offer ends; 0: nothing ends
	Remaining time.Duration
	Deferrals int    // turns missed
	Returns   bool   // it is on the list for seats that come back,
	Rank      uint32 // where so many stand before it
	Stamp     Stamp
}

// Visitor is a buyer as the line knows one who turned up.
type Visitor struct {
	Event    EventRef
	Buyer    holdfast.BuyerID
	Number   holdfast.PlaceNumber
	State    holdfast.PlaceState
	Position holdfast.Position
	// Session is when the session ends unless something is done, Latest whatever is done; both 0 when there is none, or
	// while a hold keeps it. The durations are how long that was away.
	Session, Latest                   holdfast.Clock
	SessionRemaining, LatestRemaining time.Duration
	Holds                             []holdfast.HoldID // not sold, the newest first
	Units                             int               // held, in payment and sold
	Returns                           bool
	Stamp                             Stamp
}

// OpenLine commits to a new secret for an event's line, and opens it: now, or at the instant that its rules name. Where
// they name one, the shard's leader does it by itself.
func (c *Client) OpenLine(ctx context.Context, event EventRef) error {
	cmd := &command.OpenLine{}
	rand.Read(cmd.Secret[:])
	_, err := c.one(ctx, "open line", event, cmd)
	return err
}

// Enter makes places and gives the number of the first; the others follow in the order of the leaves.
func (c *Client) Enter(ctx context.Context, q EnterRequest) (holdfast.PlaceNumber, Stamp, error) {
	const op = "enter"
	if q.Count < 1 || q.Count > holdfast.EnterPlacesMax {
		return 0, Stamp{}, named(op, invalid("count", "%d places, 1 to %d", q.Count, holdfast.EnterPlacesMax))
	}
	a, err := c.one(ctx, op, q.Event, &command.Enter{Header: command.Header{ID: q.ID}, Count: uint16(q.Count), Root: q.Root})
	return a.Place, Stamp{Stamp: a.stamp}, err
}

// Draw makes the order of a line that is frozen; with a beacon's round where its rules name a beacon. A leader does it by
// itself when there is none, or when the round was too long in coming.
func (c *Client) Draw(ctx context.Context, event EventRef, round holdfast.BeaconRound) error {
	_, err := c.one(ctx, "draw", event, &command.Draw{Beacon: round})
	return err
}

// Redeem opens the session of a place whose turn it is; while it lives it is answered the same again.
func (c *Client) Redeem(ctx context.Context, q PlaceRef) (Turn, error) {
	a, err := c.one(ctx, "redeem", q.Event, &command.Redeem{Header: command.Header{ID: q.ID}, Proof: q.proof()})
	return turnOf(&a.Result, a.stamp), err
}

// LeaveLine gives a place up, and ends its session.
func (c *Client) LeaveLine(ctx context.Context, q PlaceRef) error {
	_, err := c.one(ctx, "leave line", q.Event, &command.LeaveLine{Header: command.Header{ID: q.ID}, Proof: q.proof()})
	return err
}

// SetLine changes how a line runs. value is for command.LineCeiling and LineRate.
func (c *Client) SetLine(ctx context.Context, event EventRef, change command.LineChange, value uint32) error {
	_, err := c.one(ctx, "set line", event, &command.SetLine{Change: change, Value: value})
	return err
}

// JoinReturns puts a place on the list of those to whom seats that come back are offered, or changes what it asks for.
func (c *Client) JoinReturns(ctx context.Context, q ReturnsRequest) (Turn, error) {
	const op = "join returns"
	if q.Count < 1 || q.Count > holdfast.UnitsPerHoldMax {
		return Turn{}, named(op, invalid("count", "%d units, 1 to %d", q.Count, holdfast.UnitsPerHoldMax))
	}
	a, err := c.one(ctx, op, q.Event, &command.JoinReturns{Header: command.Header{ID: q.ID}, Proof: q.proof(), Section: q.Section, Tier: q.Tier, Count: uint8(q.Count)})
	return turnOf(&a.Result, a.stamp), err
}

// LeaveReturns takes a buyer off that list.
func (c *Client) LeaveReturns(ctx context.Context, event EventRef, buyer holdfast.BuyerID) error {
	_, err := c.one(ctx, "leave returns", event, &command.LeaveReturns{Buyer: buyer})
	return err
}

// Line reads an event's line. An event without one is NotFound.
func (c *Client) Line(ctx context.Context, event EventRef, opts ...ReadOption) (Line, error) {
	const op = "get line"
	l, event, err := lineRead(ctx, c, op, event, opts, func(ctx context.Context, to api.LineClient, how api.Consistency, event EventRef) (*api.LineState, error) {
		return to.Get(ctx, &api.GetLineRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: how})
	})
	if err != nil {
		return Line{}, err
	}
	line := Line{Event: event, LineSummary: *summaryOf(l.GetSummary()), Enters: l.GetEnters(), OpenedMs: l.GetOpenedMs(), FallbackAtMs: l.GetFallbackAtMs(),
		Fallback: l.GetFallback(), Rate: l.GetRate(), Target: l.GetTarget(), Busy: float64(l.GetBusyPermille()) / 1000,
		ProviderPerMinute: l.GetProviderPerMinute(), ShowUp: float64(l.GetShowPermille()) / 1000, UnitsPerHold: float64(l.GetUnitsPerHoldMilli()) / 1000,
		Pays: float64(l.GetPayPermille()) / 1000, SessionMean: millis(uint64(l.GetSessionMeanMs())), Stamp: stampOf(l.GetStamp())}
	copy(line.Counts[:], l.GetCounts())
	return line, nil
}

// Place reads what became of a place. A place that the reference does not prove is NotFound.
func (c *Client) Place(ctx context.Context, q PlaceRef, opts ...ReadOption) (Place, error) {
	path := make([][]byte, len(q.Path))
	for i := range q.Path {
		path[i] = q.Path[i][:]
	}
	p, event, err := lineRead(ctx, c, "get place", q.Event, opts, func(ctx context.Context, to api.LineClient, how api.Consistency, event EventRef) (*api.LinePlace, error) {
		return to.Place(ctx, &api.PlaceRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: how, Number: uint32(q.Number), Key: q.Key[:], Path: path})
	})
	if err != nil {
		return Place{}, err
	}
	return Place{Event: event, Number: holdfast.PlaceNumber(p.GetNumber()), State: holdfast.PlaceState(p.GetState()), Drawn: p.GetDrawn(),
		Position: holdfast.Position(p.GetPosition()), Served: holdfast.Position(p.GetServed()), Ahead: p.GetAhead(), Until: holdfast.Clock(p.GetUntilUs()),
		Remaining: millis(p.GetRemainingMs()), Deferrals: int(p.GetDeferrals()), Returns: p.GetReturns(), Rank: p.GetRank(), Stamp: stampOf(p.GetStamp())}, nil
}

// Visitor reads what the line knows of a buyer. Who has not turned up is NotFound.
func (c *Client) Visitor(ctx context.Context, event EventRef, buyer holdfast.BuyerID, opts ...ReadOption) (Visitor, error) {
	v, event, err := lineRead(ctx, c, "get visitor", event, opts, func(ctx context.Context, to api.LineClient, how api.Consistency, event EventRef) (*api.LineVisitor, error) {
		return to.Visitor(ctx, &api.VisitorRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: how, Buyer: buyer[:]})
	})
	if err != nil {
		return Visitor{}, err
	}
	visitor := Visitor{Event: event, Buyer: buyer, Number: holdfast.PlaceNumber(v.GetNumber()), State: holdfast.PlaceState(v.GetState()),
		Position: holdfast.Position(v.GetPosition()), Session: holdfast.Clock(v.GetSessionUs()), Latest: holdfast.Clock(v.GetLatestUs()),
		SessionRemaining: millis(v.GetSessionMs()), LatestRemaining: millis(v.GetLatestMs()), Units: int(v.GetUnits()), Returns: v.GetReturns(),
		Stamp: stampOf(v.GetStamp())}
	for _, id := range v.GetHolds() {
		visitor.Holds = append(visitor.Holds, holdOf(id))
	}
	return visitor, nil
}

// recordBytesMax bounds a draw's record: as many headers as there may be, and all else.
const recordBytesMax = holdfast.EntersMax*128 + 64<<10

// DrawRecord reads everything public about the draw of an event's line. draw.Verify says whether it holds.
func (c *Client) DrawRecord(ctx context.Context, event EventRef, opts ...ReadOption) (*draw.Record, error) {
	text, _, err := lineRead(ctx, c, "get draw record", event, opts, func(ctx context.Context, to api.LineClient, how api.Consistency, event EventRef) ([]byte, error) {
		parts, err := to.DrawRecord(ctx, &api.DrawRecordRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: how})
		var text bytes.Buffer
		for err == nil {
			var part *api.DrawRecordPart
			if part, err = parts.Recv(); err == nil {
				text.Write(part.GetJson())
			}
			if text.Len() > recordBytesMax {
				return nil, &holdfast.Error{Kind: holdfast.Internal, Message: "the record is longer than any can be"}
			}
		}
		if errors.Is(err, io.EOF) {
			return text.Bytes(), nil
		}
		return nil, err
	})
	if err != nil {
		return nil, err
	}
	record := &draw.Record{}
	if err := json.Unmarshal(text, record); err != nil {
		return nil, &holdfast.Error{Kind: holdfast.Internal, Op: "get draw record", Message: "the record cannot be read", Err: err}
	}
	return record, nil
}

// lineRead asks the service Line about an event.
func lineRead[T any](ctx context.Context, c *Client, op string, event EventRef, opts []ReadOption,
	ask func(context.Context, api.LineClient, api.Consistency, EventRef) (T, error)) (answer T, resolved EventRef, err error) {
	event, failure := c.resolve(ctx, event)
	if failure == nil {
		r := c.reading(ctx, event.Shard, opts)
		answer, failure = read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (T, error) {
			return ask(ctx, api.NewLineClient(conn), r.consistency(), event)
		})
	}
	if failure != nil {
		return answer, event, named(op, failure)
	}
	return answer, event, nil
}

// summaryOf is nil for an event without a line.
func summaryOf(s *api.LineSummary) *LineSummary {
	if s == nil {
		return nil
	}
	l := &LineSummary{State: holdfast.LineState(s.GetState()), Paused: s.GetPaused(), Issued: s.GetIssued(), Served: holdfast.Position(s.GetServed()),
		Tail: holdfast.Position(s.GetTail()), Cohort: s.GetCohort(), FrozenMs: s.GetFrozenMs(), DrawnMs: s.GetDrawnMs(), Round: s.GetRound(),
		Sessions: s.GetSessions(), Looking: s.GetLooking(), Called: s.GetCalled(), Ceiling: s.GetCeiling(), Returns: s.GetReturns(), Units: countsOf(s.GetUnits()), Bound: holdfast.Bound(s.GetBound())}
	copy(l.Commitment[:], s.GetCommitment())
	copy(l.Chain[:], s.GetChain())
	copy(l.Seed[:], s.GetSeed())
	return l
}

func millis(ms uint64) time.Duration { return time.Duration(ms) * time.Millisecond }

func holdOf(b []byte) (id holdfast.HoldID) {
	copy(id[:], b)
	return id
}
