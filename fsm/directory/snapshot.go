package directory

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// A snapshot is, little-endian,
//
//	"HFDR" | format uint32 | shards uint32 | index uint64 | clock µs uint64 | wall ms int64 | count uint32
//	count × (shard uint32 | bytes uint32 | packed description)
//	keys uint32 | keys × (bytes uint32 | packed key)
//	crc32c uint32, over everything before it
//
// It is canonical: equal states have equal bytes. Numbers of events are places in the list.
// Format 1 ended behind the descriptions, and is still read.
const (
	snapshotMagic  = "HFDR"
	snapshotFormat = 2

	snapshotHeaderBytes = len(snapshotMagic) + 4 + 4 + 8 + 8 + 8 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Cut is the state at one index. It may be read from any goroutine while the machine goes on.
type Cut struct {
	shards   int
	index    uint64
	clock    holdfast.Clock
	wallMs   int64
	assigned []Assignment
	keys     []holdfast.FrontendKey
}

// Cut takes the state as it is now. It costs nothing: what is assigned is never written again.
func (m *Machine) Cut() *Cut {
	return &Cut{shards: m.shards, index: m.index, clock: m.clock, wallMs: m.wallMs, assigned: m.Assignments(), keys: m.Keys()}
}

// Index is the last entry applied before the cut.
func (c *Cut) Index() uint64 { return c.index }

// Clock is the clock at the cut.
func (c *Cut) Clock() holdfast.Clock { return c.clock }

// Release says that the cut is not needed any more. A cut of the directory holds nothing back.
func (c *Cut) Release() {}

// Digest is SHA-256 over the snapshot's bytes.
func (c *Cut) Digest() [32]byte {
	h := sha256.New()
	if _, err := c.WriteTo(h); err != nil {
		assert(false, "a hash refused bytes: %v", err)
	}
	return [32]byte(h.Sum(nil))
}

// WriteTo writes a snapshot.
func (c *Cut) WriteTo(w io.Writer) (int64, error) {
	b := append([]byte(nil), snapshotMagic...)
	b = binary.LittleEndian.AppendUint32(b, snapshotFormat)
	b = binary.LittleEndian.AppendUint32(b, uint32(c.shards))
	b = binary.LittleEndian.AppendUint64(b, c.index)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.clock))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.wallMs))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.assigned)))
	total, sum := int64(0), uint32(0)
	flush := func() error {
		sum = crc32.Update(sum, castagnoli, b)
		n, err := w.Write(b)
		total, b = total+int64(n), b[:0]
		return err
	}
	for _, a := range c.assigned {
		b = binary.LittleEndian.AppendUint32(b, uint32(a.Shard))
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		b = a.Spec.Append(b)
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		if len(b) >= 64<<10 { // some dozen small descriptions a write
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.keys)))
	for i := range c.keys {
		at := len(b)
		b = command.AppendKey(append(b, 0, 0, 0, 0), &c.keys[i])
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	}
	if err := flush(); err != nil {
		return total, err
	}
	n, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum))
	return total + int64(n), err
}

// Restore reads a snapshot. It refuses one that is damaged, newer than this version, or of a cluster with another
// number of shards.
func Restore(cfg Config, r io.Reader) (*Machine, error) {
	m, in := New(cfg), &checked{r: bufio.NewReaderSize(r, 64<<10)}
	b, err := in.take(snapshotHeaderBytes)
	if err != nil {
		return nil, err
	}
	if string(b[:4]) != snapshotMagic {
		return nil, damaged("it does not begin like one")
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	format := u32(b[4:])
	if format == 0 || format > snapshotFormat {
		return nil, damaged("format %d, this version knows %d: upgrade this node", format, snapshotFormat)
	}
	if shards := u32(b[8:]); int(shards) != cfg.Shards {
		return nil, damaged("it is of a cluster of %d shards, and this node is told of %d", shards, cfg.Shards)
	}
	m.index, m.clock, m.wallMs = u64(b[12:]), holdfast.Clock(u64(b[20:])), int64(u64(b[28:]))
	for i := range u32(b[36:]) {
		if err := m.restoreOne(in); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
	}
	if format > 1 {
		if err := m.restoreKeys(in); err != nil {
			return nil, err
		}
	}
	sum := in.sum
	if b, err = in.take(4); err != nil {
		return nil, err
	}
	if u32(b) != sum {
		return nil, damaged("checksum differs")
	}
	if _, err := in.r.ReadByte(); err != io.EOF {
		return nil, damaged("bytes after its end")
	}
	return m, nil
}

func (m *Machine) restoreOne(in *checked) error {
	b, err := in.take(8)
	if err != nil {
		return err
	}
	shard, size := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if shard < 1 || int(shard) > m.shards || size > holdfast.SpecBytesMax {
		return damaged("shard %d, %d bytes", shard, size)
	}
	if b, err = in.take(int(size)); err != nil {
		return err
	}
	spec, err := command.DecodeSpec(b)
	if err != nil {
		return err
	}
	if _, twice := m.byName[spec.Name]; twice {
		return damaged("%q stands twice", spec.Name)
	}
	m.add(Assignment{Event: holdfast.EventID(len(m.assigned) + 1), Shard: holdfast.ShardID(shard), Spec: &spec}, int(size))
	return nil
}

func (m *Machine) restoreKeys(in *checked) error {
	b, err := in.take(4)
	if err != nil {
		return err
	}
	count := binary.LittleEndian.Uint32(b)
	if count > holdfast.KeysMax {
		return damaged("%d keys, at most %d", count, holdfast.KeysMax)
	}
	for range count {
		if b, err = in.take(4); err != nil {
			return err
		}
		size := binary.LittleEndian.Uint32(b)
		if size > holdfast.CommandBytesMax {
			return damaged("a key of %d bytes", size)
		}
		if b, err = in.take(int(size)); err != nil {
			return err
		}
		key, err := command.DecodeKey(b)
		if err != nil {
			return err
		}
		if n := len(m.keys); n > 0 && byPublic(m.keys[n-1], key) >= 0 {
			return damaged("key %s stands in the wrong place", key.ID())
		}
		m.keys = append(m.keys, key)
	}
	return nil
}

// checked reads whole pieces and sums over them.
type checked struct {
	r   *bufio.Reader
	sum uint32
	b   []byte
}

// take gives the next n bytes, valid until the next call.
func (c *checked) take(n int) ([]byte, error) {
	if cap(c.b) < n {
		c.b = make([]byte, n)
	}
	b := c.b[:n]
	if _, err := io.ReadFull(c.r, b); err != nil {
		return nil, damaged("cut off: %v", err)
	}
	c.sum = crc32.Update(c.sum, castagnoli, b)
	return b, nil
}

func damaged(format string, args ...any) error {
	return &holdfast.Error{Kind: holdfast.Internal, Op: "restore directory snapshot", Message: fmt.Sprintf(format, args...)}
}
