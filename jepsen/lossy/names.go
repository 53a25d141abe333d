package lossy

import (
	"slices"
	"syscall"
	"time"
)

// nameChange is something that was made, removed or renamed and is not durable yet: all that it sets, or nothing of it.
type nameChange struct {
	when time.Time
	sets []nameSet
}

// nameSet is what a name in a folder stands for from then on; nil: nothing.
type nameSet struct {
	dir  *Inode
	name string
	in   *Inode
}

func (c nameChange) touches(dirs map[*Inode]bool) bool {
	return slices.ContainsFunc(c.sets, func(set nameSet) bool { return dirs[set.dir] })
}

// Create makes a file.
func (s *Store) Create(dir *Inode, name string, mode uint32) (*Inode, error) {
	return s.create(dir, name, mode, false)
}

// Mkdir makes a folder.
func (s *Store) Mkdir(dir *Inode, name string, mode uint32) (*Inode, error) {
	return s.create(dir, name, mode, true)
}

func (s *Store) create(dir *Inode, name string, mode uint32, folder bool) (*Inode, error) {
	if err := s.enterChange(dir); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	switch {
	case dir.now[name] != nil:
		return nil, syscall.EEXIST
	case len(name) > nameBytesMax:
		return nil, syscall.ENAMETOOLONG
	case dir.parent == nil && dir != s.root:
		return nil, syscall.ENOENT // it was removed
	}
	in, err := s.add(folder, mode)
	if err == nil {
		s.rename(nameSet{dir, name, in})
	}
	return in, err
}

// Unlink removes a file's name.
func (s *Store) Unlink(dir *Inode, name string) error { return s.remove(dir, name, false) }

// Rmdir removes an empty folder.
func (s *Store) Rmdir(dir *Inode, name string) error { return s.remove(dir, name, true) }

func (s *Store) remove(dir *Inode, name string, folder bool) error {
	if err := s.enterChange(dir); err != nil {
		return err
	}
	defer s.mu.Unlock()
	in := dir.now[name]
	if err := replaceable(in, folder); err != nil {
		return err
	}
	s.rename(nameSet{dir, name, nil})
	s.collect()
	return nil
}

// replaceable says why what is there cannot be removed as a file or as a folder.
func replaceable(in *Inode, folder bool) error {
	switch {
	case in == nil:
		return syscall.ENOENT
	case folder && !in.folder:
		return syscall.ENOTDIR
	case !folder && in.folder:
		return syscall.EISDIR
	case len(in.now) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// Rename gives a file another name, in place of what had it unless keep is set; a folder within the same folder only.
func (s *Store) Rename(from *Inode, name string, to *Inode, newName string, keep bool) error {
	if err := s.enterChange(from, to); err != nil {
		return err
	}
	defer s.mu.Unlock()
	in, old := from.now[name], to.now[newName]
	switch {
	case in == nil:
		return syscall.ENOENT
	case len(newName) > nameBytesMax:
		return syscall.ENAMETOOLONG
	case in == old:
		return nil
	case old != nil && keep:
		return syscall.EEXIST
	case in.folder && from != to:
		return syscall.EXDEV
	case to.parent == nil && to != s.root:
		return syscall.ENOENT
	}
	if old != nil {
		if err := replaceable(old, in.folder); err != nil {
			return err
		}
	}
	s.rename(nameSet{from, name, nil}, nameSet{to, newName, in})
	s.collect()
	return nil
}

// rename changes names for those who look now, and notes it for the disk.
func (s *Store) rename(sets ...nameSet) {
	for _, set := range sets {
		if old := set.dir.now[set.name]; old != nil {
			old.parent, old.name = nil, ""
			delete(set.dir.now, set.name)
		}
	}
	for _, set := range sets {
		if set.in != nil {
			set.dir.now[set.name] = set.in
			set.in.parent, set.in.name = set.dir, set.name
		}
	}
	s.names = append(s.names, nameChange{time.Now(), sets})
	if len(s.names) > unsyncedNamesMax {
		s.counts.WrittenOut += len(s.names)
		s.writeFirstNames(len(s.names))
	}
}

// writeNames makes durable what was done in a folder, and what that depends on: a rename out of another folder comes after
// what was done there before.
func (s *Store) writeNames(dir *Inode) {
	dirs, due := map[*Inode]bool{dir: true}, make([]bool, len(s.names))
	for i, c := range slices.Backward(s.names) {
		if due[i] = c.touches(dirs); due[i] {
			for _, set := range c.sets {
				dirs[set.dir] = true
			}
		}
	}
	var left []nameChange
	for i, c := range s.names {
		if due[i] {
			c.apply()
		} else {
			left = append(left, c)
		}
	}
	s.names = left
	s.collect()
}

// writeFirstNames makes the first n changes of names durable.
func (s *Store) writeFirstNames(n int) {
	if n == 0 {
		return
	}
	for _, c := range s.names[:n] {
		c.apply()
	}
	s.names = slices.Delete(s.names, 0, n)
	s.collect()
}

// apply does it on the disk.
func (c nameChange) apply() {
	for _, set := range c.sets {
		if set.in == nil {
			delete(set.dir.disk, set.name)
		} else {
			set.dir.disk[set.name] = set.in
		}
	}
}
