package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Disk is where a node keeps what must survive it. The real one is a folder; package node/sim has one in memory
// that forgets what was not synced, fills up and fails. Everything else about storage (identity, vote, snapshots,
// archive, headroom) is built on top, once, and is therefore the same code in production and in simulation.
type Disk interface {
	// Dir opens a folder, making it if need be. "" is the top one; names may have parts divided by "/".
	Dir(name string) (Dir, error)
	// Raft opens the Raft log of one shard in the folder name. With create it is made if need be; without, it is an
	// error that satisfies errors.Is(err, fs.ErrNotExist) that there is none.
	Raft(name string, create bool) (RaftStore, error)
	// Free is how many bytes can still be written.
	Free() (uint64, error)
	// Reserve sets bytes aside that nothing else can take; 0 gives them back. A reserve stays over restarts.
	Reserve(bytes uint64) error
	Close() error
}

// RaftStore keeps a shard's log, and the few values that Raft calls stable. Each change returns when it is durable.
// A key that was never set is answered with raftboltdb.ErrKeyNotFound.
type RaftStore interface {
	raft.LogStore
	raft.StableStore
	// SyncsPerChange is how often a change waits for the disk.
	SyncsPerChange() int
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

const (
	lockFile    = "lock"
	ballastFile = "ballast"
	raftFile    = "raft.db"
)

// mmapBytes is how much of the address space each log is given at once. Growing a map takes bbolt's lock against
// all readers; a log between two snapshots stays well below this.
const mmapBytes = 512 << 20

// lockPatience is how long to wait for another process to let go of a file: a process that was killed lets go at
// once, so whoever holds it longer is running.
const lockPatience = time.Second

// OpenFolder opens a folder of the operating system as a Disk, making it if need be. One process can have it open.
func OpenFolder(path string) (Disk, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := makeDir(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(lock); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another process has %s open: %w", path, err)
	}
	return &folder{path: path, lock: lock}, nil
}

func flock(f *os.File) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 20) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
	}
}

// folder is the real Disk.
type folder struct {
	path string
	lock *os.File // held as long as the disk is open
}

func (d *folder) Dir(name string) (Dir, error) {
	path := filepath.Join(d.path, filepath.FromSlash(name))
	return osDir(path), makeDir(path)
}

func (d *folder) Raft(name string, create bool) (RaftStore, error) {
	dir := filepath.Join(d.path, filepath.FromSlash(name))
	path := filepath.Join(dir, raftFile)
	err := walkPages(path)
	if err != nil && (!create || !errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeRaft(path); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
	}
	opened, err := raftboltdb.New(raftboltdb.Options{Path: path, NoSync: planted.Is(planted.MissingSync), BoltOptions: &bbolt.Options{
		Timeout: lockPatience,
		// Writing the free list with every commit ruins append times after a burst was truncated; it is found
		// again by a scan when the file is opened.
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mmapBytes,
	}})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := osDir(dir).Sync(); err != nil {
		opened.Close()
		return nil, err
	}
	return boltStore{opened}, nil
}

// makeRaft makes an empty store. It gets its name when it is whole: bbolt does not open one that a power failure has left
// half made.
func makeRaft(path string) error {
	temp := path + tempSuffix
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{Timeout: lockPatience})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// walkPages looks at every page of a bbolt file that leads to a key. bbolt does so when it opens a file for writing,
// but in a goroutine of its own, where a damaged page ends the process without a word about which file it is.
func walkPages(path string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that is too short is a fault of its map
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s is damaged: move the folder away and let the node join anew: %v", path, r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockPatience})
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, bucket *bbolt.Bucket) error {
			cursor := bucket.Cursor()
			for key, _ := cursor.First(); key != nil; key, _ = cursor.Next() {
			}
			return nil
		})
	})
}

// boltStore is raft-boltdb. Every change is one transaction, which bbolt syncs twice: the pages, then the meta page
// that makes them count.
type boltStore struct{ *raftboltdb.BoltStore }

func (boltStore) SyncsPerChange() int { return 2 }

func (d *folder) Free() (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.path, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: d.path, Err: err}
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Reserve keeps a file of that many bytes. They are written, since a file with holes sets nothing aside.
func (d *folder) Reserve(bytes uint64) error {
	path := filepath.Join(d.path, ballastFile)
	if bytes == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for have, zeros := uint64(st.Size()), make([]byte, 1<<20); have < bytes; have += uint64(len(zeros)) {
		if _, err := f.Write(zeros); err != nil {
			return errors.Join(err, os.Remove(path))
		}
	}
	return f.Sync()
}

func (d *folder) Close() error { return d.lock.Close() }

// osDir is a folder of the operating system.
type osDir string

func (d osDir) Names() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (d osDir) Open(name string) (File, error) { return d.open(name, os.O_RDONLY) }

func (d osDir) Append(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
}

func (d osDir) open(name string, flag int) (File, error) {
	f, err := os.OpenFile(filepath.Join(string(d), name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDir) Rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d osDir) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d osDir) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// makeDir makes a folder and those above it, durably. One that is there may be that of a process that was killed before
// its name was durable; if we may not sync what it is in, it was made by somebody else.
func makeDir(path string) error {
	parent := filepath.Dir(path)
	if _, err := os.Stat(path); err == nil {
		err := osDir(parent).Sync()
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EROFS) {
			return nil
		}
		return err
	}
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return osDir(parent).Sync()
}
