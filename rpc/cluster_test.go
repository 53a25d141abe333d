package rpc_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/node/sim"
	"github.com/holdfast-db/holdfast/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a cluster in one process and in virtual time whose nodes are served on pipes.
type served struct {
	t       *testing.T
	nodes   []*node.Node
	servers []*rpc.Server
	pipes   map[string]*bufconn.Listener // by client address
}

// inCluster runs a test against a cluster that is ready, in a bubble.
func inCluster(t *testing.T, members, shards int, test func(*testing.T, *served)) {
	synctest.Test(t, func(t *testing.T) {
		s := &served{t: t, pipes: map[string]*bufconn.Listener{}}
		network := sim.NewNetwork(1)
		var peers []string
		for i := range members {
			peers = append(peers, fmt.Sprintf("n%d:7000", i+1))
		}
		for i := range members {
			name := fmt.Sprintf("n%d", i+1)
			n, err := node.New(node.Config{Name: name, RaftAddress: peers[i], ClientAddress: name, Peers: peers, BootstrapExpect: members,
				Shards: shards, Network: network.Host(name), Disk: sim.NewDisk(uint64(i), 4<<30).Mount(), Version: "test"})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.serve(name, n)
		}
		defer s.close()
		s.await("the cluster is ready", func() bool {
			for _, n := range s.nodes {
				if !n.Ready() {
					return false
				}
			}
			return true
		})
		test(t, s)
	})
}

func (s *served) serve(address string, n *node.Node) {
	pipe := bufconn.Listen(1 << 20)
	server, err := rpc.New(rpc.Config{Node: n, Listener: pipe})
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		if err := server.Serve(); err != nil {
			s.t.Error(err)
		}
	}()
	s.pipes[address] = pipe
	s.nodes, s.servers = append(s.nodes, n), append(s.servers, server)
}

func (s *served) close() {
	for i := range s.nodes {
		s.stop(i)
	}
}

// stop ends one member as the process would.
func (s *served) stop(i int) {
	if err := s.servers[i].Close(); err != nil {
		s.t.Error(err)
	}
	if err := s.nodes[i].Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *served) await(what string, condition func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("never came: %s", what)
		}
	}
}

func (s *served) dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return s.pipes[address].DialContext(ctx) })
}

func (s *served) client() *client.Client {
	s.t.Helper()
	c, err := client.New([]string{"n1"}, client.WithDialOptions(s.dialer()))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// conn is a bare connection, to say what the client would not.
func (s *served) conn(address string) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, s.dialer(), insecureOption())
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// concert puts an event of ten seats on sale.
func (s *served) concert(c *client.Client) client.EventRef {
	s.t.Helper()
	applied, err := c.ApplyEvent(s.t.Context(), command.EventSpec{Name: "concert", Currency: "eur",
		Tiers:    []command.Tier{{Name: "seat", PriceMinor: 2500}},
		Sections: []command.Section{{Name: "stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 10, Tier: holdfast.AnyTier}}}},
		Rules:    command.Rules{SkipCoolDown: true}})
	if err == nil {
		err = c.OpenSale(s.t.Context(), applied.EventRef)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return applied.EventRef
}

func wantSeats(seats ...holdfast.SeatIndex) []command.Want {
	return []command.Want{{Kind: command.WantSeats, Seats: seats}}
}
