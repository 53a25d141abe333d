package sim

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// tape keeps every entry that any node stored, so that the log can be read at the end though nodes truncate theirs.
// Where nodes stored different entries at an index, the one of the highest term is the log's: a leader of a later
// term has all that was committed before, and so puts nothing else in its place.
type tape struct {
	mu      sync.Mutex
	entries map[holdfast.ShardID]map[uint64]*raft.Log
}

func newTape() *tape { return &tape{entries: map[holdfast.ShardID]map[uint64]*raft.Log{}} }

func (t *tape) store(shard holdfast.ShardID, logs []*raft.Log) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries[shard] == nil {
		t.entries[shard] = map[uint64]*raft.Log{}
	}
	for _, l := range logs {
		if had := t.entries[shard][l.Index]; had == nil || had.Term < l.Term {
			kept := *l
			t.entries[shard][l.Index] = &kept
		}
	}
}

// tapedDisk is a node's disk whose logs are taped.
type tapedDisk struct {
	node.Disk
	tape  *tape
	name  string // of the node
	alter func(name string, l *raft.Log)
}

func (d tapedDisk) Raft(name string, create bool) (node.RaftStore, error) {
	store, err := d.Disk.Raft(name, create)
	if err != nil {
		return nil, err
	}
	var shard holdfast.ShardID
	if _, err := fmt.Sscanf(name, "shard-%d", &shard); err != nil {
		return nil, err
	}
	return tapedStore{store, d, shard}, nil
}

type tapedStore struct {
	node.RaftStore
	disk  tapedDisk
	shard holdfast.ShardID
}

func (s tapedStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

func (s tapedStore) StoreLogs(logs []*raft.Log) error {
	s.disk.tape.store(s.shard, logs)
	return s.RaftStore.StoreLogs(logs)
}

func (s tapedStore) GetLog(index uint64, l *raft.Log) error {
	err := s.RaftStore.GetLog(index, l)
	if err == nil && s.disk.alter != nil {
		s.disk.alter(s.disk.name, l)
	}
	return err
}

// count says how many of the shard's entries have commands, up to an index, and how often leadership changed in all
// groups: each leader's first entry is of a term of its own.
func (t *tape) count(until uint64) (commits, leaders uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for shard, entries := range t.entries {
		term := uint64(0)
		for index := uint64(1); entries[index] != nil && (shard != Shard || index <= until); index++ {
			l := entries[index]
			if l.Term != term && term != 0 {
				leaders++
			}
			term = l.Term
			if shard != Shard || l.Type != raft.LogCommand {
				continue
			}
			if e, err := command.OpenEntry(l.Data); err == nil && e.Count > 0 { // places says of those that do not open
				commits++
			}
		}
	}
	return commits, leaders
}

// places says where the log has each command first, up to an index, and how many entries it has.
func (t *tape) places(shard holdfast.ShardID, until uint64) (at map[holdfast.CommandID]holdfast.Stamp, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at = map[holdfast.CommandID]holdfast.Stamp{}
	clock := holdfast.Clock(0)
	for index := uint64(1); index <= until; index++ {
		l := t.entries[shard][index]
		if l == nil {
			return nil, fmt.Errorf("no node stored entry %d of shard %d", index, shard)
		}
		if l.Type != raft.LogCommand {
			continue
		}
		e, err := command.OpenEntry(l.Data)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		clock += holdfast.Clock(min(e.StepMicros, command.StepMax))
		rest := e.Commands
		for slot := range e.Count {
			var cmd []byte
			if cmd, rest, err = command.Split(rest); err != nil {
				return nil, fmt.Errorf("entry %d: %w", index, err)
			}
			if _, before := at[command.IDOf(cmd)]; !before {
				at[command.IDOf(cmd)] = holdfast.Stamp{Shard: shard, Term: l.Term, Index: index, Slot: uint32(slot), Clock: clock}
			}
		}
	}
	return at, nil
}
