package node_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
)

// BenchmarkHolds pushes batches of holds through three nodes on loopback, each with its own folder and synced disk,
// in this one process. An operation is one hold of one seat; every seat is wanted twice.
func BenchmarkHolds(b *testing.B) {
	for _, load := range []struct{ size, flying int }{{1, 1}, {1, 256}, {1, 4096}, {100, 64}, {1000, 32}} {
		b.Run(fmt.Sprintf("batch=%d/flying=%d", load.size, load.flying), func(b *testing.B) {
			benchHolds(b, load.size, load.flying, node.Limits{})
		})
	}
}

// BenchmarkDepth tries how many entries should be under way, and how large they should be.
func BenchmarkDepth(b *testing.B) {
	for _, depth := range []int{1, 2, 3, 4} {
		for _, kib := range []int{64, 128, 256, 512, 1024} {
			b.Run(fmt.Sprintf("depth=%d/kib=%d", depth, kib), func(b *testing.B) {
				benchHolds(b, 1000, 64, node.Limits{Depth: depth, Bytes: kib << 10, Commands: 16 << 10})
			})
		}
	}
}

// flight is one batch until it is decided.
type flight struct {
	commands []byte
	count    int
	start    time.Time
	reply    node.Reply
}

func benchHolds(b *testing.B, size, flying int, limits node.Limits) {
	c := loopback(b, limits)
	defer c.closeAll()
	const seats = 1_000_000
	event, shard := c.event("bench", seats, command.Rules{ManyOpenHolds: true, HoldTTLMs: 3_600_000})
	leader := c.nodes[c.awaitLeader(shard)]
	validUntil := c.id(shard)
	done := make(chan *flight, flying)
	submit := func(f *flight) {
		leader.Submit(node.Batch{Shard: shard, Commands: f.commands, Count: f.count, Done: func(r node.Reply) {
			f.reply = r
			done <- f
		}})
	}
	var waits []time.Duration
	sent, answered, again, next := 0, 0, 0, uint64(0)
	b.ResetTimer()
	began, used := time.Now(), cpuTime(b)
	for answered < b.N {
		for ; sent < b.N && sent-answered < size*flying; sent += min(size, b.N-sent) {
			f := &flight{count: min(size, b.N-sent), start: time.Now(), commands: make([]byte, 0, size*64)}
			for range f.count {
				next++
				h := command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Count: 1, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(next / 2 % seats)}}}}
				h.ID, h.Event = validUntil, event
				binary.LittleEndian.PutUint64(h.ID[8:], next)
				binary.LittleEndian.PutUint64(h.Buyer[:], next)
				f.commands = h.Append(f.commands)
			}
			submit(f)
		}
		f := <-done
		if f.reply.Err != nil { // whatever it was: the ids are the same
			again++
			leader = c.nodes[c.awaitLeader(shard)]
			submit(f)
			continue
		}
		waits = append(waits, time.Since(f.start))
		answered += f.count
	}
	elapsed := time.Since(began)
	used = cpuTime(b) - used
	b.StopTimer()
	slices.Sort(waits)
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "op/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op") // of all three nodes, and of packing the holds
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(again), "repeats")
	s := leader.Status().Shards[shard]
	b.ReportMetric(float64(s.Commands)/float64(s.Entries), "op/entry")
}

// cpuTime is what this process has used of all cores: it says more than the time that passes when others use them too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loopback is a cluster on real addresses and real disks.
func loopback(t testing.TB, limits node.Limits) *cluster {
	c := newNodes(t, 3, node.Config{})
	c.config.Peers = nil
	for range c.nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.config.Peers = append(c.config.Peers, l.Addr().String())
		l.Close()
	}
	for i := range c.nodes {
		cfg := c.config
		cfg.Name, cfg.Dir = fmt.Sprintf("n%d", i+1), t.TempDir()
		cfg.RaftAddress, cfg.ClientAddress = cfg.Peers[i], cfg.Peers[i]
		n, err := node.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		n.SetLimits(limits)
		if err := n.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.nodes[i] = n
	}
	c.awaitReady()
	return c
}
