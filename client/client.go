package client

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/holdfast-db/holdfast"
)

// Client talks to one cluster. It is safe for concurrent use, and meant to be shared by the whole process: callers
// that claim at the same time then share batches.
type Client struct {
	timeout time.Duration
	dial    []grpc.DialOption
	log     *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the client

	routes routes
	calls  sync.Pool // of *call

	// lanes and names are replaced as a whole, under mu, and read without it.
	lanes atomic.Pointer[map[holdfast.ShardID]*lane]
	names atomic.Pointer[names]

	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn // by address; a member's stays until Close
	closed bool
}

// Option changes a default.
type Option func(*Client)

// TimeoutDefault is how long a call may take when its context has no deadline: long enough for an election, and
// then some.
const TimeoutDefault = 10 * time.Second

// WithTimeout changes TimeoutDefault for this client.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithLogger gives the client a logger for what callers do not see: routes that move, streams that break. Without
// it the client is silent.
func WithLogger(log *slog.Logger) Option { return func(c *Client) { c.log = log } }

// WithDialOptions adds gRPC options, applied after the client's own: credentials, a dialer.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(c *Client) { c.dial = append(c.dial, opts...) }
}

// What the client asks of gRPC, with reasons.
const (
	receiveBytesMax = 16 << 20 // a list of every event of many shards; a seat map takes 2 MiB
	sendBytesMax    = holdfast.BatchBytesMax + 1<<10

	// A stream carries a few batches at once. Fixed windows save the pings by which gRPC would estimate them.
	streamWindowBytes = 4 << 20
	connWindowBytes   = 8 << 20
	bufferBytes       = 128 << 10 // one write for most batches

	// keepalive finds a dead leader's connection when nobody waits for it; servers allow a ping every 10 s.
	keepaliveTime    = 15 * time.Second
	keepaliveTimeout = 5 * time.Second

	connectTimeout = time.Second
)

// connectBackoff keeps a restarted member from being missed for gRPC's default of a second and more.
var connectBackoff = grpcbackoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond}

// New makes a client of the cluster that the endpoints belong to: client addresses of one or more members. It does
// not block; the first call connects.
func New(endpoints []string, opts ...Option) (*Client, error) {
	if len(endpoints) == 0 {
		return nil, named("client", invalid("endpoints", "no address of a member"))
	}
	c := &Client{timeout: TimeoutDefault, log: slog.New(slog.DiscardHandler), conns: map[string]*grpc.ClientConn{}}
	c.dial = []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(receiveBytesMax), grpc.MaxCallSendMsgSize(sendBytesMax)),
		grpc.WithInitialWindowSize(streamWindowBytes),
		grpc.WithInitialConnWindowSize(connWindowBytes),
		grpc.WithWriteBufferSize(bufferBytes),
		grpc.WithReadBufferSize(bufferBytes),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: connectBackoff, MinConnectTimeout: connectTimeout}),
		grpc.WithDisableServiceConfig(), // retries are ours alone
		grpc.WithDisableRetry(),
	}
	for _, opt := range opts {
		opt(c)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.routes.init(c, endpoints)
	c.calls.New = func() any { return newCall() }
	c.lanes.Store(&map[holdfast.ShardID]*lane{})
	c.names.Store(&names{})
	return c, nil
}

// Close ends what is under way, waits for it and closes the connections. Calls that were sent end as Unknown,
// others as Unavailable. It may be called twice.
func (c *Client) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		c.cancel()
		for _, l := range *c.lanes.Load() {
			l.close()
		}
	}
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for address, conn := range c.conns {
		errs = append(errs, conn.Close())
		delete(c.conns, address)
	}
	return errors.Join(errs...)
}

// start runs f in a goroutine that Close waits for. It reports false, and does not run f, after Close.
func (c *Client) start(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// conn gives the connection to a member, which is made on first use and shared by all that goes there.
func (c *Client) conn(address string) (*grpc.ClientConn, *holdfast.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	conn, ok := c.conns[address]
	if ok {
		return conn, nil
	}
	conn, err := grpc.NewClient("passthrough:///"+address, c.dial...)
	if err != nil {
		return nil, invalid("endpoints", "%s: %v", address, err)
	}
	c.conns[address] = conn
	return conn, nil
}

// lane gives the shard's lane, which is made on first use.
func (c *Client) lane(shard holdfast.ShardID) (*lane, *holdfast.Error) {
	if l, ok := (*c.lanes.Load())[shard]; ok {
		return l, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	old := *c.lanes.Load()
	if l, ok := old[shard]; ok {
		return l, nil
	}
	lanes := make(map[holdfast.ShardID]*lane, len(old)+1)
	for id, l := range old {
		lanes[id] = l
	}
	l := newLane(c, shard)
	lanes[shard] = l
	c.lanes.Store(&lanes)
	c.wg.Go(l.send)
	return l, nil
}

// deadline is when a call with this context ends at the latest.
func (c *Client) deadline(ctx context.Context) time.Time {
	if d, ok := ctx.Deadline(); ok {
		return d
	}
	return time.Now().Add(c.timeout)
}
