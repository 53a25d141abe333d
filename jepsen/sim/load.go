package sim

import (
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// What clients do. Everybody wants seats in the same small part of the house, which moves through it as time passes,
// so that they stand in each other's way as long as the load lasts.

// work is the life of a client.
func (cl *client) work(until time.Duration) {
	for cl.world.now() < until {
		if len(cl.open) > 0 { // whoever does not know what became of a command asks again before anything else
			cl.resolve()
		}
		switch n := cl.random.IntN(10); {
		case n == 0:
			cl.read(cl.wanted(4))
		case n <= 2 && len(cl.past) > 0:
			cl.revisit()
		default:
			cl.buy(1 + cl.random.IntN(cl.world.plan.Load.Crowd))
		}
		cl.think()
	}
}

// pulse is the life of a client that never waits for long.
func (cl *client) pulse(until time.Duration) {
	for cl.world.now() < until {
		h := cl.hold(cl.wanted(1))
		cl.do(h)
		if h.Outcome == holdfast.OK {
			cl.do(cl.release(h))
		}
		time.Sleep(cl.world.plan.Load.Pulse)
	}
	cl.resolve()
}

func (cl *client) think() {
	time.Sleep(time.Duration(cl.random.ExpFloat64() * float64(cl.thinks)))
}

// wanted gives one to most seats, side by side or not.
func (cl *client) wanted(most int) []holdfast.SeatIndex {
	const width = 40 // of the part that everybody wants
	load := cl.world.plan.Load
	first := int(float64(cl.world.now()) / float64(cl.world.plan.Length) * float64(load.Seats-width))
	from := min(max(first, 0), load.Seats-width)
	apart, seats := cl.random.IntN(3) == 0, []holdfast.SeatIndex(nil)
	for next := from + cl.random.IntN(width); len(seats) < most && next < load.Seats; next++ {
		seats = append(seats, holdfast.SeatIndex(next))
		if cl.random.IntN(3) == 0 {
			break
		}
		if apart {
			next += cl.random.IntN(5)
		}
	}
	return seats
}

// buy has a crowd hold seats at the same time. Then each that got some does with them as people do.
func (cl *client) buy(crowd int) {
	var holds, won, paying, selling []*claim
	for range crowd {
		holds = append(holds, cl.hold(cl.wanted(4)))
	}
	cl.do(holds...)
	for _, h := range holds {
		if h.Outcome == holdfast.OK && h.Kind == history.Hold {
			won = append(won, h)
		}
	}
	cl.remember(won)
	cl.think()
	var next []*claim
	for _, h := range won {
		switch n := cl.random.IntN(20); {
		case n < 8:
			p := cl.pay(h, 1)
			next, paying = append(next, p), append(paying, p)
		case n < 11:
			next = append(next, cl.sell(h, 0))
		case n < 14:
			next = append(next, cl.release(h))
		case n < 16:
			cl.waitFor(h)
			next = append(next, cl.sell(h, 0))
		}
	}
	if len(next) == 0 {
		return
	}
	cl.do(next...)
	cl.think()
	for _, p := range paying {
		switch n := cl.random.IntN(10); {
		case n < 6:
			selling = append(selling, cl.sell(p, 1))
		case n < 8:
			selling = append(selling, cl.pay(p, 2), cl.sell(p, 1), cl.sell(p, 2))
		}
	}
	if len(selling) > 0 {
		cl.do(selling...)
	}
}

// waitFor waits until about the deadline of a hold, as far as a client can know it.
func (cl *client) waitFor(h *claim) {
	left := h.Stamp.Clock.Until(h.Deadline) - (cl.world.now() - h.Return)
	time.Sleep(left - 50*time.Millisecond + time.Duration(cl.random.Int64N(int64(100*time.Millisecond))))
}

// remember keeps some holds to come back to.
func (cl *client) remember(won []*claim) {
	cl.past = append(cl.past, won...)
	if n := len(cl.past) - 30; n > 0 {
		cl.past = cl.past[n:]
	}
}

// revisit does something about a hold of before, which may be anything by now.
func (cl *client) revisit() {
	h := cl.past[cl.random.IntN(len(cl.past))]
	switch cl.random.IntN(5) {
	case 0:
		cl.do(cl.release(h))
	case 1:
		cl.do(cl.sell(h, 0))
	case 2:
		cl.do(cl.sell(h, 1))
	case 3:
		cl.do(cl.pay(h, 1+holdfast.Attempt(cl.random.IntN(3))))
	case 4:
		cl.do(cl.release(h), cl.pay(h, 1), cl.sell(h, 1))
	}
}
