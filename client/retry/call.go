package retry

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Again is what follows from a failure.
type Again uint8

// What may follow.
const (
	Never  Again = iota // the failure is the answer
	AtHint              // at once at the leader that the failure names; later without a name, or the second time
	Later               // after a while, with routes learned anew
	SameID              // as later, and from now on only an outcome from the log is an answer
)

// table is the one table of what follows from a failure.
var table = map[holdfast.Kind]Again{
	holdfast.Invalid:     Never,
	holdfast.NotFound:    Never,
	holdfast.Denied:      Never,
	holdfast.NotLeader:   AtHint,
	holdfast.Unavailable: Later,
	holdfast.Overloaded:  Later,
	holdfast.Unknown:     SameID,
	holdfast.Halted:      Later, // another member may come to lead
	holdfast.Compacted:   Never,
	holdfast.Internal:    Never,
}

// After gives what follows from a failure of a kind.
func After(kind holdfast.Kind) Again { return table[kind] }

// Patience is how long an attempt may stay unanswered before routes are learned anew: a leader that was cut off or stopped does
// not say so.
const Patience = time.Second

// Pauses double from the first to the longest. An election takes about 600 ms; a longer pause would add to it.
const (
	pauseFirst   = 10 * time.Millisecond
	pauseLongest = 160 * time.Millisecond
)

// Backoff gives pauses that grow, each with jitter. The zero Backoff is ready.
type Backoff struct{ last time.Duration }

// Next gives the next pause. random gives a duration from 0 up to its argument, without it.
func (b *Backoff) Next(random func(time.Duration) time.Duration) time.Duration {
	b.last = min(max(2*b.last, pauseFirst), pauseLongest)
	return b.last/2 + random(b.last/2)
}

// Call is one caller's commands on their way to an outcome, whatever number of attempts that takes. All attempts send the same
// commands with the same ids.
type Call struct {
	Shard holdfast.ShardID
	ID    holdfast.CommandID // of the first command

	unknown bool // an attempt may have happened
	hinted  bool
	wait    Backoff
}

// End is how an attempt ended.
type End struct {
	Failure *holdfast.Error // nil: with an answer
	Results []byte          // packed: the answer
	Gone    bool            // the attempt had to be left behind: no other can be made of the call
}

// Next is what to do after an attempt.
type Next struct {
	Do      Do
	Failure *holdfast.Error // for Give: what the caller is told; nil: the answer
	Wait    time.Duration   // for Wait
	Leader  string          // not empty: the member that is said to lead the shard
}

// Do says which of three things comes next.
type Do uint8

// What may come next.
const (
	Give Do = iota // the caller is told
	Send           // another attempt, at once
	Wait           // routes are learned anew, and after Next.Wait comes another attempt; whoever cannot wait so long gives GivenUp
)

// Ended says what follows from the end of an attempt. left is how much of the caller's time is left by then; it is asked when
// that matters.
func (c *Call) Ended(e End, left func() time.Duration, random func(time.Duration) time.Duration) Next {
	failure, expired := e.Failure, false
	if failure == nil && c.unknown {
		failure, expired = c.undecided(e.Results)
	}
	if failure == nil {
		return Next{}
	}
	next, todo := Next{Failure: failure}, table[failure.Kind]
	c.unknown = c.unknown || todo == SameID
	if todo == AtHint && failure.Leader != "" {
		next.Leader = failure.Leader
		if !c.hinted {
			c.hinted, next.Do = true, Send
			return next
		}
	}
	if !e.Gone && todo != Never && !expired {
		// A pause after which the caller's time is over could help nobody.
		if pause := max(c.wait.Next(random), failure.RetryAfter); left() > pause {
			next.Do, next.Wait = Wait, pause
			return next
		}
	}
	next.Failure = c.GivenUp(failure)
	return next
}

// GivenUp is what the caller is told when no other attempt is made after this failure: once an attempt may have happened, that
// is Unknown, whatever came after it.
func (c *Call) GivenUp(failure *holdfast.Error) *holdfast.Error {
	if !c.unknown {
		return failure
	}
	return &holdfast.Error{Kind: holdfast.Unknown, Shard: c.Shard, Command: c.ID, Err: failure,
		Message: "an attempt may have happened; the same request with this id asks again"}
}

// undecided looks, once an attempt may have happened, for outcomes that do not tell whether it did: refusals of the id itself
// are about the last attempt alone. The outcome does not show in the failure, or callers would believe it. After an expired
// command no later attempt can tell either.
func (c *Call) undecided(results []byte) (failure *holdfast.Error, expired bool) {
	for rest := results; len(rest) > 0; _, rest = Cut(rest, 1) {
		if outcome := holdfast.Outcome(rest[2]); !outcome.Remembered() && outcome != holdfast.CommandReused {
			return &holdfast.Error{Kind: holdfast.Unknown, Shard: c.Shard, Message: "the last attempt says: " + outcome.Error()},
				outcome == holdfast.CommandExpired
		}
	}
	return nil, false
}

// resultBytesMin is the smallest packed result: length, outcome and fields.
const resultBytesMin = 5

// Cut takes count packed results off b; nil when there are fewer.
func Cut(b []byte, count int) (results, rest []byte) {
	at := 0
	for range count {
		if len(b)-at < resultBytesMin {
			return nil, nil
		}
		if at += 2 + int(binary.LittleEndian.Uint16(b[at:])); at > len(b) {
			return nil, nil
		}
	}
	return b[:at:at], b[at:]
}

// Stopped is the failure of a call that ended before anything was attempted. trouble says what was in the way.
func Stopped(cause error, trouble *holdfast.Error) *holdfast.Error {
	if cause == nil {
		cause = context.DeadlineExceeded
	}
	e := &holdfast.Error{Kind: holdfast.Unavailable, Message: "nothing was attempted in time", Err: cause}
	if trouble != nil {
		e.Shard, e.Message = trouble.Shard, e.Message+": "+trouble.Message
	}
	return e
}

// Unanswered is the failure of a call that was sent, and whose caller waits no longer.
func Unanswered(shard holdfast.ShardID, cause error) *holdfast.Error {
	return &holdfast.Error{Kind: holdfast.Unknown, Shard: shard, Message: "no answer in time", Err: cause}
}

// Broken is the failure of what was sent on a connection that ended before the answer.
func Broken(shard holdfast.ShardID, address string, err error) *holdfast.Error {
	return &holdfast.Error{Kind: holdfast.Unknown, Shard: shard, Message: "the connection to " + address + " ended before the answer", Err: err}
}
