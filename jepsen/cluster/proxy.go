package cluster

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Link is what becomes of bytes that go one way between two places. The zero Link is a good one.
type Link struct {
	Cut         bool // nothing arrives
	Delay       time.Duration
	Jitter      time.Duration // up to so much more
	BytesPerSec int           // 0: as many as there are
	LossPercent int           // of packets, where there are packets; else of pieces that come late, as sent again
}

// resentAfter is how late a lost piece comes on a link that knows no packets: the least retransmission time of Linux.
const resentAfter = 200 * time.Millisecond

const (
	pieceBytes  = 16 << 10
	piecesQueue = 256 // of a connection, on their way; then the sender is slowed down
)

// way is one direction between two places, shared by all connections that have bytes going that way.
type way struct {
	mu      sync.Mutex
	link    Link
	changed chan struct{} // closed when link changes
}

func newWay() *way { return &way{changed: make(chan struct{})} }

func (w *way) set(l Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = l
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *way) now() (Link, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.link, w.changed
}

// pass waits until nothing is cut any more. It reports false when ctx ended before.
func (w *way) pass(ctx context.Context) bool {
	for {
		l, changed := w.now()
		if !l.Cut {
			return ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// proxy stands for one place towards another: who connects to it reaches the target, as its ways allow.
type proxy struct {
	listener  net.Listener
	dial      func(context.Context) (net.Conn, error)
	there     *way // from who connects to the target
	back      *way
	running   sync.WaitGroup
	ctx       context.Context // ends with Close
	end       context.CancelFunc
	mu        sync.Mutex
	pairs     map[*pair]struct{}
	randomish *rand.Rand // under mu
}

// pair is one connection through a proxy: two of the network.
type pair struct {
	near, far net.Conn
	end       context.CancelFunc
}

// newProxy begins to listen. Close it.
func newProxy(listener net.Listener, dial func(context.Context) (net.Conn, error), there, back *way) *proxy {
	p := &proxy{listener: listener, dial: dial, there: there, back: back, pairs: map[*pair]struct{}{}, randomish: rand.New(rand.NewPCG(1, 2))}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// Close ends every connection and waits.
func (p *proxy) Close() error {
	p.end()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed; a listener on this machine has no other failure that a harness could live with
		}
		p.running.Go(func() { p.serve(near) })
	}
}

// serve carries one connection. While one of the ways is cut, a new connection gets no answer, as without a network.
func (p *proxy) serve(near net.Conn) {
	defer near.Close()
	ctx, end := context.WithCancel(p.ctx)
	defer end()
	if !p.there.pass(ctx) || !p.back.pass(ctx) {
		return
	}
	far, err := p.dial(ctx)
	if err != nil {
		reset(near)
		return
	}
	defer far.Close()
	one := &pair{near, far, end}
	p.mu.Lock()
	p.pairs[one] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pairs, one)
	}()
	context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	var both sync.WaitGroup
	both.Go(func() { p.carry(ctx, near, far, p.there); end() })
	both.Go(func() { p.carry(ctx, far, near, p.back); end() })
	both.Wait()
}

// piece is some bytes with the instant at which they are due.
type piece struct {
	bytes []byte
	due   time.Time
}

// carry moves bytes one way until a side ends. The way is asked twice: how long a piece takes is decided when it sets
// out, and whether it arrives when it is due.
func (p *proxy) carry(ctx context.Context, from io.Reader, to io.Writer, w *way) {
	pieces := make(chan piece, piecesQueue)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for one := range pieces {
			if wait := time.Until(one.due); wait > 0 {
				time.Sleep(wait)
			}
			if !w.pass(ctx) {
				break
			}
			if _, err := to.Write(one.bytes); err != nil {
				break
			}
		}
		for range pieces { // so that the reader is never stuck
		}
	}()
	defer func() { close(pieces); <-done }()
	free := time.Now() // when the link can take more
	for {
		buffer := make([]byte, pieceBytes)
		n, err := from.Read(buffer)
		if n > 0 {
			link, _ := w.now()
			one := piece{buffer[:n], time.Now().Add(p.takes(link))}
			if link.BytesPerSec > 0 {
				free = later(free, time.Now()).Add(time.Duration(n) * time.Second / time.Duration(link.BytesPerSec))
				one.due = later(one.due, free)
			}
			select {
			case pieces <- one:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// takes is how long a piece is on its way.
func (p *proxy) takes(l Link) time.Duration {
	if l.Jitter == 0 && l.LossPercent == 0 {
		return l.Delay
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := l.Delay
	if l.Jitter > 0 {
		d += time.Duration(p.randomish.Int64N(int64(l.Jitter)))
	}
	if p.randomish.IntN(100) < l.LossPercent {
		d += resentAfter
	}
	return d
}

// reset ends every connection at once, without a word to the programs at its ends about what has arrived.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.pairs {
		reset(one.near)
		reset(one.far)
		one.end()
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a connection that is gone needs no more
	}
	c.Close()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
