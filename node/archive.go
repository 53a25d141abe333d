package node

import (
	"errors"
	"io"
)

var errUnbuilt = errors.New("not built yet")

// Archive keeps every applied entry of one shard in files of bounded size. It is safe for concurrent use.
type Archive struct{}

// Last is the index of the last entry, or of the base if nothing follows it; 0 when the archive is empty.
func (a *Archive) Last() uint64 { return 0 }

// Append adds an applied entry; one that is there already (index ≤ Last) is left as it is. It is durable after Sync.
func (a *Archive) Append(index, term uint64, entry []byte) error { return errUnbuilt }

// Sync makes what was appended durable. Call it before a snapshot lets Raft truncate its log.
func (a *Archive) Sync() error { return errUnbuilt }

// WantsBase reports whether enough was archived since the last base that the next snapshot should be one too.
func (a *Archive) WantsBase() bool { return false }

// Base writes the state at index from which a replay can begin, and then drops the oldest files beyond the limit.
// It must be called after a restored snapshot whose index is beyond Last, before the next Append.
func (a *Archive) Base(index uint64, write func(io.Writer) error) error { return errUnbuilt }
