package command

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/holdfast-db/holdfast"
)

// An entry is one record of a shard's log: many commands that were committed together.
//
//	format uint8 | reserved [3] | step µs uint32 | wall ms int64 | count uint32 | commands … | crc32c uint32
//
// The checksum is over everything before it. Log stores do not check what they read back; this does.

// EntryFormat is the version of the layout. A replica that meets another one stops.
const EntryFormat = 1

const (
	entryHeaderBytes = 1 + 3 + 4 + 8 + 4

	// ChecksumBytes end an entry.
	ChecksumBytes = 4

	// EntryOverheadBytes is what an entry has besides its commands.
	EntryOverheadBytes = entryHeaderBytes + ChecksumBytes

	// EntryCommandsMax bounds the commands of one entry; a command's place in it is its slot.
	EntryCommandsMax = 1 << 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BeginEntry begins an entry in b[:0]. Append packed commands to what it returns, then call FinishEntry.
func BeginEntry(b []byte) []byte { return append(b[:0], make([]byte, entryHeaderBytes)...) }

// FinishEntry fills in the header and appends the checksum. stepMicros is the time that the hold clock advances
// before the entry's commands run, wallMs the leader's wall clock in Unix milliseconds, count the commands in it.
func FinishEntry(b []byte, stepMicros uint32, wallMs int64, count int) []byte {
	b[0] = EntryFormat
	binary.LittleEndian.PutUint32(b[4:], stepMicros)
	binary.LittleEndian.PutUint64(b[8:], uint64(wallMs))
	binary.LittleEndian.PutUint32(b[16:], uint32(count))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Entry is a decoded header with the commands still packed.
type Entry struct {
	StepMicros uint32
	WallMs     int64
	Count      int
	Commands   []byte
}

// OpenEntry checks an entry's format and checksum. It does not look at the commands.
func OpenEntry(b []byte) (Entry, error) {
	if len(b) < EntryOverheadBytes {
		return Entry{}, malformed("entry", "%d bytes", len(b))
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if body[0] != EntryFormat {
		return Entry{}, malformed("entry", "format %d, this version knows %d: upgrade this node", body[0], EntryFormat)
	}
	if crc32.Checksum(body, castagnoli) != sum {
		return Entry{}, malformed("entry", "checksum differs: the log is damaged")
	}
	e := Entry{
		StepMicros: binary.LittleEndian.Uint32(body[4:]),
		WallMs:     int64(binary.LittleEndian.Uint64(body[8:])),
		Count:      int(binary.LittleEndian.Uint32(body[16:])),
		Commands:   body[entryHeaderBytes:],
	}
	if body[1]|body[2]|body[3] != 0 {
		return Entry{}, malformed("entry", "reserved bytes %x are in use: upgrade this node", body[1:4])
	}
	if e.Count > EntryCommandsMax {
		return Entry{}, malformed("entry", "%d commands, at most %d", e.Count, EntryCommandsMax)
	}
	return e, nil
}

// CountOf gives the number of commands in an entry that OpenEntry took.
func CountOf(entry []byte) int { return int(binary.LittleEndian.Uint32(entry[16:])) }

// Fingerprint is what a repeated command's contents are compared by.
func Fingerprint(cmd []byte) uint32 { return crc32.Checksum(cmd, castagnoli) }

// StepMax is holdfast.StepMax in the unit of an entry's step.
const StepMax = uint32(holdfast.StepMax / 1000)
