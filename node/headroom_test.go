package node_test

import (
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
)

// TestAFullDiskRefusesHoldsBeforeItStopsRaft: on the way to the wall the node is low first, then the ballast is given
// back, and only then nothing can be written.
func TestAFullDiskRefusesHoldsBeforeItStopsRaft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const headroom = 40 << 20
		disk := sim.NewDisk(1, 100<<20)
		s, err := node.OpenStorage(node.StorageConfig{
			Disk: disk.Mount(), Name: "n1", Shards: 1, Headroom: headroom, Log: slog.New(slog.DiscardHandler), Fatal: func(error) {},
		})
		must(t, err)
		one := stores(t, s, 1)
		expect := func(low bool, free uint64) {
			t.Helper()
			time.Sleep(2300 * time.Millisecond) // twice it looks, and not at this very instant
			if s.Low() != low || s.Free()>>20 != free {
				t.Errorf("low is %v with %d MiB free, want %v with %d", s.Low(), s.Free()>>20, low, free)
			}
		}
		expect(false, 89) // 10 are the ballast
		disk.Fill(50 << 20)
		expect(false, 50)
		disk.Fill(39 << 20)
		expect(true, 39)
		disk.Fill(45 << 20) // not so much more that it would not be low again at once
		expect(true, 45)
		disk.Fill(51 << 20)
		expect(false, 51)
		disk.Fill(4 << 20)
		expect(true, 14) // the ballast is there now
		must(t, one.Log.StoreLogs(entries(1, 3)))
		must(t, one.Stable.SetUint64([]byte("CurrentTerm"), 2))
		disk.Fill(80 << 20)
		expect(false, 70) // and is set aside again

		disk.Fill(0)
		if err := one.Log.StoreLogs(entries(4, 5)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a full disk: %v", err)
		}
		if err := s.Failed(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the node goes on: %v", err)
		}
		one.Close() // cannot write what is pending
		s.Close()
	})
}

// TestTheBallastOfAFullDiskIsFoundAtTheStart: the process ended at the wall, and must be able to save its term when
// it starts.
func TestTheBallastOfAFullDiskIsFoundAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := sim.NewDisk(1, 1<<30)
		open := func() *node.Storage {
			s, err := node.OpenStorage(node.StorageConfig{
				Disk: disk.Mount(), Name: "n1", Shards: 1, Headroom: 40 << 20, Log: slog.New(slog.DiscardHandler), Fatal: func(error) {},
			})
			must(t, err)
			return s
		}
		s := open()
		closeAll(t, stores(t, s, 1), s)
		disk.Fill(0)
		s = open()
		one := stores(t, s, 1)
		must(t, one.Stable.SetUint64([]byte("CurrentTerm"), 2))
		if !s.Low() {
			t.Error("it is not low")
		}
		closeAll(t, one, s)
	})
}

func TestTheBallastOfAFolderTakesRoom(t *testing.T) {
	disk, err := node.OpenFolder(t.TempDir())
	must(t, err)
	before, err := disk.Free()
	must(t, err)
	must(t, disk.Reserve(64<<20))
	must(t, disk.Reserve(64<<20)) // it is there already
	after, err := disk.Free()
	must(t, err)
	if taken := int64(before) - int64(after); taken < 32<<20 { // others use the disk too
		t.Errorf("it takes %d bytes", taken)
	}
	must(t, disk.Reserve(0))
	must(t, disk.Reserve(0))
	closeAll(t, disk)
}
