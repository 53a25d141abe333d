package client_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What a claim costs on its way through the client, gRPC, loopback TCP and a shard that is not replicated: what is
// left of the budget is for replication. Each operation holds a place of a floor that never runs out, or releases it.
//
//	go test ./client -run '^$' -bench . -benchtime 3s

func floor(b *testing.B) (*clienttest.Cluster, client.EventRef) {
	cluster := clienttest.New(b, clienttest.Config{Loopback: true})
	spec := hall("evening", 10, 200_000)
	spec.Rules.ManyOpenHolds = true
	event := cluster.LoadEvent(spec)
	stop := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { // or outcomes would never be forgotten
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				cluster.Advance(holdfast.StepMax)
			}
		}
	})
	b.Cleanup(func() { close(stop); clock.Wait() })
	return cluster, event
}

func buyer(n uint64) (id holdfast.BuyerID) {
	binary.LittleEndian.PutUint64(id[:], n)
	return id
}

func BenchmarkSingleCallers(b *testing.B) {
	for _, callers := range []int{1, 256, 4096} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			cluster, event := floor(b)
			c := cluster.Client()
			wants := []command.Want{{Kind: command.WantGeneral, Section: 1, Count: 1}}
			var next atomic.Uint64
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range callers {
				all.Go(func() {
					for {
						n := next.Add(2)
						if n > uint64(b.N)+1 {
							return
						}
						h, err := c.Hold(b.Context(), client.HoldRequest{Event: event, Buyer: buyer(n), Wants: wants})
						if err == nil {
							err = c.Release(b.Context(), client.HoldRef{Event: event, Buyer: buyer(n), Hold: h.ID})
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}

func BenchmarkBatches(b *testing.B) {
	for _, size := range []int{128, 1024, 4096} {
		b.Run(fmt.Sprintf("commands=%d", size), func(b *testing.B) {
			cluster, event := floor(b)
			c := cluster.Client()
			var next atomic.Uint64
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range 4 {
				all.Go(func() {
					holds, releases := make([]command.Hold, size), make([]command.Release, size)
					takes, gives := make([]command.Command, size), make([]command.Command, size)
					var results []client.Result
					wants := []command.Want{{Kind: command.WantGeneral, Section: 1, Count: 1}}
					for next.Add(uint64(2*size)) <= uint64(b.N+2*size) {
						for i := range holds {
							holds[i] = command.Hold{Buyer: buyer(uint64(i)), Wants: wants}
							takes[i] = &holds[i]
						}
						var err error
						if results, err = c.Do(b.Context(), event, takes, results); err != nil {
							b.Error(err)
							return
						}
						for i := range releases {
							releases[i] = command.Release{Buyer: buyer(uint64(i)), Hold: results[i].Hold}
							gives[i] = &releases[i]
						}
						if results, err = c.Do(b.Context(), event, gives, results); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}
