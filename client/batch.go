package client

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Result is the shard's answer to one command of Do: a yes, or a refusal.
type Result struct {
	command.Result
	Stamp holdfast.Stamp
}

// Do sends many commands about one event as one batch, which the shard executes in order and in one entry. Each has
// its own outcome: a refusal is a result here, not an error. The error concerns all of them: nothing was attempted,
// or, with holdfast.Unknown, all may have happened; then Do with the same commands asks again.
//
// The commands' headers are filled in. When the first has no id, all get new ones; otherwise each must have its own.
// There may be holdfast.BatchCommandsMax of them, in holdfast.BatchBytesMax. The results go into results, whose
// memory is used again, or into fresh memory when it is nil.
func (c *Client) Do(ctx context.Context, event EventRef, cmds []command.Command, results []Result) ([]Result, error) {
	const op = "do"
	if len(cmds) == 0 || len(cmds) > holdfast.BatchCommandsMax {
		return nil, named(op, invalid("commands", "%d, 1 to %d", len(cmds), holdfast.BatchCommandsMax))
	}
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return nil, named(op, failure)
	}
	l, failure := c.lane(event.Shard)
	if failure != nil {
		return nil, named(op, failure)
	}
	results = slices.Grow(results[:0], len(cmds))[:len(cmds)]
	k := c.newCall(c.deadline(ctx))
	mine := cmds[0].Head().ID == holdfast.CommandID{}
	for try := 1; ; try++ {
		k, failure = l.decideAll(ctx, k, event.ID, cmds, mine, results)
		if failure != nil || !mine || try > 1 || !retry.Missed(results[0].Outcome) {
			break
		}
	}
	if k != nil {
		c.free(k)
	}
	if failure != nil {
		return nil, named(op, failure)
	}
	return results, nil
}

// decideAll packs the commands, with new ids if those are ours to make, and takes their outcomes into results.
func (l *lane) decideAll(ctx context.Context, k *call, event holdfast.EventID, cmds []command.Command, mine bool, results []Result) (*call, *holdfast.Error) {
	var until holdfast.Clock
	if mine {
		var failure *holdfast.Error
		if until, failure = l.validUntil(ctx, k.deadline); failure != nil {
			return k, failure
		}
	}
	for _, cmd := range cmds {
		head := cmd.Head()
		if head.Event = event; mine {
			head.ID = newID(until)
		}
	}
	if failure := k.pack(cmds...); failure != nil {
		return k, failure
	}
	k, failure := l.run(ctx, k)
	if failure != nil {
		return k, failure
	}
	rest, stamp := k.results, k.stamp
	for i := range results {
		var err error
		if rest, err = command.DecodeResult(rest, &results[i].Result); err != nil {
			return k, &holdfast.Error{Kind: holdfast.Unknown, Shard: l.shard, Command: cmds[i].Head().ID, Message: "the server's answer cannot be read", Err: err}
		}
		results[i].Stamp = stamp
		stamp.Slot++
	}
	return k, nil
}

// A batch takes all that is queued up to these; a call that is larger alone travels alone. Larger batches would
// share the round trip among more, but each has to fit one log entry with others.
const (
	batchCommandsMax = 2048
	batchBytesMax    = 192 << 10

	_ = uint(holdfast.BatchCommandsMax - batchCommandsMax)
	_ = uint(holdfast.BatchBytesMax - batchBytesMax)
)

// call is one caller's commands on their way, and the answer. Calls are used again, so whoever ends one for its
// caller, or finds it abandoned, must not touch it afterwards.
type call struct {
	packed   []byte
	count    int
	settles  bool
	deadline time.Time

	state atomic.Uint32
	done  chan struct{} // capacity 1: one token when the attempt has ended
	timer *time.Timer

	// The answer, written before the token by whoever ends the attempt.
	failure *holdfast.Error // shared with the other calls of the batch
	results []byte          // packed, count of them
	stamp   holdfast.Stamp  // of the first command

	decoder  command.Decoder
	currency holdfast.Currency // of the last amount, to save its memory
}

// The states of an attempt. The sender moves queued to sent, the end of the attempt either to ended; a caller that
// gives up moves either to abandoned, and then whoever holds the call frees it.
const (
	queued uint32 = iota
	sent
	ended
	abandoned
)

func newCall() *call {
	k := &call{done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	k.timer.Stop()
	return k
}

func (c *Client) newCall(deadline time.Time) *call {
	k := c.calls.Get().(*call)
	k.deadline = deadline
	return k
}

func (c *Client) free(k *call) {
	k.failure, k.results = nil, nil
	c.calls.Put(k)
}

// pack packs the commands and checks them as the server will: one that is malformed would spoil the batch for others.
func (k *call) pack(cmds ...command.Command) *holdfast.Error {
	k.packed, k.count, k.settles = k.packed[:0], len(cmds), true
	for _, cmd := range cmds {
		before := len(k.packed)
		k.packed = cmd.Append(k.packed)
		kind := cmd.Head().Kind
		if size := len(k.packed) - before; !kind.Long() && size > holdfast.CommandBytesMax {
			return invalid("commands", "a %s of %d bytes, at most %d", kind, size, holdfast.CommandBytesMax)
		}
		k.settles = k.settles && kind.Settles()
	}
	if _, err := k.decoder.CheckBatch(k.packed); err != nil {
		return statusOf(err)
	}
	return nil
}

// end ends the attempt for its caller, or frees the call when the caller has left.
func (c *Client) end(k *call, from uint32, failure *holdfast.Error, results []byte, stamp holdfast.Stamp) {
	k.failure, k.results, k.stamp = failure, results, stamp
	if k.state.CompareAndSwap(from, ended) {
		k.done <- struct{}{}
		return
	}
	c.free(k)
}

// batch is one message: the commands of some calls, in the order of the calls. Both the sender and whoever ends
// its calls hold it; the last one to let go frees it, so that nothing is written while gRPC still reads.
type batch struct {
	msg     api.Batch
	buf     []byte
	calls   []*call
	count   int
	holders atomic.Int32
}

var batches = sync.Pool{New: func() any { return new(batch) }}

func (b *batch) release() {
	if b.holders.Add(-1) == 0 {
		b.msg.Commands = nil
		b.buf, b.count = b.buf[:0], 0
		clear(b.calls)
		b.calls = b.calls[:0]
		batches.Put(b)
	}
}
