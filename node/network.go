package node

import (
	"net"
	"time"
)

// Network is how nodes reach each other. Package node/sim has one in memory that cuts, delays and resets.
type Network interface {
	Listen(address string) (net.Listener, error)
	Dial(address string, timeout time.Duration) (net.Conn, error)
}

// TCP is the network of the operating system.
func TCP() Network { return tcp{} }

type tcp struct{}

func (tcp) Listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

func (tcp) Dial(address string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", address, timeout)
}
