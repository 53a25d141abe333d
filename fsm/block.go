package fsm

import (
	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// block takes free units off sale, or puts blocked ones back: all or none. Units that are so already are fine.
func (m *Machine) block(c *command.Block) holdfast.Outcome {
	from, to := holdfast.Free, holdfast.Blocked
	if c.Unblock {
		from, to = to, from
	}

	e := m.event(c.Event)
	if e == nil {
		return holdfast.EventUnknown
	}
	for _, unit := range c.Seats {
		if int(unit) >= e.units.len() {
			return holdfast.WantInvalid
		}
	}
	for _, unit := range c.Seats {
		if taken(e.units.state(unit)) {
			return holdfast.SeatTaken
		}
	}

	for _, unit := range c.Seats {
		if e.units.state(unit) == from {
			m.move(e, unit, from, to, 0)
		}
	}
	return holdfast.OK
}

func (m *Machine) tellBlock(c *command.Block, o holdfast.Outcome) {
	if o != holdfast.SeatTaken {
		return
	}
	e, r := m.event(c.Event), &m.last.result
	for _, unit := range c.Seats {
		if taken(e.units.state(unit)) && len(r.Taken) < command.ResultSeatsMax {
			r.Taken = append(r.Taken, unit)
		}
	}
}

// taken reports whether units in this state belong to somebody.
func taken(s holdfast.SeatState) bool {
	return s == holdfast.Held || s == holdfast.Paying || s == holdfast.Sold
}
