package sim

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"

	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/node"
	memory "github.com/holdfast-db/holdfast/node/sim"
	"github.com/holdfast-db/holdfast/rpc"
)

// How nodes are served to those who use package client: over the same network as everything else, and so subject to the
// same crashes, pauses and bad links.

// fronts is how many frontends stand before a cluster. On the network they are the hosts after the members.
const fronts = 2

const hosts = Members + fronts

// hostName names a machine: a member, a frontend, or the payment provider.
func hostName(i int) string {
	switch {
	case i < Members:
		return nodeName(i)
	case i < hosts:
		return "f" + string(rune('1'+i-Members))
	}
	return "bank"
}

// server is what a node's process serves its clients with.
type server struct {
	rpc    *rpc.Server
	served chan error // one value, when it has ended
}

// serve serves a node. A machine that has crashed meanwhile has nowhere to.
func serve(name string, cfg node.Config, n *node.Node) (*server, error) {
	listener, err := cfg.Network.Listen(cfg.ClientAddress)
	if err != nil {
		return nil, err
	}
	r, err := rpc.New(rpc.Config{Node: n, Listener: listener, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	s := &server{rpc: r, served: make(chan error, 1)}
	go func() { s.served <- r.Serve() }()
	return s, nil
}

// close ends the serving. A listener that was taken away by a crash is no news.
func (s *server) close() {
	if s != nil {
		_ = s.rpc.Close()
		<-s.served
	}
}

// dial makes a client of the cluster on a host, as of now: after the host's crash it reaches nobody.
func (c *Cluster) dial(host string) (*remote.Client, error) {
	network := c.network.Host(host)
	dialer := func(ctx context.Context, address string) (net.Conn, error) {
		patience := dialMax
		if deadline, ok := ctx.Deadline(); ok {
			patience = min(patience, time.Until(deadline))
		}
		return network.Dial(address, patience)
	}
	var endpoints []string
	for i := range Members {
		endpoints = append(endpoints, clientAddress(i))
	}
	opts := []remote.Option{remote.WithDialOptions(grpc.WithContextDialer(dialer)), remote.WithTimeout(callMax)}
	if c.logger != nil {
		opts = append(opts, remote.WithLogger(c.logger.With("host", host)))
	}
	return remote.New(endpoints, opts...)
}

func clientAddress(i int) string { return nodeName(i) + ":8000" }

const (
	dialMax = time.Second
	callMax = 5 * time.Second // of a frontend that was given no deadline
)

// impairHosts is impair for links that lead to frontends too.
func (c *Cluster) impairHosts(link memory.Link, concerns func(from, to int) bool) (undo func()) {
	l := &layer{concerns, link}
	c.relink(func() { c.layers = append(c.layers, l) })
	return func() {
		c.relink(func() {
			for i := range c.layers {
				if c.layers[i] == l {
					c.layers = append(c.layers[:i:i], c.layers[i+1:]...)
					return
				}
			}
		})
	}
}

var cutLink = memory.Link{Cut: true}

func slowLink(by time.Duration) memory.Link { return memory.Link{Delay: by / 2, Jitter: by / 2} }
