package node

import (
	"time"

	"github.com/holdfast-db/holdfast"
)

// Batch is commands of one shard that are decided together: they go into one log entry, in order.
type Batch struct {
	Shard    holdfast.ShardID
	Commands []byte // packed, checked by the caller with command.Decoder.CheckBatch; the node's until Done is called
	Count    int    // of them, as CheckBatch gave it
	// Settles says that all of them give seats back or bring a payment home: a share of the queue is kept for
	// these, and a node that is short of disk still takes them. See command.Kind.Settles.
	Settles bool
	// Deadline is when the caller stops waiting. A batch that has not been packed by then is not attempted. Zero: none.
	Deadline time.Time
	// Done is called exactly once, from a goroutine of the node. It must not block: the shard waits for it.
	Done func(Reply)
}

// Reply is what became of a batch.
type Reply struct {
	// Stamp says where in the shard's history the batch was decided: Slot is its first command's.
	Stamp holdfast.Stamp
	// Results are packed, one for each command, in order. They are the receiver's.
	Results []byte
	// Err is a *holdfast.Error, and then there are no results. Kind Unknown means that the commands may have been
	// decided, or may yet be; every other kind means that they were not attempted.
	Err error
}

// Limits of a shard's queue. What is refused is told Overloaded at once, before anything is proposed.
const (
	// queueCommandsMax and queueBytesMax are a quarter of a second's work at the highest rate that was measured:
	// who would wait longer than that is better told to come again.
	queueCommandsMax = 1 << 17
	queueBytesMax    = 16 << 20
	// A part of the queue of this size is kept for batches that settle, so that a crowd of new holds cannot lock out
	// those who want to pay.
	settlesPart = 4
)

// queue is the batches that wait to be packed, in the order in which they came.
type queue struct {
	batches  []Batch // from head on
	head     int
	bytes    int
	commands int
}

func (q *queue) len() int { return len(q.batches) - q.head }

// admits reports whether there is room for a batch.
func (q *queue) admits(b *Batch) bool {
	bytesMax, commandsMax := queueBytesMax, queueCommandsMax
	if !b.Settles {
		bytesMax -= bytesMax / settlesPart
		commandsMax -= commandsMax / settlesPart
	}
	return q.bytes+len(b.Commands) <= bytesMax && q.commands+b.Count <= commandsMax
}

func (q *queue) push(b Batch) {
	if q.head > len(q.batches)/2 { // so that the slice does not wander through memory
		n := copy(q.batches, q.batches[q.head:])
		clear(q.batches[n:])
		q.batches, q.head = q.batches[:n], 0
	}
	q.batches = append(q.batches, b)
	q.bytes += len(b.Commands)
	q.commands += b.Count
}

// take appends to taken the batches that the next entry holds: as many whole ones as its limits allow, and one in
// any case. Those whose deadline is before now are appended to late instead.
func (q *queue) take(limits entryLimits, now time.Time, taken, late []Batch) (_, _ []Batch) {
	bytes, commands := 0, 0
	for q.len() > 0 {
		b := &q.batches[q.head]
		switch {
		case !b.Deadline.IsZero() && b.Deadline.Before(now):
			late = append(late, *b)
		case commands > 0 && (bytes+len(b.Commands) > limits.bytes || commands+b.Count > limits.commands):
			return taken, late
		default:
			bytes += len(b.Commands)
			commands += b.Count
			taken = append(taken, *b)
		}
		q.pop()
	}
	return taken, late
}

func (q *queue) pop() {
	b := &q.batches[q.head]
	q.bytes -= len(b.Commands)
	q.commands -= b.Count
	*b = Batch{} // let go of what it points to
	if q.head++; q.head == len(q.batches) {
		q.batches, q.head = q.batches[:0], 0
	}
}

// drain empties the queue.
func (q *queue) drain() []Batch {
	all := append([]Batch(nil), q.batches[q.head:]...)
	*q = queue{}
	return all
}
