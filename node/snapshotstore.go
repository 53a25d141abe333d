package node

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/fsm/planted"
)

// snapshotStore keeps Raft's snapshots, one sealed file each. The library's own store would do, but it syncs a large
// snapshot at once, which holds up the log's syncs on the same disk, and it cannot be run on a simulated disk.
//
//	magic [8] | header length uint32 | header: raft.SnapshotMeta as JSON | state …
type snapshotStore struct {
	dir Dir
	log *slog.Logger
}

const (
	snapshotMagic     = "HFSNAP01"
	snapshotSuffix    = ".snap"
	snapshotHeaderMax = 64 << 10

	// snapshotsKept: the one before the newest is the second chance when the newest is damaged.
	snapshotsKept = 2
)

func newSnapshotStore(dir Dir, log *slog.Logger) (*snapshotStore, error) {
	if err := removeUnfinished(dir); err != nil {
		return nil, err
	}
	return &snapshotStore{dir: dir, log: log}, nil
}

// Create begins a snapshot. It counts when its sink is closed without an error.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration,
	configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	meta := raft.SnapshotMeta{
		Version: version, ID: fmt.Sprintf("%020d-%020d", term, index), Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}
	header, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	file, err := createSealed(s.dir, meta.ID+snapshotSuffix)
	if err != nil {
		return nil, err
	}
	begin := binary.LittleEndian.AppendUint32([]byte(snapshotMagic), uint32(len(header)))
	if _, err := file.Write(append(begin, header...)); err != nil {
		return nil, errors.Join(err, file.Abandon())
	}
	return &snapshotSink{sealing: file, store: s, id: meta.ID}, nil
}

// List gives the finished snapshots, the newest first.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.dir.Names()
	if err != nil {
		return nil, err
	}
	var metas []*raft.SnapshotMeta
	for _, name := range names {
		if !strings.HasSuffix(name, snapshotSuffix) {
			continue
		}
		meta, body, err := s.open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another sink has just removed it
		}
		if err != nil {
			// Raft then takes the older one, and stops if its log does not reach back to it.
			s.log.Error("a snapshot cannot be read", "file", name, "error", err)
			continue
		}
		body.Close()
		metas = append(metas, meta)
	}
	slices.SortFunc(metas, func(a, b *raft.SnapshotMeta) int {
		return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index))
	})
	return metas, nil
}

// Open gives a snapshot's state, after the whole file was read once and its checksum compared.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if err := checkSealed(s.dir, id+snapshotSuffix); err != nil && !planted.Is(planted.RestoreUnchecked) {
		return nil, nil, err
	}
	return s.open(id + snapshotSuffix)
}

// open reads a snapshot's header and leaves the file at the beginning of the state.
func (s *snapshotStore) open(name string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	body, err := openSealed(s.dir, name)
	if err != nil {
		return nil, nil, err
	}
	buffered := bufio.NewReaderSize(body, int(min(fileBuffer, body.size))) // List opens every file for its first bytes
	meta, err := readSnapshotHeader(buffered, body.size)
	if err != nil {
		body.Close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return meta, snapshotBody{buffered, body}, nil
}

func readSnapshotHeader(r io.Reader, size int64) (*raft.SnapshotMeta, error) {
	begin := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(r, begin); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(begin[len(snapshotMagic):])
	if string(begin[:len(snapshotMagic)]) != snapshotMagic || length > snapshotHeaderMax {
		return nil, errors.New("it does not begin as a snapshot does")
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	meta := new(raft.SnapshotMeta)
	if err := json.Unmarshal(header, meta); err != nil {
		return nil, err
	}
	meta.Size = size - int64(len(begin)+len(header))
	return meta, nil
}

// snapshotBody is the state of a snapshot that is being read.
type snapshotBody struct {
	io.Reader
	io.Closer
}

// snapshotSink writes one snapshot.
type snapshotSink struct {
	*sealing
	store *snapshotStore
	id    string
	ended bool
}

func (s *snapshotSink) ID() string { return s.id }

// Close finishes the snapshot and removes the oldest.
func (s *snapshotSink) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	if err := s.Seal(); err != nil {
		return err
	}
	metas, err := s.store.List()
	if err != nil {
		return err
	}
	for _, old := range metas[min(len(metas), snapshotsKept):] {
		if err := s.store.dir.Remove(old.ID + snapshotSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Cancel removes what was written.
func (s *snapshotSink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	return s.Abandon()
}
