package node_test

import (
	"log/slog"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// BenchmarkArchive is what archiving costs Apply, for an entry of 1,000 commands of 64 bytes.
func BenchmarkArchive(b *testing.B) {
	disk, err := node.OpenFolder(b.TempDir())
	must(b, err)
	dir, err := disk.Dir("archive")
	must(b, err)
	a, err := node.OpenArchive(dir, 1, 1, node.ArchiveLimits{TotalBytes: 1 << 30})
	must(b, err)
	entry := make([]byte, 64_000)
	b.SetBytes(int64(len(entry)))
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		must(b, a.Append(i, 1, entry))
	}
	closeAll(b, a, disk)
}

// BenchmarkLog is an append of one entry to a real log, synced.
func BenchmarkLog(b *testing.B) {
	for _, commands := range []int{1, 1000} {
		b.Run(map[int]string{1: "64B", 1000: "64kB"}[commands], func(b *testing.B) {
			disk, err := node.OpenFolder(b.TempDir())
			must(b, err)
			s, err := node.OpenStorage(node.StorageConfig{Disk: disk, Name: "n1", Shards: 1, Headroom: 1 << 20, Log: slog.New(slog.DiscardHandler)})
			must(b, err)
			one := stores(b, s, 1)
			data := append(command.BeginEntry(nil), make([]byte, 64*commands)...)
			data = command.FinishEntry(data, 0, 0, 0)
			before := one.Syncs()
			for i := uint64(1); b.Loop(); i++ {
				must(b, one.Log.StoreLogs([]*raft.Log{{Index: i, Term: 1, Data: data}}))
			}
			b.ReportMetric(float64(one.Syncs()-before)/float64(b.N), "syncs/op")
			closeAll(b, one, s)
		})
	}
}
