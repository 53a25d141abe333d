package client_test

import (
	"context"
	"iter"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// script is a member that plays streams of changes, one for each watch that comes.
type script struct {
	api.UnimplementedClusterServer
	api.UnimplementedEventsServer
	mu    sync.Mutex
	plays [][]*api.Changes
	froms []uint64
}

func (s *script) Watch(q *api.WatchRequest, stream grpc.ServerStreamingServer[api.Changes]) error {
	s.mu.Lock()
	s.froms = append(s.froms, q.GetFrom())
	var play []*api.Changes
	if len(s.plays) > 0 {
		play, s.plays = s.plays[0], s.plays[1:]
	}
	s.mu.Unlock()
	for _, changes := range play {
		if err := stream.Send(changes); err != nil {
			return err
		}
	}
	if play == nil {
		<-stream.Context().Done()
	}
	return nil
}

// A watcher is handed from member to member, some of which are behind, repeat what was seen, or have lost their
// leader. It must see every revision once and in order.
func TestAWatchNeverGoesBack(t *testing.T) {
	changes := func(revision uint64, stale uint32, seats ...uint32) *api.Changes {
		return &api.Changes{Stamp: &api.Stamp{StaleMs: stale}, Revision: revision, Seats: seats, SeatStates: make([]byte, len(seats))}
	}
	cut := func(revision uint64) *api.Changes {
		return &api.Changes{Stamp: &api.Stamp{}, Revision: revision, Cut: true, States: make([]byte, 4)}
	}
	s := &script{plays: [][]*api.Changes{
		{cut(5), changes(6, 0, 1)},
		{cut(4)},                                // behind
		{changes(6, 0, 1), changes(8, 0, 2, 3)}, // says 6 again
		{changes(9, 60_000, 1)},                 // cut off
		{changes(7, 0), changes(9, 0, 1), changes(9, 0), cut(9)}, // signs of life, an old one; a cut of what is known
		{cut(12)}, // too much was missed
	}}
	pipe, server := bufconn.Listen(1<<16), grpc.NewServer()
	api.RegisterEventsServer(server, s)
	api.RegisterClusterServer(server, s)
	go func() { _ = server.Serve(pipe) }()
	defer server.Stop()
	c, err := client.New([]string{"member"}, client.WithDialOptions(
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) })))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	next, stop := iter.Pull2(c.Watch(t.Context(), client.EventRef{ID: 1, Shard: 1}, 0))
	defer stop()
	for _, want := range []holdfast.Revision{5, 6, 8, 9, 9, 9, 12} {
		got, err, _ := next()
		if err != nil || got.Revision != want {
			t.Fatalf("got revision %d, %v, want %d", got.Revision, err, want)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, want := range []uint64{0, 7, 7, 9, 9, 10} {
		if s.froms[i] != want {
			t.Errorf("watch %d began at %d, want %d", i, s.froms[i], want)
		}
	}
}
