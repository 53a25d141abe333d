package sim

import (
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// conn is one end of a connection. The network's mutex guards its fields.
type conn struct {
	network *Network
	local   string // the host that has this end
	peer    *conn

	arriving []segment // what the other end has sent and this one has not read
	bytes    int       // of them
	closed   bool      // by this end
	reset    bool
	changed  chan struct{} // closed whenever those who wait should look again; nil: nobody waits
	arrival  *time.Timer   // rings when somebody who reads should look again; nil: nobody has read yet

	readBy, writeBy time.Time // deadlines
}

// segment is what one Write sent, or the end of the stream when data is nil.
type segment struct {
	data []byte
	at   time.Time // when it arrives, if the link is not cut then
}

func newPair(n *Network, a, b string) (here, there *conn) {
	here = &conn{network: n, local: a}
	there = &conn{network: n, local: b, peer: here}
	here.peer = there
	n.conns[here], n.conns[there] = struct{}{}, struct{}{}
	return here, there
}

// wake lets those who wait at either end look again; the caller has the lock.
func (c *conn) wake() {
	for _, end := range []*conn{c, c.peer} {
		if end.changed != nil {
			close(end.changed)
			end.changed = nil
		}
	}
}

// wait gives what is closed with the next change; the caller has the lock.
func (c *conn) wait() <-chan struct{} {
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.changed
}

// usable says why this end is of no use, for something that must be done by a deadline; the caller has the lock.
func (c *conn) usable(by time.Time) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.reset:
		return syscall.ECONNRESET
	case !by.IsZero() && !time.Now().Before(by):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "sim", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *conn) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, changed, arrival, err := c.read(b)
	for n == 0 && err == nil {
		select {
		case <-changed:
		case <-arrival:
		}
		n, changed, arrival, err = c.read(b)
	}
	return n, err
}

// read reads what is there. If there is nothing, it says what to wait for.
func (c *conn) read(b []byte) (n int, changed <-chan struct{}, arrival <-chan time.Time, err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if err := c.usable(c.readBy); err != nil {
		return 0, nil, nil, c.failed("read", err)
	}
	if len(c.arriving) > 0 && !c.cut() {
		first := &c.arriving[0]
		switch {
		case time.Until(first.at) > 0:
		case first.data == nil:
			return 0, nil, nil, io.EOF
		default:
			n = copy(b, first.data)
			if c.bytes >= windowBytes { // the other end may be waiting for room
				c.wake()
			}
			c.bytes -= n
			if first.data = first.data[n:]; len(first.data) == 0 {
				c.arriving = c.arriving[1:]
			}
			return n, nil, nil, nil
		}
	}
	if c.arrival == nil {
		c.arrival = time.NewTimer(time.Hour)
	}
	c.ring()
	return 0, c.wait(), c.arrival.C, nil
}

// ended reports whether the end of the stream has come, to whoever reads first of all: a writer does not know before the
// reader that the other end was closed. gRPC opens a stream again and again, at once, on a connection that only its writer knows to be
// broken, and virtual time would stand still.
func (c *conn) ended() bool {
	n := len(c.arriving)
	return n > 0 && c.arriving[n-1].data == nil && time.Until(c.arriving[n-1].at) <= 0 && !c.cut()
}

// cut reports whether nothing reaches this end.
func (c *conn) cut() bool { return c.network.links[[2]string{c.peer.local, c.local}].Cut }

// ring has somebody who reads look when the next segment arrives, or when it is too late; the caller has the lock.
func (c *conn) ring() {
	if c.arrival == nil {
		return
	}
	at := c.readBy
	if len(c.arriving) > 0 && !c.cut() && (at.IsZero() || c.arriving[0].at.Before(at)) {
		at = c.arriving[0].at
	}
	if at.IsZero() {
		c.arrival.Stop() // until something changes
		return
	}
	c.arrival.Reset(time.Until(at))
}

func (c *conn) Write(b []byte) (n int, err error) {
	sent, changed, by, err := c.write(b)
	for n = sent; n < len(b) && err == nil; n += sent {
		if sent == 0 {
			if !by.IsZero() {
				late := time.AfterFunc(time.Until(by), c.look)
				<-changed
				late.Stop()
			} else {
				<-changed
			}
		}
		sent, changed, by, err = c.write(b[n:])
	}
	return n, err
}

// write sends what there is room for. If there is none, it says what to wait for, and how long.
func (c *conn) write(b []byte) (n int, changed <-chan struct{}, by time.Time, err error) {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	err = c.usable(c.writeBy)
	if err == nil && c.ended() {
		err = syscall.EPIPE
	}
	switch {
	case err != nil:
		return 0, nil, by, c.failed("write", err)
	case c.peer.closed:
		return len(b), nil, by, nil // it is lost
	}
	room := windowBytes - c.peer.bytes
	if room <= 0 {
		return 0, c.wait(), c.writeBy, nil
	}
	n = min(len(b), room)
	c.send(slices.Clone(b[:n]))
	return n, nil, by, nil
}

// hurry has what is on its way here arrive as the link is now, in the order in which it was sent; the caller has the lock.
func (c *conn) hurry() {
	var before time.Time
	for i := range c.arriving {
		s := &c.arriving[i]
		if time.Until(s.at) > 0 {
			if at := c.network.arrival(c.peer.local, c.local, len(s.data)); at.Before(s.at) {
				s.at = at
			}
		}
		if s.at.Before(before) {
			s.at = before
		}
		before = s.at
	}
}

// look lets those who wait look again.
func (c *conn) look() {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	c.wake()
}

// send puts a segment on its way, behind what was sent before.
func (c *conn) send(data []byte) {
	s := segment{data: data, at: c.network.arrival(c.local, c.peer.local, len(data))}
	if n := len(c.peer.arriving); n > 0 && c.peer.arriving[n-1].at.After(s.at) {
		s.at = c.peer.arriving[n-1].at
	}
	c.peer.arriving = append(c.peer.arriving, s)
	c.peer.bytes += len(data)
	if len(c.peer.arriving) == 1 {
		c.peer.ring()
	}
}

// Close tells the other end, after what was sent before.
func (c *conn) Close() error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if !c.reset {
		c.send(nil)
	}
	c.closed = true
	c.arriving, c.bytes = nil, 0
	delete(c.network.conns, c)
	c.wake()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return addr(c.local) }
func (c *conn) RemoteAddr() net.Addr { return addr(c.peer.local) }

func (c *conn) SetDeadline(t time.Time) error {
	return c.set(func() { c.readBy, c.writeBy = t, t })
}

func (c *conn) SetReadDeadline(t time.Time) error { return c.set(func() { c.readBy = t }) }

func (c *conn) SetWriteDeadline(t time.Time) error { return c.set(func() { c.writeBy = t }) }

func (c *conn) set(deadlines func()) error {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	deadlines()
	c.wake()
	return nil
}
