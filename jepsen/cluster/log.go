//go:build linux

package cluster

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// Log reads, bit by bit, what the members archived of the shard's log: at which place of it a command was decided.
// What it has read it does not read again.
type Log struct {
	cluster *Cluster
	at      uint64         // the entries up to here are read
	clock   holdfast.Clock // after them
}

// NewLog reads from the beginning of the log.
func (c *Cluster) NewLog() *Log { return &Log{cluster: c} }

// Places says where the log has each command first, from where the last call ended up to the stamp at least. Members
// may lack entries, where they were given a snapshot or lost their disk; ok is false when all lack the same ones.
func (l *Log) Places(to holdfast.Stamp) (at map[holdfast.CommandID]holdfast.Stamp, ok bool, err error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // archives are written a moment later
		entries, missing, last, err := l.collect(to.Index)
		switch {
		case err != nil:
			return nil, false, err
		case last >= to.Index && len(missing) == 0:
			at, err = l.read(entries, to)
			return at, err == nil, err
		case time.Now().After(deadline):
			l.at, l.clock = to.Index, to.Clock // goes on behind what nobody has
			return nil, false, nil
		}
	}
}

// taped is an entry that some member archived.
type taped struct {
	term  uint64
	entry []byte
}

// collect gathers the entries from all members, and the gaps that all of them have.
func (l *Log) collect(until uint64) (entries map[uint64]taped, missing []node.Gap, last uint64, err error) {
	entries = map[uint64]taped{}
	for i := range l.cluster.members {
		own, reached := []node.Gap(nil), l.at
		path := filepath.Join(l.cluster.Folder(i), fmt.Sprintf("shard-%d", Shard), "archive")
		own, err := node.ReadArchive(path, l.at, func(e node.Archived) error {
			reached = max(reached, e.Index)
			if _, had := entries[e.Index]; !had && e.Index > l.at && e.Index <= until {
				entries[e.Index] = taped{e.Term, append([]byte(nil), e.Entry...)}
			}
			return nil
		})
		if err != nil { // its archive was damaged: from there on it has nothing to say
			l.cluster.cfg.Logger.Warn("an archive cannot be read", "member", Name(i), "error", err)
			own = append(own, node.Gap{After: reached, From: math.MaxUint64})
		}
		if last = max(last, reached); i == 0 {
			missing = own
		} else {
			missing = both(missing, own)
		}
		if len(missing) == 0 && last >= until {
			return entries, nil, last, nil
		}
	}
	return entries, missing, last, nil
}

// both are the parts that are in a gap of a and in one of b.
func both(a, b []node.Gap) (common []node.Gap) {
	for _, x := range a {
		for _, y := range b {
			if g := (node.Gap{After: max(x.After, y.After), From: min(x.From, y.From)}); g.After < g.From {
				common = append(common, g)
			}
		}
	}
	return common
}

func (l *Log) read(entries map[uint64]taped, to holdfast.Stamp) (map[holdfast.CommandID]holdfast.Stamp, error) {
	at := map[holdfast.CommandID]holdfast.Stamp{}
	for index := l.at + 1; index <= to.Index; index++ {
		one, ours := entries[index] // Raft's own entries are not in archives
		if !ours {
			continue
		}
		e, err := command.OpenEntry(one.entry)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		l.clock += holdfast.Clock(min(e.StepMicros, command.StepMax))
		rest := e.Commands
		for slot := range e.Count {
			var cmd []byte
			if cmd, rest, err = command.Split(rest); err != nil {
				return nil, fmt.Errorf("entry %d: %w", index, err)
			}
			if _, before := at[command.IDOf(cmd)]; !before {
				at[command.IDOf(cmd)] = holdfast.Stamp{Shard: Shard, Term: one.term, Index: index, Slot: uint32(slot), Clock: l.clock}
			}
		}
	}
	l.at = to.Index
	return at, nil
}
