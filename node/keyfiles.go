package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/holdfast-db/holdfast"
)

// keyFiles are the keyring on disk: the folder persons. Keys are in segments of a bounded size, in the order in which they
// came; who was forgotten is in one file that only grows. To forget means to write the hold's segments anew without its
// keys. That is why this is no bbolt file: bbolt leaves what was deleted in free pages, so that the whole file had to be
// copied, and the disks of package sim cannot hold one.
//
//	segment:   "HFKEYS02", then for each key  event uint32 | hold [16] | salt [8] | wrapped [64] | crc32c
//	forgotten: "HFGONE02", then for each hold  hold [16] | crc32c
//
// The crc32c is over where in the file (uint32) the write began that the record came with, and then over the record. A power
// failure can leave a hole in the last write, with whole records behind it; a hole before a record that began a later write
// is damage, since writes are synced one by one.
//
// A key is acknowledged when its segment is synced; a hold is forgotten when the second file is synced, and that is
// confirmed when its segments have been replaced. After a crash in between they are replaced at the next start.
type keyFiles struct {
	dir       Dir
	forgotten File
	gone      int    // records in it
	active    File   // the last segment
	number    uint32 // its number, from 1
	records   int    // in it
}

const (
	personsDir    = "persons"
	forgottenFile = "forgotten"
	keysPrefix    = "keys-"

	keyMagic       = "HFKEYS02"
	forgottenMagic = "HFGONE02"
	magicBytes     = 8

	keyBytes             = 4 + 16 + holdfast.PersonSaltBytes + holdfast.PersonWrappedBytes
	keyRecordBytes       = keyBytes + 4
	forgottenRecordBytes = 16 + 4

	// segmentKeysMax makes a segment about 1 MiB: what it costs to forget somebody.
	segmentKeysMax = 11_000
)

func appendKey(b []byte, k *holdfast.PersonKey) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(k.Event))
	b = append(b, k.Hold[:]...)
	b = append(b, k.Salt[:]...)
	return append(b, k.Wrapped[:]...)
}

func readKey(b []byte) (k holdfast.PersonKey) {
	k.Event = holdfast.EventID(binary.LittleEndian.Uint32(b))
	copy(k.Hold[:], b[4:])
	copy(k.Salt[:], b[20:])
	copy(k.Wrapped[:], b[20+holdfast.PersonSaltBytes:])
	return k
}

// sealRecord ends a record that begins at at with its checksum. It came with the write that began at start of the file.
func sealRecord(b []byte, at, start int) []byte {
	return binary.LittleEndian.AppendUint32(b, recordSum(b[at:], start))
}

func recordSum(record []byte, start int) uint32 {
	return crc32.Update(crc32.Checksum(binary.LittleEndian.AppendUint32(nil, uint32(start)), castagnoli), castagnoli, record)
}

func keysName(number uint32) string { return fmt.Sprintf("%s%08d", keysPrefix, number) }

// openKeyFiles reads the folder into a keyring, and makes good what a crash has left undone.
func openKeyFiles(dir Dir, ring *keyring) (*keyFiles, error) {
	f := &keyFiles{dir: dir}
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	var segments []uint32
	for _, name := range names {
		var number uint32
		if strings.HasSuffix(name, tempSuffix) {
			if err := dir.Remove(name); err != nil { // it may have keys that are forgotten since
				return nil, err
			}
		} else if n, _ := fmt.Sscanf(name, keysPrefix+"%08d", &number); n == 1 && name == keysName(number) {
			segments = append(segments, number)
		}
	}
	if err := f.openForgotten(ring); err != nil {
		return nil, err
	}
	err = f.openSegments(segments, ring)
	if err == nil {
		err = dir.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (f *keyFiles) openForgotten(ring *keyring) error {
	var err error
	f.forgotten, f.gone, err = openRecords(f.dir, forgottenFile, forgottenMagic, forgottenRecordBytes, func(record []byte) {
		ring.forget(holdfast.HoldID(record[:16]))
	})
	return err
}

// openSegments reads all segments. Only the last one can have been written at a crash.
func (f *keyFiles) openSegments(numbers []uint32, ring *keyring) error {
	if len(numbers) == 0 {
		numbers = []uint32{1}
	}
	slices.Sort(numbers)
	for i, number := range numbers {
		void := false
		take := func(record []byte) {
			k := readKey(record)
			switch ring.judge(&k) {
			case forgottenID:
				void = true
			case unknownKey, tooMany, keyringFull: // what was acknowledged stays
				ring.add(&k, number)
			}
		}
		last := i == len(numbers)-1
		var err error
		if last {
			f.number = number
			f.active, f.records, err = openRecords(f.dir, keysName(number), keyMagic, keyRecordBytes, take)
		} else {
			err = readSegment(f.dir, keysName(number), take)
		}
		if err == nil && void {
			err = f.rewrite(number, ring)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readSegment reads a file that must be whole.
func readSegment(dir Dir, name string, take func(record []byte)) error {
	data, err := readWhole(dir, name)
	if err != nil {
		return err
	}
	whole, err := splitRecords(name, data, keyMagic, keyRecordBytes, take)
	if err == nil && whole != len(data) {
		err = damagedKeys(name)
	}
	return err
}

func damagedKeys(name string) error {
	return fmt.Errorf("%s/%s is damaged: move the folder %s away, and the other members will teach this one anew", personsDir, name, personsDir)
}

func readWhole(dir Dir, name string) ([]byte, error) {
	file, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

// openRecords opens a file to be continued, without the torn records at its end.
func openRecords(dir Dir, name, magic string, size int, take func(record []byte)) (File, int, error) {
	file, err := dir.Append(name)
	if err != nil {
		return nil, 0, err
	}
	data, err := io.ReadAll(file)
	var whole int
	if err == nil {
		whole, err = splitRecords(name, data, magic, size, take)
	}
	if err == nil && whole != len(data) {
		err = file.Truncate(int64(whole))
	}
	if err == nil && whole == 0 {
		_, err = file.Write([]byte(magic))
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, max(whole-magicBytes, 0) / size, nil
}

// splitRecords reads records up to the first that is not whole. None behind it may begin a write: that would be damage and
// not the end of a file that was being written. It gives how many bytes are whole.
func splitRecords(name string, data []byte, magic string, size int, take func(record []byte)) (whole int, err error) {
	if len(data) < magicBytes {
		return 0, nil
	}
	if string(data[:magicBytes]) != magic {
		if len(data) == magicBytes {
			return 0, nil // torn in its first bytes
		}
		return 0, damagedKeys(name)
	}
	whole = magicBytes
	start := magicBytes // of the write that the last whole record came with
	for at := magicBytes; at+size <= len(data); at += size {
		record := data[at : at+size]
		sum := binary.LittleEndian.Uint32(record[size-4:])
		begins := recordSum(record[:size-4], at) == sum
		switch {
		case begins && at != whole:
			return 0, damagedKeys(name)
		case at == whole && (begins || recordSum(record[:size-4], start) == sum):
			if begins {
				start = at
			}
			take(record)
			whole += size
		}
	}
	return whole, nil
}

// addKeys appends keys durably and gives the segment that has them.
func (f *keyFiles) addKeys(keys []holdfast.PersonKey) (segment uint32, err error) {
	if f.records >= segmentKeysMax {
		if err := f.nextSegment(); err != nil {
			return 0, err
		}
	}
	b, start := make([]byte, 0, len(keys)*keyRecordBytes), magicBytes+f.records*keyRecordBytes
	for i := range keys {
		at := len(b)
		b = sealRecord(appendKey(b, &keys[i]), at, start)
	}
	if _, err := f.active.Write(b); err != nil {
		return 0, err
	}
	f.records += len(keys)
	return f.number, f.active.Sync()
}

func (f *keyFiles) nextSegment() error {
	if err := f.active.Close(); err != nil {
		return err
	}
	f.number++
	var err error
	if f.active, f.records, err = openRecords(f.dir, keysName(f.number), keyMagic, keyRecordBytes, func([]byte) {}); err != nil {
		return err
	}
	return f.dir.Sync()
}

// addForgotten appends holds that were forgotten, durably.
func (f *keyFiles) addForgotten(holds []holdfast.HoldID) error {
	var b []byte
	start := magicBytes + f.gone*forgottenRecordBytes
	for _, hold := range holds {
		at := len(b)
		b = sealRecord(append(b, hold[:]...), at, start)
	}
	if _, err := f.forgotten.Write(b); err != nil {
		return err
	}
	f.gone += len(holds)
	return f.forgotten.Sync()
}

// rewrite replaces a segment by what is not forgotten of it. It gets its name when it is whole, so each record is as if it
// had been written alone.
func (f *keyFiles) rewrite(number uint32, ring *keyring) error {
	name, kept := keysName(number), []byte(keyMagic)
	err := readSegment(f.dir, name, func(record []byte) {
		if !ring.isForgotten(readKey(record).Hold) {
			at := len(kept)
			kept = sealRecord(append(kept, record[:keyBytes]...), at, at)
		}
	})
	if err != nil {
		return err
	}
	if number != f.number && len(kept) == magicBytes {
		return errors.Join(f.dir.Remove(name), f.dir.Sync())
	}
	if number != f.number {
		return replaceFile(f.dir, name, kept)
	}
	if err := f.active.Close(); err != nil {
		return err
	}
	if err := replaceFile(f.dir, name, kept); err != nil {
		return err
	}
	f.active, f.records, err = openRecords(f.dir, name, keyMagic, keyRecordBytes, func([]byte) {})
	return err
}

// Close closes the files.
func (f *keyFiles) Close() error {
	var errs []error
	for _, file := range []File{f.forgotten, f.active} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}
