package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
)

// storage is everything that a node keeps, on top of its Disk. No mutex here or below is held while the disk works:
// who waits for a mutex keeps the time of a synctest bubble from passing, and with it the simulated disk.
type storage struct {
	disk     Disk
	top      Dir
	log      *slog.Logger
	archive  archiveLimits
	latch    *latch
	headroom *headroom

	saving chan struct{} // has one token, taken while the identity is saved

	mu       sync.Mutex
	identity Identity // as last saved
}

// storageConfig is what a storage needs.
type storageConfig struct {
	Disk     Disk
	Name     string
	Shards   int
	Headroom uint64        // refuse new holds below this many free bytes
	Archive  archiveLimits // zero: the defaults
	Log      *slog.Logger
	// Fatal is called once, at the first doubt about the disk, from a goroutine of its own. Every store answers
	// with the same error from then on. The process should end: nothing that it says can be believed.
	Fatal func(error)
}

// openStorage loads or makes the identity and begins to watch the free space. It does not close the disk when it
// fails.
func openStorage(cfg storageConfig) (*storage, error) {
	l := &latch{fatal: cfg.Fatal}
	top, err := cfg.Disk.Dir("")
	if err != nil {
		return nil, fmt.Errorf("open the node's folder: %w", err)
	}
	top = latchedDir{top, l}
	id, err := loadIdentity(top, cfg.Name, cfg.Shards)
	if err != nil {
		return nil, err
	}
	if err := top.Sync(); err != nil { // a process that was killed may have left node.json under a name that is not durable
		return nil, fmt.Errorf("sync the node's folder: %w", err)
	}
	h, err := watchHeadroom(cfg.Disk, cfg.Headroom, cfg.Log)
	if err != nil {
		return nil, err
	}
	s := &storage{
		disk: cfg.Disk, top: top, log: cfg.Log, archive: cfg.Archive, latch: l, headroom: h, identity: id,
		saving: make(chan struct{}, 1),
	}
	s.saving <- struct{}{}
	return s, nil
}

// Identity is a copy of the identity as last saved.
func (s *storage) Identity() Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity.clone()
}

// Save changes the identity durably. change must not keep the identity nor call the storage.
func (s *storage) Save(change func(*Identity)) error {
	<-s.saving
	defer func() { s.saving <- struct{}{} }()
	next := s.Identity()
	change(&next)
	if err := saveIdentity(s.top, next); err != nil {
		return fmt.Errorf("save %s: %w", identityFile, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identity = next
	return nil
}

// Low reports whether so little space is left that new holds should be refused. Free is what is left.
func (s *storage) Low() bool    { return s.headroom.isLow() }
func (s *storage) Free() uint64 { return s.headroom.freeBytes() }

// Failed is the error that stopped the node's stores, or nil.
func (s *storage) Failed() error { return s.latch.failed() }

// Close closes the disk. The shards' stores must be closed before.
func (s *storage) Close() error {
	s.headroom.close()
	return s.disk.Close()
}

// stores is what one shard keeps.
type stores struct {
	Log       raft.LogStore // with a cache of its own: not to be wrapped in raft.LogCache
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Archive   *Archive

	guarded *logStore
	raft    RaftStore
}

// archiveDir is where its archive is, below it.
const archiveDir = "archive"

// shardDir is where a shard's files are.
func shardDir(shard holdfast.ShardID) string { return fmt.Sprintf("shard-%d", shard) }

// ownerKey is where a shard's store says whose it is.
var ownerKey = []byte("Owner")

// Stores opens what one shard keeps; the first time it makes it.
func (s *storage) Stores(shard holdfast.ShardID) (*stores, error) {
	under, err := s.openRaft(shard)
	if err != nil {
		return nil, fmt.Errorf("store of shard %d: %w", shard, err)
	}
	out, err := s.openFiles(shard, under)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store of shard %d: %w", shard, err), under.Close())
	}
	return out, nil
}

func (s *storage) openFiles(shard holdfast.ShardID, under RaftStore) (*stores, error) {
	dir := func(name string) (Dir, error) {
		d, err := s.disk.Dir(shardDir(shard) + "/" + name)
		return latchedDir{d, s.latch}, err
	}
	snapshotDir, err := dir("snapshots")
	if err != nil {
		return nil, err
	}
	snapshots, err := newSnapshotStore(snapshotDir, s.log)
	if err != nil {
		return nil, err
	}
	archiveFiles, err := dir(archiveDir)
	if err != nil {
		return nil, err
	}
	archive, err := openArchive(archiveFiles, shard, s.Identity().Shards, s.archive)
	if err != nil {
		return nil, err
	}
	guarded := &logStore{under: under, latch: s.latch, unhurried: func() bool { return false }, appends: unwatched()}
	return &stores{
		Log: newLogCache(guarded), Stable: &stableStore{under: under, log: guarded}, Snapshots: snapshots, Archive: archive,
		guarded: guarded, raft: under,
	}, nil
}

// openRaft opens a shard's log and makes sure that it is the one that this node had. The order at the first time
// is: make the store, write into it whose it is, list it in node.json. A crash in between leaves a store that is
// not listed and empty; one that is not listed and not empty was put there by somebody.
func (s *storage) openRaft(shard holdfast.ShardID) (RaftStore, error) {
	id := s.Identity()
	known := slices.Contains(id.Stores, shard)
	under, err := s.disk.Raft(shardDir(shard), !known)
	switch {
	case known && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("it is missing, and this node had one: put it back, or move the whole folder away and let the node join anew: %w", err)
	case err != nil:
		return nil, err
	}
	if err := claimStore(under, fmt.Sprintf("%s/%d", id.ID, shard), known); err != nil {
		return nil, errors.Join(err, under.Close())
	}
	if !known {
		err = s.Save(func(id *Identity) { id.Stores = append(id.Stores, shard) })
	}
	if err != nil {
		return nil, errors.Join(err, under.Close())
	}
	return under, nil
}

// claimStore writes into a new store whose it is, or checks that in an old one.
func claimStore(under RaftStore, owner string, known bool) error {
	got, err := under.Get(ownerKey)
	if err != nil && !isNotFound(err) {
		return err
	}
	last, err := under.LastIndex()
	if err != nil {
		return err
	}
	switch {
	case string(got) == owner:
		return nil
	case len(got) > 0:
		return fmt.Errorf("it belongs to %s, not to %s", got, owner)
	case known:
		return errors.New("it was replaced by another one: put it back, or move the whole folder away and let the node join anew")
	case last != 0:
		return fmt.Errorf("it has %d entries, but %s does not list it", last, identityFile)
	}
	return under.Set(ownerKey, []byte(owner))
}

// Syncs is how often the shard's log has waited for the disk since it was opened: the changes that were committed,
// times the syncs that each of them takes. Changes that failed are not counted.
func (s *stores) Syncs() uint64 { return s.guarded.changes.Load() * uint64(s.raft.SyncsPerChange()) }

// Close closes the shard's files, after its raft has been shut down.
func (s *stores) Close() error { return errors.Join(s.Archive.Close(), s.raft.Close()) }

func (id Identity) clone() Identity {
	id.Founders, id.Stores = slices.Clone(id.Founders), slices.Clone(id.Stores)
	return id
}
