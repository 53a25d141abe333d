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
	l := newLoad(b, c)
	b.ResetTimer()
	began, used := time.Now(), cpuTime(b)
	waits := l.run(b.N, size, flying)
	elapsed := time.Since(began)
	used = cpuTime(b) - used
	b.StopTimer()
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "op/s")
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op") // of all three nodes, and of packing the holds
	b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(l.again), "repeats")
	s := l.leader.Status().Shards[l.shard]
	b.ReportMetric(float64(s.Commands)/float64(s.Entries), "op/entry")
}

// BenchmarkHoldsDuringSnapshots compares how long holds take while snapshots are written one after the other, on
// all three nodes, with how long they take otherwise: with a million seats, half of them held.
func BenchmarkHoldsDuringSnapshots(b *testing.B) {
	c := loopback(b, node.Limits{})
	defer c.closeAll()
	l := newLoad(b, c)
	l.run(1_000_000, 1000, 32) // every seat that is wanted is held once, and wanted once in vain
	for _, writing := range []bool{false, true} {
		b.Run(fmt.Sprintf("writing=%v", writing), func(b *testing.B) {
			stop, done := make(chan struct{}), make(chan int)
			go func() {
				for taken := 0; ; taken++ {
					select {
					case <-stop:
						done <- taken
						return
					default:
						if writing {
							if err := c.nodes[taken%3].TakeSnapshot(l.shard); err != nil {
								b.Error(err)
							}
						} else {
							<-stop
							done <- 0
							return
						}
					}
				}
			}()
			waits := l.run(b.N, 1, 256)
			close(stop)
			b.ReportMetric(float64(<-done), "snapshots")
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(waits[len(waits)-1].Microseconds()), "max-µs")
		})
	}
}

// load makes holds of single seats of one event: each seat is wanted by two, one after the other.
type load struct {
	c      *cluster
	event  holdfast.EventID
	shard  holdfast.ShardID
	leader *node.Node
	valid  holdfast.CommandID // the validity of all
	next   uint64
	again  int // batches that had to be repeated
}

const loadSeats = 1_000_000

func newLoad(b *testing.B, c *cluster) *load {
	l := &load{c: c}
	l.event, l.shard = c.event("bench", loadSeats, command.Rules{ManyOpenHolds: true, HoldTTLMs: 3_600_000})
	l.leader = c.nodes[c.awaitLeader(l.shard)]
	l.valid = c.id(l.shard)
	return l
}

// run has so many holds decided, in batches of size, with so many batches under way, and gives how long each took,
// sorted.
func (l *load) run(holds, size, flying int) (waits []time.Duration) {
	done := make(chan *flight, flying)
	submit := func(f *flight) {
		l.leader.Submit(node.Batch{Shard: l.shard, Commands: f.commands, Count: f.count, Done: func(r node.Reply) {
			f.reply = r
			done <- f
		}})
	}
	for sent, answered := 0, 0; answered < holds; {
		for ; sent < holds && sent-answered < size*flying; sent += min(size, holds-sent) {
			f := l.pack(min(size, holds-sent))
			submit(f)
		}
		f := <-done
		if f.reply.Err != nil { // whatever it was: the ids are the same
			l.again++
			l.leader = l.c.nodes[l.c.awaitLeader(l.shard)]
			submit(f)
			continue
		}
		waits = append(waits, time.Since(f.start))
		answered += f.count
	}
	slices.Sort(waits)
	return waits
}

func (l *load) pack(count int) *flight {
	f := &flight{count: count, start: time.Now(), commands: make([]byte, 0, count*64)}
	for range count {
		l.next++
		h := command.Hold{Wants: []command.Want{{Kind: command.WantSeats, Count: 1, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(l.next / 2 % loadSeats)}}}}
		h.ID, h.Event = l.valid, l.event
		binary.LittleEndian.PutUint64(h.ID[8:], l.next)
		binary.LittleEndian.PutUint64(h.Buyer[:], l.next)
		f.commands = h.Append(f.commands)
	}
	return f
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
