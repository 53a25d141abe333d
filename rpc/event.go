package rpc

import (
	"cmp"
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/directory"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// events answers reads.
type events struct {
	api.UnimplementedEventsServer
	*Server
}

func stale(c api.Consistency) bool { return c == api.Consistency_STALE }

func stamp(s node.ReadStamp) *api.Stamp { return convert.Stamp(s.Stamp, s.Stale) }

// look reads something small from a shard's machine.
func look[T any](ctx context.Context, s *Server, shard uint32, how api.Consistency, find func(*fsm.Machine) (T, error)) (found T, at *api.Stamp, err error) {
	var missing error
	read, err := s.node.Read(ctx, holdfast.ShardID(shard), stale(how), func(m *fsm.Machine) { found, missing = find(m) })
	return found, stamp(read), cmp.Or(err, missing)
}

// List lists the directory.
func (s *events) List(ctx context.Context, q *api.ListEventsRequest) (*api.ListEventsResponse, error) {
	var all []directory.Assignment
	if _, err := s.node.ReadDirectory(ctx, stale(q.GetConsistency()), func(m *directory.Machine) { all = m.Assignments() }); err != nil {
		return nil, err
	}
	return convert.Events(all), nil
}

// Get reads an event.
func (s *events) Get(ctx context.Context, q *api.GetEventRequest) (*api.Event, error) {
	e, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (convert.EventView, error) {
		return convert.FindEvent(m, holdfast.EventID(q.GetEvent()))
	})
	if err != nil {
		return nil, err
	}
	return convert.Event(e, at), nil
}

// GetHold reads a hold.
func (s *events) GetHold(ctx context.Context, q *api.GetHoldRequest) (*api.Hold, error) {
	id, err := convert.ID[holdfast.HoldID]("hold", q.GetHold())
	if err != nil {
		return nil, err
	}
	h, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (*api.Hold, error) { return convert.FindHold(m, id) })
	if err != nil {
		return nil, err
	}
	h.Stamp = at
	return h, nil
}

// GetOrder reads an order.
func (s *events) GetOrder(ctx context.Context, q *api.GetOrderRequest) (*api.Order, error) {
	id, err := convert.ID[holdfast.OrderID]("order", q.GetOrder())
	if err != nil {
		return nil, err
	}
	o, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (*api.Order, error) { return convert.FindOrder(m, id) })
	if err != nil {
		return nil, err
	}
	o.Stamp = at
	return o, nil
}

// Seats reads the state of every unit from a cut, so that the shard goes on meanwhile.
func (s *events) Seats(ctx context.Context, q *api.SeatsRequest) (*api.SeatMap, error) {
	cut, at, err := s.node.Cut(ctx, holdfast.ShardID(q.GetShard()), stale(q.GetConsistency()))
	if err != nil {
		return nil, err
	}
	defer cut.Release()
	return convert.SeatMap(cut, holdfast.EventID(q.GetEvent()), stamp(at))
}

// Orders sends all orders of an event from a cut.
func (s *events) Orders(q *api.OrdersRequest, stream grpc.ServerStreamingServer[api.OrderPage]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), ordersMax)
	defer cancel()
	cut, at, err := s.node.Cut(ctx, holdfast.ShardID(q.GetShard()), stale(q.GetConsistency()))
	if err != nil {
		return err
	}
	defer cut.Release()
	return convert.Orders(cut, holdfast.EventID(q.GetEvent()), q.GetContact(), stamp(at), func(page *api.OrderPage) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return stream.Send(page)
	})
}
