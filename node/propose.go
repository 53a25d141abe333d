package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
	"github.com/holdfast-db/holdfast/node/holdclock"
)

// entryLimits are what one entry holds, and how many are under way.
type entryLimits struct {
	depth    int // entries that are proposed and not yet applied
	bytes    int // of commands in an entry; a larger batch has one for itself
	commands int
}

// defaultLimits: while one entry is on its way to the followers' disks, the next is on its way to the leader's; more
// than that only adds waiting. Half a MiB is 9,500 holds of one seat, which are applied in 7 ms; smaller entries cost
// throughput, larger ones only time. BenchmarkDepth tries others.
var defaultLimits = entryLimits{depth: 2, bytes: 512 << 10, commands: 16 << 10}

const (
	// maxAppendEntries is how many entries the library sends, stores or applies at once.
	maxAppendEntries = 7
	// The library bounds messages in entries only.
	messageBytesMax = 8 << 20
	// The largest entry is a batch of the largest size.
	packedBytesMax = holdfast.BatchBytesMax + command.EntryOverheadBytes

	readersMax      = 1 << 16                // strict reads that wait for the next entry
	overloadedAfter = 100 * time.Millisecond // when to try again what a full queue refused
	electedAfter    = 300 * time.Millisecond // and what had no leader
	forgottenAfter  = time.Second            // and what could not be remembered
)

const _ = uint(messageBytesMax - maxAppendEntries*packedBytesMax)

// proposer packs what is queued into entries, stamps them with the time and proposes them: one goroutine does all
// three, so that stamps are in log order and nobody else calls raft.Apply. It packs whenever fewer than depth entries
// are unapplied, without timers: under load entries grow by themselves.
//
// Every batch that it was given is answered once:
//
//   - by apply, when an entry of ours comes out of the log (claim, then answer);
//   - by the settling goroutine, when its proposal failed, as verdict says;
//   - by whoever ends our leading, when it was still queued: not attempted;
//   - by stall, when the disk stands still, wherever it was.
//
// A batch belongs to the queue, then to an entry in flight; both are guarded by mu, and who takes it out answers it.
type proposer struct {
	shard  holdfast.ShardID
	limits entryLimits
	tick   time.Duration
	clock  Clock
	leader func() string // the leader's client address, for those who are at the wrong node
	raft   *raft.Raft    // set before run

	mu       sync.Mutex
	queue    queue
	readers  []chan error // strict reads that wait for an entry packed after they came
	flight   []*entry     // packed, and neither applied nor failed; in order
	idle     []*entry     // to be used again
	over     error        // set when the group ends: nothing is taken any more
	reign    uint64       // counts the times that we became leader
	leading  bool
	begun    bool   // the barrier of this reign is packed
	serving  bool   // and applied
	term     uint64 // of the barrier
	paused   bool   // nothing is packed while leadership is being handed over
	stands   bool   // the log's disk stands still
	stalled  bool   // and so we have let go of our leadership: nothing is taken nor packed until takeUp
	empties  int    // entries in flight that carry no commands
	steps    holdclock.Steps
	timed    bool  // something waits for the hold clock
	wakeMs   int64 // wall clock, Unix ms: an entry is due then; 0: none
	remember sizes // outcomes
	load     load

	blocked time.Duration // Monotonic: since when the library refuses with a transfer in progress; 0: it does not
	again   time.Duration // Monotonic: nothing is packed before, since the library refused the last entry
	emptied chan struct{} // not nil: to be closed when nothing is in flight

	wake     chan struct{} // capacity 1: something to pack, or room for it
	proposed chan *entry   // to the settling goroutine; closed when packing ends
	stop     chan struct{} // closed by close
	settled  chan struct{} // closed when the settling goroutine has ended
}

type sizes struct{ now, max int }

// entry is one record of the log while it is ours.
type entry struct {
	data     []byte // the library keeps it, so it is never used again
	batches  []Batch
	readers  []chan error
	commands int
	reign    uint64
	term     uint64
	barrier  bool
	givenUp  bool          // its batches and readers are answered already
	packed   time.Duration // Monotonic: when, less what its commands had waited by then
	step     uint32
	wallMs   int64
	future   raft.ApplyFuture
}

func newProposer(shard holdfast.ShardID, limits entryLimits, tick time.Duration, clock Clock, leader func() string) *proposer {
	if planted.Is(planted.WallClock) {
		clock = wallClock{clock}
	}
	return &proposer{
		shard: shard, limits: limits, tick: tick, clock: clock, leader: leader,
		wake: make(chan struct{}, 1), proposed: make(chan *entry, limits.depth), stop: make(chan struct{}), settled: make(chan struct{}),
	}
}

// run starts both goroutines.
func (p *proposer) run(r *raft.Raft) {
	p.raft = r
	go p.pack()
	go p.settle()
}

// offer queues a batch, or says why not.
func (p *proposer) offer(b Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	if !p.queue.admits(&b) {
		return p.failure(holdfast.Overloaded, "the shard's queue is full; nothing was attempted", overloadedAfter)
	}
	if max := p.remember.max; max > 0 {
		if !b.Settles {
			max -= max / 16
		}
		if p.remember.now+p.queue.commands+p.commandsInFlight()+b.Count > max {
			return p.failure(holdfast.Overloaded, "the shard cannot remember more outcomes now; nothing was attempted", forgottenAfter)
		}
	}
	if p.queue.len() == 0 {
		p.load.since = p.clock.Monotonic()
	}
	p.queue.push(b)
	p.kick()
	return nil
}

// await waits until an entry has been applied that was packed after the call: then the machine holds everything
// that anybody was told before it. c has room for one error and is written once, unless await fails.
func (p *proposer) await(c chan error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	if len(p.readers) >= readersMax {
		return p.failure(holdfast.Overloaded, "too many strict reads wait; read stale, or try again", overloadedAfter)
	}
	p.readers = append(p.readers, c)
	p.kick()
	return nil
}

// ready says why nothing can be taken; the caller has the lock.
func (p *proposer) ready() error {
	if p.over != nil {
		return p.over
	}
	if !p.leading {
		return p.notLeading()
	}
	if p.stalled {
		return p.standing()
	}
	return nil
}

// notLeading says where the leader is, if there is one.
func (p *proposer) notLeading() error {
	if leader := p.leader(); leader != "" {
		return &holdfast.Error{Kind: holdfast.NotLeader, Shard: p.shard, Leader: leader, Message: "another node leads the shard; nothing was attempted"}
	}
	return p.failure(holdfast.Unavailable, "the shard has no leader now; nothing was attempted", electedAfter)
}

// standing is the failure of a leader that has let go.
func (p *proposer) standing() error {
	return p.failure(holdfast.Unavailable, "the disk of the shard's leader stands still, and another is being elected; nothing was attempted", electedAfter)
}

func (p *proposer) failure(kind holdfast.Kind, message string, after time.Duration) error {
	return &holdfast.Error{Kind: kind, Shard: p.shard, Message: message, RetryAfter: after}
}

func (p *proposer) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// lead is told by Raft whether we lead, each change once and in order.
func (p *proposer) lead(leading bool) {
	p.mu.Lock()
	p.leading, p.begun, p.serving, p.blocked = leading, false, false, 0
	var batches []Batch
	var readers []chan error
	if leading {
		p.reign++
	} else {
		batches, readers = p.queue.drain(), p.readers
		p.readers = nil
	}
	p.mu.Unlock()
	p.kick()
	refuse(batches, readers, p.notLeading())
}

// refuse answers batches that were not attempted, and readers.
func refuse(batches []Batch, readers []chan error, err error) {
	for i := range batches {
		batches[i].Done(Reply{Err: err})
	}
	for _, c := range readers {
		c <- err
	}
}

// pack is the packing goroutine.
func (p *proposer) pack() {
	defer close(p.proposed)
	timer := time.NewTimer(p.tick)
	defer timer.Stop()
	for {
		e, late := p.next()
		if len(late) > 0 {
			refuse(late, nil, p.failure(holdfast.Unavailable, "the caller's time was over before the shard came to it; nothing was attempted", 0))
		}
		if e != nil {
			p.propose(e)
			continue
		}
		timer.Reset(p.untilTick())
		select {
		case <-p.wake:
		case <-timer.C:
		case <-p.stop:
			return
		}
	}
}

// untilTick is how long nothing needs to be packed if nothing comes.
func (p *proposer) untilTick() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Monotonic()
	switch {
	case p.leading && p.again > now:
		return p.again - now
	case !p.serving:
		return time.Hour
	}
	until := time.Hour
	if p.timed {
		until = p.tick - p.steps.Since(now)
	}
	if p.wakeMs != 0 { // and look again each second, since the wall clock may be set
		until = min(until, time.UnixMilli(p.wakeMs).Sub(p.clock.Now()), time.Second)
	}
	return max(until, time.Millisecond)
}

// woken reports whether the wall clock has come to an instant at which an entry is due.
func (p *proposer) woken() bool { return p.wakeMs != 0 && p.clock.Now().UnixMilli() >= p.wakeMs }

// next takes what the next entry holds, and stamps it. It gives nil when no entry is due, or none may be packed.
func (p *proposer) next() (e *entry, late []Batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Monotonic()
	if !p.leading || p.paused || p.stalled || len(p.flight) >= p.limits.depth || p.begun && !p.serving || p.again > now {
		return nil, nil
	}
	if !p.begun { // the barrier: an empty entry, so that all of the terms before has been applied when it is
		p.begun = true
		e = p.blank()
		e.barrier = true
		p.empties++
		p.load.packed(now, e)
		p.flight = append(p.flight, e)
		return e, nil
	}
	due := p.empties == 0 && (len(p.readers) > 0 || p.timed && p.steps.Since(now) >= p.tick || p.woken())
	if p.queue.len() == 0 && !due {
		return nil, nil
	}
	e = p.blank()
	e.batches, late = p.queue.take(p.limits, time.Now(), e.batches, nil)
	for i := range e.batches {
		e.commands += e.batches[i].Count
	}
	if e.commands == 0 {
		if !due {
			p.idle = append(p.idle, e)
			return nil, late
		}
		p.empties++
	}
	e.readers, p.readers = p.readers, e.readers
	e.step = p.steps.Next(now)
	p.load.packed(now, e)
	p.flight = append(p.flight, e)
	return e, late
}

// blank gives an empty entry of this reign.
func (p *proposer) blank() *entry {
	e := &entry{}
	if n := len(p.idle); n > 0 {
		e, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	e.reign, e.term, e.wallMs = p.reign, p.term, p.clock.Now().UnixMilli()
	return e
}

func (p *proposer) commandsInFlight() (n int) {
	for _, e := range p.flight {
		n += e.commands
	}
	return n
}

// propose copies the entry's commands, once, and hands them to the library. It waits until the library takes them,
// which it does between two appends to its log.
func (p *proposer) propose(e *entry) {
	size := command.EntryOverheadBytes
	for i := range e.batches {
		size += len(e.batches[i].Commands)
	}
	data := command.BeginEntry(make([]byte, 0, size))
	for i := range e.batches {
		data = append(data, e.batches[i].Commands...)
	}
	data = command.FinishEntry(data, e.step, e.wallMs, e.commands)

	p.mu.Lock()
	ours := p.leading && e.reign == p.reign
	e.data = data
	p.mu.Unlock()
	if !ours { // its step belongs to a reign that is over
		p.drop(e, raft.ErrNotLeader)
		return
	}
	if planted.Is(planted.EarlyAck) {
		answerEarly(p, e)
	}
	e.future = p.raft.Apply(data, 0)
	p.proposed <- e
}

// serves reports whether we lead and have applied all of the terms before.
func (p *proposer) serves() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.serving
}

// reigns gives the number of the reign in which we serve.
func (p *proposer) reigns() (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.ready(); err != nil {
		return 0, err
	}
	if !p.serving {
		return 0, p.failure(holdfast.Unavailable, "the shard's leader has just been elected; nothing was attempted", electedAfter)
	}
	return p.reign, nil
}

// pause stops packing, so that leadership can be handed over; what is queued waits. The channel is closed when
// nothing is in flight.
func (p *proposer) pause() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
	done := make(chan struct{})
	if len(p.flight) == 0 {
		close(done)
	} else {
		p.emptied = done
	}
	return done
}

func (p *proposer) resume() {
	p.mu.Lock()
	p.paused = false
	p.mu.Unlock()
	p.kick()
}

// hasLetGo reports whether we have let go of our leadership, whatever Raft says.
func (p *proposer) hasLetGo() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled
}

// takeUp lets us lead again, unless the disk stands still. If Raft has us lead still, we begin with a barrier as a new leader
// does.
func (p *proposer) takeUp() {
	p.mu.Lock()
	p.stalled = p.stands
	p.mu.Unlock()
	p.kick()
}
