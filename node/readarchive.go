package node

import (
	"errors"
	"io"

	"github.com/holdfast-db/holdfast"
)

// Archived is one entry of an archive. Entry is valid until the next is read.
type Archived struct {
	Index, Term uint64
	Entry       []byte // as the shard's machine applies it: see command.OpenEntry
}

// ReadArchive visits what a node has archived of a shard after an index, in the order of the log, and says where it
// has gaps: there the node was given a snapshot in place of entries. The node may be running; then the end of what it
// has archived may be missing, and whoever needs it reads again. Entries that are still in files but before the index
// may be visited too.
func ReadArchive(path string, after uint64, visit func(Archived) error) (gaps []Gap, err error) {
	dir := osDir(path)
	files, err := listArchive(dir)
	if err != nil {
		return nil, err
	}
	if len(files.segments) == 0 {
		return nil, &holdfast.Error{Kind: holdfast.NotFound, Op: "read archive", Message: "there is no segment of an archive"}
	}
	last := after
	for i, before := range files.segments {
		if i+1 < len(files.segments) && files.segments[i+1] <= after {
			continue
		}
		r, err := archivedIn(dir, before, visit)
		if err != nil && !(errors.Is(err, errTorn) && i == len(files.segments)-1) {
			return gaps, err
		}
		if r == nil {
			break // its head is being written
		}
		if r.head.Before > last {
			gaps = append(gaps, Gap{After: last, From: r.head.Before})
		}
		last = max(last, r.last)
	}
	return gaps, nil
}

// archivedIn visits the records of one segment. Without a whole head there is no reader.
func archivedIn(dir Dir, before uint64, visit func(Archived) error) (*segmentReader, error) {
	f, err := dir.Open(segmentName(before))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := newSegmentReader(f)
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if err := visit(Archived(rec)); err != nil {
			return r, err
		}
	}
}
