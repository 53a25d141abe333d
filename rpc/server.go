package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/node"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Config says what to serve, and where.
type Config struct {
	Node     *node.Node
	Listener net.Listener // the server closes it
	Logger   *slog.Logger // nil discards
}

// Server serves one node to clients.
type Server struct {
	node     *node.Node
	listener net.Listener
	log      *slog.Logger
	grpc     *grpc.Server

	closing context.Context // ends when Close begins
	cancel  context.CancelFunc
	once    sync.Once
}

// drainMax is how long Close waits for answers that are under way.
const drainMax = 3 * time.Second

// New makes a server. It refuses a listener that others than this machine can reach.
func New(cfg Config) (*Server, error) {
	refuse := func(field, message string) error {
		return &holdfast.Error{Kind: holdfast.Invalid, Op: "rpc config", Field: field, Message: message}
	}
	if cfg.Node == nil {
		return nil, refuse("node", "nothing to serve")
	}
	if cfg.Listener == nil {
		return nil, refuse("listener", "nowhere to serve")
	}
	if tcp, ok := cfg.Listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		return nil, refuse("listener", tcp.String()+" can be reached from other machines, and without certificates clients are "+
			"served in plain text: listen on a loopback address, as 127.0.0.1")
	}
	s := &Server{node: cfg.Node, log: cfg.Logger, listener: limitConns(cfg.Listener, connsMax)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(append(limits(), grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream))...)
	api.RegisterClaimsServer(s.grpc, &claims{Server: s})
	api.RegisterEventsServer(s.grpc, &events{Server: s})
	api.RegisterLineServer(s.grpc, &line{Server: s})
	api.RegisterClusterServer(s.grpc, &members{Server: s})
	api.RegisterPersonsServer(s.grpc, &persons{Server: s})
	api.RegisterSettlementServer(s.grpc, &settlement{Server: s})
	healthpb.RegisterHealthServer(s.grpc, &health{Server: s})
	return s, nil
}

// Serve serves until Close, and then gives nil.
func (s *Server) Serve() error {
	err := s.grpc.Serve(s.listener)
	if errors.Is(err, grpc.ErrServerStopped) || s.closing.Err() != nil {
		return nil
	}
	return &holdfast.Error{Kind: holdfast.Unavailable, Op: "serve", Message: "clients cannot be served any more", Err: err}
}

// Close takes nothing new, waits a while for answers that are under way, and ends every connection. It may be called
// twice.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.cancel()
		timer := time.AfterFunc(drainMax, s.grpc.Stop)
		defer timer.Stop()
		s.grpc.GracefulStop()
	})
	return nil
}

// errClosing is told to those who come while the server is closing.
var errClosing = &holdfast.Error{Kind: holdfast.Unavailable, Message: "this node is being stopped; nothing was attempted"}
