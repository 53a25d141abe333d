package node

import (
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
	"github.com/holdfast-db/holdfast/node/holdclock"
)

// How what was proposed is answered, whatever becomes of it.

// claim gives the entry that data is, if it is ours and still in flight. It is apply's from then on, which must
// call answer. Identity, not contents: a log that is read back after we gave the entry up is nobody's.
func (p *proposer) claim(data []byte) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range p.flight {
		if len(e.data) > 0 && &e.data[0] == &data[0] {
			p.remove(i)
			return e
		}
	}
	return nil
}

// remove takes an entry out of flight.
func (p *proposer) remove(i int) {
	if p.flight[i].commands == 0 {
		p.empties--
	}
	copy(p.flight[i:], p.flight[i+1:])
	p.flight[len(p.flight)-1] = nil
	p.flight = p.flight[:len(p.flight)-1]
	if len(p.flight) == 0 && p.emptied != nil {
		close(p.emptied)
		p.emptied = nil
	}
}

// noted is told after each applied entry, ours or not, what the machine needs.
func (p *proposer) noted(timed bool, wakeMs int64, remembered sizes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timed, p.wakeMs, p.remember = timed, wakeMs, remembered
}

// answer gives the results of a claimed entry to those who wait for them: one copy for all of them.
func (p *proposer) answer(e *entry, at holdfast.Stamp, out *command.Output) {
	now := p.clock.Monotonic()
	p.mu.Lock()
	if e.barrier && p.leading && e.reign == p.reign {
		p.serving, p.term = true, at.Term
		p.steps.Begin(now)
	}
	p.load.decided(now, e)
	p.mu.Unlock()
	p.kick() // there is room in flight
	if e.givenUp {
		return
	}
	if planted.Is(planted.EarlyAck) {
		answered.Store(p, at.Clock)
	}
	results := append([]byte(nil), out.Results...)
	from, slot := uint32(0), 0
	for i := range e.batches {
		b := &e.batches[i]
		at.Slot = uint32(slot)
		slot += b.Count
		to := out.Ends[slot-1]
		b.Done(Reply{Stamp: at, Results: results[from:to:to]})
		from = to
	}
	for _, c := range e.readers {
		c <- nil
	}
}

// settle is the settling goroutine: it learns what became of each proposal. The library has no way to give up a
// wait: see group.stop.
func (p *proposer) settle() {
	defer close(p.settled)
	for e := range p.proposed {
		if err := e.future.Error(); err != nil {
			p.drop(e, err)
		} else {
			p.mu.Lock()
			p.blocked = 0
			p.mu.Unlock()
		}
		p.recycle(e)
	}
}

// drop answers a failed entry, unless apply has it.
func (p *proposer) drop(e *entry, err error) {
	p.mu.Lock()
	found := false
	for i := range p.flight {
		if found = p.flight[i] == e; found {
			p.remove(i)
			break
		}
	}
	if found && e.barrier && e.reign == p.reign {
		p.begun = false // again, if we still lead
	}
	p.mu.Unlock()
	if found {
		p.fail(e, err)
		p.kick()
	}
}

// fail answers an entry that was taken out of flight.
func (p *proposer) fail(e *entry, err error) {
	failure := p.verdict(err)
	if !e.givenUp {
		refuse(e.batches, e.readers, failure)
	}
}

// recycle keeps an entry's slices for the next.
func (p *proposer) recycle(e *entry) {
	clear(e.batches)
	clear(e.readers)
	*e = entry{batches: e.batches[:0], readers: e.readers[:0]}
	p.mu.Lock()
	p.idle = append(p.idle, e)
	p.mu.Unlock()
}

// verdict says what the library's error means for what was in the entry. Whatever is not known to have been refused
// may have happened.
func (p *proposer) verdict(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		p.backOff(false)
		return p.notLeading()
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		p.backOff(true)
		return p.failure(holdfast.Unavailable, "the shard's leadership is moving; nothing was attempted", electedAfter)
	default: // leadership lost, shut down, a failed disk: the entry may be in somebody's log
		return &holdfast.Error{Kind: holdfast.Unknown, Shard: p.shard, Err: err,
			Message: "the shard lost its leader while it decided; repeat with the same ids to learn the outcome"}
	}
}

// backOff keeps packing from running in circles while the library refuses.
func (p *proposer) backOff(transfer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Monotonic()
	p.again = now + p.tick/4
	if transfer && p.blocked == 0 {
		p.blocked = max(now, 1)
	}
}

// stuck is how long the library has been refusing with a transfer in progress; 0 when it does not.
func (p *proposer) stuck() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blocked == 0 {
		return 0
	}
	return p.clock.Monotonic() - p.blocked
}

// end refuses what is queued and all that comes, with err. It may be called twice; the first error stays.
func (p *proposer) end(err error) {
	p.mu.Lock()
	if p.over == nil {
		p.over = err
	}
	p.leading, p.serving = false, false
	batches, readers := p.queue.drain(), p.readers
	p.readers = nil
	p.mu.Unlock()
	refuse(batches, readers, err)
}

// stall is told that the log's disk stands still, and then that it has answered. It ends a reign: what is queued is refused,
// and what is in flight is given up, whatever becomes of it. It reports whether we led and have let go. See takeUp.
func (p *proposer) stall(stalled bool) (letGo bool) {
	var batches []Batch
	var readers []chan error
	var lost []entry
	p.mu.Lock()
	p.stands = stalled
	if stalled {
		letGo = p.leading
		p.stalled, p.begun, p.serving = true, false, false
		p.reign++
		batches, readers, p.readers = p.queue.drain(), p.readers, nil
		for _, e := range p.flight {
			if !e.givenUp { // cloned: once it is out of flight its slices are used again
				e.givenUp, lost = true, append(lost, entry{batches: slices.Clone(e.batches), readers: slices.Clone(e.readers)})
			}
		}
	}
	p.mu.Unlock()
	p.kick()
	refuse(batches, readers, p.standing())
	for i := range lost {
		p.fail(&lost[i], raft.ErrLeadershipLost)
	}
	return letGo
}

// abandon answers what is still in flight when Raft has ended: nobody else will.
func (p *proposer) abandon() {
	p.mu.Lock()
	flight := p.flight
	p.flight, p.empties = nil, 0
	p.mu.Unlock()
	for _, e := range flight {
		p.fail(e, raft.ErrRaftShutdown)
	}
}

// close stops packing and waits until what was proposed is settled, for so long.
func (p *proposer) close(patience time.Duration) {
	close(p.stop)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.settled:
	case <-timer.C:
	}
}

// fence is the log store as Raft sees it. An entry is stamped for the term in which it was packed, and nothing keeps the
// library from taking it in a later one, when we have lost leadership and won it again in between; then another leader
// has stamped the same time before us. Here, before anybody has the entry, its term is known: it is let in without its
// step, so that no time counts twice and no hold ends early.
type fence struct {
	raft.LogStore
	proposer *proposer
}

func (f fence) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			f.proposer.fence(l)
		}
	}
	return f.LogStore.StoreLogs(logs)
}

func (p *proposer) fence(l *raft.Log) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.flight {
		if len(e.data) > 0 && &e.data[0] == &l.Data[0] && holdclock.Admitted(e.step, e.term, l.Term) != e.step {
			e.step = holdclock.Admitted(e.step, e.term, l.Term)
			command.FinishEntry(l.Data[:len(l.Data)-command.ChecksumBytes], e.step, e.wallMs, e.commands)
		}
	}
}
