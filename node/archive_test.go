package node_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// sale is a shard's history: entries at indexes that have gaps, as Raft's own entries make them.
type sale struct {
	indexes []uint64
	entries [][]byte
}

const saleEvent = holdfast.EventID(7)

// newSale makes the history of an event that is put on sale, and whose units are held, sold, given back and lapse.
func newSale(seed uint64, entries int) *sale {
	s, random := &sale{}, rand.New(rand.NewPCG(seed, 3))
	index, ids, clock := uint64(2), uint64(0), holdfast.Clock(0)
	add := func(stepMs uint32, cmds ...command.Command) {
		b := command.BeginEntry(nil)
		for _, c := range cmds {
			var r [10]byte
			ids++
			binary.BigEndian.PutUint64(r[:], ids)
			head := c.Head()
			head.ID, head.Event = holdfast.NewCommandID(clock+40_000_000, r), saleEvent
			b = c.Append(b)
		}
		index += 1 + random.Uint64N(2)
		clock += holdfast.Clock(stepMs) * 1000
		s.indexes = append(s.indexes, index)
		s.entries = append(s.entries, command.FinishEntry(b, stepMs*1000, int64(index)*10, len(cmds)))
	}
	add(10, &command.PutEvent{Spec: command.EventSpec{
		Name: "hall", Title: "Hall", Currency: "eur", Rules: command.Rules{HoldTTLMs: 2000, ManyOpenHolds: true, SkipCoolDown: true},
		Tiers:    []command.Tier{{Name: "gold", PriceMinor: 5000}},
		Sections: []command.Section{{Name: "left", Rows: []command.Row{{Label: "A", First: 1, Seats: 200}}}, {Name: "floor", Places: 300}},
	}})
	add(10, &command.SetSale{State: holdfast.SaleOpen})
	var holds []holdfast.HoldID
	for len(s.entries) < entries {
		var cmds []command.Command
		for range random.IntN(6) {
			buyer := holdfast.BuyerID{byte(random.IntN(50))}
			switch pick := random.IntN(4); {
			case pick == 0 && len(holds) > 0:
				cmds = append(cmds, &command.Sell{Hold: holds[random.IntN(len(holds))], As: command.SaleInvoiced, Amount: holdfast.Money{AmountMinor: 5000, Currency: "eur"}})
			default:
				cmds = append(cmds, &command.Hold{Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(random.IntN(500))}}}})
			}
		}
		add(uint32(random.IntN(200)), cmds...)
		for _, c := range cmds {
			if h, ok := c.(*command.Hold); ok {
				holds = append(holds, holdfast.HoldID(h.ID))
			}
		}
	}
	return s
}

// machine is the state after the first n entries.
func (s *sale) machine(n int) *fsm.Machine {
	m := fsm.New(fsm.Config{Shard: 1})
	for i := range n {
		m.Apply(s.indexes[i], s.entries[i], &command.Output{})
	}
	return m
}

// append archives entries from to n.
func (s *sale) append(t require, a *node.Archive, from, to int) {
	for i := from; i < to; i++ {
		if err := a.Append(s.indexes[i], 1, s.entries[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *sale) base(t require, a *node.Archive, n int) {
	m := s.machine(n)
	cut := m.Cut()
	defer cut.Release()
	if err := a.Base(m.Index(), cut); err != nil {
		t.Fatal(err)
	}
}

// require is what testing.T and rapid.T share.
type require interface{ Fatal(args ...any) }

func openArchive(t require, disk node.Disk, limits node.ArchiveLimits) (*node.Archive, node.Dir) {
	dir, err := disk.Dir("archive")
	if err != nil {
		t.Fatal(err)
	}
	a, err := node.OpenArchive(dir, 1, 1, limits)
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func (s *sale) check(t testing.TB, r node.VerifyReport, n int) {
	t.Helper()
	m := s.machine(n)
	if cut := m.Cut(); r.Digest != cut.Digest() || r.Index != m.Index() || r.Clock != m.Clock() {
		t.Errorf("the replay ends at %d with clock %d, want %d and %d, with the same digest", r.Index, r.Clock, m.Index(), m.Clock())
	}
	view, _ := m.Event(saleEvent)
	if r.Sold != uint64(view.Total[holdfast.Sold]) || r.Sold == 0 {
		t.Errorf("%d units are sold, want %d", r.Sold, view.Total[holdfast.Sold])
	}
}

// TestAnArchiveReplaysToTheSameState, over several segments and restarts, with a state to compare on the way.
func TestAnArchiveReplaysToTheSameState(t *testing.T) {
	eachComputer(t, func(t *testing.T, c computer) {
		s, limits := newSale(1, 900), node.ArchiveLimits{SegmentBytes: 20 << 10, TotalBytes: 1 << 30}
		for part := range 3 {
			disk := c.mount(t)
			a, _ := openArchive(t, disk, limits)
			s.append(t, a, 0, 300*part+100) // what is there already is applied again after a restart
			s.base(t, a, 300*part+100)
			s.append(t, a, 300*part+100, 300*part+300)
			if want := s.indexes[300*part+299]; a.Last() != want {
				t.Errorf("it ends at %d, want %d", a.Last(), want)
			}
			closeAll(t, a, disk)
		}
		disk := c.mount(t)
		dir, err := disk.Dir("archive")
		must(t, err)
		progress := 0
		r, err := node.VerifyDir(dir, "", func(node.VerifyReport) { progress++ })
		must(t, err)
		s.check(t, r, 900)
		if r.From != 0 || r.Entries != 900 || r.Bases != 3 || r.Segments < 3 || progress != r.Segments || r.TornTail != 0 || len(r.Gaps) != 0 {
			t.Errorf("the report is %+v", r)
		}
		must(t, disk.Close())
	})
}

func TestVerifyTakesAFolderOrASegment(t *testing.T) {
	root := t.TempDir()
	disk, err := node.OpenFolder(root)
	must(t, err)
	dir, err := disk.Dir("shard-1/archive")
	must(t, err)
	a, err := node.OpenArchive(dir, 1, 1, node.ArchiveLimits{SegmentBytes: 20 << 10})
	must(t, err)
	s := newSale(1, 300)
	s.append(t, a, 0, 300)
	closeAll(t, a)
	found, err := node.Archives(root)
	must(t, err)
	if want := filepath.Join(root, "shard-1", "archive"); !slices.Equal(found, []string{want}) {
		t.Errorf("found %v, want %s", found, want)
	}
	for _, path := range []string{found[0], filepath.Dir(found[0]), filepath.Join(found[0], "00000000000000000000.seg")} {
		r, err := node.Verify(path, nil)
		must(t, err)
		s.check(t, r, 300)
	}
	if _, err := node.Verify(filepath.Join(root, "none"), nil); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a path that is not there: %v", err)
	}
	if _, err := node.Verify(root, nil); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a folder without an archive: %v", err)
	}
	if _, err := node.Verify(filepath.Join(root, "lock"), nil); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("another file: %v", err)
	}
	must(t, disk.Close())
}

// TestAnArchiveSurvivesCrashes: whatever happens, what was synced is there, and the replay is the history.
func TestAnArchiveSurvivesCrashes(t *testing.T) {
	s := newSale(2, 400)
	rapid.Check(t, func(t *rapid.T) {
		disk := sim.NewDisk(rapid.Uint64().Draw(t, "seed"), 1<<30)
		disk.SetFaults(sim.Faults{TearTails: true})
		limits := node.ArchiveLimits{SegmentBytes: rapid.Int64Range(1, 8<<10).Draw(t, "segment"), TotalBytes: rapid.Int64Range(1, 200<<10).Draw(t, "total")}
		a, _ := openArchive(t, disk.Mount(), limits)
		done, durable := 0, 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				to := min(len(s.entries), done+rapid.IntRange(1, 60).Draw(t, "n"))
				s.append(t, a, done, to)
				done = to
			case 2:
				if err := a.Sync(); err != nil {
					t.Fatal(err)
				}
				durable = done
			case 3:
				if done > 0 {
					s.base(t, a, done)
					durable = done
				}
			case 4:
				disk.Crash()
				a.Close() // ends its goroutine; the disk does not take anything any more
				a, _ = openArchive(t, disk.Mount(), limits)
				if durable > 0 && a.Last() < s.indexes[durable-1] {
					t.Fatalf("it ends at %d, and was synced up to %d", a.Last(), s.indexes[durable-1])
				}
				done = durable // Raft applies again from its last snapshot on
			}
		}
		s.append(t, a, done, len(s.entries))
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		dir, _ := disk.Mount().Dir("archive")
		r, err := node.VerifyDir(dir, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if m := s.machine(len(s.entries)); r.Digest != m.Cut().Digest() || len(r.Gaps) > 0 || r.TornTail > 0 {
			t.Fatalf("the report is %+v", r)
		}
	})
}

func TestAnArchiveKeepsToItsLimit(t *testing.T) {
	disk := sim.NewDisk(1, 1<<30)
	limits := node.ArchiveLimits{SegmentBytes: 4 << 10, TotalBytes: 100 << 10}
	a, dir := openArchive(t, disk.Mount(), limits)
	s := newSale(3, 3000)
	bases := 0
	for n := 0; n < len(s.entries); n += 50 {
		s.append(t, a, n, n+50)
		must(t, a.Sync())
		if a.WantsBase() {
			s.base(t, a, n+50)
			bases++
		}
		total, state := 0, 0
		for name, size := range disk.Files("archive") {
			total += size
			if strings.HasSuffix(name, ".base") {
				state = max(state, size)
			}
		}
		if most := int(limits.TotalBytes) + 2*state; total > most { // a state is usually small beside the limit
			t.Fatalf("after %d entries it has %d bytes, more than %d", n, total, most)
		}
	}
	must(t, a.Close())
	r, err := node.VerifyDir(dir, "", nil)
	must(t, err)
	s.check(t, r, 3000)
	if r.From == 0 || bases < 3 {
		t.Errorf("nothing was dropped: from %d, %d bases", r.From, bases)
	}
}

// TestASnapshotThatWasInstalledIsAGap: the node was away for so long that the leader sent it the state.
func TestASnapshotThatWasInstalledIsAGap(t *testing.T) {
	disk := sim.NewDisk(1, 1<<30)
	s := newSale(4, 300)
	a, _ := openArchive(t, disk.Mount(), node.ArchiveLimits{})
	s.append(t, a, 0, 100)
	s.base(t, a, 200)
	must(t, a.Close())
	a, dir := openArchive(t, disk.Mount(), node.ArchiveLimits{})
	if a.Last() != s.indexes[199] {
		t.Errorf("it goes on after %d, want %d", a.Last(), s.indexes[199])
	}
	s.append(t, a, 200, 300)
	must(t, a.Close())
	r, err := node.VerifyDir(dir, "", nil)
	must(t, err)
	s.check(t, r, 300)
	if want := []node.Gap{{After: s.indexes[99], From: s.indexes[199]}}; !slices.Equal(r.Gaps, want) {
		t.Errorf("gaps %v, want %v", r.Gaps, want)
	}
}

// TestWhatACrashToreStaysCutOff: the end that a restart cut off must not come back with the next crash, in the middle of
// an archive that went on behind a state that the node was given.
func TestWhatACrashToreStaysCutOff(t *testing.T) {
	s := newSale(6, 300)
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			disk := sim.NewDisk(seed, 1<<30)
			disk.SetFaults(sim.Faults{TearTails: true})
			a, dir := openArchive(t, disk.Mount(), node.ArchiveLimits{})
			crash := func() {
				disk.Crash()
				a.Close() // ends its goroutine; the disk does not take anything any more
				a, dir = openArchive(t, disk.Mount(), node.ArchiveLimits{})
			}
			s.append(t, a, 0, 50)
			must(t, a.Sync())
			s.append(t, a, 50, 100)
			time.Sleep(time.Second) // they are written, and not synced
			crash()
			s.base(t, a, 200)
			crash()
			s.append(t, a, 200, 300)
			must(t, a.Sync())
			crash()
			must(t, a.Close())
			r, err := node.VerifyDir(dir, "", nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			s.check(t, r, 300)
		})
	}
}

// TestVerifyNoticesDamage: every bit of every file counts. At the very end it can look like a crash, and is reported.
func TestVerifyNoticesDamage(t *testing.T) {
	s := newSale(5, 120)
	disk := sim.NewDisk(1, 1<<30)
	a, dir := openArchive(t, disk.Mount(), node.ArchiveLimits{SegmentBytes: 6 << 10})
	for n := 0; n < 120; n += 40 {
		s.append(t, a, n, n+40)
		s.base(t, a, n+40)
	}
	must(t, a.Close())
	files := disk.Files("archive")
	names := slices.Sorted(maps.Keys(files))
	lastSegment := ""
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") {
			lastSegment = name
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "file")
		at := rapid.IntRange(0, files[name]-1).Draw(t, "at")
		disk.Damage("archive/"+name, at)
		r, err := node.VerifyDir(dir, "", nil)
		disk.Damage("archive/"+name, at) // it is whole again
		var found *node.VerifyError
		if err == nil && (name != lastSegment || r.TornTail == 0) || err != nil && !errors.As(err, &found) {
			t.Fatalf("the change of %s at %d was not found: %+v, %v", name, at, r, err)
		}
	})
	if _, err := node.VerifyDir(dir, "", nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".seg") || name == lastSegment {
			continue
		}
		copied := sim.NewDisk(1, 1<<30)
		a, dir := openArchive(t, copied.Mount(), node.ArchiveLimits{SegmentBytes: 6 << 10})
		for n := 0; n < 120; n += 40 {
			s.append(t, a, n, n+40)
			must(t, a.Sync())
		}
		must(t, a.Close())
		copied.Remove("archive/" + name)
		var found *node.VerifyError
		if _, err := node.VerifyDir(dir, "", nil); !errors.As(err, &found) {
			t.Errorf("that %s is missing is not found: %v", name, err)
		}
	}
}

// TestVerifyNamesTheCommand that the state machine does not accept.
func TestVerifyNamesTheCommand(t *testing.T) {
	disk := sim.NewDisk(1, 1<<30)
	a, dir := openArchive(t, disk.Mount(), node.ArchiveLimits{})
	s := newSale(6, 50)
	s.append(t, a, 0, 50)
	head := command.Header{ID: holdfast.NewCommandID(s.machine(50).Clock()+1_000_000, [10]byte{1}), Event: saleEvent}
	release := command.Release{Header: head}
	head.ID[15]++
	assign := command.AssignEvent{Header: head} // the directory's
	b := release.Append(release.Append(command.BeginEntry(nil)))
	b = release.Append(assign.Append(b))
	bad := s.indexes[49] + 5
	must(t, a.Append(bad, 1, command.FinishEntry(b, 0, 0, 4)))
	must(t, a.Close())
	_, err := node.VerifyDir(dir, "", nil)
	var broken *node.VerifyError
	if !errors.As(err, &broken) || broken.Index != bad || broken.Slot != 2 || len(broken.Broken) == 0 || !strings.HasPrefix(err.Error(), fmt.Sprintf("entry %d, slot 2: ", bad)) {
		t.Errorf("got %v, want entry %d, slot 2", err, bad)
	}
}

func TestVerifyComparesWithSavedStates(t *testing.T) {
	disk := sim.NewDisk(1, 1<<30)
	a, dir := openArchive(t, disk.Mount(), node.ArchiveLimits{})
	s := newSale(7, 50)
	s.append(t, a, 0, 50)
	other := newSale(8, 50).machine(50) // of another history
	must(t, a.Base(s.indexes[30], other.Cut()))
	must(t, a.Close())
	_, err := node.VerifyDir(dir, "", nil)
	var broken *node.VerifyError
	if !errors.As(err, &broken) || broken.Index != s.indexes[30] {
		t.Errorf("got %v, want entry %d", err, s.indexes[30])
	}
}

// TestTheDirectorysArchiveIsVerified as the shards' are; it has to know how many shards there are.
func TestTheDirectorysArchiveIsVerified(t *testing.T) {
	disk := sim.NewDisk(1, 1<<30)
	dir, err := disk.Mount().Dir("archive")
	must(t, err)
	a, err := node.OpenArchive(dir, holdfast.Directory, 3, node.ArchiveLimits{})
	must(t, err)
	m := directory.New(directory.Config{Shards: 3})
	for i := uint64(1); i <= 9; i++ {
		assign := command.AssignEvent{Spec: command.EventSpec{
			Name: "event-" + string(rune('a'+i)), Title: "T", Currency: "eur", Tiers: []command.Tier{{Name: "t"}}, Sections: []command.Section{{Name: "s", Places: 10}},
		}}
		e := command.FinishEntry(assign.Append(command.BeginEntry(nil)), 0, 0, 1)
		m.Apply(i, e, &command.Output{})
		must(t, a.Append(i, 1, e))
		if i%4 == 0 {
			must(t, a.Base(i, m.Cut()))
		}
	}
	must(t, a.Close())
	r, err := node.VerifyDir(dir, "", nil)
	must(t, err)
	if r.Shard != holdfast.Directory || r.Entries != 9 || r.Bases != 2 || r.Digest != m.Cut().Digest() {
		t.Errorf("the report is %+v", r)
	}
}

// Nobody may wait for a mutex while the disk works: in a bubble, time would not pass any more.
func TestAnArchiveIsClosedOnASlowDisk(t *testing.T) {
	for pause := 10 * time.Millisecond; pause < 200*time.Millisecond; pause += 10 * time.Millisecond { // the buffer's timer fires at any point
		synctest.Test(t, func(t *testing.T) {
			disk := sim.NewDisk(1, 1<<30)
			a, _ := openArchive(t, disk.Mount(), node.ArchiveLimits{})
			disk.SetFaults(sim.Faults{SyncTime: pause})
			newSale(1, 10).append(t, a, 0, 1)
			must(t, a.Close())
		})
	}
}
