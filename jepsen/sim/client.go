package sim

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
	"github.com/holdfast-db/holdfast/node"
)

// client does one thing after the other, and knows no more than the answers that it gets. It repeats what is unknown
// with the same ids, as package client does.
type client struct {
	world  *world
	number int
	random *rand.Rand
	at     int            // the node that it believes to lead
	clock  holdfast.Clock // the latest that it was told
	count  uint64         // of ids
	buyers uint64
	open   []*claim // nobody knows what became of them
	past   []*claim // some holds of before
	thinks time.Duration
	// library carries its commands and reads, if it uses package client. Else it is one that does worse things.
	library *library
}

// claim is one command with what is known of it.
type claim struct {
	history.Operation
	cmd     command.Command
	packed  []byte
	settles bool
	amount  holdfast.Money
	reached bool // an attempt may have got into the log
	decided bool
}

const (
	validity = 30 * time.Second
	// stamina is how long a client repeats a command before it turns to something else. What is unknown then is
	// asked for again at the end.
	stamina = 8 * time.Second
)

// id makes the id of a command. It has no need of being secret, so it is a number.
func (cl *client) id() holdfast.CommandID {
	cl.count++
	var random [10]byte
	binary.BigEndian.PutUint16(random[:], uint16(cl.number))
	binary.BigEndian.PutUint64(random[2:], cl.count)
	return holdfast.NewCommandID(cl.clock.Add(validity), random)
}

func (cl *client) header() command.Header {
	if cl.library != nil { // it makes ids itself
		return command.Header{Event: cl.world.event}
	}
	return command.Header{ID: cl.id(), Event: cl.world.event}
}

// buyer gives a new buyer, or one of the last ones.
func (cl *client) buyer() (id holdfast.BuyerID) {
	n := cl.buyers
	if n == 0 || cl.random.IntN(8) != 0 {
		cl.buyers++
		n = cl.buyers
	} else {
		n -= uint64(cl.random.IntN(int(min(n, 5))))
	}
	binary.BigEndian.PutUint64(id[:], uint64(cl.number))
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func (cl *client) claim(kind history.Kind, cmd command.Command, hold history.Operation, settles bool) *claim {
	id := cmd.Head().ID
	c := &claim{Operation: history.Operation{
		Client: cl.number, Kind: kind, Command: id, Hold: hold.Hold, Buyer: hold.Buyer, Seats: hold.Seats, Attempt: hold.Attempt,
	}, cmd: cmd, packed: cmd.Append(nil), settles: settles, amount: price(len(hold.Seats))}
	if kind == history.Hold {
		c.Hold = holdfast.HoldID(id)
	}
	return c
}

const (
	priceMinor = 5000
	currency   = "eur"
)

func price(seats int) holdfast.Money {
	return holdfast.Money{AmountMinor: int64(seats) * priceMinor, Currency: "eur"}
}

func (cl *client) hold(seats []holdfast.SeatIndex) *claim {
	buyer := cl.buyer()
	cmd := &command.Hold{Header: cl.header(), Buyer: buyer, Wants: []command.Want{{Kind: command.WantSeats, Seats: seats}}}
	return cl.claim(history.Hold, cmd, history.Operation{Buyer: buyer, Seats: seats}, false)
}

func (cl *client) pay(h *claim, attempt holdfast.Attempt) *claim {
	on := h.Operation
	on.Attempt = attempt
	return cl.claim(history.Pay, &command.BeginPayment{Header: cl.header(), Buyer: h.Buyer, Hold: h.Hold, Attempt: attempt, Amount: h.amount}, on, true)
}

// sell sells what was paid for in an attempt; with attempt 0 it is invoiced.
func (cl *client) sell(h *claim, attempt holdfast.Attempt) *claim {
	on := h.Operation
	on.Attempt = attempt
	cmd := &command.Sell{Header: cl.header(), Hold: h.Hold, As: command.SaleInvoiced, Attempt: attempt, Amount: h.amount}
	if attempt != 0 {
		cmd.As, cmd.Payment = command.SalePaid, "pay_"+strconv.Itoa(int(attempt))+strings.TrimPrefix(h.Hold.String(), "hold")
	}
	return cl.claim(history.Sell, cmd, on, true)
}

func (cl *client) release(h *claim) *claim {
	return cl.claim(history.Release, &command.Release{Header: cl.header(), Buyer: h.Buyer, Hold: h.Hold}, h.Operation, true)
}

// do has the commands decided in one batch, repeating it until it is or the client is tired. It records those that
// were, and keeps those that are unknown.
func (cl *client) do(claims ...*claim) {
	if cl.library != nil {
		cl.library.do(cl, claims)
	} else {
		cl.send(claims)
	}
	for _, c := range claims {
		switch {
		case c.decided:
			cl.world.recorder.Add(c.Operation)
		case c.reached:
			cl.open = append(cl.open, c)
		}
	}
}

// send is do by hand.
func (cl *client) send(claims []*claim) {
	b := node.Batch{Shard: Shard, Count: len(claims), Settles: true}
	for _, c := range claims {
		b.Commands = append(b.Commands, c.packed...)
		b.Settles = b.Settles && c.settles
		if c.Call == 0 {
			c.Call = cl.world.now()
		}
	}
	for tired := cl.world.now() + stamina; cl.world.now() < tired; {
		b.Deadline = time.Time{}
		if cl.random.IntN(2) == 0 { // else it may be decided after nobody waits any more
			b.Deadline = time.Now().Add(patience)
		}
		if cl.random.Float64() < cl.world.plan.Load.Twins {
			for _, c := range claims {
				c.reached = true
			}
			cl.twin(b)
		}
		r := cl.world.cluster.submit(cl.at, b)
		if r.Err == nil && cl.random.Float64() < cl.world.plan.Load.Loss {
			r.Err = errLost
		}
		if r.Err == nil {
			cl.hear(claims, r)
			break
		}
		var failure *holdfast.Error
		if !errors.As(r.Err, &failure) || failure.Kind == holdfast.Unknown {
			for _, c := range claims {
				c.reached = c.reached || !errors.Is(r.Err, errRefused)
			}
			if cl.world.cluster.broken.FreshIDs {
				cl.anew(b.Commands)
			}
		}
		cl.turn(failure)
	}
}

// twin sends a batch that is being sent once more: to any node, right before or up to some seconds after. Nobody waits
// for the answer.
func (cl *client) twin(b node.Batch) {
	at, after := cl.random.IntN(Members), time.Duration(0)
	if cl.random.IntN(2) == 0 {
		after = time.Duration(cl.random.Int64N(int64(stamina)))
	}
	b.Commands = slices.Clone(b.Commands) // FreshIDs changes them
	cl.world.twins.Go(func() {
		time.Sleep(after)
		cl.world.cluster.Submit(at, b)
	})
	if after == 0 {
		trip()
		trip()
	}
}

// resolve asks again, one by one, for the commands of which nobody knows what became.
func (cl *client) resolve() {
	open := cl.open
	cl.open = nil
	for _, c := range open {
		if c.Command.ValidUntil() > cl.clock { // else the answer would be that it is too late
			cl.do(c)
		} else {
			cl.open = append(cl.open, c)
		}
	}
}

// anew gives packed commands other ids: what no client may do with commands whose outcome is unknown.
func (cl *client) anew(packed []byte) {
	for rest := packed; len(rest) > 0; {
		var cmd []byte
		var err error
		if cmd, rest, err = command.Split(rest); err != nil {
			panic(err) // we packed it
		}
		command.SetID(cmd, cl.id())
	}
}

// turn waits a moment after a failure, and turns to the leader that it names, or to another node.
func (cl *client) turn(failure *holdfast.Error) {
	next, wait := (cl.at+1)%Members, time.Duration(cl.random.Int64N(int64(50*time.Millisecond)))
	if failure != nil {
		wait += failure.RetryAfter / 4
		for i := range Members {
			if failure.Leader == nodeName(i)+":8000" {
				next = i
			}
		}
		if failure.Kind == holdfast.Overloaded {
			next = cl.at
		}
	}
	cl.at = next
	time.Sleep(wait)
}

// hear takes the answers to a batch.
func (cl *client) hear(claims []*claim, r node.Reply) {
	rest, at := r.Results, r.Stamp
	cl.clock = max(cl.clock, at.Clock)
	for _, c := range claims {
		var result command.Result
		var err error
		if rest, err = command.DecodeResult(rest, &result); err != nil {
			cl.world.cluster.fail("an answer does not decode: %v", err)
			return
		}
		cl.told(c, &result, at)
		at.Slot++
	}
}

// told takes the answer to one command. That it is too late says nothing when it may have been decided before.
func (cl *client) told(c *claim, result *command.Result, at holdfast.Stamp) {
	cl.clock = max(cl.clock, at.Clock)
	if result.Outcome == holdfast.CommandExpired && c.reached {
		return
	}
	c.Return, c.Outcome, c.Repeated, c.Stamp = cl.world.now(), result.Outcome, result.Repeated, at
	c.Taken, c.Deadline, c.Amount = result.Taken, result.Deadline, result.Amount.AmountMinor
	c.decided = true
}

// read reads some seats, strictly, once. A read that fails tells nothing.
func (cl *client) read(seats []holdfast.SeatIndex) {
	if cl.library != nil {
		cl.library.read(cl, seats)
		return
	}
	o := history.Operation{Client: cl.number, Kind: history.Read, Seats: seats, Call: cl.world.now()}
	if cl.world.cluster.broken.Stale != nil {
		cl.at = cl.random.IntN(Members)
	}
	states, at, err := cl.world.cluster.seats(cl.at, cl.world.event, false)
	if err != nil {
		var failure *holdfast.Error
		errors.As(err, &failure)
		cl.turn(failure)
		return
	}
	cl.clock = max(cl.clock, at.Clock)
	for _, s := range seats {
		o.States = append(o.States, holdfast.SeatState(states[s]))
	}
	o.Return, o.Outcome, o.Stamp = cl.world.now(), holdfast.OK, at
	cl.world.recorder.Add(o)
}
