package client

import (
	"context"
	"iter"
	"math"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Changes is what happened to an event from one revision to another.
type Changes struct {
	// Revision is the event's after these changes.
	Revision holdfast.Revision
	// Cut: States is every unit at that revision, and what was known before is to be forgotten. It comes first when
	// the watch begins at 0, and again when the watcher has missed more than members keep.
	Cut    bool
	States []holdfast.SeatState
	// Seats changed to SeatStates, in order of revision; a unit may be among them twice. None: a sign of life.
	Seats      []holdfast.SeatIndex
	SeatStates []holdfast.SeatState
	Sale       holdfast.SaleState
	Line       *LineSummary // as it is now; nil: the event has no line
	Stamp      Stamp
}

// watchStaleMax is how long the member that serves a watch may be without its leader before another is asked.
const watchStaleMax = 1500 * time.Millisecond

// Watch gives what changes in an event, in order of revision and without a gap, from the first revision wanted; 0
// begins with a cut. Any member serves it, and another one takes over when that fails; revisions never go back. It
// has no timeout. The sequence ends with ctx, or by a failure that another member cannot mend; either is its last
// element.
func (c *Client) Watch(ctx context.Context, event EventRef, from holdfast.Revision) iter.Seq2[Changes, error] {
	const op = "watch"
	return func(yield func(Changes, error) bool) {
		event, failure := c.resolve(ctx, event)
		if failure != nil {
			yield(Changes{}, named(op, failure))
			return
		}
		w := &watching{event: event, next: from, yield: yield}
		w.reading = reading{c: c, shard: event.Shard, stale: true, deadline: time.Now().Add(math.MaxInt64)}
		for {
			failure, over := w.follow(ctx)
			if over {
				return
			}
			if ctx.Err() != nil {
				yield(Changes{}, &holdfast.Error{Kind: holdfast.Unavailable, Op: op, Message: "the watch was ended", Err: ctx.Err()})
				return
			}
			if failure.Kind == holdfast.NotFound && w.stale {
				w.stale = false // a member may not have heard of a new event; the leader has
				continue
			}
			if w.stale = true; !w.again(ctx, failure) {
				yield(Changes{}, named(op, failure))
				return
			}
		}
	}
}

// watching is one watch on its way from member to member.
type watching struct {
	reading
	event EventRef
	next  holdfast.Revision // first one that the watcher has not seen; 0: it has seen nothing
	yield func(Changes, error) bool
}

// follow passes on what one member sends until that fails. over says that the watcher wants no more.
func (w *watching) follow(ctx context.Context) (failure *holdfast.Error, over bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, failure := w.member(ctx)
	if failure != nil {
		return failure, false
	}
	changes, err := w.open(ctx, conn)
	for err == nil {
		var m *api.Changes
		if m, err = changes.Recv(); err != nil {
			break
		}
		stamp := stampOf(m.GetStamp())
		revision := holdfast.Revision(m.GetRevision())
		switch {
		case stamp.Stale > watchStaleMax:
			return &holdfast.Error{Kind: holdfast.Unavailable, Shard: w.shard, Message: "the member that served the watch has lost its leader"}, false
		case m.GetCut() && revision+1 < w.next:
			return &holdfast.Error{Kind: holdfast.Unavailable, Shard: w.shard, Message: "the member asked is behind what was seen"}, false
		case revision+1 < w.next || revision < w.next && len(m.GetSeats()) > 0:
			continue // seen before
		}
		w.wait = retry.Backoff{}
		w.next = max(w.next, revision+1)
		if !w.yield(changesOf(m, stamp), nil) {
			return nil, true
		}
	}
	return statusOf(err), false
}

func (w *watching) open(ctx context.Context, conn *grpc.ClientConn) (grpc.ServerStreamingClient[api.Changes], error) {
	return api.NewEventsClient(conn).Watch(ctx, &api.WatchRequest{Shard: uint32(w.shard), Event: uint32(w.event.ID), From: uint64(w.next)})
}

func changesOf(m *api.Changes, stamp Stamp) Changes {
	c := Changes{Revision: holdfast.Revision(m.GetRevision()), Cut: m.GetCut(), Sale: holdfast.SaleState(m.GetSale()), Line: summaryOf(m.GetLine()), Stamp: stamp}
	if c.Cut {
		c.States = statesOf(m.GetStates())
	}
	if len(m.GetSeats()) > 0 {
		c.Seats, c.SeatStates = seatsOf(m.GetSeats()), statesOf(m.GetSeatStates())
	}
	return c
}
