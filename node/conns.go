package node

import (
	"errors"
	"io"
	"net"
	"sync"
)

// connSet knows the open connections of somebody, so that it can end them all: the library leaves a connection's
// goroutine waiting on it when its transport is closed.
type connSet struct {
	mu     sync.Mutex
	open   map[*ownedConn]struct{}
	closed bool
}

// ownedConn takes itself out of its set when it is closed.
type ownedConn struct {
	net.Conn
	set *connSet
}

// Read gives io.EOF where we closed the connection ourselves: the library takes anything else for damage, and says so
// loudly whenever a node is stopped.
func (c *ownedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (c *ownedConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// add takes a connection in. When the set is closed, or has max connections, it closes the connection instead.
func (s *connSet) add(conn net.Conn, max int) (net.Conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.open) >= max {
		conn.Close()
		return nil, false
	}
	if s.open == nil {
		s.open = map[*ownedConn]struct{}{}
	}
	owned := &ownedConn{conn, s}
	s.open[owned] = struct{}{}
	return owned, true
}

// close ends all connections, those too that are added later.
func (s *connSet) close() {
	s.mu.Lock()
	open := s.open
	s.open, s.closed = nil, true
	s.mu.Unlock()
	for c := range open {
		c.Conn.Close()
	}
}
