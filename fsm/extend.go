package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// extend moves an open hold's deadline, once.
func (m *Machine) extend(c *command.Extend) holdfast.Outcome {
	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	slot, o := m.lookHold(e, c.Hold)
	if o != holdfast.OK {
		return o
	}
	h := m.state.holds.at(slot)
	if o := m.mayChange(h, c.Buyer); o != holdfast.OK {
		return o
	}
	if h.Extended {
		return holdfast.HoldNotExtendable
	}

	deadline := h.Deadline + micros(e.rules.ExtensionMs)

	m.postpone(slot, deadline)
	m.state.holds.edit(slot).Extended = true
	return holdfast.OK
}

func (m *Machine) tellExtend(c *command.Extend, o holdfast.Outcome) { m.tellHeld(c.Hold, o) }
