package rpc

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// Limits of the server, each with what happens there. gRPC's own defaults are unlimited streams, 2 GiB sent, two
// minutes for a handshake.
const (
	connsMax         = 1024                           // further ones are closed at once
	streamsMax       = 256                            // of a connection; further calls wait in the client
	receiveBytesMax  = holdfast.BatchBytesMax + 1<<10 // a larger message ends its call
	sendBytesMax     = 16 << 20                       // a list of every event of many shards; a seat map takes 2 MiB
	headerBytesMax   = 16 << 10                       // a larger header ends its call
	handshakeMax     = 5 * time.Second                // a connection that takes longer is closed
	idleMax          = 5 * time.Minute                // a connection without a call for so long is closed
	batchesMax       = 32                             // of a stream, unanswered; further ones are not read
	callMax          = 30 * time.Second               // for a call, also when its client would wait longer
	ordersMax        = 2 * time.Minute                // for a list of orders: a slow reader may not keep a cut for good
	windowBytes      = 4 << 20                        // a stream's batches, several at once
	connWindowBytes  = 16 << 20                       // and those of a connection's streams
	bufferBytes      = 128 << 10                      // one read or write for most batches
	keepaliveTime    = 30 * time.Second               // after which a silent client is asked for a sign of life
	keepaliveTimeout = 10 * time.Second               // within which it has to come
	keepaliveMinTime = 10 * time.Second               // a client that asks more often is sent away
)

// limits are gRPC's options. There is no largest age of connections: a claim's stream lives as long as its client,
// and to end it would leave what is in flight unknown for no reason. Fixed windows save the pings by which gRPC
// would estimate them.
func limits() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(streamsMax),
		grpc.MaxRecvMsgSize(receiveBytesMax),
		grpc.MaxSendMsgSize(sendBytesMax),
		grpc.MaxHeaderListSize(headerBytesMax),
		grpc.ConnectionTimeout(handshakeMax),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(connWindowBytes),
		grpc.ReadBufferSize(bufferBytes),
		grpc.WriteBufferSize(bufferBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleMax, Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
}

// unary stands before every single call: it bounds its time, catches what the handler breaks, and makes statuses of
// failures.
func (s *Server) unary(ctx context.Context, q any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	defer s.recovered(info.FullMethod, &err)
	answer, err = handle(ctx, q)
	return answer, convert.Status(err)
}

// stream is the same for streams, whose time is theirs.
func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer s.recovered(info.FullMethod, &err)
	return convert.Status(handle(srv, stream))
}

// recovered turns a panic of a handler into a failure of its call. The machines' panics do not come by here: they
// happen in the node, which stops the shard.
func (s *Server) recovered(method string, err *error) {
	if reason := recover(); reason != nil {
		s.log.Error("A HANDLER PANICKED", "method", method, "reason", reason, "stack", string(debug.Stack()))
		*err = convert.Status(&holdfast.Error{Kind: holdfast.Internal, Op: method, Message: fmt.Sprint("a bug on the server: ", reason)})
	}
}

// limitConns closes connections beyond a number as they come.
func limitConns(l net.Listener, most int) net.Listener {
	return &limitedListener{Listener: l, free: make(chan struct{}, most)}
}

type limitedListener struct {
	net.Listener
	free chan struct{} // holds one token for each open connection
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.free })}, nil
		default:
			_ = conn.Close() // there is nobody to tell
		}
	}
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
