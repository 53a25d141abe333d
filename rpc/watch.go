package rpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// Watch sends what changes in an event until the client leaves or the server closes. A slow client is not waited
// for: the node puts together what it misses.
func (s *events) Watch(q *api.WatchRequest, stream grpc.ServerStreamingServer[api.Changes]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	stop := context.AfterFunc(s.closing, cancel)
	defer stop()
	err := s.node.Watch(ctx, holdfast.ShardID(q.GetShard()), holdfast.EventID(q.GetEvent()), holdfast.Revision(q.GetFrom()), func(c node.Changes) error {
		return stream.Send(&api.Changes{Stamp: stamp(c.Stamp), Revision: uint64(c.Revision), Cut: c.Cut, States: c.States,
			Seats: convert.Seats(c.Seats), SeatStates: convert.States(c.SeatStates), Sale: uint32(c.Sale),
			Line: convert.LineSummary(c.Line)})
	})
	if s.closing.Err() != nil {
		return errClosing
	}
	return err
}
