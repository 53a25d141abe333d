package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-db/holdfast/node"
)

// Network connects hosts that are named by the part of an address before the colon. It behaves as TCP does at its
// worst: bytes arrive in order or not at all; over a cut link nothing arrives until it heals, and nobody is told.
// It is safe for concurrent use.
type Network struct {
	mu        sync.Mutex
	random    *rand.Rand
	listeners map[string]*listener
	links     map[[2]string]Link
	busy      map[[2]string]time.Time // until when a narrow link is
	conns     map[*conn]struct{}
	crashes   map[string]int // of each host
}

// Link is one direction between two hosts. The zero value is perfect.
type Link struct {
	Cut    bool          // nothing arrives; what was sent arrives after the link heals, unless somebody gave up
	Delay  time.Duration // everything arrives this much later
	Jitter time.Duration // and up to this much more
	PerKiB time.Duration // it carries one KiB in this time; 0: any number in none
	Loss   float64       // this part of what is sent is lost once, and arrives retransmissionTime later
}

const (
	retransmissionTime = 200 * time.Millisecond
	windowBytes        = 1 << 20 // on their way in one direction of a connection; more waits
	backlog            = 64      // of a listener
	handshakeBytes     = 64      // each way
)

// NewNetwork makes a network without hosts.
func NewNetwork(seed uint64) *Network {
	return &Network{
		random: rand.New(rand.NewPCG(seed, 2)), listeners: map[string]*listener{}, links: map[[2]string]Link{}, busy: map[[2]string]time.Time{},
		conns: map[*conn]struct{}{}, crashes: map[string]int{},
	}
}

// Host is the network as one host sees it, until it crashes.
func (n *Network) Host(name string) node.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	return host{n, name, n.crashes[name]}
}

// Set changes the link from one host to another. What is on its way arrives no later than if it were sent now.
func (n *Network) Set(from, to string, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	link := [2]string{from, to}
	if n.links[link] == l {
		return
	}
	n.links[link] = l
	delete(n.busy, link)
	for c := range n.conns {
		if c.local == to && c.peer.local == from {
			c.hurry()
		}
	}
	n.wakeAll()
}

// Cut cuts both directions between two hosts, Heal makes them perfect.
func (n *Network) Cut(a, b string)  { n.Set(a, b, Link{Cut: true}); n.Set(b, a, Link{Cut: true}) }
func (n *Network) Heal(a, b string) { n.Set(a, b, Link{}); n.Set(b, a, Link{}) }

// HealAll makes every link perfect.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.links)
	clear(n.busy)
	for c := range n.conns {
		c.hurry()
	}
	n.wakeAll()
}

// Reset breaks every connection between two hosts.
func (n *Network) Reset(a, b string) {
	n.reset(func(c *conn) bool { return c.local == a && c.peer.local == b || c.local == b && c.peer.local == a })
}

// Crash ends all that a host has: its listeners, and its connections on both sides. A process that goes on in it
// after that reaches nobody; the host is there again with the next call of Host.
func (n *Network) Crash(name string) {
	n.mu.Lock()
	n.crashes[name]++
	n.mu.Unlock()
	n.reset(func(c *conn) bool { return c.local == name || c.peer.local == name })
	n.mu.Lock()
	defer n.mu.Unlock()
	for address, l := range n.listeners {
		if hostOf(address) == name {
			l.closeLocked()
		}
	}
}

func (n *Network) reset(which func(*conn) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if which(c) {
			c.reset = true
			delete(n.conns, c)
			c.wake()
		}
	}
}

func (n *Network) wakeAll() {
	for c := range n.conns {
		c.wake()
	}
}

// arrival is when what is sent now from one host to another is there, if the link is not cut.
func (n *Network) arrival(from, to string, bytes int) time.Time {
	link := [2]string{from, to}
	l, at := n.links[link], time.Now()
	if l.PerKiB > 0 { // it waits for its turn
		if n.busy[link].After(at) {
			at = n.busy[link]
		}
		at = at.Add(time.Duration(bytes) * l.PerKiB / 1024)
		n.busy[link] = at
	}
	at = at.Add(l.Delay)
	if l.Jitter > 0 {
		at = at.Add(time.Duration(n.random.Int64N(int64(l.Jitter))))
	}
	for l.Loss > 0 && n.random.Float64() < min(l.Loss, 0.99) {
		at = at.Add(retransmissionTime)
	}
	return at
}

func hostOf(address string) string {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return name
}

// host is a node.Network.
type host struct {
	network *Network
	name    string
	crashes int // before this process
}

// dead reports whether the process has crashed; the caller has the lock.
func (h host) dead() bool { return h.crashes != h.network.crashes[h.name] }

func (h host) Listen(address string) (net.Listener, error) {
	n := h.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.dead() {
		return nil, &net.OpError{Op: "listen", Net: "sim", Addr: addr(address), Err: errCrashed}
	}
	if hostOf(address) != h.name {
		return nil, fmt.Errorf("sim: %s cannot listen at %s", h.name, address)
	}
	if n.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: "sim", Addr: addr(address), Err: syscall.EADDRINUSE}
	}
	l := &listener{network: n, address: address, incoming: make(chan *conn, backlog), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// Dial takes the time of a round trip. Over a cut link it takes all of its timeout.
func (h host) Dial(address string, timeout time.Duration) (net.Conn, error) {
	n, to, began := h.network, hostOf(address), time.Now()
	n.mu.Lock()
	cut := h.dead() || n.links[[2]string{h.name, to}].Cut || n.links[[2]string{to, h.name}].Cut
	trip := n.arrival(h.name, to, handshakeBytes).Sub(began) + n.arrival(to, h.name, handshakeBytes).Sub(began)
	n.mu.Unlock()
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "sim", Addr: addr(address), Err: err}
	}
	if cut || trip > timeout {
		time.Sleep(timeout)
		return fail(os.ErrDeadlineExceeded)
	}
	time.Sleep(trip)
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[address]
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	if h.dead() {
		return fail(errCrashed)
	}
	here, there := newPair(n, h.name, to)
	select {
	case l.incoming <- there:
		return here, nil
	default:
		return fail(errors.New("the listener's backlog is full"))
	}
}

type listener struct {
	network  *Network
	address  string
	incoming chan *conn // never closed
	done     chan struct{}
	closed   bool
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	return l.closeLocked()
}

func (l *listener) closeLocked() error {
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	close(l.done)
	delete(l.network.listeners, l.address)
	return nil
}

func (l *listener) Addr() net.Addr { return addr(l.address) }

type addr string

func (addr) Network() string  { return "sim" }
func (a addr) String() string { return string(a) }
