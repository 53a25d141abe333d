package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// VerifyReport is what a replay of an archive has come to.
type VerifyReport struct {
	Shard    holdfast.ShardID
	Segments int
	From     uint64 // the replay began with the state at this index; 0: with an empty machine
	Index    uint64 // and ended here
	Clock    holdfast.Clock
	Entries  uint64 // replayed
	Commands uint64 // in them
	Bases    int    // states that were compared with the replayed one, and were equal
	Checks   int    // how often all invariants were worked out from scratch, and held
	Sold     uint64 // units that are sold at the end
	// StateBytes is the size of the state at the end, as a snapshot has it.
	StateBytes int64
	Digest     [32]byte
	Gaps       []Gap // where the node was given a snapshot in place of entries
	TornTail   int64 // bytes at the end that are not a whole entry: the node is running, or was killed
}

// Gap says that no entry was archived after After, and that the replay went on from the state at From.
type Gap struct{ After, From uint64 }

// VerifyError is what Verify found: where an archive and the rules of the state machine part, or where the archive is
// damaged. Any other error of Verify says that it could not look.
type VerifyError struct {
	Index uint64 // of the entry; of the last one before the damage
	// Slot is the command's place in it; -1 when it is not a command: the clock, or the entry itself.
	Slot   int
	Broken []string // what does not hold
}

func (e *VerifyError) Error() string {
	at := fmt.Sprintf("entry %d", e.Index)
	if e.Slot >= 0 {
		at += fmt.Sprintf(", slot %d", e.Slot)
	}
	return at + ": " + strings.Join(e.Broken, "; ")
}

// damaged is a VerifyError about files.
func damaged(after uint64, format string, args ...any) error {
	return &VerifyError{Index: after, Slot: -1, Broken: []string{fmt.Sprintf(format, args...)}}
}

// checkEvery is how many commands, or entries without any, are replayed between two checks of everything. A check of a
// million units takes about as long as the replay of so many commands. What is replayed in between is kept, to find
// the place where something broke.
const checkEvery = 1 << 18

// Archives lists the archives in a node's folder, for Verify.
func Archives(path string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(path, shardDir(0)[:len("shard-")]+"*", archiveDir))
	sort.Slice(found, func(i, j int) bool {
		return len(found[i]) < len(found[j]) || len(found[i]) == len(found[j]) && found[i] < found[j]
	})
	return found, err
}

// Verify replays an archive, or one segment of it, and checks every invariant on the way. It needs no node and no
// network, and changes nothing. With the segment of a file it begins at the base that is in it, unless it is the
// first. progress, if not nil, is called after each segment.
func Verify(path string, progress func(VerifyReport)) (VerifyReport, error) {
	st, err := os.Stat(path)
	if err != nil {
		return VerifyReport{}, &holdfast.Error{Kind: holdfast.NotFound, Op: "verify", Err: err}
	}
	only := ""
	if !st.IsDir() {
		path, only = filepath.Split(path)
	} else if inner := filepath.Join(path, archiveDir); dirExists(inner) {
		path = inner
	}
	return verifyDir(osDir(path), only, progress)
}

// VerifyDisk is Verify of one shard's archive on any Disk, which no node has open.
func VerifyDisk(disk Disk, shard holdfast.ShardID) (VerifyReport, error) {
	dir, err := disk.Dir(shardDir(shard) + "/" + archiveDir)
	if err != nil {
		return VerifyReport{}, err
	}
	return verifyDir(dir, "", nil)
}

func dirExists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// verifier replays the files of one archive.
type verifier struct {
	dir    Dir
	files  archiveFiles
	report VerifyReport
	shards int

	restore func(snapshot []byte) (replica, error) // nil: an empty machine
	machine replica
	last    uint64 // of the records that were read
	chain   uint32

	// What lies between the last check, which found nothing, and now.
	good      []byte // snapshot then; nil: an empty machine
	since     []record
	unchecked int // commands in them, and entries without any
}

// archiveFiles are the numbers of an archive's files, ascending.
type archiveFiles struct{ segments, bases []uint64 }

func listArchive(dir Dir) (files archiveFiles, err error) {
	names, err := dir.Names() // sorted, and numbers have the same number of digits
	for _, name := range names {
		if index, ok := numbered(name, segmentSuffix); ok {
			files.segments = append(files.segments, index)
		} else if index, ok := numbered(name, baseSuffix); ok {
			files.bases = append(files.bases, index)
		}
	}
	return files, err
}

func verifyDir(dir Dir, only string, progress func(VerifyReport)) (VerifyReport, error) {
	files, err := listArchive(dir)
	if err != nil {
		return VerifyReport{}, err
	}
	if only != "" {
		index, ok := numbered(only, segmentSuffix)
		if files.segments = []uint64{index}; !ok {
			return VerifyReport{}, invalid("path", "%s is not a segment of an archive", only)
		}
	}
	if len(files.segments) == 0 {
		return VerifyReport{}, &holdfast.Error{Kind: holdfast.NotFound, Op: "verify", Message: "there is no segment of an archive"}
	}
	v := &verifier{dir: dir, files: files}
	v.restore = v.newReplica
	for i, before := range files.segments {
		if err := v.segment(before, i == len(files.segments)-1); err != nil {
			return v.report, err
		}
		v.report.Segments++
		if progress != nil {
			progress(v.summary())
		}
	}
	if err := v.finish(); err != nil {
		return v.report, err
	}
	v.report.Digest, v.report.StateBytes = v.machine.digest(), int64(len(v.good))
	return v.summary(), nil
}

// finish looks at what is after the last entry: at most a state that the node was given in place of entries.
func (v *verifier) finish() error {
	if err := v.check(); err != nil {
		return err
	}
	n := len(v.files.bases)
	if n == 0 || v.files.bases[n-1] <= v.machine.Index() {
		return nil
	}
	if v.report.TornTail > 0 { // what is before a base was synced before it was written
		return damaged(v.machine.Index(), "the state at %d was saved, and the entries up to it are damaged", v.files.bases[n-1])
	}
	return v.skipTo(v.files.bases[n-1])
}

// skipTo goes on with a base that the entries do not lead to.
func (v *verifier) skipTo(base uint64) error {
	v.report.Gaps = append(v.report.Gaps, Gap{After: v.machine.Index(), From: base})
	return v.load(base)
}

func (v *verifier) summary() VerifyReport {
	v.report.Index, v.report.Clock, v.report.Sold = v.machine.Index(), v.machine.Clock(), v.machine.sold()
	return v.report
}

// segment replays one segment.
func (v *verifier) segment(before uint64, isLast bool) error {
	name := segmentName(before)
	f, err := v.dir.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := newSegmentReader(f)
	if err == nil {
		if err = v.join(r.head); err != nil {
			return err
		}
	}
	for err == nil {
		var rec record
		if rec, err = r.next(); err == nil {
			if err := v.apply(rec); err != nil {
				return err
			}
		}
	}
	if errors.Is(err, errTorn) && isLast && v.machine != nil {
		whole := int64(0)
		if r != nil {
			whole = r.end
		}
		size, err := f.Size()
		v.report.TornTail = size - whole
		return err
	}
	if errors.Is(err, errTorn) {
		return damaged(v.last, "%s: %v", name, err)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	v.last, v.chain = r.last, r.chain
	return nil
}

// join makes sure that a segment goes on where the one before it ended, or at a base.
func (v *verifier) join(head segmentHead) error {
	first := v.machine == nil
	if first {
		v.report.Shard, v.shards = head.Shard, int(head.Shards)
	}
	switch {
	case head.Shard != v.report.Shard:
		return damaged(head.Before, "a segment of shard %d is among those of shard %d", head.Shard, v.report.Shard)
	case first && head.Before == 0:
		return v.begin(nil)
	case first:
		return v.beginAtBase(head.Before)
	case head.Before == v.last && head.Chain == v.chain:
		return nil
	case head.Before > v.last && slices.Contains(v.files.bases, head.Before):
		if err := v.check(); err != nil {
			return err
		}
		return v.skipTo(head.Before)
	}
	return damaged(v.last, "a segment ends here, and the next goes on after entry %d: a file is missing or was changed", head.Before)
}

// beginAtBase begins with the oldest base from which on there is everything.
func (v *verifier) beginAtBase(before uint64) error {
	for _, index := range v.files.bases {
		if index >= before {
			v.report.From = index
			return v.load(index)
		}
	}
	return damaged(before, "the entries begin after this one, and there is no base to begin with")
}

// load makes the machine that a base holds.
func (v *verifier) load(index uint64) error {
	snapshot, err := v.readBase(index)
	if err != nil {
		return err
	}
	return v.begin(snapshot)
}

func (v *verifier) readBase(index uint64) ([]byte, error) {
	body, err := openBase(v.dir, v.report.Shard, index)
	if errors.Is(err, errDamaged) {
		return nil, damaged(index, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func (v *verifier) begin(snapshot []byte) (err error) {
	v.machine, err = v.restore(snapshot)
	if err != nil {
		return err
	}
	v.good, v.since, v.unchecked = snapshot, nil, 0
	return v.check()
}

func (v *verifier) newReplica(snapshot []byte) (replica, error) {
	if snapshot == nil {
		return newReplica(v.report.Shard, v.shards, nil)
	}
	return newReplica(v.report.Shard, v.shards, bytes.NewReader(snapshot))
}

// apply replays one entry, and compares the state with a base if there is one of this index.
func (v *verifier) apply(rec record) error {
	if rec.Index <= v.machine.Index() {
		return nil // the base already has it
	}
	entry, err := command.OpenEntry(rec.Entry)
	if err != nil {
		return &VerifyError{Index: rec.Index, Slot: -1, Broken: []string{err.Error()}}
	}
	rec.Entry = slices.Clone(rec.Entry)
	v.since = append(v.since, rec)
	if failed := try(v.machine, rec); failed != "" {
		return v.locate()
	}
	v.report.Entries, v.report.Commands = v.report.Entries+1, v.report.Commands+uint64(entry.Count)
	if v.unchecked += max(entry.Count, 1); v.unchecked >= checkEvery {
		if err := v.check(); err != nil {
			return err
		}
	}
	if _, ok := slices.BinarySearch(v.files.bases, rec.Index); ok {
		return v.compare(rec.Index)
	}
	return nil
}

// compare holds the replayed state against a base.
func (v *verifier) compare(index uint64) error {
	if err := v.check(); err != nil {
		return err
	}
	snapshot, err := v.readBase(index)
	if err != nil {
		return err
	}
	if sha256.Sum256(snapshot) != v.machine.digest() {
		return &VerifyError{Index: index, Slot: -1, Broken: []string{"the state that was saved here is not the one that the entries lead to"}}
	}
	v.report.Bases++
	return nil
}

// check works out every invariant from scratch.
func (v *verifier) check() error {
	if len(v.machine.violations()) > 0 {
		return v.locate()
	}
	v.report.Checks++
	v.good, v.since, v.unchecked = v.machine.snapshot(), nil, 0
	return nil
}

// locate finds the command with which things went wrong since the last check, by halving: first the entry, then the
// slot in it. Where something heals by itself again it finds one of the places where it broke.
func (v *verifier) locate() error {
	if broken := v.after(v.since, 0); len(broken) > 0 {
		return &VerifyError{Index: v.machine.Index(), Slot: -1, Broken: broken} // a base that is wrong by itself
	}
	n := 1 + sort.Search(len(v.since)-1, func(i int) bool { return len(v.after(v.since, i+1)) > 0 })
	rec := v.since[n-1]
	entry, err := command.OpenEntry(rec.Entry)
	if err != nil {
		return err
	}
	slots := sort.Search(entry.Count, func(i int) bool {
		return len(v.after(append(slices.Clone(v.since[:n-1]), firstCommands(rec, entry, i)), n)) > 0
	})
	return &VerifyError{Index: rec.Index, Slot: slots - 1, Broken: v.after(v.since, n)}
}

// after is what does not hold after the first n of the records.
func (v *verifier) after(records []record, n int) []string {
	m, err := v.restore(v.good)
	if err != nil {
		return []string{err.Error()}
	}
	for _, rec := range records[:n] {
		if failed := try(m, rec); failed != "" {
			return []string{failed}
		}
	}
	return m.violations()
}

// firstCommands is an entry with no more than its first n commands.
func firstCommands(rec record, entry command.Entry, n int) record {
	rest := entry.Commands
	for range n {
		_, after, err := command.Split(rest)
		if err != nil {
			break // then the machine says so
		}
		rest = after
	}
	b := append(command.BeginEntry(nil), entry.Commands[:len(entry.Commands)-len(rest)]...)
	rec.Entry = command.FinishEntry(b, entry.StepMicros, entry.WallMs, n)
	return rec
}

// try applies an entry, and says what a failed assertion said.
func try(m replica, rec record) (failed string) {
	defer func() {
		if r := recover(); r != nil {
			failed = fmt.Sprint(r)
		}
	}()
	m.Apply(rec.Index, rec.Entry, new(command.Output))
	return ""
}
