package client

import (
	"context"
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Limits of a lane. What a call meets there is Overloaded, which the retry table knows.
const (
	queueCommandsMax = 1 << 16
	queueBytesMax    = 32 << 20

	// inFlightMax is how many batches of a lane may be unanswered: two entries are on their way to the leader's
	// disk at a time, and one batch waits there to be packed into the next. What waits here meanwhile makes the
	// next batch larger.
	inFlightMax = 3

	// retireGrace is how long a deposed leader may take to answer what it was sent.
	retireGrace = 500 * time.Millisecond
)

// lane carries the commands of one shard to its leader.
type lane struct {
	c     *Client
	shard holdfast.ShardID
	epoch time.Time // before the first sight of the clock
	clock retry.ShardClock
	kick  chan struct{} // capacity 1: wakes the sender from a pause when the route changes

	mu       sync.Mutex
	changed  sync.Cond // the sender waits on it for something to send and room to send it
	settling queue     // commands that give seats back or bring payments home: sent before others, never among them
	others   queue
	commands int // in both queues
	bytes    int
	link     *link // nil: none
	// While the sender connects: where to, and what stops it.
	dialing     string
	stopDialing context.CancelFunc
	trouble     *holdfast.Error // why the leader could not be reached, for those who wait
	number      uint64          // of the last batch
	closed      bool
}

// link is one stream to the shard's leader. Its fields are guarded by the lane's mu.
type link struct {
	address string
	stream  grpc.BidiStreamingClient[api.Batch, api.BatchResult]
	cancel  context.CancelFunc
	flying  map[uint64]*batch
	retired bool // nothing more is sent on it
}

func newLane(c *Client, shard holdfast.ShardID) *lane {
	l := &lane{c: c, shard: shard, epoch: time.Now().Add(-time.Second), kick: make(chan struct{}, 1)}
	l.changed.L = &l.mu
	return l
}

// enqueue takes a call in, or refuses it. The caller then waits for k.done.
func (l *lane) enqueue(k *call) *holdfast.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	if l.commands+k.count > queueCommandsMax || l.bytes+len(k.packed) > queueBytesMax {
		return &holdfast.Error{Kind: holdfast.Overloaded, Shard: l.shard, Message: "too many commands wait in this client; nothing was attempted"}
	}
	k.state.Store(queued)
	if k.settles {
		l.settling.push(k)
	} else {
		l.others.push(k)
	}
	l.commands += k.count
	l.bytes += len(k.packed)
	l.changed.Signal()
	return nil
}

// send is the lane's one sender. It ends with close.
func (l *lane) send() {
	var wait retry.Backoff
	for l.awaitWork() {
		k, failure := l.connect()
		if failure != nil {
			l.blame(failure)
			l.c.routes.refresh()
			l.pause(wait.Next(random))
			continue
		}
		wait = retry.Backoff{}
		// An answer wakes the sender and many callers at once: let them queue first, so that the batch is theirs. This
		// was worth about a fifth of the throughput of 256 callers on two cores.
		runtime.Gosched()
		b := l.take(k)
		if b == nil {
			continue
		}
		if err := k.stream.Send(&b.msg); err != nil {
			l.retire(k) // its receiver is told why, and ends the batch
		}
		b.release()
	}
	l.drain(errClosed)
}

// awaitWork waits for something to send and room to send it. It reports false after close.
func (l *lane) awaitWork() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && (l.commands == 0 || l.link != nil && len(l.link.flying) >= inFlightMax) {
		l.changed.Wait()
	}
	return !l.closed
}

// take packs a batch of what is queued, settling commands first, and enters it as in flight. It gives nil when all
// of it was abandoned, or the link was retired meanwhile.
func (l *lane) take(k *link) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.retired {
		return nil
	}
	b := batches.Get().(*batch)
	q := &l.settling
	if q.len() == 0 {
		q = &l.others
	}
	var deadline time.Time
	for q.len() > 0 {
		next := q.calls[q.head]
		if b.count > 0 && (b.count+next.count > batchCommandsMax || len(b.buf)+len(next.packed) > batchBytesMax) {
			break
		}
		l.remove(q.pop())
		if !next.state.CompareAndSwap(queued, sent) {
			l.c.free(next)
			continue
		}
		b.buf = append(b.buf, next.packed...)
		b.calls = append(b.calls, next)
		b.count += next.count
		if next.deadline.After(deadline) {
			deadline = next.deadline
		}
	}
	if b.count == 0 {
		b.holders.Store(1)
		b.release()
		return nil
	}
	l.number++
	b.holders.Store(2)
	b.msg.Number, b.msg.Shard, b.msg.Commands = l.number, uint32(l.shard), b.buf
	b.msg.TimeoutMs = uint32(max(time.Until(deadline).Milliseconds(), 1))
	k.flying[l.number] = b
	return b
}

func (l *lane) remove(k *call) {
	l.commands -= k.count
	l.bytes -= len(k.packed)
}

// connect gives the link to the shard's leader, and opens it when there is none.
func (l *lane) connect() (*link, *holdfast.Error) {
	l.mu.Lock()
	k := l.link
	l.mu.Unlock()
	if k != nil {
		return k, nil
	}
	address, ok := l.c.routes.leader(l.shard)
	if !ok {
		return nil, &holdfast.Error{Kind: holdfast.Unavailable, Shard: l.shard, Message: "no leader is known"}
	}
	conn, failure := l.c.conn(address)
	if failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithCancel(l.c.ctx)
	l.mu.Lock()
	l.dialing, l.stopDialing = address, cancel
	l.mu.Unlock()
	stream, err := api.NewClaimsClient(conn).Stream(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing, l.stopDialing = "", nil
	if err != nil {
		cancel()
		failure = statusOf(err)
		failure.Message = address + ": " + failure.Message
		return nil, failure
	}
	k = &link{address: address, stream: stream, cancel: cancel, flying: map[uint64]*batch{}}
	if !l.c.start(func() { l.receive(k) }) {
		cancel()
		return nil, errClosed
	}
	l.link, l.trouble = k, nil
	return k, nil
}

// receive is a link's one receiver. It hands results out until the stream ends.
func (l *lane) receive(k *link) {
	defer k.cancel()
	for {
		answer, err := k.stream.Recv()
		if err != nil {
			l.broken(k, err)
			return
		}
		if b := l.landed(k, answer.GetNumber()); b != nil {
			l.deliver(b, answer)
		}
	}
}

// landed takes an answered batch out of those in flight. It gives nil for an answer that nobody waits for.
func (l *lane) landed(k *link, number uint64) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := k.flying[number]
	delete(k.flying, number)
	l.changed.Signal()
	if k.retired && len(k.flying) == 0 {
		k.cancel()
	}
	return b
}

// deliver cuts the answer up for the calls of the batch.
func (l *lane) deliver(b *batch, answer *api.BatchResult) {
	defer b.release()
	stamp := holdfast.Stamp{Shard: l.shard, Term: answer.GetTerm(), Index: answer.GetIndex(), Slot: answer.GetSlot(),
		Clock: holdfast.Clock(answer.GetClockUs())}
	if f := answer.GetFailure(); f != nil {
		failure := failureOf(f)
		for _, k := range b.calls {
			l.c.end(k, sent, failure, nil, stamp)
		}
		return
	}
	l.saw(stamp.Clock)
	rest := answer.GetResults()
	for _, k := range b.calls {
		var mine []byte
		var failure *holdfast.Error
		if mine, rest = retry.Cut(rest, k.count); mine == nil {
			failure = &holdfast.Error{Kind: holdfast.Unknown, Shard: l.shard, Message: "the server's answer is too short"}
		}
		count := uint32(k.count) // k is its caller's again after end
		l.c.end(k, sent, failure, mine, stamp)
		stamp.Slot += count
	}
}

// broken ends what was in flight on a stream that ended: whether it happened is unknown.
func (l *lane) broken(k *link, err error) {
	l.retire(k)
	l.mu.Lock()
	flying := k.flying
	k.flying = nil
	l.mu.Unlock()
	if len(flying) > 0 {
		l.c.log.Warn("stream to leader ended", "shard", l.shard, "leader", k.address, "in flight", len(flying), "err", err)
		l.c.routes.refresh()
	}
	failure := retry.Broken(l.shard, k.address, err)
	for _, b := range flying {
		for _, call := range b.calls {
			l.c.end(call, sent, failure, nil, holdfast.Stamp{})
		}
		b.release()
	}
}

// retire sends nothing more on the link. What is in flight may still be answered, for a while.
func (l *lane) retire(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link == k {
		l.link = nil
		l.changed.Signal()
	}
	if k.retired {
		return
	}
	k.retired = true
	if len(k.flying) == 0 {
		k.cancel()
	} else {
		time.AfterFunc(retireGrace, k.cancel)
	}
}

// follow retires the link, or stops connecting, when it leads elsewhere than to the leader.
func (l *lane) follow(leader string) {
	l.mu.Lock()
	k := l.link
	if l.stopDialing != nil && l.dialing != leader {
		l.stopDialing()
	}
	l.mu.Unlock()
	if k != nil && k.address != leader {
		l.retire(k)
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// pause waits until d has passed, the route has changed, or the client is closed.
func (l *lane) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.kick:
	case <-l.c.ctx.Done():
	}
}

// blame notes why the leader cannot be reached, and drops those who have given up waiting.
func (l *lane) blame(failure *holdfast.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = failure
	for _, q := range []*queue{&l.settling, &l.others} {
		for n := q.len(); n > 0; n-- {
			if k := q.pop(); k.state.Load() == abandoned {
				l.remove(k)
				l.c.free(k)
			} else {
				q.push(k)
			}
		}
	}
}

// blamed gives what blame noted.
func (l *lane) blamed() *holdfast.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.changed.Signal()
	l.mu.Unlock()
}

// drain ends every queued call.
func (l *lane) drain(failure *holdfast.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range []*queue{&l.settling, &l.others} {
		for q.len() > 0 {
			k := q.pop()
			l.remove(k)
			l.c.end(k, queued, failure, nil, holdfast.Stamp{})
		}
	}
}

// queue is first in, first out.
type queue struct {
	calls []*call
	head  int
}

func (q *queue) len() int { return len(q.calls) - q.head }

func (q *queue) push(k *call) {
	if q.head > len(q.calls)/2 && len(q.calls) == cap(q.calls) {
		n := copy(q.calls, q.calls[q.head:])
		clear(q.calls[n:])
		q.calls, q.head = q.calls[:n], 0
	}
	q.calls = append(q.calls, k)
}

func (q *queue) pop() *call {
	k := q.calls[q.head]
	q.calls[q.head] = nil
	if q.head++; q.head == len(q.calls) {
		q.calls, q.head = q.calls[:0], 0
	}
	return k
}
