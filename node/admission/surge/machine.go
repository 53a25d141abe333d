package surge

// The state machine's own clamp, as fsm/admit.go has it: whatever the leader asks for, no more are called than the sessions
// and the stock are good for, and never nobody for good while something is free and nobody looks. It sees what is in the
// state only, and its averages move by a sixteenth.

type clamp struct {
	show, units float64 // averages: of the called who come, by turns that are over; of units a sale
	open        []turn  // turns that are not over
}

// turn is one second's calls.
type turn struct {
	at           float64
	called, came int
}

func newClamp() clamp { return clamp{show: 1, units: 2} }

// allow gives how many of so many may be called.
func (r *run) allow(asked int) int {
	c := &r.clamp
	for len(c.open) > 0 && c.open[0].at+r.Window.Seconds() <= r.now {
		t := c.open[0]
		c.show += (float64(min(t.came, t.called))/float64(t.called) - c.show) / 16
		c.open = c.open[1:]
	}
	show := max(c.show, 1./16)
	expected := int(show * float64(r.fresh()))
	stock := float64(r.free) / max(c.units, 1)
	if r.free*100 > r.Units {
		stock *= 1.2
	}
	room := max(0, min(r.Ceiling-r.active-expected, int(stock)-r.looking-expected))
	n := min(asked, int(float64(room)/show))
	if n == 0 && r.free > 0 && r.looking+expected == 0 && r.active < r.Ceiling {
		n = 1
	}
	return n
}

// opened notes a second's calls.
func (c *clamp) opened(at float64, called int) {
	if called > 0 {
		c.open = append(c.open, turn{at: at, called: called})
	}
}

// came notes that somebody came who was called then.
func (c *clamp) cameOf(called float64) {
	for i := range c.open {
		if c.open[i].at == called {
			c.open[i].came++
		}
	}
}

// sold notes a sale.
func (c *clamp) sold(units int) { c.units += (float64(units) - c.units) / 16 }
