package lossy

import (
	"cmp"
	"errors"
	"io"
	"math"
	"slices"
	"syscall"
	"time"
)

// change is what was done to a file and is not durable yet.
type change struct {
	when time.Time
	at   int64  // where the data are; of a truncation, the new size
	data []byte // nil: it is a truncation
}

func sizeOf(changes []change) (bytes int64) {
	for _, c := range changes {
		bytes += changeBytes + int64(len(c.data))
	}
	return bytes
}

// Read fills p with what is in a file from off on, and gives how much there was.
func (s *Store) Read(in *Inode, p []byte, off int64) (int, error) {
	if err := s.enter(in); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	if in.folder {
		return 0, syscall.EISDIR
	}
	p = p[:min(int64(len(p)), max(0, in.size-off))]
	n, err := in.file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, syscall.EIO
	}
	clear(p[n:])
	for _, c := range in.changes {
		if c.data == nil {
			clear(p[min(int64(len(p)), max(0, c.at-off)):])
		} else if from := max(c.at, off); from < min(c.at+int64(len(c.data)), off+int64(len(p))) {
			copy(p[from-off:], c.data[from-c.at:])
		}
	}
	return len(p), nil
}

// Write writes into a file at off. It keeps a copy of the data.
func (s *Store) Write(in *Inode, data []byte, off int64) (int, error) {
	if err := s.enterChange(in); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	switch {
	case in.folder:
		return 0, syscall.EISDIR
	case off > math.MaxInt64-int64(len(data)):
		return 0, syscall.EFBIG
	case len(data) == 0:
		return 0, nil
	}
	in.size = max(in.size, off+int64(len(data)))
	return len(data), s.note(in, change{when: time.Now(), at: off, data: slices.Clone(data)})
}

// Truncate sets the size of a file.
func (s *Store) Truncate(in *Inode, size int64) error {
	if err := s.enterChange(in); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if in.folder || size < 0 {
		return syscall.EINVAL
	}
	if in.size == size {
		return nil
	}
	in.size = size
	return s.note(in, change{when: time.Now(), at: size})
}

// note takes a change in. When too much waits for a sync, the file that has most of it is written down.
func (s *Store) note(in *Inode, c change) error {
	in.changes = append(in.changes, c)
	s.unsynced += changeBytes + int64(len(c.data))
	for s.unsynced > s.options.UnsyncedMax {
		largest := slices.MaxFunc(s.sorted(), func(a, b *Inode) int { return cmp.Compare(sizeOf(a.changes), sizeOf(b.changes)) })
		s.counts.WrittenOut += len(largest.changes)
		if err := s.writeDown(largest, len(largest.changes)); err != nil {
			return err
		}
	}
	return nil
}

// Sync makes durable what a file has, or the names in a folder.
func (s *Store) Sync(in *Inode) error {
	if err := s.enterChange(in); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.counts.Syncs++
	if s.forgets(in) {
		s.counts.Forgotten++
		in.forgotten = true
		return nil
	}
	if in.folder {
		s.writeNames(in)
		return nil
	}
	return s.writeDown(in, len(in.changes))
}

// SyncAll makes everything durable, also what is to be forgotten.
func (s *Store) SyncAll() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return s.writeBack(time.Now())
}

// WriteBack makes durable what is older than Options.WriteBack. Somebody must call it now and then.
func (s *Store) WriteBack() error {
	if s.options.WriteBack == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.mu.Unlock()
	return s.writeBack(time.Now().Add(-s.options.WriteBack))
}

func (s *Store) writeBack(until time.Time) error {
	for _, in := range s.sorted() {
		n := 0
		for n < len(in.changes) && !in.changes[n].when.After(until) {
			n++
		}
		s.counts.WrittenOut += n
		if err := s.writeDown(in, n); err != nil {
			return err
		}
	}
	n := 0
	for n < len(s.names) && !s.names[n].when.After(until) {
		n++
	}
	s.counts.WrittenOut += n
	s.writeFirstNames(n)
	return nil
}

// writeDown makes the first n changes of a file durable.
func (s *Store) writeDown(in *Inode, n int) error {
	for i, c := range in.changes[:n] {
		if err := in.apply(c); err != nil {
			s.forgetChanges(in, i)
			return syscall.EIO
		}
	}
	s.forgetChanges(in, n)
	return nil
}

func (s *Store) forgetChanges(in *Inode, n int) {
	s.unsynced -= sizeOf(in.changes[:n])
	if in.changes = slices.Delete(in.changes, 0, n); len(in.changes) == 0 {
		in.changes, in.forgotten = nil, false
	}
}

// apply does a change to what is durable.
func (in *Inode) apply(c change) error {
	if c.data == nil {
		in.sizeOnDisk = c.at
		return in.file.Truncate(c.at)
	}
	in.sizeOnDisk = max(in.sizeOnDisk, c.at+int64(len(c.data)))
	_, err := in.file.WriteAt(c.data, c.at)
	return err
}
