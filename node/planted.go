package node

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What planted faults do that need more than a line. In a build without the tag planted nothing calls it, and the linker
// leaves it out: see package fsm/planted.

// wallClock measures by the wall clock.
type wallClock struct{ Clock }

func (c wallClock) Monotonic() time.Duration { return time.Duration(c.Now().UnixNano()) }

// answerEarly says yes to what is hardly ever refused, at the place of the log where it should come to stand: none is known
// while another entry is on its way.
func answerEarly(p *proposer, e *entry) {
	p.mu.Lock()
	alone := len(p.flight) == 1
	p.mu.Unlock()
	if !alone {
		return
	}
	index, slot := p.raft.LastIndex()+1, uint32(0)
	for i := range e.batches {
		b := &e.batches[i]
		at := holdfast.Stamp{Shard: p.shard, Term: e.term, Index: index, Slot: slot}
		if slot += uint32(b.Count); !b.Settles {
			continue
		}
		var results []byte
		for range b.Count {
			results = (&command.Result{Outcome: holdfast.OK}).Append(results)
		}
		b.Done(Reply{Stamp: at, Results: results})
		b.Done = func(Reply) {}
	}
}

// assumedAfter is how long a follower has time to say no.
const assumedAfter = 50 * time.Millisecond

// assume sends entries to a follower, and takes its silence for a yes.
func assume(t *transport, id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent, got, answered := *args, raft.AppendEntriesResponse{}, make(chan error, 1)
	go func() { answered <- t.NetworkTransport.AppendEntries(id, t.meant(id, at), &sent, &got) }()
	select {
	case err := <-answered:
		*resp = got
		return err
	case <-time.After(assumedAfter):
		*resp = raft.AppendEntriesResponse{Term: args.Term, LastLog: args.PrevLogEntry + uint64(len(args.Entries)), Success: true}
		return nil
	}
}

// early are the cuts that were made before the last entry, by applier. They are in no field, since production builds have
// no use for them.
var early sync.Map

// keepBefore makes a cut before an entry; the caller has the lock.
func keepBefore(r *applier) {
	if old, ok := early.Swap(r, r.machine.cut()); ok {
		old.(cut).Release()
	}
}

// beforeLast gives the cut of before the last entry in place of one of after it.
func beforeLast(r *applier, after cut) cut {
	before, ok := early.LoadAndDelete(r)
	if !ok {
		return after
	}
	after.Release()
	return before.(cut)
}
