package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// release gives an open hold's units back. The buyer need not wait for the next hold.
func (m *Machine) release(c *command.Release) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot, o := m.lookHold(e, c.Hold)
	if planted.Is(planted.PoisonEntry) {
		assert(slot != 0, "a hold is released that is not there")
	}
	if o != holdfast.OK {
		return o
	}
	if o := m.mayChange(m.state.holds.at(slot), c.Buyer); o != holdfast.OK {
		return o
	}

	m.end(slot, holdfast.HoldReleased)
	return holdfast.OK
}

func (m *Machine) tellRelease(c *command.Release, o holdfast.Outcome) { m.tellHeld(c.Hold, o) }
