package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// organizer: the event of the seats is changed while it sells. Organizers take seats off sale and put them back, pause
// the sale and go on with it, and change its rules, of two at a time one in vain; buyers swap what they hold, and ask for
// more time. Half of them do so by package client, half by hand. It all goes into the one history of the seats.
type organizing struct {
	world *world
	plan  Scene
}

func newOrganizing(w *world, s Scene) scene { return &organizing{w, s} }

// organizerNumber is the number of the first of its clients.
const organizerNumber = 2000

func (s *organizing) open(context.Context, *remote.Client) error { return nil }

func (s *organizing) work(until time.Duration) {
	var working sync.WaitGroup
	for i := range s.plan.People {
		cl := s.world.newClient(organizerNumber + i)
		cl.thinks = s.plan.Think
		if i%4 < 2 {
			cl.library = &library{world: s.world}
		}
		s.world.hire(cl)
		act := s.waver
		if i%2 == 0 {
			act = s.change
		}
		working.Go(func() {
			for s.world.now() < until {
				cl.resolve()
				act(cl)
				cl.think()
			}
			s.reopen(cl)
		})
	}
	working.Wait()
}

func (s *organizing) judge(context.Context, *remote.Client, *Report) {}

// ask has one command decided, and reports whether it was.
func (cl *client) ask(kind history.Kind, cmd command.Command, o history.Operation) (history.Operation, bool) {
	o.Client, o.Kind, o.Command = cl.number, kind, cmd.Head().ID
	c := &claim{Operation: o, cmd: cmd, packed: cmd.Append(nil)}
	cl.do(c)
	if c.decided {
		cl.world.deeds.did("organizer: " + kind.String() + " " + map[bool]string{true: "done", false: "refused"}[c.Outcome == holdfast.OK])
	}
	return c.Operation, c.decided
}

// change is what an organizer does next.
func (s *organizing) change(cl *client) {
	switch n := cl.random.IntN(10); {
	case n < 2:
		s.setSale(cl, holdfast.SalePaused)
		time.Sleep(time.Duration(cl.random.Int64N(int64(500 * time.Millisecond))))
		s.reopen(cl)
	case n < 4:
		s.put(cl)
	default:
		seats := cl.wanted(4)
		got, decided := cl.ask(history.TakeOff, &command.Block{Header: cl.header(), Seats: seats}, history.Operation{Seats: seats})
		cl.think()
		if decided && got.Outcome == holdfast.OK && cl.random.IntN(4) > 0 {
			cl.ask(history.PutBack, &command.Block{Header: cl.header(), Unblock: true, Seats: seats}, history.Operation{Seats: seats})
		}
	}
}

func (s *organizing) setSale(cl *client, to holdfast.SaleState) bool {
	_, decided := cl.ask(history.SetSale, &command.SetSale{Header: cl.header(), State: to}, history.Operation{Sale: to})
	return decided
}

// reopen goes on with the sale: nobody could buy for the rest of the run otherwise.
func (s *organizing) reopen(cl *client) {
	for range 5 {
		if s.setSale(cl, holdfast.SaleOpen) {
			return
		}
	}
}

// put changes how long holds last from now on, if the event is as it was when it was read.
func (s *organizing) put(cl *client) {
	ctx, cancel := context.WithTimeout(context.Background(), once)
	defer cancel()
	front := s.world.fronts.pick(ctx, cl.at)
	if front == nil {
		return
	}
	e, err := front.client.Event(ctx, s.world.reference())
	if err != nil {
		return // a read that fails tells nothing
	}
	cl.think() // somebody may be faster
	spec := e.Spec
	spec.Title = fmt.Sprintf("at %v by %d", s.world.now(), cl.number)
	ttl := s.world.plan.Rules.HoldTTL + time.Duration(cl.random.IntN(3))*time.Second
	spec.Rules.HoldTTLMs = ms(ttl)
	cl.ask(history.Put, &command.PutEvent{Header: cl.header(), Expect: e.Version, Spec: spec},
		history.Operation{Put: &history.Description{Expect: e.Version, Price: priceMinor, HoldTTL: ttl}})
}

// waver is a buyer who holds seats, changes his mind, and buys what he has then. Who does not know what became of a
// command does nothing more with the hold.
func (s *organizing) waver(cl *client) {
	h := cl.hold(cl.wanted(3))
	if cl.do(h); h.Outcome != holdfast.OK || h.Repeated {
		return
	}
	for range 1 + cl.random.IntN(3) {
		cl.think()
		on := history.Operation{Hold: h.Hold, Buyer: h.Buyer, Seats: h.Seats}
		if cl.random.IntN(3) == 0 {
			if _, decided := cl.ask(history.Extend, &command.Extend{Header: cl.header(), Buyer: h.Buyer, Hold: h.Hold}, on); !decided {
				return
			}
			continue
		}
		on.Had, on.Seats = h.Seats, cl.wanted(3)
		if cl.random.IntN(2) == 0 && !slices.Contains(on.Seats, h.Seats[0]) { // keeps one of them
			on.Seats = append([]holdfast.SeatIndex{h.Seats[0]}, on.Seats...)
		}
		got, decided := cl.ask(history.Swap, &command.Swap{Header: cl.header(), Buyer: h.Buyer, Hold: h.Hold,
			Wants: []command.Want{{Kind: command.WantSeats, Seats: on.Seats}}}, on)
		if !decided {
			return
		}
		if got.Outcome == holdfast.OK {
			h.Seats, h.amount = on.Seats, price(len(on.Seats))
		}
	}
	if cl.random.IntN(2) == 0 {
		cl.do(cl.sell(h, 0))
	} else {
		cl.do(cl.release(h))
	}
}
