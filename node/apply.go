package node

import (
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// machine is what the machines of the shards and of the directory have in common.
type machine interface {
	Apply(index uint64, entry []byte, out *command.Output)
	Index() uint64
	Clock() holdfast.Clock
	Timed() bool
	WakeMs() int64
	Marked() bool

	changes() []fsm.Change // of the last Apply
	cut() cut
	remembered() sizes
}

// cut is a machine's state at one index.
type cut interface {
	Index() uint64
	Digest() [32]byte
	WriteTo(w io.Writer) (int64, error)
	Release()
}

// kind says which machine a shard has.
type kind struct {
	fresh   func() machine
	restore func(io.Reader) (machine, error)
	takes   func(command.Kind) bool // the commands that it knows; any other would halt every replica
}

// inventoryKind is the machine of a shard that sells.
func inventoryKind(shard holdfast.ShardID) kind {
	cfg := fsm.Config{Shard: shard}
	return kind{
		fresh: func() machine { return inventory{fsm.New(cfg)} },
		restore: func(r io.Reader) (machine, error) {
			m, err := fsm.Restore(cfg, r)
			return inventory{m}, err
		},
		takes: func(k command.Kind) bool { return !k.Directory() },
	}
}

// directoryKind is the machine of shard 0.
func directoryKind(shards int) kind {
	cfg := directory.Config{Shards: shards}
	return kind{
		fresh: func() machine { return atlas{directory.New(cfg)} },
		restore: func(r io.Reader) (machine, error) {
			m, err := directory.Restore(cfg, r)
			return atlas{m}, err
		},
		takes: func(k command.Kind) bool { return k.Directory() || k == command.KindMark },
	}
}

type inventory struct{ *fsm.Machine }

func (m inventory) changes() []fsm.Change { return m.Changes() }
func (m inventory) cut() cut              { return m.Cut() }
func (m inventory) remembered() sizes {
	s := m.Stats()
	return sizes{s.Remembered, s.RememberedMax}
}

type atlas struct{ *directory.Machine }

func (m atlas) changes() []fsm.Change { return nil }
func (m atlas) cut() cut              { return m.Cut() }
func (m atlas) WakeMs() int64         { return 0 }
func (m atlas) remembered() sizes     { return sizes{} }

// applier is this node's copy of a shard: the machine, and what is kept up with it. It is the raft.FSM of its
// group: Raft's applying goroutine is the only one that writes to it.
type applier struct {
	shard     holdfast.ShardID
	kind      kind
	log       *slog.Logger
	proposer  *proposer
	archive   *Archive
	snapshots raft.SnapshotStore
	feed      *feed
	marks     marks
	tally     tally
	moved     func()             // called after each entry; must not block
	unhurried func() bool        // whether our own snapshots have time
	onHalt    func(*poison)      // called once, by the applying goroutine
	onRestore func(index uint64) // called after a snapshot was taken over from the leader

	mu      sync.RWMutex // guards machine and term: applying holds it for one entry, readers briefly
	machine machine
	term    uint64 // of the last entry

	progress progress // of the machine's index

	halted atomic.Pointer[holdfast.Error] // why no entry is applied any more
	opened atomic.Bool                    // the group runs; before it Restore is called by the opening goroutine

	out  command.Output // the applying goroutine's
	none []any          // nothing, once for each entry that can be applied at a time
}

var _ raft.BatchingFSM = (*applier)(nil)

// Apply is there because the library's interface has it; it calls ApplyBatch.
func (r *applier) Apply(l *raft.Log) any { return r.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch is the one way of the log into the machine. The results do not go back through the library: an entry
// that is ours is answered from here, in the order of the log.
func (r *applier) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		switch {
		case l.Type != raft.LogCommand:
		case r.halted.Load() == nil:
			r.apply(l)
		default:
			if e := r.proposer.claim(l.Data); e != nil {
				r.proposer.fail(e, raft.ErrRaftShutdown)
			}
		}
	}
	r.progress.wake()
	r.moved()
	for len(r.none) < len(logs) {
		r.none = append(r.none, nil)
	}
	return r.none[:len(logs)]
}

func (r *applier) apply(l *raft.Log) {
	e := r.proposer.claim(l.Data)
	// The results are made on the node that has somebody to tell them to, and nowhere else.
	r.out.Answer = e != nil && e.commands > 0
	at, p := r.try(l)
	if p != nil {
		if e != nil {
			r.proposer.fail(e, raft.ErrLeadershipLost)
		}
		r.onHalt(p)
		return
	}
	if err := r.archive.Append(l.Index, l.Term, l.Data); err != nil {
		r.log.Error("the archive failed", "error", err) // the disk's latch stops the node
	}
	r.tally.count(command.CountOf(l.Data), len(l.Data))
	if e != nil {
		r.proposer.answer(e, at, &r.out)
	}
}

// try gives one entry to the machine, unless the machine finds that something impossible has happened.
func (r *applier) try(l *raft.Log) (at holdfast.Stamp, p *poison) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if cause := recover(); cause != nil {
			p = &poison{index: l.Index, term: l.Term, entry: l.Data, cause: cause, stack: debug.Stack()}
			r.halted.Store(p.asError(r.shard)) // before anybody can look at the machine
		}
	}()
	r.out.Reset()
	if planted.Is(planted.SnapshotShort) {
		keepBefore(r)
	}
	r.machine.Apply(l.Index, l.Data, &r.out)
	if got, want := len(r.out.Ends), command.CountOf(l.Data); r.out.Answer && got != want {
		panic(fmt.Sprintf("%d results for %d commands", got, want))
	}
	r.term = l.Term
	r.feed.add(r.machine.changes())
	if r.machine.Marked() {
		r.marks.take(l.Index, r.machine.cut())
	}
	r.proposer.noted(r.machine.Timed(), r.machine.WakeMs(), r.machine.remembered())
	return r.stamp(), nil
}

// stamp says where the machine is; the caller has the lock.
func (r *applier) stamp() holdfast.Stamp {
	return holdfast.Stamp{Shard: r.shard, Term: r.term, Index: r.machine.Index(), Clock: r.machine.Clock()}
}

// view reads the machine between two entries.
func (r *applier) view(read func(machine)) (holdfast.Stamp, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if err := r.halted.Load(); err != nil {
		return holdfast.Stamp{}, err
	}
	read(r.machine)
	return r.stamp(), nil
}

// change reads the machine in ways that mark it, as taking a cut does: it waits for readers too.
func (r *applier) change(do func(machine)) (holdfast.Stamp, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.halted.Load(); err != nil {
		return holdfast.Stamp{}, err
	}
	do(r.machine)
	return r.stamp(), nil
}
