//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/holdfast-db/holdfast/jepsen/seam"
)

// network is every way between members, and from clients to members. A proxy stands for each member towards each
// other one. On loopback it does all that can befall a link. With namespaces it does delay, bandwidth and resets, and
// packets are dropped by the kernel.
type network struct {
	places  int
	ways    map[[2]int]*way
	peers   map[[2]int]*proxy // from, to
	clients []*proxy          // by target
	raft    []string          // where members listen for each other
	spaces  *namespaces       // nil: loopback
	mu      sync.Mutex        // held while the rules of packets change
}

func newNetwork(spaces bool, members []*member) (_ *network, err error) {
	n := &network{places: len(members), ways: map[[2]int]*way{}, peers: map[[2]int]*proxy{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	for from := Everybody; from < n.places; from++ {
		for to := Everybody; to < n.places; to++ {
			n.ways[[2]int{from, to}] = newWay()
		}
	}
	if spaces {
		if n.spaces, err = newNamespaces(n.places); err != nil {
			return n, err
		}
	}
	if err := n.settle(members); err != nil {
		return n, err
	}
	for to, m := range members {
		n.raft = append(n.raft, m.raft)
		l, err := listenLocal()
		if err != nil {
			return n, err
		}
		n.clients = append(n.clients, newProxy(l, n.dialClients(to, m.listen), n.ways[[2]int{Everybody, to}], n.ways[[2]int{to, Everybody}]))
		for from := range members {
			if from == to {
				continue
			}
			if l, err = n.listenFor(to); err != nil {
				return n, err
			}
			n.peers[[2]int{from, to}] = newProxy(l, n.dialAs(from, m.raft), n.ways[[2]int{from, to}], n.ways[[2]int{to, from}])
		}
	}
	return n, nil
}

// settle gives every member its addresses.
func (n *network) settle(members []*member) error {
	if n.spaces != nil {
		for i, m := range members {
			m.raft, m.listen = n.spaces.member(i)+":7300", fmt.Sprintf("127.0.0.1:%d", 7400+i)
		}
		return nil
	}
	var held []net.Listener // all at once, so that no port is given out twice
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for _, m := range members {
		for _, address := range []*string{&m.raft, &m.listen} {
			l, err := listenLocal()
			if err != nil {
				return err
			}
			held, *address = append(held, l), l.Addr().String()
		}
	}
	return nil
}

// listenFor listens where a member is to be found by another.
func (n *network) listenFor(member int) (net.Listener, error) {
	if n.spaces == nil {
		return listenLocal()
	}
	return net.Listen("tcp", n.spaces.standIn(member)+":0")
}

// dialAs dials a member in the name of another.
func (n *network) dialAs(member int, address string) func(context.Context) (net.Conn, error) {
	var d net.Dialer
	if n.spaces != nil {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(n.spaces.standIn(member))}
	}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
}

// dialClients dials where a member serves clients: in plain text, and so only on its own loopback.
func (n *network) dialClients(member int, address string) func(context.Context) (net.Conn, error) {
	if n.spaces != nil {
		return n.spaces.dialInside(member, address)
	}
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
}

// routes are where a member is to look for the others, and clients for it.
func (n *network) routes(member int) seam.Routes {
	r := seam.Routes{Peers: map[string]string{}, Clients: n.clients[member].address()}
	for pair, p := range n.peers {
		if pair[0] == member {
			r.Peers[n.raft[pair[1]]] = p.address()
		}
	}
	return r
}

// enter is what a member's program is started with, so that it is where it belongs.
func (n *network) enter(member int) []string {
	if n.spaces == nil {
		return nil
	}
	return n.spaces.enter(member)
}

func (n *network) set(from, to int, l Link) error {
	if n.spaces != nil && from != Everybody && to != Everybody {
		n.mu.Lock()
		err := n.spaces.drop(from, to, l)
		n.mu.Unlock()
		if err != nil {
			return err
		}
		l.Cut, l.LossPercent = false, 0
	}
	n.ways[[2]int{from, to}].set(l)
	return nil
}

func (n *network) mend() (err error) {
	if n.spaces != nil {
		n.mu.Lock()
		err = n.spaces.mend()
		n.mu.Unlock()
	}
	for _, w := range n.ways {
		w.set(Link{})
	}
	return err
}

func (n *network) reset(from, to int) {
	if from == Everybody {
		n.clients[to].reset()
		return
	}
	n.peers[[2]int{from, to}].reset()
}

// Close ends all connections.
func (n *network) Close() (err error) {
	for _, p := range n.peers {
		err = errors.Join(err, p.Close())
	}
	for _, p := range n.clients {
		err = errors.Join(err, p.Close())
	}
	if n.spaces != nil {
		err = errors.Join(err, n.spaces.Close())
	}
	return err
}
