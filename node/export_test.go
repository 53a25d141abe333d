package node

import (
	"github.com/hashicorp/raft"
	"io"

	"github.com/holdfast-db/holdfast"
)

// What tests outside of the package may use: they are outside because package sim, which they run on, imports node.
type (
	Storage       = storage
	StorageConfig = storageConfig
	Stores        = stores
	ArchiveLimits = archiveLimits
	Mux           = mux
	MuxConfig     = muxConfig
	Peers         = peers
)

var (
	OpenStorage = openStorage
	OpenArchive = openArchive
	VerifyDir   = verifyDir
	NewMux      = newMux
	NewPeers    = newPeers
	Decide      = decide
	IsNotFound  = isNotFound
	NewRaftLog  = newRaftLog
)

var (
	ErrOtherNode = errOtherNode
	ErrNoShard   = errNoShard
)

// NewLogCache is a cache over any store.
var NewLogCache = newLogCache

// CachedBytes is how much the cache holds; Uncached is what is below it.
func (c *logCache) CachedBytes() int        { return c.bytes }
func (c *logCache) Uncached() raft.LogStore { return c.LogStore }

// DialRaft opens a connection to a shard of a node, and closes it again.
func (m *mux) DialRaft(shard holdfast.ShardID, id, address string) error {
	conn, err := m.dial(address, preamble{purpose: purposeRaft, shard: shard, target: id, source: m.cfg.ID}, m.cfg.Timing.RPC)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Limits are how entries are packed; what is zero is left as it is.
type Limits struct{ Depth, Bytes, Commands int }

// SetLimits must be called before Open.
func (n *Node) SetLimits(l Limits) {
	if l.Depth > 0 {
		n.limits.depth = l.Depth
	}
	if l.Bytes > 0 {
		n.limits.bytes = l.Bytes
	}
	if l.Commands > 0 {
		n.limits.commands = l.Commands
	}
}

// Propose has Raft replicate an entry that no leader should have let through. It does not wait.
func (n *Node) Propose(shard holdfast.ShardID, entry []byte) {
	n.shards[shard].get().raft.Apply(entry, 0)
}

// TakeSnapshot takes a snapshot of a shard now, and leaves only so many entries in the log before it.
func (n *Node) TakeSnapshot(shard holdfast.ShardID) error {
	g := n.shards[shard].get()
	return g.takeSnapshot()
}

// Reopen opens a shard's group anew, as the watchdogs do.
func (n *Node) Reopen(shard holdfast.ShardID) { n.shards[shard].get().restart("a test asked for it") }

// Disk is the node's disk.
func (n *Node) Disk() Disk { return n.storage.disk }

// TakeSnapshotKeeping takes a snapshot and leaves so many entries in the log before it.
func (n *Node) TakeSnapshotKeeping(shard holdfast.ShardID, entries uint64) error {
	g := n.shards[shard].get()
	if err := g.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs = entries }); err != nil {
		return err
	}
	return g.raft.Snapshot().Error()
}

// Mend removes what a snapshot makes void of a log.
var Mend = mend

// GroupOf tells one opening of a shard's group from another; nil while it is being opened.
func (n *Node) GroupOf(shard holdfast.ShardID) any {
	if g := n.shards[shard].get(); g != nil {
		return g
	}
	return nil
}

// Restored tells a group that it has taken over a snapshot.
func (n *Node) Restored(shard holdfast.ShardID, index uint64) { n.shards[shard].get().restored(index) }

// FallBack gives a replica a state that it had before, as the library does when the leader sends an older snapshot.
func (n *Node) FallBack(shard holdfast.ShardID, snapshot io.Reader) error {
	return n.shards[shard].get().applier.Restore(io.NopCloser(snapshot))
}

// The keyring without its goroutines.
type (
	Keyring  = keyring
	KeyFiles = keyFiles
)

var (
	NewKeyring   = newKeyring
	OpenKeyFiles = openKeyFiles
)

func (f *keyFiles) Add(keys []holdfast.PersonKey) (uint32, error) { return f.addKeys(keys) }
func (f *keyFiles) Rewrite(segment uint32, ring *keyring) error   { return f.rewrite(segment, ring) }
func (r *keyring) Add(k *holdfast.PersonKey, segment uint32)      { r.add(k, segment) }
func (r *keyring) Forget(hold holdfast.HoldID)                    { r.forget(hold) }
func (r *keyring) Status() PersonsStatus                          { return r.status() }

// Teach is what the keyring would tell another.
func (r *keyring) Teach(pupil *keyring, from uint16) (holds []holdfast.HoldID, keys []holdfast.PersonKey, next uint16, more bool) {
	sums := pupil.sums()
	l := r.teach(&sums, from)
	return l.forgotten, l.keys, l.next, l.more
}

// Persons is the keyring on disk, without its goroutine.
type Persons = persons

// OpenPersons reads the keyring of a storage.
func OpenPersons(s *Storage) (*Persons, error) { return openPersons(s, s.log) }

// Change keeps keys and forgets holds.
func (p *persons) Change(keys []holdfast.PersonKey, forget []holdfast.HoldID) error {
	done := make(chan error, 1)
	p.change([]personsWork{{taught: keys, forget: forget, done: done}})
	return <-done
}

// Forgot reports whether a hold was forgotten.
func (p *persons) Forgot(hold holdfast.HoldID) bool { return p.ring.isForgotten(hold) }

// Close closes its files.
func (p *persons) Close() error { return p.close() }
