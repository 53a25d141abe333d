package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// tape keeps every entry that any node stored, so that the log can be read at the end though nodes truncate theirs.
// Nodes may have stored different entries at an index. Which of them is the log's is found from the end: entries of one
// index and term stand behind the same one everywhere (Raft's log matching), so each leads to the one before it.
type tape struct {
	mu      sync.Mutex
	entries map[holdfast.ShardID]map[uint64][]taped // by index; few have more than one
}

// taped is an entry as it was stored first.
type taped struct {
	*raft.Log
	before uint64 // the term of the entry before it; 0: whoever stored it had none
}

func newTape() *tape { return &tape{entries: map[holdfast.ShardID]map[uint64][]taped{}} }

// store tapes entries that follow each other, the first of them one of the term before.
func (t *tape) store(shard holdfast.ShardID, before uint64, logs []*raft.Log) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.entries[shard]
	if all == nil {
		all = map[uint64][]taped{}
		t.entries[shard] = all
	}
	for _, l := range logs {
		at := slices.IndexFunc(all[l.Index], func(had taped) bool { return had.Term == l.Term })
		if at < 0 {
			kept := *l
			all[l.Index] = append(all[l.Index], taped{&kept, before})
		} else if had := &all[l.Index][at]; had.before == 0 {
			had.before = before
		}
		before = l.Term
	}
}

// log gives the entries of a shard's log, from the first to one that is committed.
func (t *tape) log(shard holdfast.ShardID, until uint64) ([]*raft.Log, error) {
	entries, term := make([]*raft.Log, until), uint64(math.MaxUint64)
	for index := until; index > 0; index-- {
		var at taped
		for _, one := range t.entries[shard][index] { // of the term that the entry behind it says; if it says none, the last
			if one.Term <= term && (at.Log == nil || at.Term < one.Term) {
				at = one
			}
		}
		if at.Log == nil {
			return nil, fmt.Errorf("no node stored entry %d of shard %d", index, shard)
		}
		entries[index-1] = at.Log
		if term = at.before; term == 0 {
			term = at.Term
		}
	}
	return entries, nil
}

// tapedDisk is a node's disk whose logs are taped.
type tapedDisk struct {
	node.Disk
	tape  *tape
	name  string // of the node
	alter func(name string, l *raft.Log)
	// damaged is told that an entry was read that does not open.
	damaged func()
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
	var before raft.Log
	if err := s.RaftStore.GetLog(logs[0].Index-1, &before); err != nil { // it is in a snapshot, or the first
		before.Term = 0
	}
	s.disk.tape.store(s.shard, before.Term, logs)
	return s.RaftStore.StoreLogs(logs)
}

func (s tapedStore) GetLog(index uint64, l *raft.Log) error {
	err := s.RaftStore.GetLog(index, l)
	if err == nil && s.disk.alter != nil {
		s.disk.alter(s.disk.name, l)
	}
	if err != nil || l.Type != raft.LogCommand {
		return err
	}
	// A node that reads a damaged entry stops, and the library ends its process at once. A panic would end all members, and
	// the test: so that is the end of the process, and what it still does it does with the entry as it was.
	if _, damaged := command.OpenEntry(l.Data); damaged != nil {
		s.disk.damaged()
		return s.disk.tape.original(s.shard, l)
	}
	return nil
}

// original gives an entry as it was stored first.
func (t *tape) original(shard holdfast.ShardID, l *raft.Log) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.entries[shard][l.Index] {
		if one.Term == l.Term {
			*l = *one.Log
			return nil
		}
	}
	return raft.ErrLogNotFound
}

// count says how many of the shard's entries have commands, up to an index, and how often leadership changed in all
// groups: each leader's first entry is of a term of its own.
func (t *tape) count(until uint64) (commits, leaders uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for shard, all := range t.entries {
		last := until
		if shard != Shard {
			last = slices.Max(slices.Collect(maps.Keys(all)))
		}
		entries, err := t.log(shard, last)
		if err != nil {
			continue // places says so
		}
		term := uint64(0)
		for _, l := range entries {
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
	entries, err := t.log(shard, until)
	if err != nil {
		return nil, err
	}
	clock := holdfast.Clock(0)
	for _, l := range entries {
		if l.Type != raft.LogCommand {
			continue
		}
		e, err := command.OpenEntry(l.Data)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", l.Index, err)
		}
		clock += holdfast.Clock(min(e.StepMicros, command.StepMax))
		rest := e.Commands
		for slot := range e.Count {
			var cmd []byte
			if cmd, rest, err = command.Split(rest); err != nil {
				return nil, fmt.Errorf("entry %d: %w", l.Index, err)
			}
			if _, before := at[command.IDOf(cmd)]; !before {
				at[command.IDOf(cmd)] = holdfast.Stamp{Shard: shard, Term: l.Term, Index: l.Index, Slot: uint32(slot), Clock: clock}
			}
		}
	}
	return at, nil
}
