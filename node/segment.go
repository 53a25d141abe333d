package node

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// The files of an archive. A segment holds entries in the order of the log:
//
//	magic [8] | shard uint32 | shards uint32 | before uint64 | chain uint32 | crc32c of these uint32
//	then for each entry: length uint32 | index uint64 | term uint64 | chain uint32 | entry
//
// Integers are little-endian. shards is how many there are besides the directory, which a replay of the directory
// must know. before is the index of the archived entry before the segment's first, 0 at the
// beginning of the log, or the index of the base after which the segment begins. chain is the crc32c of the record,
// begun with the chain of the record before: a record that was lost, moved or changed breaks it. Indexes have gaps,
// where Raft's own entries are, so they cannot show that.
//
// A base is a sealed file: magic [8] | shard uint32 | index uint64 | snapshot of the state machine.
const (
	segmentMagic  = "HFSEGM01"
	segmentSuffix = ".seg" // after what its head calls before, in 20 digits
	baseMagic     = "HFBASE01"
	baseSuffix    = ".base" // after its index

	segmentHeadBytes = 8 + 4 + 4 + 8 + 4 + 4
	recordHeadBytes  = 4 + 8 + 8 + 4
	baseHeadBytes    = 8 + 4 + 8

	// entryBytesMax bounds what is believed of a record's length: several times what a node proposes.
	entryBytesMax = 16 << 20
)

// errTorn is what does not read as a whole record: the end of a file that was being written at a crash, or damage.
var errTorn = errors.New("not a whole record")

// segmentHead is how a segment joins what is before it.
type segmentHead struct {
	Shard  holdfast.ShardID
	Shards uint32
	Before uint64
	Chain  uint32
}

func (h segmentHead) append(b []byte) []byte {
	at := len(b)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Shard))
	b = binary.LittleEndian.AppendUint32(b, h.Shards)
	b = binary.LittleEndian.AppendUint64(b, h.Before)
	b = binary.LittleEndian.AppendUint32(b, h.Chain)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// record is one archived entry.
type record struct {
	Index, Term uint64
	Entry       []byte
}

// append packs the record after the one whose chain is given, and returns its own chain.
func (r record) append(b []byte, chain uint32) ([]byte, uint32) {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Entry)))
	b = binary.LittleEndian.AppendUint64(b, r.Index)
	b = binary.LittleEndian.AppendUint64(b, r.Term)
	chain = crc32.Update(chain, castagnoli, b[at:])
	chain = crc32.Update(chain, castagnoli, r.Entry)
	b = binary.LittleEndian.AppendUint32(b, chain)
	return append(b, r.Entry...), chain
}

// segmentReader reads a segment from its beginning.
type segmentReader struct {
	r     *bufio.Reader
	head  segmentHead
	chain uint32 // of the last record that was read
	last  uint64 // its index; head.Before when there is none
	end   int64  // where it ends in the file
	entry []byte // reused
}

func newSegmentReader(r io.Reader) (*segmentReader, error) {
	s := &segmentReader{r: bufio.NewReaderSize(r, fileBuffer), end: segmentHeadBytes}
	b := make([]byte, segmentHeadBytes)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return nil, torn(err)
	}
	body, sum := b[:segmentHeadBytes-4], binary.LittleEndian.Uint32(b[segmentHeadBytes-4:])
	if string(b[:8]) != segmentMagic || crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: it does not begin as a segment does", errTorn)
	}
	s.head = segmentHead{
		Shard: holdfast.ShardID(binary.LittleEndian.Uint32(b[8:])), Shards: binary.LittleEndian.Uint32(b[12:]),
		Before: binary.LittleEndian.Uint64(b[16:]), Chain: binary.LittleEndian.Uint32(b[24:]),
	}
	s.chain, s.last = s.head.Chain, s.head.Before
	return s, nil
}

// next reads one record. Its entry is valid until the next call. At the end it returns io.EOF, and errTorn where
// what follows is not a whole record.
func (s *segmentReader) next() (record, error) {
	var b [recordHeadBytes]byte
	if _, err := io.ReadFull(s.r, b[:]); errors.Is(err, io.EOF) {
		return record{}, io.EOF
	} else if err != nil {
		return record{}, torn(err)
	}
	length := binary.LittleEndian.Uint32(b[:])
	r := record{Index: binary.LittleEndian.Uint64(b[4:]), Term: binary.LittleEndian.Uint64(b[12:])}
	if length > entryBytesMax || r.Index <= s.last {
		return record{}, fmt.Errorf("%w after entry %d", errTorn, s.last)
	}
	if cap(s.entry) < int(length) {
		s.entry = make([]byte, length)
	}
	r.Entry = s.entry[:length]
	if _, err := io.ReadFull(s.r, r.Entry); err != nil {
		return record{}, torn(err)
	}
	chain := crc32.Update(s.chain, castagnoli, b[:20])
	chain = crc32.Update(chain, castagnoli, r.Entry)
	if chain != binary.LittleEndian.Uint32(b[20:]) {
		return record{}, fmt.Errorf("%w after entry %d: the checksum differs", errTorn, s.last)
	}
	s.chain, s.last = chain, r.Index
	s.end += recordHeadBytes + int64(length)
	return r, nil
}

// torn says errTorn for a file that ended too early, and leaves other errors as they are.
func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

func segmentName(before uint64) string { return fmt.Sprintf("%020d%s", before, segmentSuffix) }
func baseName(index uint64) string     { return fmt.Sprintf("%020d%s", index, baseSuffix) }

// numbered reads the number in a file's name.
func numbered(name, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && len(digits) == 20
}

// openBase opens a base at the beginning of its snapshot, after its checksum was compared.
func openBase(dir Dir, shard holdfast.ShardID, index uint64) (*sealed, error) {
	name := baseName(index)
	if err := checkSealed(dir, name); err != nil {
		return nil, err
	}
	body, err := openSealed(dir, name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, baseHeadBytes)
	_, err = io.ReadFull(body, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%s is too short: %w", name, errDamaged)
	}
	if err == nil && (string(b[:8]) != baseMagic || binary.LittleEndian.Uint32(b[8:]) != uint32(shard) || binary.LittleEndian.Uint64(b[12:]) != index) {
		err = fmt.Errorf("%s is not a base of shard %d at index %d: %w", name, shard, index, errDamaged)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}
