package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// line answers reads of waiting lines. What changes them are commands: see claims.
type line struct {
	api.UnimplementedLineServer
	*Server
}

// Get reads an event's line.
func (s *line) Get(ctx context.Context, q *api.GetLineRequest) (*api.LineState, error) {
	v, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (*api.LineState, error) {
		return convert.LineState(m, holdfast.EventID(q.GetEvent()))
	})
	if err != nil {
		return nil, err
	}
	v.Stamp = at
	return v, nil
}

// Place reads a place.
func (s *line) Place(ctx context.Context, q *api.PlaceRequest) (*api.LinePlace, error) {
	v, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (*api.LinePlace, error) { return convert.FindPlace(m, q) })
	if err != nil {
		return nil, err
	}
	v.Stamp = at
	return v, nil
}

// Visitor reads what the line knows of a buyer.
func (s *line) Visitor(ctx context.Context, q *api.VisitorRequest) (*api.LineVisitor, error) {
	v, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (*api.LineVisitor, error) { return convert.FindVisitor(m, q) })
	if err != nil {
		return nil, err
	}
	v.Stamp = at
	return v, nil
}

// DrawRecord sends a draw's public record from a cut.
func (s *line) DrawRecord(q *api.DrawRecordRequest, stream grpc.ServerStreamingServer[api.DrawRecordPart]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), ordersMax)
	defer cancel()
	cut, _, err := s.node.Cut(ctx, holdfast.ShardID(q.GetShard()), stale(q.GetConsistency()))
	if err != nil {
		return err
	}
	defer cut.Release()
	return convert.DrawRecord(cut, holdfast.EventID(q.GetEvent()), func(part *api.DrawRecordPart) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return stream.Send(part)
	})
}

// Keys lists the public keys of frontends.
func (s *line) Keys(ctx context.Context, q *api.KeysRequest) (*api.KeysResponse, error) {
	var keys []holdfast.FrontendKey
	if _, err := s.node.ReadDirectory(ctx, stale(q.GetConsistency()), func(m *directory.Machine) { keys = m.Keys() }); err != nil {
		return nil, err
	}
	return convert.Keys(keys), nil
}
