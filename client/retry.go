package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// random gives a duration from 0 up to d, without it.
func random(d time.Duration) time.Duration { return rand.N(d) }

// sleep pauses for the next time, or for atLeast if that is longer. It reports false, without a pause that could
// help nobody, when the deadline would pass meanwhile, ctx ends, or the client is closed.
func (c *Client) sleep(ctx context.Context, wait *retry.Backoff, deadline time.Time, atLeast time.Duration) bool {
	d := max(wait.Next(random), atLeast)
	return time.Until(deadline) > d && c.rest(ctx, d)
}

// rest pauses. It reports false when ctx ends first, or the client is closed.
func (c *Client) rest(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
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
	deadline := k.deadline
	left := func() time.Duration { return time.Until(deadline) }
	turn := retry.Call{Shard: l.shard, ID: firstID(k.packed)}
	for {
		failure, gone := l.attempt(ctx, k)
		end := retry.End{Failure: failure, Gone: gone}
		if failure == nil {
			end.Results = k.results
		}
		next := turn.Ended(end, left, random)
		if next.Leader != "" {
			l.c.routes.hint(l.shard, next.Leader)
		}
		switch next.Do {
		case retry.Send:
			continue
		case retry.Wait:
			l.c.routes.refresh()
			if l.c.rest(ctx, next.Wait) {
				continue
			}
			next.Failure = turn.GivenUp(next.Failure)
		}
		if gone {
			k = nil
		}
		return k, next.Failure
	}
}

func firstID(packed []byte) holdfast.CommandID {
	cmd, _, err := command.Split(packed)
	if err != nil {
		return holdfast.CommandID{}
	}
	return command.IDOf(cmd)
}

// attempt queues the call and waits for its end, until the deadline. gone says that the call was left behind.
func (l *lane) attempt(ctx context.Context, k *call) (failure *holdfast.Error, gone bool) {
	deadline, left := k.deadline, time.Until(k.deadline)
	if err := ctx.Err(); err != nil || left <= 0 {
		return retry.Stopped(err, l.blamed()), false
	}
	if failure := l.enqueue(k); failure != nil {
		return failure, false
	}
	timer := k.timer
	for {
		timer.Reset(min(left, retry.Patience))
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
		return retry.Stopped(cause, l.blamed()), true
	case k.state.CompareAndSwap(sent, abandoned):
		return retry.Unanswered(l.shard, cause), true
	}
	<-k.done
	return k.failure, false
}
