package lossy

import (
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// Freeze makes everything wait that is asked of the store from now on, as if the power had just failed: a sync that has
// not been confirmed will not be. Then kill who uses it, Cut, wait until they are gone, and Resume.
func (s *Store) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.power == powered {
		s.power = frozen
		s.changed.Broadcast()
	}
}

// FreezeAt freezes the store when the nth change from now is asked for (a write, a truncation, a sync, a change of names),
// before it is done; or after so long, if there are no so many. It waits for that.
func (s *Store) FreezeAt(nth int, patience time.Duration) {
	timer := time.AfterFunc(patience, s.Freeze)
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.nth = nth; s.power == powered; {
		s.changed.Wait()
	}
	s.nth = 0
}

// Resume gives the power back.
func (s *Store) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.power = powered
	s.changed.Broadcast()
}

// Deny is for a process that is killed while the power stays on: what waits since Freeze fails, and so does everything until
// Resume, but nothing is forgotten.
func (s *Store) Deny() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.power = dark
	s.changed.Broadcast()
}

// Cut decides what is left of what was not synced, and forgets everything else. What waits since Freeze fails, and so does
// everything until Resume. Inodes of before are void, but for the root.
func (s *Store) Cut(seed uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.power = dark
	s.changed.Broadcast()
	s.counts.Cuts++
	r := rand.New(rand.NewPCG(seed, 0x10557))
	sector := int64(512)
	if r.IntN(2) == 0 {
		sector = 4096
	}
	var failed error
	for _, in := range s.sorted() {
		if err := s.settleFile(in, sector, r); err != nil {
			failed = syscall.EIO
		}
	}
	s.settleNames(r)
	s.renew()
	return failed
}

// How much of a file was written down before the power failed.
const (
	nothingKept = iota
	allKept
	firstKept // in order, and the next of it in part
	someKept  // each sector at a moment of its own
	waysToKeep
)

// settleFile decides what of a file's changes is on the disk.
func (s *Store) settleFile(in *Inode, sector int64, r *rand.Rand) error {
	n := len(in.changes)
	if n == 0 {
		return nil
	}
	way, first := r.IntN(waysToKeep), r.IntN(n)
	if in.forgotten {
		way = nothingKept
	}
	// moment draws when something was last written down, as how many changes there were then.
	moment := func() int {
		switch way {
		case nothingKept:
			return 0
		case allKept:
			return n
		case firstKept:
			return first + r.IntN(2)
		default:
			return r.IntN(n + 1)
		}
	}
	sectors, size, end := map[int64]int{}, moment(), int64(math.MaxInt64)
	for i, c := range in.changes {
		if c.data == nil {
			if i >= size {
				end = min(end, c.at)
			} else if err := in.apply(c); err != nil {
				return err
			}
			continue
		}
		for at := c.at; at < c.at+int64(len(c.data)); {
			number := at / sector
			next := min((number+1)*sector, c.at+int64(len(c.data)))
			until, drawn := sectors[number]
			if !drawn {
				until = moment()
				sectors[number] = until
			}
			s.counts.Writes++
			if i >= until || at >= end {
				s.counts.WritesLost++
			} else if err := in.apply(change{at: at, data: c.data[at-c.at : min(next, end)-c.at]}); err != nil {
				return err
			}
			at = next
		}
	}
	s.forgetChanges(in, n)
	return nil
}

// settleNames decides which names are on the disk: in each folder what was done first, and what concerns two folders in
// both or in none.
func (s *Store) settleNames(r *rand.Rand) {
	total, kept, left := map[*Inode]int{}, map[*Inode]int{}, map[*Inode]int{}
	for _, c := range s.names {
		for _, dir := range c.dirs() {
			total[dir]++
		}
	}
	for _, c := range s.names {
		dirs := c.dirs()
		for _, dir := range dirs {
			if _, drawn := left[dir]; !drawn {
				left[dir] = r.IntN(total[dir] + 1)
			}
			if dir.forgotten {
				left[dir] = 0
			}
		}
		s.counts.Names++
		if slices.ContainsFunc(dirs, func(dir *Inode) bool { return kept[dir] >= left[dir] }) {
			s.counts.NamesLost++
			for _, dir := range dirs {
				left[dir] = kept[dir]
			}
			continue
		}
		for _, dir := range dirs {
			kept[dir]++
		}
		c.apply()
	}
	s.names = nil
}

// dirs are the folders that a change concerns, each once.
func (c nameChange) dirs() (dirs []*Inode) {
	for _, set := range c.sets {
		if !slices.Contains(dirs, set.dir) {
			dirs = append(dirs, set.dir)
		}
	}
	return dirs
}

// renew makes what is on the disk what is there now, in new inodes: the kernel must not take what it remembers of the old
// ones for them.
func (s *Store) renew() {
	old := s.sorted()
	s.inodes = map[uint64]*Inode{rootNumber: s.root}
	s.renewFolder(s.root, s.root.disk)
	for _, in := range old {
		if in != s.root && !in.gone { // nobody can reach it any more
			s.drop(in)
		}
	}
}

func (s *Store) renewFolder(dir *Inode, disk map[string]*Inode) {
	dir.now, dir.disk, dir.forgotten = map[string]*Inode{}, map[string]*Inode{}, false
	names := make([]string, 0, len(disk))
	for name := range disk {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		was := disk[name]
		was.gone = true
		in := &Inode{number: s.next, folder: was.folder, mode: was.mode, born: was.born, parent: dir, name: name,
			file: was.file, size: was.sizeOnDisk, sizeOnDisk: was.sizeOnDisk}
		s.next++
		s.inodes[in.number] = in
		dir.now[name], dir.disk[name] = in, in
		if was.folder {
			s.renewFolder(in, was.disk)
		}
	}
}
