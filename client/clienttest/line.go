package clienttest

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// lineService answers reads of waiting lines.
type lineService struct {
	api.UnimplementedLineServer
	member *member
}

// Get reads an event's line.
func (s *lineService) Get(_ context.Context, q *api.GetLineRequest) (*api.LineState, error) {
	return read(s.member, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.LineState, error) {
		v, err := convert.LineState(machine, holdfast.EventID(q.GetEvent()))
		if err == nil {
			v.Stamp = stamp
		}
		return v, err
	})
}

// Place reads a place.
func (s *lineService) Place(_ context.Context, q *api.PlaceRequest) (*api.LinePlace, error) {
	return read(s.member, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.LinePlace, error) {
		v, err := convert.FindPlace(machine, q)
		if err == nil {
			v.Stamp = stamp
		}
		return v, err
	})
}

// Visitor reads what the line knows of a buyer.
func (s *lineService) Visitor(_ context.Context, q *api.VisitorRequest) (*api.LineVisitor, error) {
	return read(s.member, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.LineVisitor, error) {
		v, err := convert.FindVisitor(machine, q)
		if err == nil {
			v.Stamp = stamp
		}
		return v, err
	})
}

// DrawRecord sends a draw's public record.
func (s *lineService) DrawRecord(q *api.DrawRecordRequest, stream grpc.ServerStreamingServer[api.DrawRecordPart]) error {
	cut, err := read(s.member, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, _ *api.Stamp) (*fsm.Cut, error) { return machine.Cut(), nil })
	if err != nil {
		return err
	}
	defer cut.Release()
	return convert.Status(convert.DrawRecord(cut, holdfast.EventID(q.GetEvent()), stream.Send))
}

// Keys lists the public keys of frontends.
func (s *lineService) Keys(_ context.Context, q *api.KeysRequest) (*api.KeysResponse, error) {
	c := s.member.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.notLeader(s.member, holdfast.Directory); err != nil && q.GetConsistency() != api.Consistency_STALE {
		return nil, convert.Status(err)
	}
	return convert.Keys(c.directory.Keys()), nil
}

// Admit calls up to count people from an event's line, as a leader does once a second; here nobody does it by itself.
func (c *Cluster) Admit(event client.EventRef, count int) {
	c.tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shards[event.Shard-1]
	cmd := command.Admit{Count: uint32(count)}
	cmd.ID, cmd.Event = holdfast.NewCommandID(s.machine.Clock().Add(10*time.Second), [10]byte{9: byte(s.index), 8: byte(s.index >> 8), 0: 0xAD}), event.ID
	s.apply(cmd.Append(nil), 1, 0)
	var result command.Result
	if _, err := command.DecodeResult(s.output.Results, &result); err != nil || result.Outcome != holdfast.OK {
		c.tb.Fatalf("admit to %s: %s, %v", event.ID, result.Outcome.String(), err)
	}
}

// Wall is the wall clock of all shards.
func (c *Cluster) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.UnixMilli(wallStart).Add(c.wallAhead + c.shards[0].passed())
}

// SetWall sets it forward: what is due by then happens. It goes on with Advance.
func (c *Cluster) SetWall(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wallAhead = to.Sub(time.UnixMilli(wallStart)) - c.shards[0].passed()
	for _, s := range c.shards {
		s.wallAhead = c.wallAhead
		s.apply(nil, 0, 0)
	}
}
