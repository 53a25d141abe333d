package clienttest

import (
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// Submit executes one batch.
func (m *member) Submit(ctx context.Context, b *api.Batch) (*api.BatchResult, error) {
	var d command.Decoder
	answer, err := m.cluster.execute(m, &d, b)
	if err == nil && answer == nil {
		<-ctx.Done()
		err = ctx.Err()
	}
	if err == nil && answer.GetFailure() != nil {
		err = &holdfast.Error{Kind: holdfast.Kind(answer.Failure.Kind), Message: answer.Failure.Message, Leader: answer.Failure.Leader}
	}
	return answer, convert.Status(err)
}

// Stream executes batches as they come, one after the other.
func (m *member) Stream(stream grpc.BidiStreamingServer[api.Batch, api.BatchResult]) error {
	var d command.Decoder
	for {
		b, err := stream.Recv()
		if err != nil {
			return nil
		}
		answer, err := m.cluster.execute(m, &d, b)
		if err != nil {
			return convert.Status(err)
		}
		if answer == nil {
			continue
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// execute decides one batch. An error breaks the stream that it came on; nil and nil is no answer at all.
func (c *Cluster) execute(m *member, d *command.Decoder, b *api.Batch) (*api.BatchResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stalls > 0 {
		if c.stalls--; c.stalls == 0 {
			c.stalled.Broadcast()
		}
		return nil, nil
	}
	if len(c.failures) > 0 {
		failure := c.failures[0]
		c.failures = c.failures[1:]
		return convert.Result(b, holdfast.Stamp{}, nil, failure), nil
	}
	if err := c.notLeader(m, holdfast.ShardID(b.GetShard())); err != nil {
		return convert.Result(b, holdfast.Stamp{}, nil, err), nil
	}
	count, _, err := convert.OpenBatch(d, b)
	if err != nil {
		return convert.Result(b, holdfast.Stamp{}, nil, err), nil
	}
	stamp, results := c.apply(holdfast.ShardID(b.GetShard()), b.GetCommands(), count)
	if c.drops > 0 {
		c.drops--
		return nil, &holdfast.Error{Kind: holdfast.Unavailable, Message: "the connection was cut, as the test wished"}
	}
	return convert.Result(b, stamp, results, nil), nil
}

// apply gives the commands to their machine. c.mu is held.
func (c *Cluster) apply(shard holdfast.ShardID, commands []byte, count int) (holdfast.Stamp, []byte) {
	if shard != holdfast.Directory {
		s := c.shards[shard-1]
		s.apply(commands, count, 0)
		return c.stamp(shard), append([]byte(nil), s.output.Results...)
	}
	entry := append(command.BeginEntry(nil), commands...)
	c.index++
	out := command.Output{Answer: true}
	c.directory.Apply(c.index, command.FinishEntry(entry, 0, wallStart+(c.wallAhead+c.shards[0].passed()).Milliseconds(), count), &out)
	return c.stamp(shard), out.Results
}

// stamp is where the shard's history is now. c.mu is held.
func (c *Cluster) stamp(shard holdfast.ShardID) holdfast.Stamp {
	if shard == holdfast.Directory {
		return holdfast.Stamp{Term: c.term, Index: c.index, Clock: c.directory.Clock()}
	}
	machine := c.shards[shard-1].machine
	return holdfast.Stamp{Shard: shard, Term: c.term, Index: machine.Index(), Clock: machine.Clock()}
}

// notLeader says why this member does not answer for the shard as its leader would. c.mu is held.
func (c *Cluster) notLeader(m *member, shard holdfast.ShardID) error {
	switch {
	case int(shard) > len(c.shards):
		return &holdfast.Error{Kind: holdfast.NotFound, Shard: shard, Message: "there is no shard " + shard.String()}
	case m.place != c.leads:
		return &holdfast.Error{Kind: holdfast.NotLeader, Shard: shard, Leader: c.members[c.leads].address, Message: "another member leads"}
	}
	return nil
}

// read answers from a shard's machine, as its leader or, when that is allowed, as any member.
func read[T any](m *member, shard uint32, how api.Consistency, answer func(*fsm.Machine, *api.Stamp) (T, error)) (T, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	var none T
	id := holdfast.ShardID(shard)
	err := c.notLeader(m, id)
	if holdfast.KindOf(err) == holdfast.NotLeader && how == api.Consistency_STALE {
		err = nil
	}
	if err == nil && id == holdfast.Directory {
		err = &holdfast.Error{Kind: holdfast.Invalid, Field: "shard", Message: "the directory has no units"}
	}
	if err != nil {
		return none, convert.Status(err)
	}
	a, err := answer(c.shards[id-1].machine, convert.Stamp(c.stamp(id), 0))
	return a, convert.Status(err)
}

// List lists the directory's events.
func (m *member) List(_ context.Context, q *api.ListEventsRequest) (*api.ListEventsResponse, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.notLeader(m, holdfast.Directory); err != nil && q.GetConsistency() != api.Consistency_STALE {
		return nil, convert.Status(err)
	}
	return convert.Events(c.directory.Assignments()), nil
}

// Get reads an event.
func (m *member) Get(_ context.Context, q *api.GetEventRequest) (*api.Event, error) {
	return read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.Event, error) {
		e, err := convert.FindEvent(machine, holdfast.EventID(q.GetEvent()))
		if err != nil {
			return nil, err
		}
		return convert.Event(e, stamp), nil
	})
}

// Seats reads the state of every unit.
func (m *member) Seats(_ context.Context, q *api.SeatsRequest) (*api.SeatMap, error) {
	return read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.SeatMap, error) {
		cut := machine.Cut()
		defer cut.Release()
		return convert.SeatMap(cut, holdfast.EventID(q.GetEvent()), stamp)
	})
}

// GetHold reads a hold.
func (m *member) GetHold(_ context.Context, q *api.GetHoldRequest) (*api.Hold, error) {
	return read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.Hold, error) {
		id, err := convert.ID[holdfast.HoldID]("hold", q.GetHold())
		if err != nil {
			return nil, err
		}
		h, err := convert.FindHold(machine, id)
		if err == nil {
			h.Stamp = stamp
		}
		return h, err
	})
}

// GetOrder reads an order.
func (m *member) GetOrder(_ context.Context, q *api.GetOrderRequest) (*api.Order, error) {
	return read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.Order, error) {
		id, err := convert.ID[holdfast.OrderID]("order", q.GetOrder())
		if err != nil {
			return nil, err
		}
		o, err := convert.FindOrder(machine, id)
		if err == nil {
			o.Stamp = stamp
		}
		return o, err
	})
}

// Orders sends an event's orders.
func (m *member) Orders(q *api.OrdersRequest, stream grpc.ServerStreamingServer[api.OrderPage]) error {
	type taken struct {
		cut   *fsm.Cut
		stamp *api.Stamp
	}
	t, err := read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (taken, error) {
		return taken{machine.Cut(), stamp}, nil
	})
	if err != nil {
		return err
	}
	defer t.cut.Release()
	return convert.Status(convert.Orders(t.cut, holdfast.EventID(q.GetEvent()), q.GetContact(), t.stamp, stream.Send))
}

// Watch sends what changes.
func (m *member) Watch(q *api.WatchRequest, stream grpc.ServerStreamingServer[api.Changes]) error {
	for next := holdfast.Revision(q.GetFrom()); ; {
		var changed, ended chan struct{}
		found, err := read(m, q.GetShard(), api.Consistency_STALE, func(machine *fsm.Machine, stamp *api.Stamp) (*api.Changes, error) {
			s := m.cluster.shards[q.GetShard()-1]
			changed, ended = s.changed, m.cluster.watches
			return s.since(holdfast.EventID(q.GetEvent()), next, stamp)
		})
		if err != nil {
			return err
		}
		if found != nil {
			next = holdfast.Revision(found.GetRevision()) + 1
			if err := stream.Send(found); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ended:
			return nil
		case <-stream.Context().Done():
			return convert.Status(stream.Context().Err())
		}
	}
}

// since gives what changed from a revision on: a cut for 0, nil when that is still to come.
func (s *shard) since(id holdfast.EventID, from holdfast.Revision, stamp *api.Stamp) (*api.Changes, error) {
	e, ok := s.machine.Event(id)
	if !ok {
		return nil, &holdfast.Error{Kind: holdfast.NotFound, Message: "there is no event " + id.String()}
	}
	answer := &api.Changes{Stamp: stamp, Revision: uint64(e.Revision), Sale: uint32(e.Sale), Line: convert.LineSummary(convert.FindLine(s.machine, id))}
	if from == 0 {
		cut := s.machine.Cut()
		defer cut.Release()
		answer.Cut = true
		answer.States, _, _ = cut.Seats(id)
		return answer, nil
	}
	if from > e.Revision {
		return nil, nil
	}
	for _, change := range s.feeds[id] {
		if change.Revision >= from && change.Seat != fsm.NoSeat {
			answer.Seats = append(answer.Seats, uint32(change.Seat))
			answer.SeatStates = append(answer.SeatStates, byte(change.State))
		}
	}
	return answer, nil
}

// Routes names the members and the leader.
func (m *member) Routes(context.Context, *api.RoutesRequest) (*api.RoutesResponse, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := &api.RoutesResponse{Cluster: "clienttest", Node: m.address}
	for _, other := range c.members {
		answer.Members = append(answer.Members, &api.Member{Id: other.address, Name: other.address, ClientAddress: other.address, Reachable: true})
	}
	leader := c.members[c.leads].address
	for shard := range holdfast.ShardID(len(c.shards) + 1) {
		answer.Shards = append(answer.Shards, &api.Route{Shard: uint32(shard), Leader: leader, LeaderAddress: leader, Term: c.term,
			ClockUs: uint64(c.stamp(shard).Clock)})
	}
	return answer, nil
}

// Status tells what the member knows of itself.
func (m *member) Status(context.Context, *api.StatusRequest) (*api.StatusResponse, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	role := "follower"
	if m.place == c.leads {
		role = "leader"
	}
	answer := &api.StatusResponse{Cluster: "clienttest", Id: m.address, Name: m.address, Version: "clienttest", Ready: true}
	for shard := range holdfast.ShardID(len(c.shards) + 1) {
		stamp := c.stamp(shard)
		answer.Shards = append(answer.Shards, &api.ShardStatus{Shard: uint32(shard), Role: role, Leader: c.members[c.leads].address, Term: c.term,
			LastIndex: stamp.Index, CommitIndex: stamp.Index, AppliedIndex: stamp.Index, ClockUs: uint64(stamp.Clock), Voters: c.Endpoints()})
	}
	return answer, nil
}

// Digest tells the state hash. Only the last entry's is known.
func (m *member) Digest(_ context.Context, q *api.DigestRequest) (*api.DigestResponse, error) {
	return read(m, q.GetShard(), api.Consistency_STALE, func(machine *fsm.Machine, _ *api.Stamp) (*api.DigestResponse, error) {
		if !machine.Marked() || machine.Index() != q.GetIndex() {
			return nil, &holdfast.Error{Kind: holdfast.NotFound, Message: "the last entry is no mark with this index"}
		}
		cut := machine.Cut()
		defer cut.Release()
		hash := cut.Digest()
		return &api.DigestResponse{Index: q.GetIndex(), Hash: hash[:]}, nil
	})
}

// Transfer makes another member lead; it leads everything.
func (m *member) Transfer(_ context.Context, q *api.TransferRequest) (*api.TransferResponse, error) {
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.notLeader(m, holdfast.ShardID(q.GetShard())); err != nil {
		return nil, convert.Status(err)
	}
	for place, other := range c.members {
		if other.address == q.GetTo() {
			if place != c.leads {
				c.leads = place
				c.term++
			}
			return &api.TransferResponse{}, nil
		}
	}
	return nil, convert.Status(&holdfast.Error{Kind: holdfast.NotFound, Message: "no such member"})
}
