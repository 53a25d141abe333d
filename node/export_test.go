package node

import (
	"github.com/hashicorp/raft"

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
