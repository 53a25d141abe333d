package rpc

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-db/holdfast"
)

// The names that gRPC's health protocol may ask for here.
const (
	healthAlive  = ""                 // the process answers
	healthReady  = "holdfast.ready"   // the node is of use: see node.Ready
	healthLeader = "holdfast.leader." // and a shard's number: the node leads the shard and serves it
)

// healthEvery is how often a watched answer is looked at. Whoever watches it (a balancer, a supervisor) has no use
// for more.
const healthEvery = 500 * time.Millisecond

// health answers gRPC's health protocol from what the node is at that moment.
type health struct {
	healthpb.UnimplementedHealthServer
	*Server
}

// Check answers once. An unknown name is NotFound.
func (h *health) Check(_ context.Context, q *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	now := h.state(q.GetService())
	if now == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, &holdfast.Error{Kind: holdfast.NotFound, Field: "service", Message: strconv.Quote(q.GetService()) + " has no health here"}
	}
	return &healthpb.HealthCheckResponse{Status: now}, nil
}

// Watch answers now and whenever the answer changes.
func (h *health) Watch(q *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for last := healthpb.HealthCheckResponse_UNKNOWN; ; {
		if now := h.state(q.GetService()); now != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-h.closing.Done():
			return errClosing
		}
	}
}

func (h *health) state(service string) healthpb.HealthCheckResponse_ServingStatus {
	yes, known := false, true
	switch shard, leads := strings.CutPrefix(service, healthLeader); {
	case service == healthAlive:
		yes = true
	case service == healthReady:
		yes = h.node.Ready()
	case leads:
		id, err := strconv.ParseUint(shard, 10, 32)
		yes, known = h.node.Leads(holdfast.ShardID(id)), err == nil
	default:
		known = false
	}
	switch {
	case !known:
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	case yes && h.closing.Err() == nil:
		return healthpb.HealthCheckResponse_SERVING
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}
