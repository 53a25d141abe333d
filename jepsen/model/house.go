package model

import (
	"container/heap"

	"github.com/holdfast-db/holdfast"
)

// House is the model of a whole event that is on sale: commands are run one after the other, each at its instant on
// the hold clock.
type House struct {
	rules  Rules
	seats  []seat
	blocks []Block                   // how they lie, for Lay
	has    map[holdfast.BuyerID]int  // units that a buyer holds or has bought
	holds  map[holdfast.HoldID]*hold // that have not ended
	due    agenda                    // when holds end, or ended by what they were before
	ended  map[holdfast.HoldID]holdfast.Outcome
	cool   map[holdfast.BuyerID]holdfast.Clock // until when a buyer has to wait
	holder map[holdfast.BuyerID]holdfast.HoldID
}

// hold is one that is open, in payment, or sold.
type hold struct {
	Command
	state    holdfast.HoldState
	deadline holdfast.Clock
	attempt  holdfast.Attempt
}

// Command is what is asked of the house.
type Command struct {
	Kind       Kind
	Hold       holdfast.HoldID
	Buyer      holdfast.BuyerID
	Seats      []holdfast.SeatIndex // of a hold; of one with Best those that it was given, if it was
	Best       *Best                // of a hold: it named no seats
	Attempt    holdfast.Attempt     // of Pay and of a sale that was paid for; 0: invoiced
	ValidUntil holdfast.Clock
}

// Answer is what the house says.
type Answer struct {
	Outcome holdfast.Outcome
	Taken   []holdfast.SeatIndex // of a refused hold: all seats that were not to be had
	// Wrong says what is wrong with the seats that a hold with Best was given.
	Wrong    string
	Deadline holdfast.Clock // of a hold or a payment that began
}

// NewHouse makes a house with so many seats, all free.
func NewHouse(rules Rules, seats int) *House {
	return &House{
		rules: rules, seats: make([]seat, seats), holds: map[holdfast.HoldID]*hold{},
		has: map[holdfast.BuyerID]int{}, ended: map[holdfast.HoldID]holdfast.Outcome{}, cool: map[holdfast.BuyerID]holdfast.Clock{}, holder: map[holdfast.BuyerID]holdfast.HoldID{},
	}
}

// States gives the states of all seats at an instant.
func (h *House) States(at holdfast.Clock) []holdfast.SeatState {
	h.expire(at)
	states := make([]holdfast.SeatState, len(h.seats))
	for i, s := range h.seats {
		states[i] = s.state
	}
	return states
}

// Look gives the states of some seats at an instant.
func (h *House) Look(at holdfast.Clock, seats []holdfast.SeatIndex) []holdfast.SeatState {
	h.expire(at)
	states := make([]holdfast.SeatState, len(seats))
	for i, s := range seats {
		states[i] = h.seats[s].state
	}
	return states
}

// Do runs one command.
func (h *House) Do(at holdfast.Clock, c Command) Answer {
	h.expire(at)
	if c.ValidUntil < at {
		return Answer{Outcome: holdfast.CommandExpired}
	}
	if c.Kind == Hold {
		return h.hold(at, c)
	}
	on := h.holds[c.Hold]
	if on == nil {
		if how, ok := h.ended[c.Hold]; ok {
			return Answer{Outcome: how}
		}
		return Answer{Outcome: holdfast.HoldUnknown}
	}
	switch c.Kind {
	case Pay:
		return h.pay(at, c, on)
	case Sell:
		return Answer{Outcome: h.sell(c, on)}
	default:
		return Answer{Outcome: h.release(on)}
	}
}

func (h *House) hold(at holdfast.Clock, c Command) Answer {
	units := len(c.Seats)
	if c.Best != nil {
		units = c.Best.Count
	}
	switch _, has := h.holder[c.Buyer]; {
	case has && !h.rules.ManyHolds:
		return Answer{Outcome: holdfast.BuyerHasHold}
	case h.cool[c.Buyer] > at:
		return Answer{Outcome: holdfast.BuyerCoolingDown}
	case h.rules.SeatsPerBuyer > 0 && h.has[c.Buyer]+units > h.rules.SeatsPerBuyer:
		return Answer{Outcome: holdfast.BuyerOverLimit}
	}
	refusal := h.taken(c.Seats)
	if c.Best != nil {
		refusal = h.best(c)
	}
	if refusal.Outcome != 0 {
		return refusal
	}
	deadline := at.Add(h.rules.HoldTTL)
	on := &hold{Command: c, state: holdfast.HoldOpen}
	h.until(on, deadline)
	h.holds[c.Hold], h.holder[c.Buyer] = on, c.Hold
	h.has[c.Buyer] += units
	h.set(on, holdfast.Held)
	return Answer{Outcome: holdfast.OK, Deadline: deadline, Wrong: refusal.Wrong}
}

// taken says which of the seats are not to be had, and by the worst of them why.
func (h *House) taken(seats []holdfast.SeatIndex) (refusal Answer) {
	worst := holdfast.Free
	for _, s := range seats {
		if state := h.seats[s].state; state != holdfast.Free {
			refusal.Taken = append(refusal.Taken, s)
			if badness(state) > badness(worst) {
				worst = state
			}
		}
	}
	for outcome, state := range stateOf {
		if state == worst {
			refusal.Outcome = outcome
		}
	}
	return refusal
}

func (h *House) pay(at holdfast.Clock, c Command, on *hold) Answer {
	switch {
	case on.state == holdfast.HoldClosing:
		return Answer{Outcome: holdfast.HoldInPayment}
	case on.state == holdfast.HoldSold:
		return Answer{Outcome: holdfast.HoldAlreadySold}
	case c.Attempt != on.attempt && c.Attempt != on.attempt+1:
		return Answer{Outcome: holdfast.AttemptStale}
	}
	on.attempt = c.Attempt
	if on.state == holdfast.HoldOpen {
		on.state = holdfast.HoldPaying
		h.until(on, at.Add(h.rules.PayWindow))
		h.set(on, holdfast.Paying)
	}
	return Answer{Outcome: holdfast.OK, Deadline: on.deadline}
}

func (h *House) sell(c Command, on *hold) holdfast.Outcome {
	switch paid := c.Attempt != 0; {
	case on.state == holdfast.HoldSold && c.Attempt == on.attempt:
		return holdfast.OK
	case on.state == holdfast.HoldSold:
		return holdfast.HoldAlreadySold
	case !paid && on.state != holdfast.HoldOpen:
		return holdfast.HoldInPayment
	case paid && c.Attempt != on.attempt:
		return holdfast.AttemptStale
	}
	on.state = holdfast.HoldSold
	h.forget(on)
	h.set(on, holdfast.Sold)
	return holdfast.OK
}

func (h *House) release(on *hold) holdfast.Outcome {
	switch on.state {
	case holdfast.HoldOpen:
		h.end(on, holdfast.HoldReleased)
		return holdfast.OK
	case holdfast.HoldSold:
		return holdfast.HoldAlreadySold
	}
	return holdfast.HoldInPayment
}

// expire ends what is due: a hold at its deadline, one in payment a grace later. It is dead at the deadline, not
// after it.
func (h *House) expire(at holdfast.Clock) {
	for len(h.due) > 0 && h.due[0].at <= at {
		next := heap.Pop(&h.due).(appointment)
		on := next.hold
		switch {
		case h.holds[on.Hold] != on || on.state == holdfast.HoldSold || on.deadline != next.at: // it is no longer so
		case on.state == holdfast.HoldPaying:
			on.state = holdfast.HoldClosing
			h.until(on, on.deadline.Add(h.rules.Grace))
		default:
			h.cool[on.Buyer] = max(h.cool[on.Buyer], on.deadline.Add(h.rules.CoolDown))
			h.end(on, holdfast.HoldLapsed)
		}
	}
}

// until sets when a hold ends.
func (h *House) until(on *hold, deadline holdfast.Clock) {
	on.deadline = deadline
	heap.Push(&h.due, appointment{deadline, on})
}

// agenda is a heap of what is due, the first first.
type agenda []appointment

type appointment struct {
	at   holdfast.Clock
	hold *hold
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (h *House) end(on *hold, how holdfast.Outcome) {
	h.set(on, holdfast.Free)
	h.has[on.Buyer] -= len(on.Seats)
	h.ended[on.Hold] = how
	delete(h.holds, on.Hold)
	h.forget(on)
}

// forget ends that the buyer has this open hold.
func (h *House) forget(on *hold) {
	if h.holder[on.Buyer] == on.Hold {
		delete(h.holder, on.Buyer)
	}
}

// set brings all seats of a hold into a state.
func (h *House) set(on *hold, state holdfast.SeatState) {
	s := seat{state, on.Hold}
	if state == holdfast.Free {
		s = seat{}
	}
	for _, at := range on.Seats {
		h.seats[at] = s
	}
}
