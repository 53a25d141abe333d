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
//	segment:   "HFKEYS01", then for each key  event uint32 | hold [16] | salt [8] | wrapped [64] | crc32c
//	forgotten: "HFGONE01", then for each hold  hold [16] | crc32c
//
// A key is acknowledged when its segment is synced; a hold is forgotten when the second file is synced, and that is
// confirmed when its segments have been replaced. After a crash in between they are replaced at the next start.
type keyFiles struct {
	dir       Dir
	forgotten File
	active    File   // the last segment
	number    uint32 // its number, from 1
	records   int    // in it
}

const (
	personsDir    = "persons"
	forgottenFile = "forgotten"
	keysPrefix    = "keys-"

	keyMagic       = "HFKEYS01"
	forgottenMagic = "HFGONE01"
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

// sealRecord ends a record that begins at at with its checksum.
func sealRecord(b []byte, at int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
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
	file, _, err := openRecords(f.dir, forgottenFile, forgottenMagic, forgottenRecordBytes, func(record []byte) {
		ring.forget(holdfast.HoldID(record[:16]))
	})
	f.forgotten = file
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

// splitRecords reads records up to the first that is not whole, after which none may be whole: that would be damage
// and not the end of a file that was being written. It gives how many bytes are whole.
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
	for at := magicBytes; at+size <= len(data); at += size {
		record := data[at : at+size]
		good := crc32.Checksum(record[:size-4], castagnoli) == binary.LittleEndian.Uint32(record[size-4:])
		switch {
		case good && at != whole:
			return 0, damagedKeys(name)
		case good:
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
	b := make([]byte, 0, len(keys)*keyRecordBytes)
	for i := range keys {
		at := len(b)
		b = sealRecord(appendKey(b, &keys[i]), at)
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
	for _, hold := range holds {
		at := len(b)
		b = sealRecord(append(b, hold[:]...), at)
	}
	if _, err := f.forgotten.Write(b); err != nil {
		return err
	}
	return f.forgotten.Sync()
}

// rewrite replaces a segment by what is not forgotten of it.
func (f *keyFiles) rewrite(number uint32, ring *keyring) error {
	name, kept := keysName(number), []byte(keyMagic)
	err := readSegment(f.dir, name, func(record []byte) {
		if !ring.isForgotten(readKey(record).Hold) {
			kept = append(kept, record...)
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
