package fsm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// A snapshot is a sequence of frames, so that it is written and read in one pass through a buffer of 64 KiB, and so
// that no byte of it is believed before its checksum was seen. A frame is
//
//	part uint8 | length uint32 | payload | crc32c uint32 over all of these
//
// A part of the state takes as many frames as it needs; each part begins a new one. The last frame, of part
// partEnd, has the number of all bytes before it and their crc32c: a frame that is missing, twice, or out of place
// is seen there. All integers are little-endian.

const (
	frameHeadBytes = 1 + 4
	frameSumBytes  = 4

	// frameBytes is from when on a frame is closed, between two records; recordBytesMax bounds a record.
	frameBytes      = 64 << 10
	recordBytesMax  = 1 << 10
	payloadBytesMax = frameBytes + recordBytesMax

	// takeMax bounds a field.
	takeMax = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameWriter packs fields into frames. After the first error it writes nothing, and finish tells the error.
type frameWriter struct {
	w       io.Writer
	frame   []byte // the open one, from its head on; empty: none
	part    uint8
	written int64
	sum     uint32 // of all that was written
	err     error
}

func newFrameWriter(w io.Writer) *frameWriter {
	return &frameWriter{w: w, frame: make([]byte, 0, frameHeadBytes+payloadBytesMax+frameSumBytes)}
}

// begin begins a part.
func (f *frameWriter) begin(part uint8) {
	f.flush()
	f.part = part
	f.open()
}

func (f *frameWriter) open() { f.frame = append(f.frame[:0], f.part, 0, 0, 0, 0) }

// record begins a record of at most recordBytesMax: a frame that is long enough is closed before it.
func (f *frameWriter) record() {
	if len(f.frame) >= frameHeadBytes+frameBytes {
		f.flush()
		f.open()
	}
}

func (f *frameWriter) u8(v uint8)   { f.frame = append(f.frame, v) }
func (f *frameWriter) u16(v uint16) { f.frame = binary.LittleEndian.AppendUint16(f.frame, v) }
func (f *frameWriter) u32(v uint32) { f.frame = binary.LittleEndian.AppendUint32(f.frame, v) }
func (f *frameWriter) u64(v uint64) { f.frame = binary.LittleEndian.AppendUint64(f.frame, v) }

func (f *frameWriter) flag(v bool) {
	if v {
		f.u8(1)
	} else {
		f.u8(0)
	}
}

// raw writes bytes within a record.
func (f *frameWriter) raw(b []byte) { f.frame = append(f.frame, b...) }

// long writes bytes of which there may be more than fit a record.
func (f *frameWriter) long(b []byte) {
	for len(b) > 0 {
		f.record()
		n := min(len(b), recordBytesMax)
		f.raw(b[:n])
		b = b[n:]
	}
}

// flush closes the open frame.
func (f *frameWriter) flush() {
	if len(f.frame) == 0 {
		return
	}
	if len(f.frame) > frameHeadBytes+payloadBytesMax {
		fail("a snapshot's frame has %d bytes: a record is longer than it may be", len(f.frame))
	}
	binary.LittleEndian.PutUint32(f.frame[1:], uint32(len(f.frame)-frameHeadBytes))
	f.frame = binary.LittleEndian.AppendUint32(f.frame, crc32.Checksum(f.frame, castagnoli))
	if f.err == nil {
		var n int
		n, f.err = f.w.Write(f.frame)
		f.written += int64(n)
		f.sum = crc32.Update(f.sum, castagnoli, f.frame)
	}
	f.frame = f.frame[:0]
}

// finish writes the last frame, and gives the number of bytes written in all.
func (f *frameWriter) finish() (int64, error) {
	f.flush()
	f.part = partEnd
	f.open()
	f.u64(uint64(f.written))
	f.u32(f.sum)
	f.flush()
	return f.written, f.err
}

// frameReader takes fields out of frames. After the first error it gives zeros, and err is the error.
type frameReader struct {
	r      io.Reader
	frame  []byte // payload of the frame at hand
	rest   []byte // of it
	part   uint8  // the part that is read
	format uint32 // of the snapshot
	or     uint8  // what may stand in its place; 0: nothing
	read   int64  // bytes of whole frames
	sum    uint32 // of them
	err    error
	zeros  [takeMax]byte // stands in for what is missing
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: r, frame: make([]byte, frameHeadBytes+payloadBytesMax+frameSumBytes)}
}

// fail makes err the error, if it is the first.
func (f *frameReader) fail(format string, args ...any) {
	if f.err == nil {
		f.err = &holdfast.Error{Kind: holdfast.Invalid, Op: "restore", Field: partName(f.part),
			Message: fmt.Sprintf(format, args...) + fmt.Sprintf(" (in the frame before byte %d); the snapshot is of no use: take another, or that of another member", f.read)}
	}
}

// begin begins a part, which must be the next.
func (f *frameReader) begin(part uint8) {
	if len(f.rest) > 0 {
		f.fail("%d bytes are left over", len(f.rest))
	}
	f.part = part
	f.next()
}

// beginAnyOf begins a part, which is one of two, and says which.
func (f *frameReader) beginAnyOf(one, other uint8) uint8 {
	if len(f.rest) > 0 {
		f.fail("%d bytes are left over", len(f.rest))
	}
	f.part, f.or = one, other
	f.next()
	f.or = 0
	return f.part
}

// next reads a frame of the part at hand.
func (f *frameReader) next() {
	f.rest = nil
	if f.err != nil {
		return
	}
	head := f.frame[:frameHeadBytes]
	if !f.fill(head) {
		return
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > payloadBytesMax {
		f.fail("a frame of %d bytes, at most %d", n, payloadBytesMax)
		return
	}
	whole := f.frame[:frameHeadBytes+int(n)+frameSumBytes]
	if !f.fill(whole[frameHeadBytes:]) {
		return
	}
	payload, sum := whole[:len(whole)-frameSumBytes], binary.LittleEndian.Uint32(whole[len(whole)-frameSumBytes:])
	if crc32.Checksum(payload, castagnoli) != sum && !planted.Is(planted.RestoreUnchecked) {
		f.fail("a checksum differs: the snapshot is damaged")
		return
	}
	if f.or != 0 && payload[0] == f.or {
		f.part = f.or
	}
	if payload[0] != f.part {
		f.fail("a frame of the part %s stands here", partName(payload[0]))
		return
	}
	f.rest = payload[frameHeadBytes:]
	if f.part != partEnd {
		f.read += int64(len(whole))
		f.sum = crc32.Update(f.sum, castagnoli, whole)
	}
}

func (f *frameReader) fill(b []byte) bool {
	_, err := io.ReadFull(f.r, b)
	switch err {
	case nil:
		return true
	case io.EOF, io.ErrUnexpectedEOF:
		f.fail("it is cut off")
	default:
		f.err = fmt.Errorf("restore: %w", err)
	}
	return false
}

// take gives the next n bytes, at most takeMax. Fields do not go over a frame's end.
func (f *frameReader) take(n int) []byte {
	if len(f.rest) == 0 {
		f.next()
	}
	if len(f.rest) < n {
		f.fail("a frame ends within a field")
		return f.zeros[:n]
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *frameReader) u8() uint8      { return f.take(1)[0] }
func (f *frameReader) u16() uint16    { return binary.LittleEndian.Uint16(f.take(2)) }
func (f *frameReader) u32() uint32    { return binary.LittleEndian.Uint32(f.take(4)) }
func (f *frameReader) u64() uint64    { return binary.LittleEndian.Uint64(f.take(8)) }
func (f *frameReader) id16() [16]byte { return [16]byte(f.take(16)) }

func (f *frameReader) flag() bool {
	v := f.u8()
	if v > 1 {
		f.fail("a flag is %d", v)
	}
	return v == 1
}

// into reads as many bytes as b has, of one record.
func (f *frameReader) into(b []byte) {
	for len(b) > 0 {
		n := min(len(b), takeMax)
		copy(b, f.take(n))
		b = b[n:]
	}
}

// long reads n bytes. It takes memory for them as they come, so that a number that is wrong costs nothing.
func (f *frameReader) long(n int) (b []byte) {
	for len(b) < n && f.err == nil {
		if len(f.rest) == 0 {
			f.next()
		}
		part := f.rest[:min(n-len(b), len(f.rest))]
		b = append(b, part...)
		f.rest = f.rest[len(part):]
	}
	return b
}

// count reads a number of things that is at most max.
func (f *frameReader) count(what string, max int) int {
	n := f.u32()
	if uint64(n) > uint64(max) {
		f.fail("%d %s, at most %d", n, what, max)
	}
	if f.err != nil {
		return 0
	}
	return int(n)
}

// finish reads the last frame, and that nothing is behind it.
func (f *frameReader) finish() error {
	f.begin(partEnd)
	read, sum := f.u64(), f.u32()
	if read != uint64(f.read) || sum != f.sum && !planted.Is(planted.RestoreUnchecked) || len(f.rest) > 0 {
		f.fail("the whole is not the sum of its parts: frames are missing or out of place")
	}
	if f.err == nil {
		if n, err := f.r.Read(f.frame[:1]); n > 0 || err != io.EOF {
			f.fail("something follows its end")
		}
	}
	return f.err
}
