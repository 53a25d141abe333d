package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// ReadOption changes how a read is answered.
type ReadOption func(*reading)

// AllowStale lets any member answer with what it has applied, so that reads cost the leader nothing. The answer's
// stamp says how old that may be.
func AllowStale() ReadOption { return func(r *reading) { r.stale = true } }

// Stamp says at which point of a shard's history an answer was true.
type Stamp struct {
	holdfast.Stamp
	// Stale is the time since the answering member last heard from the leader; 0 for linearizable reads.
	Stale time.Duration
}

func stampOf(s *api.Stamp) Stamp {
	return Stamp{Stale: time.Duration(s.GetStaleMs()) * time.Millisecond,
		Stamp: holdfast.Stamp{Shard: holdfast.ShardID(s.GetShard()), Term: s.GetTerm(), Index: s.GetIndex(), Clock: holdfast.Clock(s.GetClockUs())}}
}

// readPatience is how long one member may take to answer before another is asked.
const readPatience = 3 * time.Second

// reading is one read's way from member to member until one answers.
type reading struct {
	c        *Client
	shard    holdfast.ShardID
	stale    bool
	deadline time.Time
	patience time.Duration // with one member
	wait     retry.Backoff
	hinted   bool
}

func (c *Client) reading(ctx context.Context, shard holdfast.ShardID, opts []ReadOption) *reading {
	r := &reading{c: c, shard: shard, deadline: c.deadline(ctx), patience: readPatience}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

func (r *reading) consistency() api.Consistency {
	if r.stale {
		return api.Consistency_STALE
	}
	return api.Consistency_LINEARIZABLE
}

// member gives the connection to the member to ask next.
func (r *reading) member(ctx context.Context) (*grpc.ClientConn, *holdfast.Error) {
	if r.stale {
		return r.c.conn(r.c.routes.any())
	}
	address, ok := r.c.routes.leader(r.shard)
	if !ok {
		if failure := r.c.routes.learn(ctx, r.deadline); failure != nil {
			return nil, failure
		}
		if address, ok = r.c.routes.leader(r.shard); !ok {
			return nil, &holdfast.Error{Kind: holdfast.Unavailable, Shard: r.shard, Message: "no leader is known"}
		}
	}
	return r.c.conn(address)
}

// again reports whether to ask again after this failure, and pauses before.
func (r *reading) again(ctx context.Context, failure *holdfast.Error) bool {
	todo := retry.After(failure.Kind)
	if todo == retry.Never {
		return false
	}
	if todo == retry.AtHint && failure.Leader != "" {
		r.c.routes.hint(r.shard, failure.Leader)
		if !r.hinted {
			r.hinted = true
			return true
		}
	}
	r.c.routes.refresh()
	return r.c.sleep(ctx, &r.wait, r.deadline, failure.RetryAfter)
}

// read asks until a member answers, a failure comes that asking again cannot mend, or the deadline.
func read[T any](ctx context.Context, r *reading, ask func(context.Context, *grpc.ClientConn) (T, error)) (T, *holdfast.Error) {
	for {
		conn, failure := r.member(ctx)
		if failure == nil {
			attempt, cancel := context.WithDeadline(ctx, earlier(r.deadline, time.Now().Add(r.patience)))
			answer, err := ask(attempt, conn)
			cancel()
			if err == nil {
				return answer, nil
			}
			failure = statusOf(err)
		}
		if !r.again(ctx, failure) {
			var none T
			return none, failure
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
