package node

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// setClock is a clock that a test moves.
type setClock struct{ now time.Duration }

func (c *setClock) Now() time.Time           { return time.UnixMilli(1_000_000).Add(c.now) }
func (c *setClock) Monotonic() time.Duration { return c.now }

// bench is a proposer without a library behind it: the test packs and applies.
type bench struct {
	*proposer
	t       *testing.T
	clock   *setClock
	replies []Reply
}

func newBench(t *testing.T) *bench {
	clock := &setClock{now: time.Hour}
	leader := func() string { return "elsewhere:8000" }
	return &bench{t: t, clock: clock, proposer: newProposer(1, defaultLimits, 250*time.Millisecond, clock, leader)}
}

// serve becomes leader and applies the barrier.
func (b *bench) serve() *bench {
	b.lead(true)
	b.apply(b.pack(1)[0])
	return b
}

// batch is one of so many commands, of 32 bytes each. What is in them does not matter here.
func (b *bench) batch(count int) Batch {
	return Batch{Shard: 1, Count: count, Commands: make([]byte, 32*count), Done: func(r Reply) { b.replies = append(b.replies, r) }}
}

// pack packs so many entries, and no more must be due.
func (b *bench) pack(want int) (packed []*entry) {
	b.t.Helper()
	for {
		e, late := b.next()
		refuse(late, nil, b.failure(holdfast.Unavailable, "late", 0))
		if e == nil {
			break
		}
		e.data = []byte{0}
		packed = append(packed, e)
	}
	if len(packed) != want {
		b.t.Fatalf("%d entries are packed, want %d", len(packed), want)
	}
	return packed
}

// apply answers an entry with one byte for each command.
func (b *bench) apply(e *entry) {
	b.t.Helper()
	if b.claim(e.data) != e {
		b.t.Fatal("the entry is not in flight")
	}
	out := command.Output{Results: make([]byte, e.commands)}
	for i := range e.commands {
		out.Ends = append(out.Ends, uint32(i+1))
	}
	b.answer(e, holdfast.Stamp{}, &out)
}

func kindOf(r Reply) holdfast.Kind { return holdfast.KindOf(r.Err) }

func TestNothingIsDoneBeforeTheBarrierIsApplied(t *testing.T) {
	b := newBench(t)
	if err := b.offer(b.batch(1)); !errors.Is(err, holdfast.NotLeader) {
		t.Errorf("a follower took a batch: %v", err)
	}
	b.lead(true)
	read := make(chan error, 1)
	if err := errors.Join(b.offer(b.batch(1)), b.await(read)); err != nil {
		t.Fatal(err)
	}
	barrier := b.pack(1)[0]
	if barrier.commands != 0 || barrier.step != 0 || len(barrier.readers) != 0 || b.serves() {
		t.Errorf("the barrier is %+v", barrier)
	}
	b.apply(barrier)
	if !b.serves() || len(read) != 0 || len(b.replies) != 0 {
		t.Error("something was answered by the barrier")
	}
	b.apply(b.pack(1)[0])
	if len(b.replies) != 1 || len(read) != 1 || <-read != nil {
		t.Error("batch and reader were not answered")
	}
}

func TestStepsAreTheTimeThatPasses(t *testing.T) {
	b := newBench(t)
	b.lead(true)
	barrier := b.pack(1)[0]
	b.clock.now += time.Minute // however long the barrier takes
	b.apply(barrier)
	step := func(after time.Duration) time.Duration {
		b.clock.now += after
		if err := b.offer(b.batch(1)); err != nil {
			t.Fatal(err)
		}
		e := b.pack(1)[0]
		b.apply(e)
		return time.Duration(e.step) * time.Microsecond
	}
	if got := step(10 * time.Millisecond); got != 10*time.Millisecond {
		t.Errorf("the first step is %v: it counts from the barrier", got)
	}
	sum := time.Duration(0)
	for range 1000 {
		sum += step(1500 * time.Nanosecond)
	}
	if sum != 1500*time.Microsecond {
		t.Errorf("a thousand steps of 1.5 µs make %v", sum)
	}
	if got := step(time.Hour); got != holdfast.StepMax {
		t.Errorf("after an hour's stall the step is %v", got)
	}
	if got := step(time.Millisecond); got != time.Millisecond {
		t.Errorf("the step after it is %v", got)
	}
	b.lead(false)
	b.clock.now += time.Second
	b.serve()
	if got := step(5 * time.Millisecond); got != 5*time.Millisecond {
		t.Errorf("the next reign's first step is %v", got)
	}
}

func TestTheClockTicksWhileSomethingWaitsForIt(t *testing.T) {
	b := newBench(t).serve()
	b.clock.now += time.Hour
	b.pack(0)
	b.noted(true, 0, sizes{})
	b.clock.now += 250 * time.Millisecond
	tick := b.pack(1)[0]
	b.clock.now += time.Second
	b.pack(0) // one empty entry at a time
	b.apply(tick)
	b.pack(1)
}

func TestAFullQueueSaysWhenToComeAgain(t *testing.T) {
	b := newBench(t).serve()
	taken := 0
	var err error
	for ; err == nil; taken++ {
		err = b.offer(b.batch(1000))
	}
	var failure *holdfast.Error
	if !errors.As(err, &failure) || failure.Kind != holdfast.Overloaded || failure.RetryAfter == 0 {
		t.Fatalf("refused with %v", err)
	}
	if want := queueCommandsMax * 3 / 4 / 1000; taken-1 != want {
		t.Errorf("%d batches of holds are taken, want %d", taken-1, want)
	}
	settling := b.batch(1000)
	settling.Settles = true
	for taken = 0; b.offer(settling) == nil; taken++ {
	}
	if want := queueCommandsMax / 4 / 1000; taken < want {
		t.Errorf("%d batches that settle are taken, want %d", taken, want)
	}
	for b.queue.len() > 0 {
		e, _ := b.next()
		if size := 32 * e.commands; size > defaultLimits.bytes || e.commands > defaultLimits.commands {
			t.Fatalf("an entry of %d commands", e.commands)
		}
		e.data = []byte{0}
		b.apply(e)
	}
	if b.queue.bytes != 0 || b.queue.commands != 0 {
		t.Errorf("an empty queue has %d bytes and %d commands", b.queue.bytes, b.queue.commands)
	}
}

func TestAFullMemoryRefusesBeforeProposing(t *testing.T) {
	b := newBench(t).serve()
	b.noted(true, 0, sizes{now: 900, max: 1000})
	if err := b.offer(b.batch(30)); err != nil {
		t.Fatal(err)
	}
	if err := b.offer(b.batch(30)); !errors.Is(err, holdfast.Overloaded) { // 930 and 30 in the queue
		t.Errorf("beyond what is left for holds: %v", err)
	}
	settling := b.batch(30)
	settling.Settles = true
	if err := b.offer(settling); err != nil {
		t.Errorf("within what is kept for settling: %v", err)
	}
}

func TestABatchIsNeverSplitAndMayBeLargerThanAnEntry(t *testing.T) {
	b := newBench(t).serve()
	small, large := b.batch(10), b.batch(1)
	large.Commands = make([]byte, holdfast.BatchBytesMax)
	for _, batch := range []Batch{small, large, small, small} {
		if err := b.offer(batch); err != nil {
			t.Fatal(err)
		}
	}
	var counts []int
	for b.queue.len() > 0 {
		e, _ := b.next()
		e.data = []byte{0}
		counts = append(counts, e.commands)
		b.apply(e)
	}
	if !slices.Equal(counts, []int{10, 1, 20}) {
		t.Errorf("entries of %v commands", counts)
	}
}

func TestWhoHasStoppedWaitingIsLeftOut(t *testing.T) {
	b := newBench(t).serve()
	late := b.batch(1)
	late.Deadline = time.Now().Add(-time.Second)
	if err := errors.Join(b.offer(late), b.offer(b.batch(2))); err != nil {
		t.Fatal(err)
	}
	if e := b.pack(1)[0]; e.commands != 2 {
		t.Errorf("%d commands are packed", e.commands)
	}
	if len(b.replies) != 1 || kindOf(b.replies[0]) != holdfast.Unavailable {
		t.Errorf("the late one is told %+v", b.replies)
	}
}

// The one table of what the library's errors mean.
func TestWhatIsKnownAboutAFailedProposal(t *testing.T) {
	for err, want := range map[error]holdfast.Kind{
		raft.ErrNotLeader:                       holdfast.NotLeader,
		raft.ErrLeadershipTransferInProgress:    holdfast.Unavailable,
		raft.ErrLeadershipLost:                  holdfast.Unknown,
		raft.ErrRaftShutdown:                    holdfast.Unknown,
		raft.ErrAbortedByRestore:                holdfast.Unknown,
		errors.New("write: input/output error"): holdfast.Unknown,
	} {
		b := newBench(t).serve()
		if err := b.offer(b.batch(1)); err != nil {
			t.Fatal(err)
		}
		e := b.pack(1)[0]
		b.drop(e, err)
		b.drop(e, err)
		b.lead(false)
		b.abandon()
		if len(b.replies) != 1 || kindOf(b.replies[0]) != want {
			t.Errorf("%v: %+v, want one answer of kind %v", err, b.replies, want)
		}
	}
}

func TestAnEntryOfALostReignIsNotProposed(t *testing.T) {
	b := newBench(t).serve()
	if err := b.offer(b.batch(1)); err != nil {
		t.Fatal(err)
	}
	e, _ := b.next() // and before it is proposed:
	b.lead(false)
	b.lead(true)
	b.propose(e)
	if len(b.replies) != 1 || kindOf(b.replies[0]) != holdfast.NotLeader {
		t.Errorf("%+v", b.replies)
	}
}

func TestATransferThatNeverEndsIsNoticed(t *testing.T) {
	b := newBench(t).serve()
	refusing := func() {
		t.Helper()
		if err := b.offer(b.batch(1)); err != nil {
			t.Fatal(err)
		}
		b.drop(b.pack(1)[0], raft.ErrLeadershipTransferInProgress)
		b.pack(0) // not in circles
	}
	refusing()
	b.clock.now += time.Second
	refusing()
	if got := b.stuck(); got != time.Second {
		t.Errorf("stuck for %v", got)
	}
	b.lead(false) // the transfer came to its end after all
	b.clock.now += time.Hour
	if got := b.stuck(); got != 0 {
		t.Errorf("a node that follows is stuck for %v", got)
	}
}

func TestNothingIsPackedWhileLeadershipMoves(t *testing.T) {
	b := newBench(t).serve()
	if err := b.offer(b.batch(1)); err != nil {
		t.Fatal(err)
	}
	e := b.pack(1)[0]
	empty := b.pause()
	if err := b.offer(b.batch(1)); err != nil {
		t.Errorf("what comes meanwhile waits: %v", err)
	}
	b.pack(0)
	select {
	case <-empty:
		t.Error("an entry is in flight")
	default:
	}
	b.apply(e)
	<-empty
	b.resume()
	b.pack(1)
}

func TestSnapshotsAreDueByWhatWasAppliedAndInTurn(t *testing.T) {
	const size = 100_000
	counts := func(t *tally) (entries int) {
		for ; len(t.due) == 0; entries++ {
			t.count(500, size)
		}
		<-t.due
		t.written(1, 0, t.sofar())
		return entries
	}
	a := &tally{due: make(chan struct{}, 1), entriesMax: snapshotEntriesMax}
	b := &tally{due: make(chan struct{}, 1), entriesMax: snapshotEntriesMax, offset: 33}
	first, second := counts(a), counts(b)
	if want := snapshotBytesMin/size + 1; first != want || second < first*132/100 || second > first*134/100 {
		t.Errorf("first snapshots after %d and %d entries, want %d and a third more", first, second, want)
	}
	if again := counts(b); again != first {
		t.Errorf("later cycles are as long as the others': %d, want %d", again, first)
	}
	a.written(1, 2*snapshotBytesMin, a.sofar())
	if after := counts(a); after < 2*first-2 {
		t.Errorf("after a snapshot of twice the least size the next is due after %d entries", after)
	}
	a.count(500, size)
	if got := a.trailing(); got != trailingBytes/(size+1) {
		t.Errorf("%d trailing entries", got)
	}
}

// Entries are applied while a snapshot waits for its turn and is written.
func TestASnapshotIsDueAgainWhenItFailsAndOnlyThen(t *testing.T) {
	a := &tally{due: make(chan struct{}, 1), entriesMax: 100}
	for len(a.due) == 0 {
		a.count(1, 100)
	}
	<-a.due
	a.count(1, 100)
	failed := a.sofar()
	if a.count(1, 100); len(a.due) != 1 {
		t.Fatal("a snapshot that was not written is due no more")
	}
	<-a.due
	held := a.sofar()
	a.count(1, 100)
	if a.written(1, 0, held); len(a.due) != 0 || a.since() != (counts{1, 1, 100}) {
		t.Errorf("after it was written: due %v, since %+v", len(a.due) == 1, a.since())
	}
	if a.written(1, 0, failed); a.since().entries != 1 {
		t.Errorf("an older one that ends late sets the count back: %+v", a.since())
	}
}

// A library that takes an entry in a later term than that for which it was stamped.
func TestNoTimeCountsTwice(t *testing.T) {
	b := newBench(t)
	b.lead(true)
	barrier := b.pack(1)[0]
	b.claim(barrier.data)
	b.answer(barrier, holdfast.Stamp{Term: 7}, &command.Output{})
	store := fence{raft.NewInmemStore(), b.proposer}
	for term, want := range map[uint64]uint32{7: 100_000, 9: 0} {
		b.clock.now += 100 * time.Millisecond
		if err := b.offer(b.batch(1)); err != nil {
			t.Fatal(err)
		}
		e, _ := b.next()
		e.data = command.FinishEntry(append(command.BeginEntry(nil), make([]byte, 32)...), e.step, e.wallMs, e.commands)
		if err := store.StoreLogs([]*raft.Log{{Index: term, Term: term, Type: raft.LogCommand, Data: e.data}}); err != nil {
			t.Fatal(err)
		}
		got, err := command.OpenEntry(e.data)
		if err != nil || got.StepMicros != want || got.Count != 1 {
			t.Errorf("in term %d: %+v, %v", term, got, err)
		}
		b.apply(e)
	}
}

// The library panics when it cannot save its term or its vote. While it is being opened that is caught; afterwards the goroutine ends
// before.
func TestAfterAFailedDiskRaftsLoopEnds(t *testing.T) {
	l := &latch{fatal: func(error) {}}
	_ = l.fail(errors.New("the disk has failed"))
	log, opened := &logStore{latch: l}, &atomic.Bool{}
	for what, do := range map[string]func() error{
		"the term": func() error { return ender{&stableStore{log: log}, opened}.SetUint64([]byte("CurrentTerm"), 1) },
		"a vote":   func() error { return ender{&stableStore{log: log}, opened}.Set([]byte("x"), nil) },
	} {
		for _, runs := range []bool{false, true} {
			opened.Store(runs)
			answer, ended := make(chan error, 1), make(chan struct{})
			go func() {
				defer close(ended)
				answer <- do()
			}()
			<-ended
			select {
			case err := <-answer:
				if runs || err == nil {
					t.Errorf("%s: running %v, and was answered %v", what, runs, err)
				}
			default:
				if !runs {
					t.Errorf("%s: the goroutine that opens has ended", what)
				}
			}
		}
	}
}
