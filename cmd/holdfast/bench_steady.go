package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// The load of bench snapshots, and who looks when the members are at snapshots.

const (
	// lookEvery is how often a member is asked how it is: often enough for windows that last tens of milliseconds.
	lookEvery = 10 * time.Millisecond

	fillCallers = 4
	fillBatch   = 4000

	// fillTTLMs keeps what is held, held until the end of any run.
	fillTTLMs = 6 * 3_600_000
)

// steadyLoad is seats that stay held, and callers that hold and release others at a pace.
type steadyLoad struct {
	snapshotFlags
	client *client.Client
	event  client.EventRef
	seats  []uint32 // shuffled; the first ones are held

	mu         sync.Mutex
	samples    []sample
	errors     int
	firstError error
}

// sample is one hold that was acknowledged.
type sample struct{ from, to time.Time }

// fill puts the event on sale and holds what is to be held.
func (s *steadyLoad) fill(ctx context.Context) error {
	spec := benchSpec(1, s.snapshotFlags.seats)
	spec.Rules.HoldTTLMs = fillTTLMs
	applied, err := s.client.ApplyEvent(ctx, spec)
	if err != nil {
		return err
	}
	s.event = applied.EventRef
	if err := s.client.OpenSale(ctx, s.event); err != nil {
		return err
	}
	s.seats = make([]uint32, s.snapshotFlags.seats)
	for i := range s.seats {
		s.seats[i] = uint32(i)
	}
	rng := rand.New(rand.NewPCG(s.seed, 1))
	rng.Shuffle(len(s.seats), func(i, j int) { s.seats[i], s.seats[j] = s.seats[j], s.seats[i] })
	batches := make(chan []uint32) // closed when all are handed out
	failed := make([]error, fillCallers)
	var wg sync.WaitGroup
	for i := range failed {
		wg.Go(func() {
			for seats := range batches {
				failed[i] = errors.Join(failed[i], s.hold(ctx, seats))
			}
		})
	}
	for seats := range slices.Chunk(s.seats[:s.holds], fillBatch) {
		batches <- seats
	}
	close(batches)
	wg.Wait()
	return errors.Join(failed...)
}

// hold holds seats in one batch, each for a buyer of its own.
func (s *steadyLoad) hold(ctx context.Context, seats []uint32) error {
	commands := make([]command.Command, len(seats))
	for i, seat := range seats {
		commands[i] = &command.Hold{Buyer: benchBuyer(seat + 1), Wants: seatWant(seat)}
	}
	results, err := s.client.Do(ctx, s.event, commands, nil)
	if err != nil {
		return err
	}
	for i := range results {
		if o := results[i].Outcome; o != holdfast.OK {
			return o
		}
	}
	return nil
}

func seatWant(seat uint32) []command.Want {
	return []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{holdfast.SeatIndex(seat)}}}
}

// run lets the callers hold and release until the time is over.
func (s *steadyLoad) run(ctx context.Context) {
	began := time.Now()
	free := s.seats[s.holds:]
	share := len(free) / s.callers
	var wg sync.WaitGroup
	for i := range s.callers {
		first := began.Add(time.Duration(i) * s.pace / time.Duration(s.callers)) // spread evenly
		wg.Go(func() { s.call(ctx, free[i*share:(i+1)*share], first, began.Add(s.duration)) })
	}
	wg.Wait()
}

// call is one caller: it takes one of its seats after the other. When it was held up beyond the time at which it was
// to begin, the wait counts from then: a stall must not hide those who would have come meanwhile.
func (s *steadyLoad) call(ctx context.Context, seats []uint32, due, end time.Time) {
	var samples []sample
	var errs []error
	for i := 0; due.Before(end) && ctx.Err() == nil; i++ {
		from := due
		if early := time.Until(due); early > 0 {
			if !pause(ctx, early) {
				break
			}
			from = time.Now() // a timer that is late is not the cluster's fault
		}
		due = due.Add(s.pace)
		seat := seats[i%len(seats)]
		held, err := s.client.Hold(ctx, client.HoldRequest{Event: s.event, Buyer: benchBuyer(seat + 1), Wants: seatWant(seat)})
		if err == nil {
			samples = append(samples, sample{from, time.Now()})
			err = s.client.Release(ctx, client.HoldRef{Event: s.event, Buyer: held.Buyer, Hold: held.ID})
		}
		if err != nil && ctx.Err() == nil {
			errs = append(errs, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, samples...)
	if s.errors += len(errs); s.firstError == nil && len(errs) > 0 {
		s.firstError = errs[0]
	}
}

// report compares the holds that were under way in a window with the others.
func (s *steadyLoad) report(windows []window, out *snapshotsOut) {
	var calm, during, leaders []time.Duration
	for _, one := range s.samples {
		took := one.to.Sub(one.from)
		any, leader := false, false
		for _, w := range windows {
			if one.from.Before(w.to) && one.to.After(w.from) {
				any, leader = true, leader || w.leader
			}
		}
		if any {
			during = append(during, took)
		} else {
			calm = append(calm, took)
		}
		if leader {
			leaders = append(leaders, took)
		}
	}
	out.HoldP50Ms, out.HoldP99Ms = percentile(calm, 50), percentile(calm, 99)
	out.HoldP50SnapshotMs, out.HoldP99SnapshotMs = percentile(during, 50), percentile(during, 99)
	out.HoldP99LeaderMs = percentile(leaders, 99)
	out.HoldMaxMs = max(percentile(calm, 100), percentile(during, 100))
	if out.HoldP99Ms > 0 {
		out.Ratio = out.HoldP99SnapshotMs / out.HoldP99Ms
	}
	out.Claims, out.ClaimsSnapshot, out.Errors, out.firstError = len(s.samples), len(during), s.errors, s.firstError
	out.Snapshots = len(windows)
	for _, w := range windows {
		out.SnapshotMs += milliseconds(w.to.Sub(w.from)) / float64(len(windows))
		if w.leader {
			out.SnapshotsLeader++
		}
	}
}

// snapshotWatch asks the members again and again whether they are at a snapshot.
type snapshotWatch struct {
	client *client.Client
	shard  holdfast.ShardID

	mu      sync.Mutex
	windows []window
}

// window is the time in which one member was at a snapshot.
type window struct {
	from, to time.Time
	leader   bool
}

// begin begins to watch. What it gives ends that.
func (w *snapshotWatch) begin(ctx context.Context, endpoints []string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, address := range endpoints {
		wg.Go(func() { w.follow(ctx, address) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// follow watches one member. A snapshot that began and ended between two looks shows by its index.
func (w *snapshotWatch) follow(ctx context.Context, address string) {
	var at window
	var before *api.ShardStatus
	last, open := time.Now(), false
	for pause(ctx, lookEvery) {
		looked := time.Now()
		status, err := w.client.Status(ctx, address)
		if err != nil {
			continue
		}
		now := statusOfShard(status, w.shard)
		busy := now.GetSnapshotting() || before != nil && now.GetSnapshotIndex() != before.GetSnapshotIndex()
		switch {
		case busy && !open:
			at, open = window{from: last, leader: now.GetRole() == "leader"}, true
		case !busy && open:
			open = false
			w.add(at)
		}
		at.to = time.Now() // it was so at the latest look, at least
		last, before = looked, now
	}
	if open {
		w.add(at)
	}
}

func (w *snapshotWatch) add(one window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.windows = append(w.windows, one)
}

// statusOfShard is a member's status of one shard; nil, which reads as zeroes, when it has none.
func statusOfShard(s *api.StatusResponse, shard holdfast.ShardID) *api.ShardStatus {
	for _, one := range s.GetShards() {
		if holdfast.ShardID(one.GetShard()) == shard {
			return one
		}
	}
	return nil
}
