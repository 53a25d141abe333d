package node_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// computer is a disk that outlives processes, real or simulated.
type computer struct {
	mount  func(t testing.TB) node.Disk
	remove func(t testing.TB, name string) // a file of it, or the Raft log of a folder
}

func realComputer(t testing.TB) computer {
	dir := t.TempDir()
	return computer{
		mount: func(t testing.TB) node.Disk {
			disk, err := node.OpenFolder(dir)
			must(t, err)
			return disk
		},
		remove: func(t testing.TB, name string) {
			path := filepath.Join(dir, name)
			if st, err := os.Stat(path); err == nil && st.IsDir() {
				path = filepath.Join(path, "raft.db")
			}
			must(t, os.Remove(path))
		},
	}
}

func simComputer(testing.TB) computer {
	disk := sim.NewDisk(1, 1<<32)
	return computer{
		mount:  func(testing.TB) node.Disk { return disk.Mount() },
		remove: func(_ testing.TB, name string) { disk.Remove(name) },
	}
}

// eachComputer runs a test on both.
func eachComputer(t *testing.T, test func(t *testing.T, c computer)) {
	t.Run("folder", func(t *testing.T) { test(t, realComputer(t)) })
	t.Run("memory", func(t *testing.T) { test(t, simComputer(t)) })
}

// open starts a process on the computer. The test fails if the disk gives rise to doubt.
func (c computer) open(t testing.TB, name string) *node.Storage {
	t.Helper()
	s, err := c.tryOpen(t, name)
	must(t, err)
	return s
}

func (c computer) tryOpen(t testing.TB, name string) (*node.Storage, error) {
	disk := c.mount(t)
	s, err := node.OpenStorage(node.StorageConfig{
		Disk: disk, Name: name, Shards: 2, Headroom: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Errorf("the node would have stopped: %v", err) },
	})
	if err != nil {
		must(t, disk.Close())
	}
	return s, err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry is a valid log entry without commands.
func entry(index, term uint64) *raft.Log {
	return &raft.Log{Index: index, Term: term, Data: command.FinishEntry(command.BeginEntry(nil), 0, int64(index), 0)}
}

func entries(first, last uint64) (out []*raft.Log) {
	for i := first; i <= last; i++ {
		out = append(out, entry(i, 1))
	}
	return out
}

func stores(t testing.TB, s *node.Storage, shard holdfast.ShardID) *node.Stores {
	t.Helper()
	out, err := s.Stores(shard)
	must(t, err)
	return out
}

func closeAll(t testing.TB, closers ...interface{ Close() error }) {
	t.Helper()
	for _, c := range closers {
		must(t, c.Close())
	}
}

func TestANodeKeepsItsIdentity(t *testing.T) {
	eachComputer(t, func(t *testing.T, c computer) {
		s := c.open(t, "n1")
		first := s.Identity()
		if !strings.HasPrefix(first.ID, "n1-") || len(first.ID) != len("n1-00000000") {
			t.Fatalf("id %q", first.ID)
		}
		must(t, s.Save(func(id *node.Identity) {
			id.Cluster, id.Founders = "hf-1", []node.Member{{ID: first.ID, Address: "n1:1"}}
		}))
		saved := s.Identity()
		closeAll(t, s)

		s = c.open(t, "n1")
		if got := s.Identity(); fmt.Sprint(got) != fmt.Sprint(saved) {
			t.Errorf("it was %v and is %v", saved, got)
		}
		closeAll(t, s)
		if _, err := c.tryOpen(t, "n2"); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("another name on the same data: %v", err)
		}
	})
}

func TestADiskMadeAnewIsAnotherNode(t *testing.T) {
	eachComputer(t, func(t *testing.T, c computer) {
		s := c.open(t, "n1")
		first := s.Identity().ID
		closeAll(t, s)
		c.remove(t, "node.json")
		s = c.open(t, "n1")
		if s.Identity().ID == first {
			t.Error("it has the id of the one before")
		}
		closeAll(t, s)
	})
}

// TestAStoreIsTheOneThatTheNodeHad: a voter that lost its log must not vote, so every way of losing it is noticed.
func TestAStoreIsTheOneThatTheNodeHad(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, c computer){
		"its log is removed": func(t *testing.T, c computer) { c.remove(t, "shard-1") },
		"its identity is removed, so that it takes itself for new": func(t *testing.T, c computer) {
			c.remove(t, "node.json")
		},
		"its log is replaced by an empty one": func(t *testing.T, c computer) {
			c.remove(t, "shard-1")
			disk := c.mount(t)
			log, err := disk.Raft("shard-1", true)
			must(t, err)
			closeAll(t, log, disk)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachComputer(t, func(t *testing.T, c computer) {
				s := c.open(t, "n1")
				one := stores(t, s, 1)
				must(t, one.Log.StoreLogs(entries(1, 3)))
				closeAll(t, one, s)
				lose(t, c)
				s = c.open(t, "n1")
				if _, err := s.Stores(1); err == nil {
					t.Error("the store was opened all the same")
				}
				closeAll(t, s)
			})
		})
	}
}

func TestAnInterruptedFirstStartGoesOn(t *testing.T) {
	eachComputer(t, func(t *testing.T, c computer) {
		s := c.open(t, "n1")
		closeAll(t, s)
		disk := c.mount(t) // a store was made, and the crash came before it was listed
		log, err := disk.Raft("shard-1", true)
		must(t, err)
		closeAll(t, log, disk)
		s = c.open(t, "n1")
		closeAll(t, stores(t, s, 1), s)
	})
}

func TestTheLogComesBack(t *testing.T) {
	eachComputer(t, func(t *testing.T, c computer) {
		s := c.open(t, "n1")
		one := stores(t, s, 1)
		must(t, one.Log.StoreLogs(entries(1, 300)))
		must(t, one.Log.DeleteRange(1, 200))
		must(t, one.Log.DeleteRange(291, 300))
		check := func(s *node.Stores) {
			t.Helper()
			first, err := s.Log.FirstIndex()
			must(t, err)
			last, err := s.Log.LastIndex()
			must(t, err)
			if first != 201 || last != 290 {
				t.Errorf("it has %d to %d, want 201 to 290", first, last)
			}
			var e raft.Log
			for i := first; i <= last; i++ {
				if must(t, s.Log.GetLog(i, &e)); e.Index != i || string(e.Data) != string(entry(i, 1).Data) {
					t.Fatalf("entry %d is %v", i, e)
				}
			}
			if err := s.Log.GetLog(last+1, &e); !errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("an entry that was removed: %v", err)
			}
		}
		check(one)
		closeAll(t, one, s)
		s = c.open(t, "n1")
		one = stores(t, s, 1)
		check(one)
		closeAll(t, one, s)
	})
}

func TestSyncsAreCounted(t *testing.T) {
	for _, c := range []struct {
		computer
		perChange uint64
	}{{realComputer(t), 2}, {simComputer(t), 1}} {
		s := c.open(t, "n1")
		one := stores(t, s, 1)
		before := one.Syncs()
		must(t, one.Log.StoreLogs(entries(1, 300)))
		must(t, one.Stable.SetUint64([]byte("CurrentTerm"), 7))
		if got := one.Syncs() - before; got != 2*c.perChange {
			t.Errorf("%d syncs, want %d", got, 2*c.perChange)
		}
		closeAll(t, one, s)
	}
}

func TestAFolderHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	first, err := node.OpenFolder(dir)
	must(t, err)
	if second, err := node.OpenFolder(dir); err == nil {
		second.Close()
		t.Error("two processes have it open")
	}
	closeAll(t, first)
	again, err := node.OpenFolder(dir)
	must(t, err)
	closeAll(t, again)
}

func TestADamagedLogFileIsAClearError(t *testing.T) {
	dir := t.TempDir()
	c := computer{mount: func(t testing.TB) node.Disk {
		disk, err := node.OpenFolder(dir)
		must(t, err)
		return disk
	}}
	s := c.open(t, "n1")
	one := stores(t, s, 1)
	must(t, one.Log.StoreLogs(entries(1, 2000)))
	closeAll(t, one, s)
	path := filepath.Join(dir, "shard-1", "raft.db")
	data, err := os.ReadFile(path)
	must(t, err)
	for at := 4096 * 2; at < len(data); at++ { // all but the two meta pages
		data[at] = 0xA5
	}
	must(t, os.WriteFile(path, data, 0o600))
	s = c.open(t, "n1")
	if _, err := s.Stores(1); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	closeAll(t, s)
}

func TestNamesOfFilesThatOperatorsRead(t *testing.T) {
	dir := t.TempDir()
	disk, err := node.OpenFolder(dir)
	must(t, err)
	s, err := node.OpenStorage(node.StorageConfig{Disk: disk, Name: "n1", Shards: 2, Headroom: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	closeAll(t, stores(t, s, 0), s)
	var got []string
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		got = append(got, rel)
		return err
	}))
	want := []string{".", "ballast", "lock", "node.json", "shard-0", "shard-0/archive", "shard-0/raft.db", "shard-0/snapshots"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
