package model

import (
	"container/heap"
	"slices"
	"time"

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
	// What organizers change.
	sale    holdfast.SaleState
	version uint32
}

// hold is one that is open, in payment, or sold.
type hold struct {
	Command
	state    holdfast.HoldState
	deadline holdfast.Clock
	attempt  holdfast.Attempt
	extended bool
	price    int64 // of a unit, when it was made
}

// Command is what is asked of the house.
type Command struct {
	Kind       Kind
	Hold       holdfast.HoldID
	Buyer      holdfast.BuyerID
	Seats      []holdfast.SeatIndex // of a hold; of one with Best those that it was given, if it was
	Best       *Best                // of a hold or a swap: it left the choice to the house
	Also       []Best               // and wanted these besides
	Attempt    holdfast.Attempt     // of Pay and of a sale that was paid for; 0: invoiced
	Sale       holdfast.SaleState
	Put        Description
	ValidUntil holdfast.Clock
}

// Description is how an event is to be from then on.
type Description struct {
	Expect  uint32 // the version that it was made for
	Price   int64
	HoldTTL time.Duration
	Grown   []Block
}

// Answer is what the house says.
type Answer struct {
	Outcome holdfast.Outcome
	Taken   []holdfast.SeatIndex // of a refused hold: all seats that were not to be had
	// Wrong says what is wrong with the seats that a hold with Best was given.
	Wrong    string
	Deadline holdfast.Clock // of a hold or a payment that began
	Amount   int64          // what a hold costs; 0: nobody asks
}

// NewHouse makes a house with so many seats, all free, at the first version of its description.
func NewHouse(rules Rules, seats int) *House {
	return &House{
		rules: rules, sale: holdfast.SaleOpen, version: 1, seats: make([]seat, seats), holds: map[holdfast.HoldID]*hold{},
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
		states[i] = h.stateOf(s)
	}
	return states
}

// Do runs one command.
func (h *House) Do(at holdfast.Clock, c Command) Answer {
	h.expire(at)
	if c.ValidUntil < at {
		return Answer{Outcome: holdfast.CommandExpired}
	}
	switch c.Kind {
	case Hold:
		return h.hold(at, c)
	case TakeOff:
		return h.turn(c.Seats, holdfast.Blocked)
	case PutBack:
		return h.turn(c.Seats, holdfast.Free)
	case SetSale:
		return Answer{Outcome: h.setSale(c.Sale)}
	case Put:
		return Answer{Outcome: h.put(c.Put)}
	case Swap:
		if refusal := h.closed(); refusal != 0 {
			return Answer{Outcome: refusal}
		}
	}
	on := h.holds[c.Hold]
	if on == nil {
		if how, ok := h.ended[c.Hold]; ok {
			return Answer{Outcome: how}
		}
		return Answer{Outcome: holdfast.HoldUnknown}
	}
	if c.Kind != Sell && c.Buyer != on.Buyer {
		return Answer{Outcome: holdfast.HoldNotYours}
	}
	switch c.Kind {
	case Pay:
		return h.pay(at, c, on)
	case Sell:
		return h.sell(c, on)
	}
	switch on.state {
	case holdfast.HoldSold:
		return Answer{Outcome: holdfast.HoldAlreadySold}
	case holdfast.HoldPaying, holdfast.HoldClosing:
		return Answer{Outcome: holdfast.HoldInPayment}
	}
	switch c.Kind {
	case Swap:
		return h.swap(c, on)
	case Extend:
		return h.extend(on)
	}
	h.end(on, holdfast.HoldReleased)
	return Answer{Outcome: holdfast.OK}
}

func (h *House) hold(at holdfast.Clock, c Command) Answer {
	if refusal := h.closed(); refusal != 0 {
		return Answer{Outcome: refusal}
	}
	units := c.units()
	switch _, has := h.holder[c.Buyer]; {
	case has && !h.rules.ManyHolds:
		return Answer{Outcome: holdfast.BuyerHasHold}
	case h.cool[c.Buyer] > at:
		return Answer{Outcome: holdfast.BuyerCoolingDown}
	case h.rules.SeatsPerBuyer > 0 && h.has[c.Buyer]+units > h.rules.SeatsPerBuyer:
		return Answer{Outcome: holdfast.BuyerOverLimit}
	}
	judged := h.choose(c, nil)
	if judged.Outcome != 0 {
		return judged
	}
	on := &hold{Command: c, state: holdfast.HoldOpen, price: h.rules.Price}
	h.until(on, at.Add(h.rules.HoldTTL))
	h.holds[c.Hold], h.holder[c.Buyer] = on, c.Hold
	h.has[c.Buyer] += units
	h.set(on, holdfast.Held)
	return h.yes(on, judged.Wrong)
}

// units is how many a hold or a swap wants.
func (c *Command) units() int {
	if c.Best == nil {
		return len(c.Seats)
	}
	n := c.Best.Count
	for i := range c.Also {
		n += c.Also[i].Count
	}
	return n
}

// yes is what a claim that took effect is answered.
func (h *House) yes(on *hold, wrong string) Answer {
	return Answer{Outcome: holdfast.OK, Deadline: on.deadline, Amount: on.price * int64(len(on.Seats)), Wrong: wrong}
}

// swap gives a hold other seats, or changes nothing. Its own count as free.
func (h *House) swap(c Command, on *hold) Answer {
	if h.rules.SeatsPerBuyer > 0 && h.has[c.Buyer]-len(on.Seats)+c.units() > h.rules.SeatsPerBuyer {
		return Answer{Outcome: holdfast.BuyerOverLimit}
	}
	judged := h.choose(c, on.Seats)
	if judged.Outcome != 0 {
		return judged
	}
	h.set(on, holdfast.Free)
	h.has[c.Buyer] += len(c.Seats) - len(on.Seats)
	on.Seats = c.Seats
	h.set(on, holdfast.Held)
	return h.yes(on, judged.Wrong)
}

// extend moves the deadline, once.
func (h *House) extend(on *hold) Answer {
	if on.extended {
		return Answer{Outcome: holdfast.HoldNotExtendable}
	}
	on.extended = true
	h.until(on, on.deadline.Add(h.rules.Extension))
	return h.yes(on, "")
}

// stateOf is a seat's; one that there is not is nobody's to have.
func (h *House) stateOf(s holdfast.SeatIndex) holdfast.SeatState {
	if int(s) >= len(h.seats) {
		return holdfast.Blocked
	}
	return h.seats[s].state
}

// taken says which of the seats are not to be had by who has his own, and by the worst of them why.
func (h *House) taken(seats, own []holdfast.SeatIndex) (refusal Answer) {
	worst := holdfast.Free
	for _, s := range seats {
		if state := h.stateOf(s); state != holdfast.Free && !slices.Contains(own, s) {
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
	return h.yes(on, "")
}

func (h *House) sell(c Command, on *hold) Answer {
	switch paid := c.Attempt != 0; {
	case on.state == holdfast.HoldSold && c.Attempt == on.attempt:
	case on.state == holdfast.HoldSold:
		return Answer{Outcome: holdfast.HoldAlreadySold}
	case !paid && on.state != holdfast.HoldOpen:
		return Answer{Outcome: holdfast.HoldInPayment}
	case paid && c.Attempt != on.attempt:
		return Answer{Outcome: holdfast.AttemptStale}
	default:
		on.state = holdfast.HoldSold
		h.forget(on)
		h.set(on, holdfast.Sold)
	}
	return Answer{Outcome: holdfast.OK, Amount: h.yes(on, "").Amount}
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
		if int(at) < len(h.seats) { // else it was told already that there is no such seat
			h.seats[at] = s
		}
	}
}
