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
	changed  chan struct{} // closed and made anew whenever somebody who waits should look again

	readBy, writeBy time.Time // deadlines
}

// segment is what one Write sent, or the end of the stream when data is nil.
type segment struct {
	data []byte
	at   time.Time // when it arrives, if the link is not cut then
}

func newPair(n *Network, a, b string) (here, there *conn) {
	here = &conn{network: n, local: a, changed: make(chan struct{})}
	there = &conn{network: n, local: b, changed: make(chan struct{}), peer: here}
	here.peer = there
	n.conns[here], n.conns[there] = struct{}{}, struct{}{}
	return here, there
}

// wake lets those who wait at either end look again; the caller has the lock.
func (c *conn) wake() {
	for _, end := range []*conn{c, c.peer} {
		close(end.changed)
		end.changed = make(chan struct{})
	}
}

// wait does try, under the lock, until it is done, fails, or the deadline is past. try says how long it makes no
// sense to try again unless something changes; 0 for ever.
func (c *conn) wait(op string, deadline *time.Time, try func() (done bool, again time.Duration, err error)) error {
	for {
		c.network.mu.Lock()
		var done bool
		var again time.Duration
		var err error
		now, by := time.Now(), *deadline
		switch {
		case c.closed:
			err = net.ErrClosed
		case c.reset:
			err = syscall.ECONNRESET
		case !by.IsZero() && !now.Before(by):
			err = os.ErrDeadlineExceeded
		default:
			done, again, err = try()
		}
		changed := c.changed
		c.network.mu.Unlock()
		if err == io.EOF {
			return err
		}
		if err != nil {
			return &net.OpError{Op: op, Net: "sim", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
		}
		if done {
			return nil
		}
		if left := by.Sub(now); !by.IsZero() && (again == 0 || left < again) {
			again = left
		}
		if again == 0 {
			<-changed
			continue
		}
		timer := time.NewTimer(again)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (c *conn) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = c.wait("read", &c.readBy, func() (bool, time.Duration, error) {
		if len(c.arriving) == 0 || c.network.links[[2]string{c.peer.local, c.local}].Cut {
			return false, 0, nil
		}
		first := &c.arriving[0]
		if early := time.Until(first.at); early > 0 {
			return false, early, nil
		}
		if first.data == nil {
			return false, 0, io.EOF
		}
		n = copy(b, first.data)
		c.bytes -= n
		if first.data = first.data[n:]; len(first.data) == 0 {
			c.arriving = c.arriving[1:]
		}
		c.wake()
		return true, 0, nil
	})
	return n, err
}

func (c *conn) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		err = c.wait("write", &c.writeBy, func() (bool, time.Duration, error) {
			room := windowBytes - c.peer.bytes
			if c.peer.closed {
				return false, 0, syscall.EPIPE
			}
			if room <= 0 {
				return false, 0, nil
			}
			part := b[n:min(len(b), n+room)]
			c.send(slices.Clone(part))
			n += len(part)
			return true, 0, nil
		})
	}
	return n, err
}

// send puts a segment on its way, behind what was sent before.
func (c *conn) send(data []byte) {
	s := segment{data: data, at: c.network.arrival(c.local, c.peer.local)}
	if n := len(c.peer.arriving); n > 0 && c.peer.arriving[n-1].at.After(s.at) {
		s.at = c.peer.arriving[n-1].at
	}
	c.peer.arriving = append(c.peer.arriving, s)
	c.peer.bytes += len(data)
	c.wake()
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
