package fsm

import "github.com/holdfast-db/holdfast"

// WallMs is the shard's wall clock at the cut, in Unix milliseconds.
func (c *Cut) WallMs() int64 { return c.state.wallMs }

// Incarnation gives the cluster's life, and whether it is paused until its books are reconciled.
func (c *Cut) Incarnation() (holdfast.Incarnation, bool) {
	return c.state.incarnation, c.state.suspended
}

// Currency gives the currency of an event, if the shard has it.
func (c *Cut) Currency(id holdfast.EventID) (holdfast.Currency, bool) {
	for _, e := range c.state.events {
		if e.id == id {
			return e.spec.Currency, true
		}
	}
	return "", false
}
