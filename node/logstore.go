package node

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// logStore guards a shard's log: it latches errors, checks entries that are read back, and truncates gently.
type logStore struct {
	under   RaftStore
	latch   *latch
	changes atomic.Uint64 // committed to disk since the log was opened

	unhurried func() bool // whether truncations of the head have time
	appends   watchdog
}

// deleteStep is how many entries one transaction removes. bbolt has one writer: removing some thousand entries at
// once was seen to hold up appends for 14 to 49 ms, 64 take well under one.
const deleteStep = 64

func (s *logStore) FirstIndex() (uint64, error) { return s.index(s.under.FirstIndex) }
func (s *logStore) LastIndex() (uint64, error)  { return s.index(s.under.LastIndex) }

func (s *logStore) index(read func() (uint64, error)) (i uint64, err error) {
	err = s.latch.run(func() error { i, err = read(); return err })
	return i, err
}

// GetLog reads an entry. The store has no checksums of its own, so a bit that flipped on one leader's disk would be
// sent to all replicas and halt them; here it stops the one node that has it. Who has failed to write may still read what is there:
// the library panics when it cannot, and a commit may come before the node's end.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	err := s.under.GetLog(index, out)
	if errors.Is(err, raft.ErrLogNotFound) {
		return err // a leader asks for what it has truncated, and then sends a snapshot
	}
	if err == nil && out.Index != index {
		err = fmt.Errorf("it says that it is entry %d", out.Index)
	}
	if err == nil && out.Type == raft.LogCommand {
		_, err = command.OpenEntry(out.Data)
	}
	if err != nil {
		return s.latch.fail(fmt.Errorf("read entry %d of the log: %w", index, err))
	}
	return nil
}

func (s *logStore) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs returns when the entries are durable.
func (s *logStore) StoreLogs(entries []*raft.Log) error {
	return s.appends.watch(func() error {
		return s.change("append to the log", func() error { return s.under.StoreLogs(entries) })
	})
}

// DeleteRange removes entries first to last in small steps, so that appends get between them. A log's head is removed
// from below, with rests, and its tail from above: whenever the process dies, what is left has no hole.
func (s *logStore) DeleteRange(first, last uint64) error {
	end, err := s.LastIndex()
	if err != nil {
		return err
	}
	pace := newPace(s.unhurried)
	for tail := last >= end; first <= last; {
		from, to := first, min(last, first+deleteStep-1)
		if tail {
			from, to = max(first, last-min(last, deleteStep-1)), last
			last = from - 1
		} else {
			first = to + 1
		}
		if err := s.change("truncate the log", func() error { return s.under.DeleteRange(from, to) }); err != nil {
			return err
		}
		if !tail {
			pace.rest()
		}
	}
	return nil
}

// change makes one durable change, counts it, and stops the node if it fails.
func (s *logStore) change(what string, f func() error) error {
	return s.latch.run(func() error {
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		s.changes.Add(1)
		return nil
	})
}

// isNotFound knows the error for a key that was never set; the library itself asks by the text.
func isNotFound(err error) bool { return errors.Is(err, raftboltdb.ErrKeyNotFound) }
