package node

import (
	"bytes"
	"fmt"
	"io"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/directory"
)

// replica is a state machine that is being replayed: a shard's or the directory's.
type replica interface {
	Apply(index uint64, entry []byte, out *command.Output)
	Index() uint64
	Clock() holdfast.Clock
	violations() []string
	snapshot() []byte
	digest() [32]byte
	sold() uint64
}

// newReplica makes an empty machine, or with a snapshot the one that it holds.
func newReplica(shard holdfast.ShardID, shards int, snapshot io.Reader) (replica, error) {
	if shard == holdfast.Directory {
		cfg := directory.Config{Shards: shards}
		if snapshot == nil {
			return directoryReplica{directory.New(cfg)}, nil
		}
		m, err := directory.Restore(cfg, snapshot)
		return directoryReplica{m}, err
	}
	cfg := fsm.Config{Shard: shard}
	if snapshot == nil {
		return shardReplica{fsm.New(cfg)}, nil
	}
	m, err := fsm.Restore(cfg, snapshot)
	return shardReplica{m}, err
}

type shardReplica struct{ *fsm.Machine }

func (r shardReplica) violations() []string { return texts(r.Check()) }
func (r shardReplica) snapshot() []byte     { return snapshotOf(r.Cut()) }

func (r shardReplica) digest() [32]byte {
	cut := r.Cut()
	defer cut.Release()
	return cut.Digest()
}

func (r shardReplica) sold() (units uint64) {
	for _, e := range r.Events() {
		units += uint64(e.Total[holdfast.Sold])
	}
	return units
}

type directoryReplica struct{ *directory.Machine }

func (r directoryReplica) violations() []string { return texts(r.Check()) }
func (r directoryReplica) snapshot() []byte     { return snapshotOf(r.Cut()) }
func (r directoryReplica) sold() uint64         { return 0 }

func (r directoryReplica) digest() [32]byte {
	cut := r.Cut()
	defer cut.Release()
	return cut.Digest()
}

func snapshotOf(cut interface {
	io.WriterTo
	Release()
}) []byte {
	defer cut.Release()
	var b bytes.Buffer
	if _, err := cut.WriteTo(&b); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

func texts[V fmt.Stringer](violations []V) (out []string) {
	for _, v := range violations {
		out = append(out, v.String())
	}
	return out
}
