package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/node"
)

// How a client reaches a node: over a network that takes a moment, and breaks when the node dies.

var (
	// errRefused: nobody listens there; the node was not reached.
	errRefused = errors.New("sim: connection refused")
	// errLost: the answer did not come. The node may have done what it was asked.
	errLost = errors.New("sim: the connection was lost, or it took too long")
)

const (
	tripMost = 2 * time.Millisecond // from a client to a node, or back
	// patience is how long a client waits for one answer.
	patience = time.Second
)

func trip() { time.Sleep(rand.N(tripMost)) }

// ask does something at a node. A paused node comes to it when it goes on, even if nobody waits any more: so commands
// come late, and twice. do must return when ctx is over, or the node is closed.
func ask[T any](c *Cluster, i int, do func(ctx context.Context, n *node.Node) T) (answer T, err error) {
	l := c.at(i)
	trip()
	if l == nil {
		return answer, errRefused
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	done := make(chan T, 1)
	go func() {
		defer cancel()
		if !c.running(l) {
			return
		}
		got := do(ctx, l.node)
		if c.running(l) {
			done <- got
		}
	}()
	select {
	case answer = <-done:
		trip()
		return answer, nil
	case <-l.gone:
	case <-ctx.Done():
		select {
		case answer = <-done:
			return answer, nil
		default:
		}
	}
	return answer, errLost
}

// running waits until a life goes on, if it is paused, and reports whether it is one still.
func (c *Cluster) running(l *life) bool {
	c.mu.Lock()
	paused := l.paused
	c.mu.Unlock()
	if paused != nil {
		select {
		case <-paused:
		case <-l.gone:
		}
	}
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

// Submit gives a batch to a node, as package rpc would.
func (c *Cluster) Submit(i int, b node.Batch) node.Reply {
	r, err := ask(c, i, func(_ context.Context, n *node.Node) node.Reply {
		b.Commands = slices.Clone(b.Commands) // they are the node's, and may be sent again
		reply := make(chan node.Reply, 1)
		b.Done = func(r node.Reply) { reply <- r }
		n.Submit(b)
		return <-reply
	})
	if err != nil {
		return node.Reply{Err: err}
	}
	return r
}

// submit is Submit for clients.
func (c *Cluster) submit(i int, b node.Batch) node.Reply {
	if c.broken.Submit != nil {
		return c.broken.Submit(c, i, b)
	}
	return c.Submit(i, b)
}

// seats reads the states of all seats of an event at a node.
func (c *Cluster) seats(i int, event holdfast.EventID, stale bool) (states []byte, at holdfast.Stamp, err error) {
	type answer struct {
		states []byte
		at     node.ReadStamp
		err    error
	}
	a, err := ask(c, i, func(ctx context.Context, n *node.Node) (a answer) {
		var cut *fsm.Cut
		if cut, a.at, a.err = n.Cut(ctx, Shard, stale || c.broken.Stale != nil && c.broken.Stale(n)); a.err == nil {
			defer cut.Release()
			a.states, _, _ = cut.Seats(event)
		}
		return a
	})
	if err == nil {
		err = a.err
	}
	return a.states, a.at.Stamp, err
}
