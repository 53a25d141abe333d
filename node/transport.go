package node

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// Limits of the mux. A pair of members has about four connections for each shard.
const (
	muxConnsMax     = 4096 // that others have opened, for all shards
	layerConnsMax   = 128  // of one shard, in both directions
	layerBacklog    = 16   // of one shard, accepted and not yet taken by the library
	raftPoolMax     = 3    // idle ones kept per shard and peer
	handshakePeriod = 5 * time.Second
)

// muxConfig is what a mux needs.
type muxConfig struct {
	Network Network
	Address string // to listen on, and what peers are told
	ID      string // who we are: a connection that is meant for another id is refused
	Timing  Timing
	Log     *slog.Logger
	Hello   func() Hello                  // what to answer to hello
	Veto    func() error                  // not nil: outgoing votes and pre-votes fail with it
	Locate  func(id raft.ServerID) string // a peer's present address; "" when only the configuration knows
	Teach   func(net.Conn, string) error  // answers a question about keyrings, and closes the connection; nil: not here
}

// mux carries all groups of a node over one listener. Each group has the library's own transport on top, so that
// pipelining, pre-vote and the fast path of heartbeats are the library's.
type mux struct {
	cfg      muxConfig
	listener net.Listener
	conns    connSet // that others have opened

	mu     sync.Mutex
	layers map[holdfast.ShardID]*layer
	closed bool

	running sync.WaitGroup // the accepting goroutine, and one for each greeting
}

// newMux begins to listen. Close it.
func newMux(cfg muxConfig) (*mux, error) {
	listener, err := cfg.Network.Listen(cfg.Address)
	if err != nil {
		return nil, err
	}
	m := &mux{cfg: cfg, listener: listener, layers: map[holdfast.ShardID]*layer{}}
	m.running.Go(m.accept)
	return m, nil
}

// Close stops listening, ends every connection and waits. The transports must be closed before.
func (m *mux) Close() error {
	m.mu.Lock()
	was := m.closed
	m.closed = true
	m.mu.Unlock()
	if was {
		return nil
	}
	err := m.listener.Close()
	m.conns.close()
	m.running.Wait()
	return err
}

// accept is the accepting goroutine.
func (m *mux) accept() {
	const pause = 50 * time.Millisecond // after a failure, most likely for want of file descriptors
	for {
		conn, err := m.listener.Accept()
		switch {
		case err == nil:
			if owned, ok := m.conns.add(conn, muxConnsMax); ok {
				m.running.Go(func() { m.greet(owned) })
			}
		case m.isClosed():
			return
		default:
			m.cfg.Log.Error("cannot accept connections of other nodes", "error", err)
			time.Sleep(pause)
		}
	}
}

func (m *mux) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// greet reads the preamble of a connection, answers it, and gives the connection to whom it is for.
func (m *mux) greet(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(handshakePeriod))
	p, err := readPreamble(conn)
	if err != nil {
		m.cfg.Log.Warn("a connection is not from a node", "remote", conn.RemoteAddr(), "error", err)
		conn.Close()
		return
	}
	answer, layer := m.judge(p)
	_, err = conn.Write([]byte{byte(answer)})
	switch {
	case err != nil || answer != greetWelcome:
		m.cfg.Log.Debug("a connection was refused", "source", p.source, "target", p.target, "shard", p.shard, "reason", answer.err(), "error", err)
		conn.Close()
	case p.purpose == purposePersons:
		if err := m.cfg.Teach(conn, p.source); err != nil {
			m.cfg.Log.Debug("a question about the keyring was not answered", "source", p.source, "error", err)
		}
	case layer == nil:
		if err := answerHello(conn, m.cfg.Hello); err != nil {
			m.cfg.Log.Debug("hello was not heard", "source", p.source, "error", err)
		}
		conn.Close()
	default:
		conn.SetDeadline(time.Time{})
		layer.deliver(conn)
	}
}

// judge decides about a connection. A welcome without a layer is for hello, or for a question about keyrings.
func (m *mux) judge(p preamble) (greeting, *layer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	layer := m.layers[p.shard]
	switch {
	case p.purpose == purposeHello:
		return greetWelcome, nil
	case p.target != m.cfg.ID:
		return greetOther, nil
	case p.purpose == purposePersons && m.cfg.Teach != nil:
		return greetWelcome, nil
	case p.purpose != purposeRaft || layer == nil:
		return greetNoShard, nil
	}
	return greetWelcome, layer
}

// dial opens a connection to a node and introduces us. timeout is for all of it.
func (m *mux) dial(address string, p preamble, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	conn, err := m.cfg.Network.Dial(address, timeout)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(deadline)
	var answer [1]byte
	_, err = conn.Write(p.append(nil))
	if err == nil {
		_, err = io.ReadFull(conn, answer[:])
	}
	if err == nil {
		err = greeting(answer[0]).err()
	}
	if err != nil {
		conn.Close()
		return nil, &net.OpError{Op: "greet", Net: "node", Addr: nodeAddr(address), Err: err}
	}
	return conn, nil
}

// Hello asks the node at address who it is. sent is when the question left us, by our clock, and rtt how long the
// answer took.
func (m *mux) Hello(address string, clock Clock) (h Hello, sent time.Time, rtt time.Duration, err error) {
	conn, err := m.dial(address, preamble{purpose: purposeHello, source: m.cfg.ID}, m.cfg.Timing.Hello)
	if err != nil {
		return Hello{}, time.Time{}, 0, err
	}
	defer conn.Close()
	sent, began := clock.Now(), clock.Monotonic()
	h, err = askHello(conn)
	return h, sent, clock.Monotonic() - began, err
}

// nodeAddr is the address that a node tells others.
type nodeAddr string

func (nodeAddr) Network() string  { return "node" }
func (a nodeAddr) String() string { return string(a) }

// layer is the raft.StreamLayer of one shard.
type layer struct {
	mux      *mux
	shard    holdfast.ShardID
	conns    connSet
	incoming chan net.Conn // never closed: deliver and Accept look at done
	done     chan struct{} // closed by Close
	once     sync.Once
}

// deliver hands a greeted connection to the library, or ends it when the library does not take any.
func (l *layer) deliver(conn net.Conn) {
	owned, ok := l.conns.add(conn, layerConnsMax)
	if !ok {
		return
	}
	select {
	case l.incoming <- owned:
	default:
		owned.Close()
	}
}

func (l *layer) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *layer) Addr() net.Addr { return nodeAddr(l.mux.cfg.Address) }

// addressMark divides an address in a configuration from an id that makes it unique there: see group.takeIn.
const addressMark = "/"

// Dial opens a connection to the server that address names: its id, @, and where it is.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, at, _ := strings.Cut(string(address), "@")
	at, _, _ = strings.Cut(at, addressMark)
	conn, err := l.mux.dial(at, preamble{purpose: purposeRaft, shard: l.shard, target: id, source: l.mux.cfg.ID}, timeout)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	owned, ok := l.conns.add(conn, layerConnsMax)
	if !ok {
		return nil, net.ErrClosed
	}
	return owned, nil
}

// Close ends the shard's connections, and no others. Later ones are told that the shard is not here.
func (l *layer) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.mux.mu.Lock()
		if l.mux.layers[l.shard] == l {
			delete(l.mux.layers, l.shard)
		}
		l.mux.mu.Unlock()
		l.conns.close()
	})
	return nil
}

// transport is the library's transport of one shard, with the id of the server that is meant in every dial, and
// the veto over our own candidacy and over our leadership.
type transport struct {
	*raft.NetworkTransport
	cfg    *muxConfig
	silent func() bool // whether followers do not hear from us, so that they elect another leader; set before Raft starts
	acks   acks
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil) // without it the library leaves pre-votes out, with no more than a warning
	_ raft.WithClose   = (*transport)(nil)
)

// Transport makes the transport of a shard. Closing it ends that shard's connections; then it can be made anew.
func (m *mux) Transport(shard holdfast.ShardID) *transport {
	l := &layer{mux: m, shard: shard, incoming: make(chan net.Conn, layerBacklog), done: make(chan struct{})}
	m.mu.Lock()
	m.layers[shard] = l
	m.mu.Unlock()
	return &transport{cfg: &m.cfg, silent: func() bool { return false }, NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: l, MaxPool: raftPoolMax, Timeout: m.cfg.Timing.RPC, Logger: newRaftLog(m.cfg.Log.With("shard", uint32(shard))),
	})}
}

// meant is what layer.Dial is to dial: the id, and where it is now, or where the configuration says it was.
func (t *transport) meant(id raft.ServerID, configured raft.ServerAddress) raft.ServerAddress {
	if at := t.cfg.Locate(id); at != "" {
		configured = raft.ServerAddress(at)
	}
	return raft.ServerAddress(id) + "@" + configured
}

// errSilent is what the library is told meanwhile; it tries again.
var errSilent = errors.New("the log's disk stands still: followers are to elect another leader")

func (t *transport) AppendEntriesPipeline(id raft.ServerID, at raft.ServerAddress) (raft.AppendPipeline, error) {
	if planted.Is(planted.MinorityWrite) {
		return nil, raft.ErrPipelineReplicationNotSupported
	}
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, t.meant(id, at))
	if err != nil {
		return nil, err
	}
	return newPipeline(p, t.silent, func(a raft.AppendFuture) { t.acks.note(id, a.Start(), a.Request(), a.Response()) }), nil
}

func (t *transport) AppendEntries(id raft.ServerID, at raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if planted.Is(planted.MinorityWrite) {
		return assume(t, id, at, args, resp)
	}
	if t.silent() {
		return errSilent
	}
	began := time.Now()
	err := t.NetworkTransport.AppendEntries(id, t.meant(id, at), args, resp)
	if err == nil {
		t.acks.note(id, began, args, resp)
	}
	return err
}

func (t *transport) RequestVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.cfg.Veto(); err != nil {
		return err
	}
	return t.insist(func() error { return t.NetworkTransport.RequestVote(id, t.meant(id, at), args, resp) })
}

func (t *transport) RequestPreVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if err := t.cfg.Veto(); err != nil {
		return err
	}
	return t.insist(func() error { return t.NetworkTransport.RequestPreVote(id, t.meant(id, at), args, resp) })
}

// insist asks for a vote until a connection carries the question. The library keeps up to raftPoolMax, does not know which of
// them have broken since they were last used, and asks once in each election: the vote would be lost, and there may be no other.
// A voter that is asked twice gives the same answer. After an election's time nobody waits for it any more.
func (t *transport) insist(ask func() error) (err error) {
	began := time.Now()
	for range raftPoolMax + 1 {
		if err = ask(); err == nil || time.Since(began) >= t.cfg.Timing.Election {
			return err
		}
	}
	return err
}

func (t *transport) InstallSnapshot(id raft.ServerID, at raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if t.silent() {
		return errSilent
	}
	return t.NetworkTransport.InstallSnapshot(id, t.meant(id, at), args, resp, data)
}

func (t *transport) TimeoutNow(id raft.ServerID, at raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.NetworkTransport.TimeoutNow(id, t.meant(id, at), args, resp)
}
