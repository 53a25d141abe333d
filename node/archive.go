package node

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
)

// Archive keeps every applied entry of one shard: Raft truncates its log, and verify and audit need all of it.
// Entries go into segments of bounded size. A replay begins at the shard's first entry or at a base, which is the
// state at one index; beyond the limit everything is dropped that is before the oldest base which makes room. The
// files are described in segment.go. An Archive is safe for concurrent use.
//
// Append must not wait for the disk, since Apply calls it: entries go into a buffer, which a goroutine of the
// archive writes out, syncing every few MiB. When the disk is slower than Apply for long, the buffer fills, and
// Append waits after all.
type Archive struct {
	shelf *shelf

	mu      sync.Mutex
	changed sync.Cond // something of this group changed that somebody may wait for
	pending bundle    // its last and chain are the archive's also when there are no records in it
	due     bool      // what is pending should be written now
	asked   uint64    // somebody waits in Sync for the records up to here
	durable uint64    // the records up to here are on disk
	closing bool
	err     error // the writing goroutine's, final

	flush   *time.Timer
	written chan struct{} // closed when the writing goroutine has ended
}

const (
	archiveFlushBytes  = 256 << 10              // a buffer of this size is written at once
	archiveFlushAfter  = 200 * time.Millisecond // and a smaller one after this time
	archiveBufferBytes = 4 << 20                // beyond this Append waits
)

// openArchive opens an archive to be continued after its last whole record.
func openArchive(dir Dir, shard holdfast.ShardID, shards int, limits archiveLimits) (*Archive, error) {
	shelf, err := openShelf(dir, shard, shards, limits)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	a := &Archive{shelf: shelf, durable: shelf.last, written: make(chan struct{})}
	a.pending.last, a.pending.chain = shelf.last, shelf.chain
	a.changed.L = &a.mu
	a.flush = time.AfterFunc(archiveFlushAfter, a.flushNow)
	go a.write()
	return a, nil
}

// Last is the index of the last entry, or of the base if none follows it; 0 when the archive is empty.
func (a *Archive) Last() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending.last
}

// Append adds an applied entry, which it copies. One that is there already (index ≤ Last) is left as it is, since
// a restarted node applies again what follows its snapshot. It is durable after Sync.
func (a *Archive) Append(index, term uint64, entry []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.pending.records) > archiveBufferBytes && a.err == nil {
		a.changed.Wait()
	}
	p := &a.pending
	if a.err != nil || index <= p.last {
		return a.err
	}
	if len(p.records) == 0 {
		p.head = segmentHead{Shard: a.shelf.shard, Shards: a.shelf.shards, Before: p.last, Chain: p.chain}
		a.flush.Reset(archiveFlushAfter)
	}
	p.records, p.chain = record{index, term, entry}.append(p.records, p.chain)
	p.last = index
	if len(p.records) >= archiveFlushBytes && !a.due {
		a.due = true
		a.changed.Broadcast()
	}
	return nil
}

// Sync makes durable what was appended before. Call it before a snapshot lets Raft truncate its log.
func (a *Archive) Sync() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	want := a.pending.last
	a.asked, a.due = max(a.asked, want), true
	a.changed.Broadcast()
	for a.durable < want && a.err == nil {
		a.changed.Wait()
	}
	return a.err
}

// WantsBase reports whether so much was archived since the last base that the next snapshot should be one too.
func (a *Archive) WantsBase() bool { return a.shelf.wantsBase() }

// Base keeps the state at index, from which a replay can begin, and drops the oldest files beyond the limit.
// Entries can be appended meanwhile. When a snapshot was restored that is beyond Last, Base must be called with it
// before the next Append: what follows does not follow what is there. One Base at a time.
func (a *Archive) Base(index uint64, state io.WriterTo) error {
	gap := index > a.Last()
	if err := a.Sync(); err != nil { // a base is durable at once, so what it follows must be
		return err
	}
	if err := a.shelf.base(index, state); err != nil {
		return fmt.Errorf("archive: write a base: %w", err)
	}
	if gap {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.pending = bundle{last: index}
		a.durable = index
	}
	return nil
}

// Close writes out what is pending, durably.
func (a *Archive) Close() error {
	a.mu.Lock()
	a.closing = true
	a.changed.Broadcast()
	a.mu.Unlock()
	<-a.written
	a.flush.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *Archive) flushNow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = true
	a.changed.Broadcast()
}

// write is the writing goroutine. It ends when the archive is closed, or at the first error.
func (a *Archive) write() {
	defer close(a.written)
	a.writeAll()
	closed := a.shelf.close() // this waits for the disk, so nobody may wait for us
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = errors.Join(a.err, closed)
}

func (a *Archive) writeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	var spare []byte
	for a.err == nil {
		for !a.due && !a.closing {
			a.changed.Wait()
		}
		closing, sync := a.closing, a.asked > a.durable
		b := a.pending
		a.pending, a.due = bundle{records: spare[:0], last: b.last, chain: b.chain}, false
		a.mu.Unlock()
		err := a.shelf.write(b)
		if err == nil && (sync || closing) {
			err = a.shelf.sync()
		}
		a.mu.Lock()
		a.err, spare = err, b.records
		if err == nil && (sync || closing) {
			a.durable = b.last
		}
		a.changed.Broadcast()
		if closing {
			return
		}
	}
}
