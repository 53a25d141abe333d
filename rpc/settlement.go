package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// settlement answers settlement workers, checkouts and operators.
type settlement struct {
	api.UnimplementedSettlementServer
	*Server
}

// leaseWaitMax bounds how long a question for effects waits for some, so that a closing server is not waited for.
const leaseWaitMax = 10 * time.Second

// Lease gives effects to a worker.
func (s *settlement) Lease(ctx context.Context, q *api.LeaseRequest) (*api.LeaseResponse, error) {
	ask, err := convert.LeaseQuery(q)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, min(time.Duration(q.GetWaitMs())*time.Millisecond, leaseWaitMax))
	defer cancel()
	stop := context.AfterFunc(s.closing, cancel)
	defer stop()
	given, err := s.node.Lease(waiting, holdfast.ShardID(q.GetShard()), ask)
	if err != nil {
		return nil, err
	}
	return &api.LeaseResponse{Stamp: convert.Stamp(given.Stamp, 0), Effects: convert.Effects(given.Effects), LeaseMs: uint32(given.For.Milliseconds()),
		Cluster: given.Cluster, Incarnation: uint64(given.Incarnation)}, nil
}

// Grant gives acts at the payment provider.
func (s *settlement) Grant(_ context.Context, q *api.GrantRequest) (*api.GrantResponse, error) {
	ask, err := convert.Ask(q)
	if err != nil {
		return nil, err
	}
	given, err := s.node.Grant(ask)
	if err != nil {
		return nil, err
	}
	return convert.Granted(given), nil
}

// Effects lists what a shard owes, from a cut, so that the shard goes on meanwhile.
func (s *settlement) Effects(ctx context.Context, q *api.EffectsRequest) (*api.EffectsResponse, error) {
	cut, at, err := s.node.Cut(ctx, holdfast.ShardID(q.GetShard()), stale(q.GetConsistency()))
	if err != nil {
		return nil, err
	}
	defer cut.Release()
	return convert.EffectPage(cut, q, stamp(at)), nil
}

// Payments sends all payments of an event from a cut.
func (s *settlement) Payments(q *api.PaymentsRequest, stream grpc.ServerStreamingServer[api.PaymentPage]) error {
	ctx, cancel := context.WithTimeout(stream.Context(), ordersMax)
	defer cancel()
	cut, at, err := s.node.Cut(ctx, holdfast.ShardID(q.GetShard()), stale(q.GetConsistency()))
	if err != nil {
		return err
	}
	defer cut.Release()
	return convert.Payments(cut, holdfast.EventID(q.GetEvent()), s.node.Cluster(), stamp(at), func(page *api.PaymentPage) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return stream.Send(page)
	})
}

// Quote tells what a hold would cost.
func (s *settlement) Quote(ctx context.Context, q *api.QuoteRequest) (*api.QuoteResponse, error) {
	answer, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) (*api.QuoteResponse, error) { return convert.Quote(m, q) })
	if err != nil {
		return nil, err
	}
	answer.Stamp, answer.Cluster = at, s.node.Cluster()
	return answer, nil
}
