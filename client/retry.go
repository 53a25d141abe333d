package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// again is what follows from a failure.
type again uint8

const (
	never  again = iota // the failure is the answer
	atHint              // at once at the leader that the failure names; later without a name, or the second time
	later               // after a while, with routes learned anew
	sameID              // as later, and from now on only an outcome from the log is an answer
)

// retries is the one table of what follows from a failure.
var retries = map[holdfast.Kind]again{
	holdfast.Invalid:     never,
	holdfast.NotFound:    never,
	holdfast.Denied:      never,
	holdfast.NotLeader:   atHint,
	holdfast.Unavailable: later,
	holdfast.Overloaded:  later,
	holdfast.Unknown:     sameID,
	holdfast.Halted:      later, // another member may come to lead
	holdfast.Compacted:   never,
	holdfast.Internal:    never,
}

const (
	// patience is how long an attempt may stay unanswered before routes are learned anew: a leader that was cut
	// off or stopped does not say so.
	patience = time.Second

	// Pauses double from the first to the longest. An election takes about 600 ms; a longer pause would add to it.
	pauseFirst   = 10 * time.Millisecond
	pauseLongest = 160 * time.Millisecond
)

// backoff gives pauses that grow, each with jitter. The zero backoff is ready.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, pauseFirst), pauseLongest)
	return b.last/2 + rand.N(b.last/2)
}

// sleep pauses for the next time, or for atLeast if that is longer. It reports false, without a pause that could
// help nobody, when the deadline would pass meanwhile, ctx ends, or the client is closed.
func (c *Client) sleep(ctx context.Context, wait *backoff, deadline time.Time, atLeast time.Duration) bool {
	d := max(wait.next(), atLeast)
	if time.Until(deadline) <= d || ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	return false
}

// run sends the call until there is an outcome for each of its commands, a failure that repeating cannot mend, or
// the deadline. Without a failure the call has its results and stamp. A call that had to be left behind in the lane
// is not given back: the lane frees it.
func (l *lane) run(ctx context.Context, k *call) (*call, *holdfast.Error) {
	deadline, id, unknown := k.deadline, firstID(k.packed), false
	var wait backoff
	for hinted := false; ; {
		failure, gone := l.attempt(ctx, k)
		expired := false
		if failure == nil && unknown {
			failure, expired = k.undecided()
		}
		if failure == nil {
			return k, nil
		}
		todo := retries[failure.Kind]
		unknown = unknown || todo == sameID
		if todo == atHint && failure.Leader != "" {
			l.c.routes.hint(l.shard, failure.Leader)
			if !hinted {
				hinted = true
				continue
			}
		}
		if !gone && todo != never && !expired {
			l.c.routes.refresh()
			if l.c.sleep(ctx, &wait, deadline, failure.RetryAfter) {
				continue
			}
		}
		if gone {
			k = nil
		}
		if unknown {
			failure = &holdfast.Error{Kind: holdfast.Unknown, Shard: l.shard, Command: id, Err: failure,
				Message: "an attempt may have happened; the same request with this id asks again"}
		}
		return k, failure
	}
}

func firstID(packed []byte) holdfast.CommandID {
	cmd, _, err := command.Split(packed)
	if err != nil {
		return holdfast.CommandID{}
	}
	return command.IDOf(cmd)
}

// undecided looks, once an attempt may have happened, for outcomes that do not tell whether it did: refusals of
// the id itself are about the last attempt alone. The outcome does not show in the failure, or callers would believe
// it. After an expired command no later attempt can tell either.
func (k *call) undecided() (failure *holdfast.Error, expired bool) {
	for rest := k.results; len(rest) > 0; _, rest = cut(rest, 1) {
		if outcome := holdfast.Outcome(rest[2]); !outcome.Remembered() && outcome != holdfast.CommandReused {
			return &holdfast.Error{Kind: holdfast.Unknown, Shard: k.stamp.Shard, Message: "the last attempt says: " + outcome.Error()},
				outcome == holdfast.CommandExpired
		}
	}
	return nil, false
}

// attempt queues the call and waits for its end, until the deadline. gone says that the call was left behind.
func (l *lane) attempt(ctx context.Context, k *call) (failure *holdfast.Error, gone bool) {
	deadline, left := k.deadline, time.Until(k.deadline)
	if err := ctx.Err(); err != nil || left <= 0 {
		return stopped(err, l.blamed()), false
	}
	if failure := l.enqueue(k); failure != nil {
		return failure, false
	}
	timer := k.timer
	for {
		timer.Reset(min(left, patience))
		select {
		case <-k.done:
			timer.Stop()
			return k.failure, false
		case <-ctx.Done():
			timer.Stop()
			return l.abandon(k, ctx.Err())
		case <-timer.C:
		}
		if left = time.Until(deadline); left <= 0 {
			return l.abandon(k, context.DeadlineExceeded)
		}
		l.c.routes.refresh()
	}
}

// abandon gives up waiting, unless the attempt ends in the same moment.
func (l *lane) abandon(k *call, cause error) (failure *holdfast.Error, gone bool) {
	switch {
	case k.state.CompareAndSwap(queued, abandoned):
		return stopped(cause, l.blamed()), true
	case k.state.CompareAndSwap(sent, abandoned):
		return &holdfast.Error{Kind: holdfast.Unknown, Shard: l.shard, Message: "no answer in time", Err: cause}, true
	}
	<-k.done
	return k.failure, false
}

// stopped is the failure of a call that ended before anything was attempted. trouble says what was in the way.
func stopped(cause error, trouble *holdfast.Error) *holdfast.Error {
	if cause == nil {
		cause = context.DeadlineExceeded
	}
	e := &holdfast.Error{Kind: holdfast.Unavailable, Message: "nothing was attempted in time", Err: cause}
	if trouble != nil {
		e.Shard, e.Message = trouble.Shard, e.Message+": "+trouble.Message
	}
	return e
}
