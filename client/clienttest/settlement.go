package clienttest

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/node/outbox"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// clusterName is what the cluster calls itself.
const clusterName = "clienttest"

// Lease gives effects to a worker. It waits for entries, as a leader does; they come with commands and with Advance.
func (m *member) Lease(ctx context.Context, q *api.LeaseRequest) (*api.LeaseResponse, error) {
	ask, err := convert.LeaseQuery(q)
	if err != nil {
		return nil, convert.Status(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(q.GetWaitMs())*time.Millisecond)
	defer cancel()
	for {
		var moved <-chan struct{}
		answer, err := read(m, q.GetShard(), api.Consistency_LINEARIZABLE, func(machine *fsm.Machine, stamp *api.Stamp) (*api.LeaseResponse, error) {
			s := m.cluster.shards[q.GetShard()-1]
			moved = s.moved
			incarnation, _ := machine.Incarnation()
			return &api.LeaseResponse{Stamp: stamp, Cluster: clusterName, Incarnation: uint64(incarnation), LeaseMs: uint32(outbox.LeaseFor.Milliseconds()),
				Effects: convert.Effects(s.leases.Due(machine, time.Since(m.cluster.began), ask))}, nil
		})
		if err != nil || len(answer.GetEffects()) > 0 || q.GetMax() == 0 {
			return answer, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return answer, nil
		}
	}
}

// Grant gives acts at a payment provider.
func (m *member) Grant(_ context.Context, q *api.GrantRequest) (*api.GrantResponse, error) {
	ask, err := convert.Ask(q)
	if err != nil {
		return nil, convert.Status(err)
	}
	c := m.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.notLeader(m, holdfast.Directory); err != nil {
		return nil, convert.Status(err)
	}
	return convert.Granted(c.budgets.Grant(time.Since(c.began), ask)), nil
}

// Effects lists what a shard owes.
func (m *member) Effects(_ context.Context, q *api.EffectsRequest) (*api.EffectsResponse, error) {
	return read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.EffectsResponse, error) {
		cut := machine.Cut()
		defer cut.Release()
		return convert.EffectPage(cut, q, stamp), nil
	})
}

// Payments sends an event's payments.
func (m *member) Payments(q *api.PaymentsRequest, stream grpc.ServerStreamingServer[api.PaymentPage]) error {
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
	return convert.Status(convert.Payments(t.cut, holdfast.EventID(q.GetEvent()), clusterName, t.stamp, stream.Send))
}

// Quote tells what a hold would cost.
func (m *member) Quote(_ context.Context, q *api.QuoteRequest) (*api.QuoteResponse, error) {
	return read(m, q.GetShard(), q.GetConsistency(), func(machine *fsm.Machine, stamp *api.Stamp) (*api.QuoteResponse, error) {
		answer, err := convert.Quote(machine, q)
		if err == nil {
			answer.Stamp, answer.Cluster = stamp, clusterName
		}
		return answer, err
	})
}
