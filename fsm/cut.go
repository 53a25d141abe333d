package fsm

import (
	"iter"

	"github.com/holdfast-db/holdfast"
)

// Cut is a machine's state as of one index, frozen. It is made in microseconds, because it shares the machine's
// pages: the machine goes on, and copies a page before it writes to it for the first time after. Any goroutine may
// read a cut, without a lock, until it is released; one goroutine at a time.
//
// A cut that is not released costs memory for every page that is written since, and time for the copies.
type Cut struct {
	shard holdfast.ShardID
	state state
	lease *lease
}

// Cut freezes the state as it is between two entries.
func (m *Machine) Cut() *Cut {
	l := &lease{}
	return &Cut{shard: m.shard, state: m.state.cut(l), lease: l}
}

// Release lets the cut's pages go. The cut must not be read any more. It may be called twice, and from any goroutine.
func (c *Cut) Release() { c.lease.released.Store(true) }

// Index is the log's index of the last entry applied before the cut.
func (c *Cut) Index() uint64 { return c.state.index }

// Clock is the hold clock at the cut.
func (c *Cut) Clock() holdfast.Clock { return c.state.clock }

// Seats gives the state of every unit of an event, one byte each, and the revision at which they were so.
func (c *Cut) Seats(id holdfast.EventID) (states []byte, revision holdfast.Revision, ok bool) {
	for _, e := range c.state.events {
		if e.id == id {
			return e.units.states(nil), e.revision, true
		}
	}
	return nil, 0, false
}

// Orders gives the orders of an event in the order in which they were sold.
func (c *Cut) Orders(id holdfast.EventID) iter.Seq[OrderView] {
	return func(yield func(OrderView) bool) {
		for slot, o := range c.state.orders.all() {
			if e := c.state.events[c.state.holds.at(o.Hold).Event]; e.id == id && !yield(c.state.order(slot)) {
				return
			}
		}
	}
}
