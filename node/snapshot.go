package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Snapshots are taken by our own counts: the library's count entries, while ours hold from none to thousands of
// commands. A shard is due when its log since the last snapshot is as large as that snapshot, so that writing
// snapshots never costs more than writing the log; within bounds that keep a restart short.
const (
	snapshotBytesMin    = 64 << 20
	snapshotCommandsMax = 1_000_000 // to be applied again at a restart: about a second of a processor
	snapshotEntriesMax  = 200_000   // empty ones cost reading too

	// trailingBytes is the log that is kept before a snapshot, for followers that are a little behind; a follower
	// that is further behind is sent the snapshot.
	trailingBytes      = 32 << 20
	trailingEntriesMin = 64
	trailingEntriesMax = 10_000

	// snapshotRetry is when to try again after a failure: the library refuses while a configuration or a transfer
	// of leadership is under way.
	snapshotRetry = 2 * time.Second

	// stormPeriod: the same snapshot taken over from the leader twice within it means that the library is in the
	// loop of hashicorp/raft#697.
	stormPeriod = time.Minute
)

// tally counts what was applied since the start, and so since the last snapshot. The applying goroutine writes, others
// read.
type tally struct {
	mu         sync.Mutex
	total      counts // since the start
	held       counts // of them, by the last snapshot
	base       int64  // bytes of the last snapshot
	offset     int    // our place among the replicas, in hundredths of a cycle: they take turns
	entriesMax uint64 // Config.SnapshotEntries
	snapshotAt uint64 // index of the last snapshot
	due        chan struct{}
}

type counts struct {
	entries, commands uint64
	bytes             int64
}

func (t *tally) count(commands, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.entries++
	t.total.commands += uint64(commands)
	t.total.bytes += int64(bytes)
	if t.isDue() {
		select {
		case t.due <- struct{}{}:
		default:
		}
	}
}

// since is what no snapshot holds.
func (t *tally) since() counts {
	return counts{t.total.entries - t.held.entries, t.total.commands - t.held.commands, t.total.bytes - t.held.bytes}
}

// isDue: the first cycle of a replica is longer by its offset, and so they stay apart.
func (t *tally) isDue() bool {
	since, bytesMax := t.since(), max(int64(snapshotBytesMin), t.base)
	bytesMax += bytesMax * int64(t.offset) / 100
	more := uint64(100 + t.offset)
	return since.bytes >= bytesMax || since.commands >= snapshotCommandsMax*more/100 || since.entries >= t.entriesMax*more/100
}

// trailing is how many entries make trailingBytes at the present size of entries.
func (t *tally) trailing() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := t.since()
	average := since.bytes/int64(max(since.entries, 1)) + 1
	return min(uint64(max(trailingBytes/average, trailingEntriesMin)), trailingEntriesMax, t.entriesMax/2)
}

// sofar is what a snapshot holds that is cut now.
func (t *tally) sofar() counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// written begins a new cycle when a snapshot is on disk, which holds so much: what was counted since its cut belongs to
// the next. One that fails begins none, so it is due still.
func (t *tally) written(index uint64, bytes int64, held counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if held.entries < t.held.entries {
		return // the leader's was installed while this one was written
	}
	t.held, t.base, t.snapshotAt, t.offset = held, bytes, index, 0
	if !t.isDue() {
		select {
		case <-t.due: // it was due until now
		default:
		}
	}
}

// Snapshot is called by the applying goroutine, so it does no more than take a cut.
func (r *applier) Snapshot() (raft.FSMSnapshot, error) {
	var c cut
	if _, err := r.change(func(m machine) { c = m.cut() }); err != nil {
		return nil, err
	}
	if planted.Is(planted.SnapshotShort) {
		c = beforeLast(r, c)
	}
	return &snapshot{applier: r, cut: c, holds: r.tally.sofar()}, nil
}

// snapshot writes a cut while the machine goes on.
type snapshot struct {
	applier *applier
	cut     cut
	holds   counts
}

// Persist writes the snapshot. Raft truncates its log after it, so the archive must have what goes.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	a := s.applier.archive
	if err := a.Sync(); err != nil {
		return err
	}
	state := unhurriedCut{s.cut, s.applier.unhurried}
	if a.WantsBase() {
		if err := a.Base(s.cut.Index(), state); err != nil {
			return err
		}
	}
	bytes, err := state.WriteTo(sink)
	if err != nil {
		return err
	}
	if err := sink.Close(); err != nil {
		return err
	}
	s.applier.tally.written(s.cut.Index(), bytes, s.holds)
	return nil
}

// unhurriedCut is a cut that is written at a pace.
type unhurriedCut struct {
	cut
	unhurried func() bool
}

func (c unhurriedCut) WriteTo(to io.Writer) (int64, error) {
	return c.cut.WriteTo(&unhurriedWriter{to: to, pace: newPace(c.unhurried)})
}

func (s *snapshot) Release() { s.cut.Release() }

// Restore replaces the machine: when the node starts, by the goroutine that opens the group; later by the applying
// goroutine, with a snapshot of the leader's. What can not be read then stops the shard on this node: the leader
// would only send it again.
func (r *applier) Restore(from io.ReadCloser) error {
	if err := r.halted.Load(); err != nil {
		return err
	}
	m, err := r.read(from)
	if err != nil {
		if r.opened.Load() {
			p := &poison{cause: fmt.Errorf("a snapshot cannot be restored: %w", err), stack: debug.Stack()}
			r.halted.Store(p.asError(r.shard))
			r.onHalt(p)
		}
		return err
	}
	index, timed, wakeMs, remembered := m.Index(), m.Timed(), m.WakeMs(), m.remembered() // once it is set, it is the applying goroutine's
	if index > r.archive.Last() {                                                        // the entries between are nowhere on this node
		base := m.cut()
		defer base.Release()
		if err := r.archive.Base(index, base); err != nil {
			return err
		}
	}
	newest := r.newestSnapshot()
	r.mu.Lock()
	r.machine, r.term = m, newest.Term
	r.mu.Unlock()
	r.feed.restart()
	r.proposer.noted(timed, wakeMs, remembered)
	r.tally.written(index, newest.Size, r.tally.sofar())
	if r.opened.Load() {
		r.onRestore(index)
	}
	r.progress.wake()
	r.moved()
	return nil
}

// read makes a machine of a snapshot. A machine that meets nonsense panics.
func (r *applier) read(from io.Reader) (m machine, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%v", cause)
		}
	}()
	return r.kind.restore(from)
}

// newestSnapshot is what is known of the snapshot that is restored, unless it is damaged and an older one is taken.
func (r *applier) newestSnapshot() raft.SnapshotMeta {
	if metas, err := r.snapshots.List(); err == nil && len(metas) > 0 {
		return *metas[0]
	}
	return raft.SnapshotMeta{}
}

// takeSnapshots is a goroutine of the group: it takes a snapshot when one is due and it is this shard's turn.
func (g *group) takeSnapshots(ctx context.Context) {
	for {
		select {
		case <-g.applier.tally.due:
		case <-ctx.Done():
			return
		}
		select {
		case g.turn <- struct{}{}: // one at a time on this node
		case <-ctx.Done():
			return
		}
		err := g.takeSnapshot()
		<-g.turn
		if err != nil {
			g.log.Warn("no snapshot", "shard", uint32(g.shard), "error", err)
			if pause(ctx, snapshotRetry, nil) != nil {
				return
			}
		}
	}
}

func (g *group) takeSnapshot() error {
	g.snapshotting.Store(true)
	defer g.snapshotting.Store(false)
	if err := g.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs = g.applier.tally.trailing() }); err != nil {
		return err
	}
	return g.raft.Snapshot().Error()
}

// unhurried says whether a snapshot of our own, and the log's shortening behind it, have time: nobody waits for them
// unless the group is closing. For what the leader sends, Raft waits.
func (g *group) unhurried() bool { return g.snapshotting.Load() && !g.stopping.Load() }

// restored is told that a snapshot of the leader's was taken over. The library keeps entries that conflict with it
// (hashicorp/raft#697), so that the leader sends it again, for ever. Opening the group anew removes them: see mend.
func (g *group) restored(index uint64) {
	now := g.clock.Monotonic()
	if g.storm.index == index && now-g.storm.at < stormPeriod {
		g.restart(fmt.Sprintf("the snapshot at entry %d was installed twice", index))
	}
	g.storm.index, g.storm.at = index, now
}

// storm is the last snapshot that was taken over; the applying goroutine's.
type storm struct {
	index uint64
	at    time.Duration
}

// mend removes what the newest snapshot makes void of a log: all of it when it contradicts the snapshot, since it was
// written by a leader that lost, and nobody counted on it; by Raft's rule a log that has the snapshot's last entry, in
// its term, is kept. Where the log has a hole at that entry, the snapshot was installed, and the library left what was
// before the hole: that goes, too.
func mend(s *stores) (removed bool, err error) {
	metas, err := s.Snapshots.List()
	if err != nil || len(metas) == 0 {
		return false, err
	}
	first, err := s.Log.FirstIndex()
	if err != nil {
		return false, err
	}
	last, err := s.Log.LastIndex()
	newest := metas[0]
	if err != nil || newest.Index < first || newest.Index > last {
		return false, err
	}
	var at raft.Log
	switch err := s.Log.GetLog(newest.Index, &at); {
	case errors.Is(err, raft.ErrLogNotFound):
		return true, s.Log.DeleteRange(first, newest.Index)
	case err != nil || at.Term == newest.Term:
		return false, err
	}
	return true, s.Log.DeleteRange(first, last)
}

// marksMax is how many state hashes are kept for cluster verify.
const marksMax = 16

// marks are the state hashes at Mark entries.
type marks struct {
	mu    sync.Mutex
	taken []*mark         // the last ones, by index
	busy  *sync.WaitGroup // the goroutines that hash
}

type mark struct {
	index uint64
	done  chan struct{} // closed when sum is there
	sum   [32]byte
}

// take hashes a cut in a goroutine. When as many are being hashed already, this one is left out: who asks for it is
// told to mark again.
func (m *marks) take(index uint64, c cut) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.taken) == marksMax {
		select {
		case <-m.taken[0].done:
			m.taken = slices.Delete(m.taken, 0, 1)
		default:
			c.Release()
			return
		}
	}
	t := &mark{index: index, done: make(chan struct{})}
	m.taken = append(m.taken, t)
	m.busy.Go(func() {
		defer close(t.done)
		defer c.Release()
		t.sum = c.Digest()
	})
}

func (m *marks) at(index uint64) *mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.taken {
		if t.index == index {
			return t
		}
	}
	return nil
}

// Digest is this node's state hash of a shard at the Mark entry at index. It waits until the entry is applied and
// the hash is made. NotFound means that the entry has no mark, or that too many came after it: mark again.
func (n *Node) Digest(ctx context.Context, shard holdfast.ShardID, index uint64) ([32]byte, error) {
	g, err := n.group(shard)
	if err != nil {
		return [32]byte{}, err
	}
	if err := g.reach(ctx, index); err != nil {
		return [32]byte{}, err
	}
	t := g.applier.marks.at(index)
	if t == nil {
		return [32]byte{}, &holdfast.Error{Kind: holdfast.NotFound, Op: "digest", Shard: shard,
			Message: fmt.Sprintf("this node has no state hash at entry %d: mark again", index)}
	}
	select {
	case <-t.done:
		return t.sum, nil
	case <-ctx.Done():
		return [32]byte{}, &holdfast.Error{Kind: holdfast.Unavailable, Op: "digest", Shard: shard, Message: "the state is still being hashed", Err: ctx.Err()}
	}
}
