package sim_test

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

func openDir(t *testing.T, d *sim.Disk) node.Dir {
	t.Helper()
	dir, err := d.Mount().Dir("a")
	must(t, err)
	return dir
}

// write makes or lengthens a file, and syncs it if asked.
func write(t *testing.T, dir node.Dir, name, text string, sync bool) {
	t.Helper()
	f, err := dir.Append(name)
	must(t, err)
	_, err = io.WriteString(f, text)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func content(t *testing.T, dir node.Dir, name string) string {
	t.Helper()
	f, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "not there"
	}
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, err)
	return string(b)
}

func TestACrashLosesWhatWasNotSynced(t *testing.T) {
	d := sim.NewDisk(1, 1<<20)
	dir := openDir(t, d)
	write(t, dir, "both", "kept ", true)
	must(t, dir.Sync())
	write(t, dir, "both", "lost", false)
	if got := content(t, dir, "both"); got != "kept lost" {
		t.Errorf("before the crash: %q", got)
	}
	old := dir
	dir = openDir(t, d)
	if got := content(t, dir, "both"); got != "kept " {
		t.Errorf("after the crash: %q", got)
	}
	if _, err := old.Names(); err == nil {
		t.Error("the process that crashed goes on")
	}
}

// TestNamesAreLostFromTheLastOn: an operation on names survives only if all before it do.
func TestNamesAreLostFromTheLastOn(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(50) {
		d := sim.NewDisk(seed, 1<<20)
		dir := openDir(t, d)
		write(t, dir, "one", "1", true)
		must(t, dir.Sync())
		write(t, dir, "two", "2", true)
		must(t, dir.Rename("one", "three"))
		must(t, dir.Remove("two"))
		names, err := openDir(t, d).Names()
		must(t, err)
		seen[strings.Join(names, " ")] = true
	}
	for _, want := range []string{"one", "one two", "three two", "three"} {
		if !seen[want] {
			t.Errorf("%q never came of it", want)
		}
		delete(seen, want)
	}
	if len(seen) > 0 {
		t.Errorf("these cannot come of it: %v", seen)
	}
}

func TestATornTailKeepsWhatWasSynced(t *testing.T) {
	torn := false
	for seed := range uint64(50) {
		d := sim.NewDisk(seed, 1<<20)
		d.SetFaults(sim.Faults{TearTails: true})
		dir := openDir(t, d)
		write(t, dir, "f", "synced|", true)
		must(t, dir.Sync())
		write(t, dir, "f", "not synced", false)
		got := content(t, openDir(t, d), "f")
		if !strings.HasPrefix(got, "synced|") || len(got) > len("synced|not synced") {
			t.Fatalf("got %q", got)
		}
		torn = torn || len(got) > len("synced|") && !strings.HasPrefix("synced|not synced", got)
	}
	if !torn {
		t.Error("no tail was garbled")
	}
}

func TestADiskFailsAsItIsTold(t *testing.T) {
	d := sim.NewDisk(1, 100)
	dir := openDir(t, d)
	f, err := dir.Append("f")
	must(t, err)
	if _, err := f.Write(make([]byte, 101)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than fits: %v", err)
	}
	d.SetFaults(sim.Faults{WriteError: syscall.EIO})
	if _, err := f.Write([]byte("x")); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write: %v", err)
	}
	d.SetFaults(sim.Faults{SyncError: syscall.EIO})
	_, err = f.Write([]byte("x"))
	must(t, err)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync: %v", err)
	}
	reading, err := dir.Open("f")
	must(t, err)
	if _, err := reading.Write([]byte("x")); err == nil {
		t.Error("a file that is open for reading was written")
	}
}

func TestARaftLogIsDurableWhenItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := sim.NewDisk(1, 1<<20)
		d.SetFaults(sim.Faults{SyncTime: 10 * time.Millisecond})
		disk := d.Mount()
		log, err := disk.Raft("a", true)
		must(t, err)
		began := time.Now()
		must(t, log.StoreLogs([]*raft.Log{{Index: 1}, {Index: 2}}))
		must(t, log.SetUint64([]byte("term"), 7))
		if passed := time.Since(began); passed != 20*time.Millisecond {
			t.Errorf("two syncs took %v", passed)
		}
		answered := make(chan error, 1)
		go func() { answered <- log.StoreLogs([]*raft.Log{{Index: 3}}) }()
		time.Sleep(5 * time.Millisecond)
		d.Crash()
		if err := <-answered; err == nil {
			t.Error("it answered after the crash")
		}
		log, err = d.Mount().Raft("a", false)
		must(t, err)
		last, err := log.LastIndex()
		must(t, err)
		term, err := log.GetUint64([]byte("term"))
		if must(t, err); last != 2 || term != 7 {
			t.Errorf("it came back with entries to %d and term %d, want 2 and 7", last, term)
		}
		if _, err := d.Mount().Raft("b", false); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a log that is not there: %v", err)
		}
	})
}

// TestAForgottenSyncIsSeen is how simulations plant the fault that they must find.
func TestAForgottenSyncIsSeen(t *testing.T) {
	d := sim.NewDisk(1, 1<<20)
	d.SetFaults(sim.Faults{ForgetSyncs: true})
	log, err := d.Mount().Raft("a", true)
	must(t, err)
	must(t, log.StoreLogs([]*raft.Log{{Index: 1}}))
	log, err = d.Mount().Raft("a", true)
	must(t, err)
	if last, err := log.LastIndex(); err != nil || last != 0 {
		t.Errorf("entries to %d, %v", last, err)
	}
}

func TestFilesAreListed(t *testing.T) {
	d := sim.NewDisk(1, 1<<20)
	dir := openDir(t, d)
	write(t, dir, "b", "two", true)
	write(t, dir, "a", "1", true)
	names, err := dir.Names()
	must(t, err)
	if !slices.Equal(names, []string{"a", "b"}) || d.Files("a")["b"] != 3 {
		t.Errorf("names %v, files %v", names, d.Files("a"))
	}
	d.Damage("a/b", 0)
	if got := content(t, dir, "b"); got != "uwo" {
		t.Errorf("a flipped bit makes %q", got)
	}
	d.Remove("a/b")
	d.Wipe()
	if names, err := openDir(t, d).Names(); err != nil || len(names) != 0 {
		t.Errorf("after a wipe: %v, %v", names, err)
	}
}

// TestAHookCrashesAtAStep: just before a sync its file is not durable, just after it is; the process that goes on
// notices nothing, and what it writes is never found.
func TestAHookCrashesAtAStep(t *testing.T) {
	for _, done := range []bool{false, true} {
		d := sim.NewDisk(1, 1<<20)
		dir := openDir(t, d)
		must(t, dir.Sync())
		write(t, dir, "f", "old ", true)
		must(t, dir.Sync())
		var found *sim.Disk
		d.Hook(func(s sim.Step) {
			if s.Do == sim.SyncFile && s.Done == done && strings.HasSuffix(s.Name, "/f") {
				found = d.PowerOff()
			}
		})
		write(t, dir, "f", "new", true)
		write(t, dir, "f", " later", true)
		want := "old "
		if done {
			want = "old new"
		}
		if got := content(t, openDir(t, found), "f"); got != want {
			t.Errorf("crashed when the sync was done=%v: %q, want %q", done, got, want)
		}
		write(t, openDir(t, found), "f", "", true) // the hook moved along, and crashes this one too
	}
}

// TestAChangeThatWasBeingWrittenIsThereWholeOrNot: a crash may come after the disk has it and before it has answered.
func TestAChangeThatWasBeingWrittenIsThereWholeOrNot(t *testing.T) {
	there := map[int]int{}
	for seed := range uint64(20) {
		d := sim.NewDisk(seed, 1<<20)
		d.SetFaults(sim.Faults{TearTails: true})
		log, err := d.Mount().Raft("r", true)
		must(t, err)
		var found *sim.Disk
		d.Hook(func(s sim.Step) {
			if s.Do == sim.Append && !s.Done && found == nil {
				found = d.PowerOff()
			}
		})
		must(t, log.StoreLogs([]*raft.Log{{Index: 1, Type: raft.LogCommand, Data: []byte("x")}, {Index: 2, Type: raft.LogCommand, Data: []byte("y")}}))
		there[len(found.Entries("r"))]++
	}
	if there[0] == 0 || there[2] == 0 || len(there) != 2 {
		t.Errorf("so many entries were there so often: %v", there)
	}
}

func TestADamagedEntryIsReadDamaged(t *testing.T) {
	d := sim.NewDisk(1, 1<<20)
	log, err := d.Mount().Raft("r", true)
	must(t, err)
	must(t, log.StoreLogs([]*raft.Log{{Index: 5, Type: raft.LogCommand, Data: []byte("abc")}, {Index: 6, Type: raft.LogNoop}}))
	if got := d.Entries("r"); !slices.Equal(got, []uint64{5}) {
		t.Errorf("entries with commands: %v", got)
	}
	d.DamageLog("r", 5)
	log, err = d.Mount().Raft("r", false) // after a crash too
	must(t, err)
	var e raft.Log
	must(t, log.GetLog(5, &e))
	if string(e.Data) == "abc" || len(e.Data) != 3 {
		t.Errorf("the entry is %q", e.Data)
	}
}
