package node_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// leave closes at the end what a crash, or a failure, has left behind; it may have no way to close well.
func leave[C io.Closer](t interface{ Cleanup(func()) }, c C) C {
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// doubt is a storage on a disk that is expected to give rise to doubt; what stopped it comes out of stopped.
func doubt(t testing.TB, disk node.Disk) (s *node.Storage, stopped chan error) {
	t.Helper()
	stopped = make(chan error, 2)
	s, err := node.OpenStorage(node.StorageConfig{
		Disk: disk, Name: "n1", Shards: 1, Headroom: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { stopped <- err },
	})
	must(t, err)
	return leave(t, s), stopped
}

// TestTheFirstErrorIsFinal: the second sync after a failed one is answered with success by Linux, which has dropped
// what was to be synced.
func TestTheFirstErrorIsFinal(t *testing.T) {
	disk := sim.NewDisk(1, 1<<32)
	s, stopped := doubt(t, disk.Mount())
	one := leave(t, stores(t, s, 1))
	must(t, one.Log.StoreLogs(entries(1, 3)))

	disk.SetFaults(sim.Faults{SyncError: syscall.EIO})
	if err := one.Log.StoreLogs(entries(4, 5)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	disk.SetFaults(sim.Faults{})
	var e raft.Log
	for name, try := range map[string]func() error{
		"append":         func() error { return one.Log.StoreLogs(entries(4, 5)) },
		"read":           func() error { _, err := one.Log.FirstIndex(); return err },
		"truncate":       func() error { return one.Log.DeleteRange(1, 2) },
		"save the term":  func() error { return one.Stable.SetUint64([]byte("CurrentTerm"), 3) },
		"read the term":  func() error { _, err := one.Stable.GetUint64([]byte("CurrentTerm")); return err },
		"vote":           func() error { return one.Stable.SetUint64([]byte("LastVoteTerm"), 3) },
		"write a file":   func() error { _, err := one.Snapshots.Create(1, 1, 1, raft.Configuration{}, 1, nil); return err },
		"save who it is": func() error { return s.Save(func(*node.Identity) {}) },
	} {
		if err := try(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want the first error", name, err)
		}
	}
	if err := one.Log.(interface{ Uncached() raft.LogStore }).Uncached().GetLog(1, &e); err != nil {
		t.Errorf("what is there cannot be read: %v", err) // the library would panic
	}
	if err := <-stopped; !errors.Is(err, syscall.EIO) {
		t.Errorf("stopped by %v", err)
	}
	select {
	case err := <-stopped:
		t.Errorf("stopped again, by %v", err)
	default:
	}
}

// TestAVoteIsSavedWhole is hashicorp/raft#661: the library saves a vote in two steps, and a crash may come between.
func TestAVoteIsSavedWhole(t *testing.T) {
	disk := sim.NewDisk(1, 1<<32)
	vote := func(s raft.StableStore) (uint64, string) {
		term, err := s.GetUint64([]byte("LastVoteTerm"))
		if err != nil && !node.IsNotFound(err) {
			t.Fatal(err)
		}
		candidate, err := s.Get([]byte("LastVoteCand"))
		if err != nil && err.Error() != "not found" { // the library asks by this text
			t.Fatal(err)
		}
		return term, string(candidate)
	}
	s, _ := doubt(t, disk.Mount())
	stable := leave(t, stores(t, s, 1)).Stable
	if term, candidate := vote(stable); term != 0 || candidate != "" {
		t.Errorf("before any vote: %d %q", term, candidate)
	}
	must(t, stable.SetUint64([]byte("LastVoteTerm"), 5))
	must(t, stable.Set([]byte("LastVoteCand"), []byte("a:1")))
	must(t, stable.SetUint64([]byte("LastVoteTerm"), 6))

	s, _ = doubt(t, disk.Mount())
	stable = leave(t, stores(t, s, 1)).Stable
	if term, candidate := vote(stable); term != 5 || candidate != "a:1" {
		t.Errorf("after the crash it has voted in term %d for %q, want 5 for a:1", term, candidate)
	}
	must(t, stable.SetUint64([]byte("LastVoteTerm"), 6))
	must(t, stable.Set([]byte("LastVoteCand"), []byte("b:1")))
	if term, candidate := vote(stable); term != 6 || candidate != "b:1" {
		t.Errorf("it has voted in term %d for %q, want 6 for b:1", term, candidate)
	}
	if err := stable.Set([]byte("LastVoteCand"), []byte("c:1")); err == nil {
		t.Error("a candidate without a term was saved")
	}
}

// breakable fails all changes to its Raft logs after some.
type breakable struct {
	node.Disk
	left int
}

func (d *breakable) Raft(name string, create bool) (node.RaftStore, error) {
	s, err := d.Disk.Raft(name, create)
	return breakableStore{s, d}, err
}

type breakableStore struct {
	node.RaftStore
	disk *breakable
}

func (s breakableStore) DeleteRange(first, last uint64) error {
	if s.disk.left--; s.disk.left < 0 {
		return errors.New("the power is gone")
	}
	return s.RaftStore.DeleteRange(first, last)
}

// TestACrashInATruncationLeavesNoHole: the library reads every entry between the first and the last when it starts,
// and panics at one that is missing.
func TestACrashInATruncationLeavesNoHole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.Uint64Range(1, 500).Draw(t, "last")
		from := rapid.Uint64Range(1, last).Draw(t, "from")
		to := last
		if rapid.Bool().Draw(t, "head") {
			from, to = 1, rapid.Uint64Range(1, last).Draw(t, "to")
		}
		disk := sim.NewDisk(1, 1<<32)
		broken := &breakable{disk.Mount(), rapid.IntRange(0, 8).Draw(t, "steps")}
		open := func(disk node.Disk) *node.Stores {
			s, err := node.OpenStorage(node.StorageConfig{Disk: disk, Name: "n1", Shards: 1, Log: slog.New(slog.DiscardHandler), Fatal: func(error) {}})
			if err != nil {
				t.Fatal(err)
			}
			out, err := leave(t, s).Stores(1)
			if err != nil {
				t.Fatal(err)
			}
			return leave(t, out)
		}
		log := open(broken).Log
		if err := log.StoreLogs(entries(1, last)); err != nil {
			t.Fatal(err)
		}
		done := log.DeleteRange(from, to) == nil

		log = open(disk.Mount()).Log
		first, _ := log.FirstIndex()
		end, _ := log.LastIndex()
		if done && (first == from || end == to) && first != 0 {
			t.Errorf("%d to %d were removed, and %d to %d are there", from, to, first, end)
		}
		var e raft.Log
		for i := first; i <= end && i > 0; i++ {
			if err := log.GetLog(i, &e); err != nil {
				t.Fatalf("entry %d of %d to %d: %v", i, first, end, err)
			}
		}
	})
}

func TestADamagedEntryStopsTheNodeThatHasIt(t *testing.T) {
	disk := sim.NewDisk(1, 1<<32)
	s, stopped := doubt(t, disk.Mount())
	bad := entry(2, 1)
	bad.Data[5] ^= 1
	must(t, leave(t, stores(t, s, 1)).Log.StoreLogs([]*raft.Log{entry(1, 1), bad}))

	s, stopped = doubt(t, disk.Mount())
	log := leave(t, stores(t, s, 1)).Log
	var e raft.Log
	must(t, log.GetLog(1, &e))
	if err := log.GetLog(2, &e); err == nil || !strings.Contains(err.Error(), "entry 2") {
		t.Errorf("got %v", err)
	}
	if err := <-stopped; err == nil {
		t.Error("the node goes on")
	}
}

// TestTheCacheIsTheLog compares what is read through the cache with the store below, after anything.
func TestTheCacheIsTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plain := raft.NewInmemStore()
		cached := node.NewLogCache(plain)
		last := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				n := rapid.Uint64Range(1, 5).Draw(t, "n")
				batch := entries(last+1, last+n)
				for _, e := range batch {
					e.Data = make([]byte, rapid.IntRange(1, 4<<20).Draw(t, "bytes"))
				}
				if err := cached.StoreLogs(batch); err != nil {
					t.Fatal(err)
				}
				last += n
			case 2: // a new leader overwrites the tail
				if last > 0 {
					from := rapid.Uint64Range(1, last).Draw(t, "from")
					if err := cached.DeleteRange(from, last); err != nil {
						t.Fatal(err)
					}
					last = from - 1
				}
			case 3:
				if last > 0 {
					cached.DeleteRange(1, rapid.Uint64Range(1, last).Draw(t, "to"))
				}
			}
			if n := cached.CachedBytes(); n > 16<<20 {
				t.Fatalf("%d bytes are kept", n)
			}
			for i := uint64(1); i <= last+1; i++ {
				var a, b raft.Log
				if errA, errB := cached.GetLog(i, &a), plain.GetLog(i, &b); !errors.Is(errA, errB) || a.Index != b.Index || len(a.Data) != len(b.Data) {
					t.Fatalf("entry %d: %v %v, below %v %v", i, a.Index, errA, b.Index, errB)
				}
			}
		}
	})
}

func TestSnapshotsComeBack(t *testing.T) {
	eachComputer(t, func(t *testing.T, c computer) {
		s := c.open(t, "n1")
		one := stores(t, s, 1)
		configuration := raft.Configuration{Servers: []raft.Server{{ID: "n1-1", Address: "n1:1"}}}
		state := strings.Repeat("state ", 2<<20) // more than is written between two syncs
		for index := uint64(10); index <= 40; index += 10 {
			sink, err := one.Snapshots.Create(1, index, 2, configuration, 7, nil)
			must(t, err)
			fmt.Fprintf(sink, "%d %s", index, state)
			if index == 30 {
				must(t, sink.Cancel())
			}
			must(t, sink.Close())
		}
		abandoned, err := one.Snapshots.Create(1, 50, 2, configuration, 7, nil) // the crash comes while it is written
		must(t, err)
		fmt.Fprint(abandoned, "half")
		closeAll(t, one, s)

		s = c.open(t, "n1")
		one = stores(t, s, 1)
		list, err := one.Snapshots.List()
		must(t, err)
		var got []uint64
		for _, meta := range list {
			got = append(got, meta.Index)
		}
		if !slices.Equal(got, []uint64{40, 20}) {
			t.Fatalf("there are %v, want 40 and 20: the newest two that were finished", got)
		}
		meta, body, err := one.Snapshots.Open(list[0].ID)
		must(t, err)
		content, err := io.ReadAll(body)
		must(t, err)
		must(t, body.Close())
		if string(content) != "40 "+state || meta.Size != int64(len(content)) {
			t.Errorf("%d bytes came back, and the size is said to be %d", len(content), meta.Size)
		}
		if fmt.Sprint(meta.Configuration) != fmt.Sprint(configuration) || meta.Term != 2 || meta.ConfigurationIndex != 7 || meta.Version != 1 {
			t.Errorf("the header came back as %+v", meta)
		}
		closeAll(t, one, s)
	})
}

func TestADamagedSnapshotIsNotRestored(t *testing.T) {
	disk := sim.NewDisk(1, 1<<32)
	s, _ := doubt(t, disk.Mount())
	one := leave(t, stores(t, s, 1))
	sink, err := one.Snapshots.Create(1, 10, 2, raft.Configuration{}, 7, nil)
	must(t, err)
	fmt.Fprint(sink, strings.Repeat("state ", 1000))
	must(t, sink.Close())
	disk.Damage("shard-1/snapshots/"+sink.ID()+".snap", 3000)
	if _, _, err := one.Snapshots.Open(sink.ID()); err == nil {
		t.Error("it was opened")
	}
}

func TestASnapshotThatWasAnsweredSurvives(t *testing.T) {
	disk := sim.NewDisk(3, 1<<32)
	disk.SetFaults(sim.Faults{TearTails: true})
	s, _ := doubt(t, disk.Mount())
	one := leave(t, stores(t, s, 1))
	sink, err := one.Snapshots.Create(1, 10, 2, raft.Configuration{}, 7, nil)
	must(t, err)
	fmt.Fprint(sink, strings.Repeat("state ", 1000))
	must(t, sink.Close())
	s, _ = doubt(t, disk.Mount())
	list, err := leave(t, stores(t, s, 1)).Snapshots.List()
	if must(t, err); len(list) != 1 {
		t.Errorf("%d snapshots came back, want 1", len(list))
	}
}
