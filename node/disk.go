package node

import (
	"io"

	"github.com/hashicorp/raft"
)

// Disk is where a node keeps what must survive it. The real one is a folder; package node/sim has one in memory
// that forgets what was not synced, fills up and fails. Everything else about storage (identity, vote, snapshots,
// archive, headroom) is built on top, once, and is therefore the same code in production and in simulation.
type Disk interface {
	// Dir opens a folder, making it if need be. "" is the top one; names may have parts divided by "/".
	Dir(name string) (Dir, error)
	// Raft opens the Raft log of one shard in the folder name. With create it makes a new one, and fails if there is
	// one; without it opens an old one, and fails if there is none.
	Raft(name string, create bool) (RaftStore, error)
	// Free is how many bytes can still be written.
	Free() (uint64, error)
	Close() error
}

// RaftStore keeps a shard's log, term and vote. Each call returns when its effect is durable.
type RaftStore interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

// Dir is one folder.
type Dir interface {
	Names() ([]string, error) // of the files in it, sorted
	// Open opens a file to be read from its beginning. Writing to it is an error.
	Open(name string) (File, error)
	// Append opens a file, making it if need be. It is read from its beginning and written at its end.
	Append(name string) (File, error)
	Rename(from, to string) error // replaces what is there
	Remove(name string) error
	// Sync makes files' names durable: what was made, renamed and removed before it stays so.
	Sync() error
}

// File is one open file. What was written is durable after Sync.
type File interface {
	io.ReadWriteCloser
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
}
