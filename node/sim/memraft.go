package sim

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// raftLog is a shard's log and stable values: as its process sees them, and as they would be after a crash.
type raftLog struct {
	seen, durable *raftState
	pending       func(*raftState) // the change that is being written; nil: none is
	// writing has one token, which the one writer takes, as in bbolt. It is no mutex: who waits for one keeps the
	// time of a synctest bubble from passing, and the writer may sleep.
	writing chan struct{}
}

// raftState is passed by address: its size is kept up to date, since every write asks for it.
type raftState struct {
	entries map[uint64]raft.Log
	values  map[string][]byte
	bytes   uint64 // of the entries
}

func emptyRaft() *raftState {
	return &raftState{entries: map[uint64]raft.Log{}, values: map[string][]byte{}}
}

// newRaftLog makes a log of what is durable, which it does not share.
func newRaftLog(durable *raftState) *raftLog {
	l := &raftLog{seen: durable.clone(), durable: durable.clone(), writing: make(chan struct{}, 1)}
	l.writing <- struct{}{}
	return l
}

// afterCrash is what a crash leaves. A change that was being written is there whole, or not at all.
func (l *raftLog) afterCrash(d *Disk) *raftLog {
	found := newRaftLog(l.durable)
	if l.pending != nil && d.faults.TearTails && d.random.IntN(2) == 0 {
		l.pending(found.seen)
		l.pending(found.durable)
	}
	return found
}

// clone shares the entries' data, which nobody writes to.
func (s *raftState) clone() *raftState {
	return &raftState{maps.Clone(s.entries), maps.Clone(s.values), s.bytes}
}

func (s *raftState) put(e raft.Log) {
	s.drop(e.Index)
	s.entries[e.Index] = e
	s.bytes += entryBytes(e)
}

func (s *raftState) drop(index uint64) {
	if e, ok := s.entries[index]; ok {
		s.bytes -= entryBytes(e)
		delete(s.entries, index)
	}
}

func entryBytes(e raft.Log) uint64 { return uint64(len(e.Data)) + 64 }

// raftHandle is a process's way to a raftLog: a node.RaftStore.
type raftHandle struct {
	mount *mount
	name  string // of the log's folder
	log   *raftLog
}

// change makes one change, durably: as bbolt's transactions, it is there after a crash whole or not at all.
func (h *raftHandle) change(what Do, bytes int, do func(*raftState)) error {
	<-h.log.writing
	defer func() { h.log.writing <- struct{}{} }()
	err := h.mount.locked(func(d *Disk) error {
		if err := d.write(bytes); err != nil {
			return err
		}
		do(h.log.seen)
		h.log.pending = do
		return nil
	})
	if err != nil {
		return err
	}
	defer func() { _ = h.mount.locked(func(*Disk) error { h.log.pending = nil; return nil }) }() // of a crashed process nobody cares
	return h.mount.sync(Step{Name: h.name, Do: what}, func(*Disk) { do(h.log.durable) })
}

func (h *raftHandle) read(do func(*raftState) error) error {
	return h.mount.locked(func(*Disk) error { return do(h.log.seen) })
}

func (h *raftHandle) FirstIndex() (first uint64, err error) {
	err = h.read(func(s *raftState) error {
		for index := range s.entries {
			if first == 0 || index < first {
				first = index
			}
		}
		return nil
	})
	return first, err
}

func (h *raftHandle) LastIndex() (last uint64, err error) {
	err = h.read(func(s *raftState) error {
		for index := range s.entries {
			last = max(last, index)
		}
		return nil
	})
	return last, err
}

func (h *raftHandle) GetLog(index uint64, out *raft.Log) error {
	return h.read(func(s *raftState) error {
		e, ok := s.entries[index]
		if !ok {
			return raft.ErrLogNotFound
		}
		*out = e
		return nil
	})
}

func (h *raftHandle) StoreLog(e *raft.Log) error { return h.StoreLogs([]*raft.Log{e}) }

func (h *raftHandle) StoreLogs(entries []*raft.Log) error {
	bytes, copies := 0, make([]raft.Log, len(entries))
	for i, e := range entries {
		copies[i] = *e
		copies[i].Data = slices.Clone(e.Data)
		bytes += len(e.Data)
	}
	return h.change(Append, bytes, func(s *raftState) {
		for _, e := range copies {
			s.put(e)
		}
	})
}

func (h *raftHandle) DeleteRange(first, last uint64) error {
	return h.change(Truncate, 0, func(s *raftState) {
		for index := first; index <= last; index++ {
			s.drop(index)
		}
	})
}

func (h *raftHandle) Set(key, value []byte) error {
	k, v := string(key), slices.Clone(value)
	return h.change(SetValue, len(key)+len(value), func(s *raftState) { s.values[k] = v })
}

func (h *raftHandle) Get(key []byte) (value []byte, err error) {
	err = h.read(func(s *raftState) error {
		v, ok := s.values[string(key)]
		if !ok {
			return raftboltdb.ErrKeyNotFound
		}
		value = slices.Clone(v)
		return nil
	})
	return value, err
}

func (h *raftHandle) SetUint64(key []byte, value uint64) error {
	return h.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

func (h *raftHandle) GetUint64(key []byte) (uint64, error) {
	value, err := h.Get(key)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

// SyncsPerChange is one, as of a log that is written in one piece.
func (h *raftHandle) SyncsPerChange() int { return 1 }

func (h *raftHandle) Close() error { return nil }
