package lossy

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Options say where a Store keeps what is durable, and how it fails. Dir must be given.
type Options struct {
	Dir string // an empty folder of a real file system
	// WriteBack is how old a change may get before it is written down unasked; 0: it waits for a sync.
	WriteBack time.Duration
	// UnsyncedMax is how many bytes may wait for a sync in memory. 0: 64 MiB
	UnsyncedMax int64
	// Forget breaks it: syncs of what has such a path ("a/b" for a file, "a/" for a folder, "/" for the top) are
	// confirmed and not done. When the power is cut, all that waits in such a file is lost.
	Forget *regexp.Regexp
}

const (
	unsyncedDefault = 64 << 20
	// inodesMax bounds files and folders: each file is one open file of the process too.
	inodesMax = 10_000
	// unsyncedNamesMax is how many changes of folders wait for a sync before all of them are written down.
	unsyncedNamesMax = 10_000
	nameBytesMax     = 255
	// changeBytes is what a change takes in memory besides its data.
	changeBytes = 128
)

// Store is the file system. It is safe for concurrent use; every error is a syscall.Errno.
type Store struct {
	options Options

	mu       sync.Mutex
	power    power
	nth      int       // the change before which the power fails, from now; 0: none
	changed  sync.Cond // power
	next     uint64    // inode number
	root     *Inode
	inodes   map[uint64]*Inode
	names    []nameChange // that are not durable, in order
	unsynced int64        // bytes in all files' changes
	counts   Counts
}

// power is what becomes of what is asked of the store.
type power int

const (
	powered power = iota
	frozen        // it waits
	dark          // it fails: there was a cut, and those who had the files open are about to die
)

// Counts are what happened since the store was made.
type Counts struct {
	Syncs      int `json:"syncs"`
	Forgotten  int `json:"forgotten"` // of these, confirmed and not done
	WrittenOut int `json:"written_out"`
	Cuts       int `json:"cuts"`
	// At cuts, of what waited for a sync:
	Writes     int `json:"writes"`      // sectors
	WritesLost int `json:"writes_lost"` // as they were before one write at least
	Names      int `json:"names"`       // made, removed, renamed
	NamesLost  int `json:"names_lost"`
}

// Inode is a file or a folder from when it is made until nobody can reach it any more, or until the power is cut: what
// survives that are new ones.
type Inode struct {
	number uint64
	folder bool
	mode   uint32 // permissions
	born   time.Time
	gone   bool

	parent *Inode // where it is now; nil: nowhere
	name   string
	opens  int

	now, disk map[string]*Inode // of a folder: what is in it, and what would be after a cut

	file       *os.File // of a file: what of it is durable
	size       int64
	sizeOnDisk int64
	changes    []change // that are not durable, in order
	forgotten  bool     // a sync was confirmed and not done
}

// Stat is what there is to know of an inode.
type Stat struct {
	Number uint64
	Folder bool
	Mode   uint32
	Size   int64
	Born   time.Time
}

// Entry is a name in a folder.
type Entry struct {
	Name string
	Stat
}

const rootNumber = 1

// New makes an empty file system.
func New(o Options) (*Store, error) {
	if o.UnsyncedMax == 0 {
		o.UnsyncedMax = unsyncedDefault
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "inodes"), 0o700); err != nil {
		return nil, err
	}
	s := &Store{options: o, next: rootNumber + 1, inodes: map[uint64]*Inode{}}
	s.changed.L = &s.mu
	s.root = &Inode{number: rootNumber, folder: true, mode: 0o755, born: time.Now(), now: map[string]*Inode{}, disk: map[string]*Inode{}}
	s.inodes[rootNumber] = s.root
	return s, nil
}

// Root is the top folder. It stays the same when the power is cut.
func (s *Store) Root() *Inode { return s.root }

// enter locks the store for something that is asked of it. Without an error the caller unlocks it.
func (s *Store) enter(inodes ...*Inode) error {
	s.mu.Lock()
	return s.admit(inodes...)
}

// enterChange is enter for what changes something, or makes a change durable.
func (s *Store) enterChange(inodes ...*Inode) error {
	s.mu.Lock()
	if s.nth > 0 && s.power == powered {
		if s.nth--; s.nth == 0 {
			s.power = frozen
			s.changed.Broadcast()
		}
	}
	return s.admit(inodes...)
}

// admit unlocks the store when it has an error.
func (s *Store) admit(inodes ...*Inode) error {
	switch {
	case s.power == powered:
	case s.power == dark:
		s.mu.Unlock()
		return syscall.EIO
	default:
		for s.power == frozen {
			s.changed.Wait()
		}
		s.mu.Unlock()
		return syscall.EIO // it was not done before the cut
	}
	for _, in := range inodes {
		if in.gone {
			s.mu.Unlock()
			return syscall.ESTALE
		}
	}
	return nil
}

// Lookup finds a name in a folder.
func (s *Store) Lookup(dir *Inode, name string) (*Inode, error) {
	if err := s.enter(dir); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	if in := dir.now[name]; in != nil {
		return in, nil
	}
	return nil, syscall.ENOENT
}

// List gives what is in a folder, by name.
func (s *Store) List(dir *Inode) (all []Entry, err error) {
	if err := s.enter(dir); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for name, in := range dir.now {
		all = append(all, Entry{name, in.stat()})
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Stat says what an inode is.
func (s *Store) Stat(in *Inode) (Stat, error) {
	if err := s.enter(in); err != nil {
		return Stat{}, err
	}
	defer s.mu.Unlock()
	return in.stat(), nil
}

func (in *Inode) stat() Stat {
	return Stat{Number: in.number, Folder: in.folder, Mode: in.mode, Size: in.size, Born: in.born}
}

// SetMode sets the permissions, durably.
func (s *Store) SetMode(in *Inode, mode uint32) error {
	if err := s.enter(in); err != nil {
		return err
	}
	defer s.mu.Unlock()
	in.mode = mode & 0o7777
	return nil
}

// Open notes that somebody has an inode open: until as many calls of Release it is not thrown away.
func (s *Store) Open(in *Inode) error {
	if err := s.enter(in); err != nil {
		return err
	}
	defer s.mu.Unlock()
	in.opens++
	return nil
}

// Release undoes one Open. It works without power too.
func (s *Store) Release(in *Inode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.opens--; in.opens == 0 && in.parent == nil && !in.gone {
		s.collect()
	}
}

// path is where an inode is, as Options.Forget sees it; "" when it has no name any more.
func (s *Store) path(in *Inode) string {
	end := ""
	if in.folder {
		end = "/"
	}
	parts := ""
	for ; in != s.root; in = in.parent {
		if in == nil {
			return ""
		}
		parts = path.Join(in.name, parts)
	}
	return parts + end
}

func (s *Store) forgets(in *Inode) bool {
	return s.options.Forget != nil && s.options.Forget.MatchString(s.path(in))
}

// add makes an inode, which has no name yet.
func (s *Store) add(folder bool, mode uint32) (*Inode, error) {
	if len(s.inodes) >= inodesMax {
		return nil, syscall.ENOSPC
	}
	in := &Inode{number: s.next, folder: folder, mode: mode & 0o7777, born: time.Now()}
	if folder {
		in.now, in.disk = map[string]*Inode{}, map[string]*Inode{}
	} else {
		f, err := os.OpenFile(filepath.Join(s.options.Dir, "inodes", fmt.Sprint(in.number)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return nil, syscall.EIO
		}
		in.file = f
	}
	s.next++
	s.inodes[in.number] = in
	return in, nil
}

// collect throws away what nobody can reach: not now, not after a cut, and that nobody has open.
func (s *Store) collect() {
	reached := map[*Inode]bool{}
	var reach func(in *Inode)
	reach = func(in *Inode) {
		if in == nil || reached[in] {
			return
		}
		reached[in] = true
		for _, at := range []map[string]*Inode{in.now, in.disk} {
			for _, child := range at {
				reach(child)
			}
		}
	}
	reach(s.root)
	for _, c := range s.names {
		for _, set := range c.sets {
			reach(set.in)
		}
	}
	for _, in := range s.inodes {
		if in.opens > 0 {
			reach(in)
		}
	}
	for _, in := range s.inodes {
		if !reached[in] {
			s.drop(in)
		}
	}
}

// drop throws an inode away.
func (s *Store) drop(in *Inode) {
	in.gone = true
	delete(s.inodes, in.number)
	if in.file != nil {
		in.file.Close()
		os.Remove(in.file.Name()) // one that stays takes room and is seen by nobody
	}
	s.unsynced -= sizeOf(in.changes)
	in.changes = nil
}

// sorted are all inodes in the order of their numbers: a seed must meet them in the same one each time.
func (s *Store) sorted() []*Inode {
	all := make([]*Inode, 0, len(s.inodes))
	for _, in := range s.inodes {
		all = append(all, in)
	}
	slices.SortFunc(all, func(a, b *Inode) int { return cmp.Compare(a.number, b.number) })
	return all
}

// Counts is what happened so far.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Close makes everything durable and leaves it in the folder tree of Options.Dir, for people to look at.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.power = dark
	s.changed.Broadcast()
	err := s.writeBack(time.Now())
	if err == nil {
		err = s.export(s.root, filepath.Join(s.options.Dir, "tree"))
	}
	for _, in := range s.sorted() {
		s.drop(in)
	}
	return err
}

func (s *Store) export(dir *Inode, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for name, in := range dir.disk {
		path, err := filepath.Join(to, name), error(nil)
		if in.folder {
			err = s.export(in, path)
		} else {
			err = os.Link(in.file.Name(), path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
