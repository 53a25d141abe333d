package rpc_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc"
	"github.com/holdfast-db/holdfast/rpc/api"
)

func insecureOption() grpc.DialOption {
	return grpc.WithTransportCredentials(insecure.NewCredentials())
}

var anna = holdfast.BuyerID{1}

func TestAClaimPassesFromClientToLogAndBack(t *testing.T) {
	inCluster(t, 1, 1, func(t *testing.T, s *served) {
		c := s.client()
		defer c.Close()
		event, ctx := s.concert(c), t.Context()

		h, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(3, 4)})
		if err != nil || h.Stamp.Index == 0 || h.Stamp.Term == 0 {
			t.Fatalf("the hold is %+v, %v", h, err)
		}
		_, err = c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{2}, Wants: wantSeats(4)})
		if !errors.Is(err, holdfast.SeatHeld) {
			t.Errorf("a taken seat gave %v", err)
		}
		if h, err = c.BeginPayment(ctx, client.PaymentRequest{Event: event, Buyer: anna, Hold: h.ID, Attempt: 1, Amount: h.Amount}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Sell(ctx, client.SellRequest{Event: event, Hold: h.ID, As: command.SalePaid, Attempt: 1, Amount: h.Amount, Payment: "pi_1"}); err != nil {
			t.Fatal(err)
		}
		for _, opts := range [][]client.ReadOption{nil, {client.AllowStale()}} {
			read, err := c.GetHold(ctx, event, h.ID, opts...)
			if err != nil || read.State != holdfast.HoldSold || read.Buyer != anna {
				t.Errorf("the hold reads %+v, %v", read, err)
			}
			o, err := c.GetOrder(ctx, event, h.ID.Order(), opts...)
			if err != nil || o.Payment != "pi_1" {
				t.Errorf("the order reads %+v, %v", o, err)
			}
			e, err := c.Event(ctx, event, opts...)
			if err != nil || e.Total.Sold != 2 || e.Orders != 1 || e.Spec.Name != "concert" {
				t.Errorf("the event reads %+v, %v", e, err)
			}
			m, err := c.Seats(ctx, event, opts...)
			if err != nil || len(m.States) != 10 || m.States[3] != holdfast.Sold || m.Revision != e.Revision {
				t.Errorf("the seats read %+v, %v", m, err)
			}
			all, err := c.Events(ctx, opts...)
			if err != nil || len(all) != 1 || all[0].EventRef != event {
				t.Errorf("the list reads %+v, %v", all, err)
			}
			n := 0
			for o, err := range c.Orders(ctx, event, opts...) {
				if n++; err != nil || o.ID != h.ID.Order() {
					t.Errorf("an order in the list: %+v, %v", o, err)
				}
			}
			if n != 1 {
				t.Errorf("%d orders, want 1", n)
			}
		}
	})
}

func TestFailuresNameTheirKind(t *testing.T) {
	inCluster(t, 1, 1, func(t *testing.T, s *served) {
		c, conn := s.client(), s.conn("n1")
		defer c.Close()
		defer conn.Close()
		event, ctx := s.concert(c), t.Context()
		if _, err := c.GetHold(ctx, event, holdfast.HoldID{1}); !errors.Is(err, holdfast.NotFound) {
			t.Errorf("no hold gave %v", err)
		}
		if _, err := c.GetOrder(ctx, event, holdfast.OrderID{1}); !errors.Is(err, holdfast.NotFound) {
			t.Errorf("no order gave %v", err)
		}
		for _, err := range c.Orders(ctx, client.EventRef{ID: 77, Shard: 1}) {
			if !errors.Is(err, holdfast.NotFound) {
				t.Errorf("orders of no event gave %v", err)
			}
		}
		reads := api.NewEventsClient(conn)
		_, short := reads.GetHold(ctx, &api.GetHoldRequest{Shard: 1, Hold: []byte("short")})
		_, noEvent := reads.Seats(ctx, &api.SeatsRequest{Shard: 1, Event: 77})
		_, noShard := reads.Get(ctx, &api.GetEventRequest{Shard: 9, Event: 1})
		_, noSeats := reads.Get(ctx, &api.GetEventRequest{Shard: 0, Event: 1})
		for i, want := range []codes.Code{codes.InvalidArgument, codes.NotFound, codes.NotFound, codes.NotFound} {
			if err := []error{short, noEvent, noShard, noSeats}[i]; status.Code(err) != want {
				t.Errorf("%v came as %v", want, err)
			}
		}
	})
}

// A batch that is malformed, or meant for another machine, must not come near a log.
func TestABatchIsCheckedAtTheBorder(t *testing.T) {
	inCluster(t, 1, 1, func(t *testing.T, s *served) {
		c, conn := s.client(), s.conn("n1")
		defer c.Close()
		defer conn.Close()
		s.concert(c)
		extend := (&command.Extend{Header: command.Header{Event: 1}}).Append(nil)
		assign := (&command.AssignEvent{Spec: command.EventSpec{Name: "x", Currency: "eur", Tiers: []command.Tier{{Name: "t"}},
			Sections: []command.Section{{Name: "s", Places: 1}}}}).Append(nil)
		stream, err := api.NewClaimsClient(conn).Stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string]*api.Batch{
			"nothing":              {Shard: 1},
			"noise":                {Shard: 1, Commands: []byte("noise")},
			"half a command":       {Shard: 1, Commands: extend[:len(extend)-1]},
			"another machine's":    {Shard: 1, Commands: assign},
			"not the directory's":  {Shard: 0, Commands: extend},
			"a shard that is none": {Shard: 7, Commands: extend},
		} {
			if err := stream.Send(b); err != nil {
				t.Fatal(err)
			}
			answer, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			kind := holdfast.Kind(answer.GetFailure().GetKind())
			if kind != holdfast.Invalid && (kind != holdfast.NotFound || b.GetShard() != 7) {
				t.Errorf("%s gave %v", name, answer)
			}
			if _, err := api.NewClaimsClient(conn).Submit(t.Context(), b); err == nil {
				t.Errorf("%s was taken by itself", name)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
		// What is in order goes through by itself as well.
		mark := (&command.Mark{}).Append(nil)
		if answer, err := api.NewClaimsClient(conn).Submit(t.Context(), &api.Batch{Shard: 1, Commands: mark}); err != nil || answer.GetIndex() == 0 {
			t.Errorf("a mark gave %v, %v", answer, err)
		}
	})
}

func TestAWatchFollowsAnEvent(t *testing.T) {
	inCluster(t, 1, 1, func(t *testing.T, s *served) {
		c := s.client()
		defer c.Close()
		event := s.concert(c)
		next, stop := iter.Pull2(c.Watch(t.Context(), event, 0))
		defer stop()
		first, err, _ := next()
		if err != nil || !first.Cut || len(first.States) != 10 || first.Sale != holdfast.SaleOpen {
			t.Fatalf("the first changes are %+v, %v", first, err)
		}
		if _, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(3)}); err != nil {
			t.Fatal(err)
		}
		for {
			changes, err, _ := next()
			if err != nil {
				t.Fatal(err)
			}
			if len(changes.Seats) == 0 {
				continue // a sign of life
			}
			if changes.Seats[0] != 3 || changes.SeatStates[0] != holdfast.Held || changes.Revision != first.Revision+1 {
				t.Errorf("the changes are %+v", changes)
			}
			return
		}
	})
}

func TestANodeTellsOfItself(t *testing.T) {
	inCluster(t, 1, 2, func(t *testing.T, s *served) {
		c, conn := s.client(), s.conn("n1")
		defer c.Close()
		defer conn.Close()
		ctx := t.Context()
		st, err := c.Status(ctx, "n1")
		if err != nil || st.GetName() != "n1" || st.GetVersion() != "test" || !st.GetReady() || len(st.GetShards()) != 3 || st.GetShards()[1].GetRole() != "leader" {
			t.Errorf("the status is %v, %v", st, err)
		}
		routes, err := c.Routes(ctx)
		if err != nil || len(routes.GetShards()) != 3 || routes.GetShards()[2].GetLeaderAddress() != "n1" || routes.GetMembers()[0].GetName() != "n1" {
			t.Errorf("the routes are %v, %v", routes, err)
		}
		at, err := c.Mark(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if hash, err := c.Digest(ctx, "n1", 1, at.Index); err != nil || hash == [32]byte{} {
			t.Errorf("the state hash is %x, %v", hash, err)
		}
		for service, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{
			"": healthpb.HealthCheckResponse_SERVING, "holdfast.ready": healthpb.HealthCheckResponse_SERVING,
			"holdfast.leader.1": healthpb.HealthCheckResponse_SERVING, "holdfast.leader.9": healthpb.HealthCheckResponse_NOT_SERVING,
		} {
			if answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service}); err != nil || answer.GetStatus() != want {
				t.Errorf("the health of %q is %v, %v", service, answer, err)
			}
		}
		if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "else"}); status.Code(err) != codes.NotFound {
			t.Errorf("the health of something else gave %v", err)
		}
		watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: "holdfast.ready"})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := watch.Recv(); err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("watched, it is %v, %v", answer, err)
		}
	})
}

// A member that is stopped answers what it took in, and its clients go on with the others without noticing more
// than a pause; a watcher sees no revision twice and none is left out.
func TestClientsOutliveAMember(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c := s.client()
		defer c.Close()
		event := s.concert(c)
		ctx, cancel := context.WithCancel(t.Context())
		held := make(chan holdfast.SeatIndex, 100)
		watching, begun := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watching)
			revision := holdfast.Revision(0)
			for changes, err := range c.Watch(ctx, event, 0) {
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				if n := holdfast.Revision(len(changes.Seats)); n > 0 && changes.Revision != revision+n {
					t.Errorf("%d changes lead from revision %d to %d", n, revision, changes.Revision)
				}
				if revision == 0 {
					close(begun)
				}
				revision = changes.Revision
				for _, seat := range changes.Seats {
					held <- seat
				}
			}
		}()
		<-begun // else the first seat may be in the cut
		for seat := range holdfast.SeatIndex(8) {
			if seat == 4 {
				leader := 0
				for i, n := range s.nodes {
					if n.Leads(event.Shard) {
						leader = i
					}
				}
				go s.stop(leader)
			}
			if _, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{byte(seat)}, Wants: wantSeats(seat)}); err != nil {
				t.Fatalf("seat %d: %v", seat, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		for want := range holdfast.SeatIndex(8) {
			if got := <-held; got != want {
				t.Errorf("the watcher saw seat %d, want %d", got, want)
			}
		}
		cancel()
		<-watching
	})
}

func TestPlainTextIsForThisMachineOnly(t *testing.T) {
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := rpc.New(rpc.Config{Node: new(node.Node), Listener: listener}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a listener on every address gave %v", err)
	}
	if _, err := rpc.New(rpc.Config{Listener: listener}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("no node gave %v", err)
	}
	if _, err := rpc.New(rpc.Config{Node: new(node.Node)}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("no listener gave %v", err)
	}
}
