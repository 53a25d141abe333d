package node

import (
	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// Identity is who a node is: node.json in its folder.
type Identity struct {
	// ID is the name and a random part that is made with the folder. A folder that is made anew is another node.
	ID string `json:"id"`
	// Cluster is the cluster that the node belongs to; empty until it has formed or met one.
	Cluster string `json:"cluster"`
	Shards  int    `json:"shards"`
	// Founders is the first configuration, on the member that wrote it into the groups; empty on all others.
	Founders []Member `json:"founders,omitempty"`
	// Stores are the shards that have a store here. One that is missing later is an error, not a new one.
	Stores []holdfast.ShardID `json:"stores,omitempty"`
}

// Member is one server of a configuration.
type Member struct {
	ID      string `json:"id"`
	Address string `json:"address"`
}

// storage is everything that a node keeps, on top of its Disk.
type storage struct {
	identity Identity
}

// openStorage loads or makes the identity and begins to watch the free space. fatal is called once, at the first
// doubt about the disk: the process should end, since nothing that is said after it can be believed.
func openStorage(disk Disk, name string, shards int, log *slog.Logger, fatal func(error)) (*storage, error) {
	return nil, errUnbuilt
}

// Identity is a copy of the identity as last saved.
func (s *storage) Identity() Identity { return s.identity }

// Save changes the identity durably.
func (s *storage) Save(change func(*Identity)) error { return errUnbuilt }

// Stores opens what one shard keeps.
func (s *storage) Stores(shard holdfast.ShardID) (*stores, error) { return nil, errUnbuilt }

// Low reports whether so little space is left that new holds should be refused; Free is what is left.
func (s *storage) Low() bool    { return false }
func (s *storage) Free() uint64 { return 0 }

// Close closes the disk. The shards' stores must be closed before.
func (s *storage) Close() error { return nil }

// stores is what one shard keeps.
type stores struct {
	Log       raft.LogStore // wrap it in a raft.LogCache that is bounded in bytes
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Archive   *Archive
}

// Syncs counts the syncs of the shard's log to disk since it was opened.
func (s *stores) Syncs() uint64 { return 0 }

// Close closes the shard's files, after its raft has been shut down.
func (s *stores) Close() error { return nil }
