package node

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/holdfast-db/holdfast"
)

// shelf is the files of an archive: segments that follow each other, and bases.
type shelf struct {
	dir    Dir
	shard  holdfast.ShardID
	shards uint32 // besides the directory
	limits archiveLimits

	mu       sync.Mutex
	segments []shelved // by what is before them; the last one is written to
	bases    []shelved // by their index
	since    int64     // bytes of records since the newest base

	// What is below belongs to the archive's writing goroutine.
	file     File // the last segment; nil when the next records must begin a new one
	size     int64
	unsynced int64
	last     uint64 // index of the last record in file
	chain    uint32 // and its chain
}

// shelved is one file.
type shelved struct {
	index uint64 // of a segment: before; of a base: its own
	bytes int64
}

// archiveLimits are the sizes of an archive.
type archiveLimits struct {
	SegmentBytes int64 // a segment ends with the write that reaches it
	TotalBytes   int64 // what a replay needs from the newest base on is kept whatever its size
}

func (l archiveLimits) withDefaults() archiveLimits {
	if l.SegmentBytes == 0 {
		l.SegmentBytes = 64 << 20
	}
	if l.TotalBytes == 0 {
		l.TotalBytes = 4 << 30
	}
	return l
}

// openShelf finds what is there. A record that a crash left half written is cut off.
func openShelf(dir Dir, shard holdfast.ShardID, shards int, limits archiveLimits) (*shelf, error) {
	s := &shelf{dir: dir, shard: shard, shards: uint32(shards), limits: limits.withDefaults()}
	if err := removeUnfinished(dir); err != nil {
		return nil, err
	}
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names { // sorted, and numbers have the same number of digits
		size, err := sizeOf(dir, name)
		if err != nil {
			return nil, err
		}
		if index, ok := numbered(name, segmentSuffix); ok {
			s.segments = append(s.segments, shelved{index, size})
		} else if index, ok := numbered(name, baseSuffix); ok {
			s.bases = append(s.bases, shelved{index, size})
		}
	}
	for _, seg := range s.segments {
		if len(s.bases) == 0 || seg.index >= s.bases[len(s.bases)-1].index {
			s.since += seg.bytes
		}
	}
	for len(s.segments) > 0 && s.file == nil {
		if err := s.reopen(); err != nil {
			return nil, err
		}
	}
	if n := len(s.bases); n > 0 && s.bases[n-1].index > s.last { // the state was restored beyond the last record
		s.last, s.chain = s.bases[n-1].index, 0
		if s.file != nil {
			f := s.file
			s.file = nil
			return s, f.Close()
		}
	}
	return s, nil
}

func sizeOf(dir Dir, name string) (int64, error) {
	f, err := dir.Open(name)
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	return size, errors.Join(err, f.Close())
}

// reopen opens the last segment at its last whole record. If the crash came before even its head was on disk, it is
// removed: the one before it ended with a sync. What is believed of it must be on disk, and what is cut off must be
// off: the process that wrote it may have ended before it synced, and the computer may lose power before we do.
func (s *shelf) reopen() error {
	n := len(s.segments) - 1
	name := segmentName(s.segments[n].index)
	f, err := s.dir.Append(name)
	if err != nil {
		return err
	}
	r, err := newSegmentReader(f)
	switch {
	case errors.Is(err, errTorn):
		s.segments = s.segments[:n]
		return errors.Join(f.Close(), s.dir.Remove(name), s.dir.Sync())
	case err != nil:
		return errors.Join(err, f.Close())
	case r.head.Shard != s.shard || r.head.Before != s.segments[n].index:
		return errors.Join(fmt.Errorf("%s is a segment of shard %d after %d", name, r.head.Shard, r.head.Before), f.Close())
	}
	for err == nil {
		_, err = r.next()
	}
	if errors.Is(err, errTorn) {
		err = f.Truncate(r.end)
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.segments[n].bytes = r.end
	s.file, s.size, s.last, s.chain = f, r.end, r.last, r.chain
	return nil
}

// bundle is records on their way to a segment.
type bundle struct {
	head    segmentHead // how the first of them joins what is before
	records []byte
	last    uint64 // index of the last of them
	chain   uint32 // and its chain
}

// write appends records. They are durable after sync.
func (s *shelf) write(b bundle) error {
	if len(b.records) == 0 {
		return nil
	}
	full := s.size >= s.limits.SegmentBytes && s.size > segmentHeadBytes // an empty one has the name of the next
	if s.file == nil || full || b.head.Before != s.last || b.head.Chain != s.chain {
		if err := s.begin(b.head); err != nil {
			return err
		}
	}
	if _, err := s.file.Write(b.records); err != nil {
		return err
	}
	s.last, s.chain = b.last, b.chain
	s.grow(int64(len(b.records)))
	if s.unsynced >= syncEvery {
		return s.sync()
	}
	return nil
}

// grow counts what was written to the last segment.
func (s *shelf) grow(bytes int64) {
	s.size, s.unsynced = s.size+bytes, s.unsynced+bytes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[len(s.segments)-1].bytes, s.since = s.size, s.since+bytes
}

// begin ends the segment and begins another. The old one is synced first, so that only the last can be torn.
func (s *shelf) begin(head segmentHead) error {
	if s.file != nil {
		if err := errors.Join(s.sync(), s.file.Close()); err != nil {
			return err
		}
		s.file = nil
	}
	f, err := s.dir.Append(segmentName(head.Before))
	if err != nil {
		return err
	}
	_, err = f.Write(head.append(nil))
	if err == nil {
		err = s.dir.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.size = f, segmentHeadBytes
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, shelved{head.Before, segmentHeadBytes})
	return nil
}

func (s *shelf) sync() error {
	if s.file == nil {
		return nil
	}
	s.unsynced = 0
	return s.file.Sync()
}

// Of the limit, a quarter is for what is archived between two bases, and three are left after something was dropped.
func (s *shelf) wantsBase() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since > s.limits.TotalBytes/4
}

// base writes the state at index beside the segments. Records go on being written meanwhile; another base is not.
func (s *shelf) base(index uint64, state io.WriterTo) error {
	f, err := createSealed(s.dir, baseName(index))
	if err != nil {
		return err
	}
	begin := binary.LittleEndian.AppendUint32([]byte(baseMagic), uint32(s.shard))
	_, err = f.Write(binary.LittleEndian.AppendUint64(begin, index))
	if err == nil {
		_, err = state.WriteTo(f)
	}
	if err != nil {
		return errors.Join(err, f.Abandon())
	}
	if err := f.Seal(); err != nil {
		return err
	}
	size, err := sizeOf(s.dir, baseName(index))
	if err != nil {
		return err
	}
	dropped := s.added(shelved{index, size})
	for _, name := range dropped {
		if err := s.dir.Remove(name); err != nil {
			return err
		}
	}
	return s.dir.Sync()
}

// added takes a new base in, and names what is before a base, the oldest first, while the files are too large.
func (s *shelf) added(base shelved) (dropped []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = 0
	s.bases = slices.DeleteFunc(s.bases, func(b shelved) bool { return b.index == base.index })
	s.bases = append(s.bases, base)
	slices.SortFunc(s.bases, func(a, b shelved) int { return cmp.Compare(a.index, b.index) })
	for total := s.total(); total > s.limits.TotalBytes/4*3; {
		switch {
		case len(s.segments) > 1 && s.segments[1].index <= s.bases[0].index: // all of the first is before the base
			dropped, total = append(dropped, segmentName(s.segments[0].index)), total-s.segments[0].bytes
			s.segments = s.segments[1:]
		case len(s.bases) > 1:
			dropped, total = append(dropped, baseName(s.bases[0].index)), total-s.bases[0].bytes
			s.bases = s.bases[1:]
		default:
			return dropped
		}
	}
	return dropped
}

func (s *shelf) total() (bytes int64) {
	for _, f := range s.segments {
		bytes += f.bytes
	}
	for _, f := range s.bases {
		bytes += f.bytes
	}
	return bytes
}

func (s *shelf) close() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.sync(), s.file.Close())
}
