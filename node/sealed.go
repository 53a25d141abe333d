package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
)

// A sealed file is written once, whole, and never changed: a snapshot, a base of an archive. It appears under its
// name when it is finished and durable, and ends with the crc32c of all that is before.

const (
	// syncEvery is how much of a large file is written between syncs. A sync of 4 MiB takes a few ms; one of all
	// of it would make the log's syncs on the same disk wait for hundreds.
	syncEvery = 4 << 20

	sumBytes   = 4
	fileBuffer = 256 << 10
)

// errDamaged is a sealed file that is not what was written.
var errDamaged = errors.New("the file is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// tempSuffix ends the names of files that are not finished. They are removed when their folder is opened.
const tempSuffix = ".tmp"

// sealing is a sealed file while it is written. It must end with Seal or Abandon.
type sealing struct {
	dir    Dir
	name   string
	temp   string // its name until it is finished; unique, since Raft can take and receive the same snapshot at once
	file   File
	buffer *bufio.Writer
	sum    hash.Hash32
}

func createSealed(dir Dir, name string) (*sealing, error) {
	temp := fmt.Sprintf("%s.%08x%s", name, rand.Uint32(), tempSuffix)
	file, err := dir.Append(temp)
	if err != nil {
		return nil, err
	}
	return &sealing{
		dir: dir, name: name, temp: temp, file: file,
		buffer: bufio.NewWriterSize(&pacedWriter{file: file}, fileBuffer), sum: crc32.New(castagnoli),
	}, nil
}

func (s *sealing) Write(b []byte) (int, error) {
	s.sum.Write(b)
	return s.buffer.Write(b)
}

// Seal finishes the file: after it returns without an error the file is durable.
func (s *sealing) Seal() error {
	_, err := s.buffer.Write(binary.LittleEndian.AppendUint32(nil, s.sum.Sum32()))
	if err == nil {
		err = s.buffer.Flush()
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err := errors.Join(err, s.file.Close()); err != nil {
		return err
	}
	if err := s.dir.Rename(s.temp, s.name); err != nil {
		return err
	}
	return s.dir.Sync()
}

// Abandon removes what was written.
func (s *sealing) Abandon() error {
	return errors.Join(s.file.Close(), s.dir.Remove(s.temp))
}

// pacedWriter syncs what it has written every syncEvery bytes.
type pacedWriter struct {
	file     File
	unsynced int
}

func (w *pacedWriter) Write(b []byte) (int, error) {
	n, err := w.file.Write(b)
	if w.unsynced += n; err == nil && w.unsynced >= syncEvery {
		w.unsynced = 0
		err = w.file.Sync()
	}
	return n, err
}

// checkSealed reads a whole sealed file and compares its checksum.
func checkSealed(dir Dir, name string) error {
	body, err := openSealed(dir, name)
	if err != nil {
		return err
	}
	defer body.Close()
	sum, last := crc32.New(castagnoli), make([]byte, sumBytes)
	if _, err := io.Copy(sum, body); err != nil {
		return err
	}
	if _, err := io.ReadFull(body.file, last); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(last) != sum.Sum32() {
		return fmt.Errorf("%s: its checksum differs: %w", name, errDamaged)
	}
	return nil
}

// sealed is a sealed file, opened to be read up to its checksum.
type sealed struct {
	io.Reader
	file File
	size int64 // without the checksum
}

// openSealed opens a sealed file. What is read is not checked: call checkSealed first.
func openSealed(dir Dir, name string) (*sealed, error) {
	file, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err == nil && size < sumBytes {
		err = errDamaged
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	size -= sumBytes
	return &sealed{Reader: io.LimitReader(file, size), file: file, size: size}, nil
}

func (s *sealed) Close() error { return s.file.Close() }

// removeUnfinished removes what a crash left half written, and makes the names of the rest durable: a process that is
// killed between the rename and the sync leaves a file that everybody sees and that a power failure takes away.
func removeUnfinished(dir Dir) error {
	names, err := dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			if err := dir.Remove(name); err != nil {
				return err
			}
		}
	}
	return dir.Sync()
}
