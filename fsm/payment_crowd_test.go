package fsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// crowdMuddle is the muddle of money in an event with a line: whoever holds needs a session, or was offered what came
// back, and all that gives seats back, refunds and payments that come to nothing too, meets those who wait for them.
type crowdMuddle struct {
	moneyMuddle
	entered int            // people who were sent to the line
	people  []int          // by place
	pending []int          // sent, and not answered
	offers  uint64         // that are among holds
	was     map[string]int // what happened, by name
	before  map[holdfast.HoldID]holdRecord
}

// newCrowdMuddle is a sale of six seats with every rule about money, short times, and a line.
func newCrowdMuddle(t testing.TB, seed uint64) (*shard, *crowdMuddle) {
	s := newCheckout(t, func(spec *command.EventSpec) {
		spec.Tiers, spec.Allocations = spec.Tiers[:1], nil
		spec.Sections = []command.Section{{Name: "row", Rows: []command.Row{{Label: "A", Seats: 6, Tier: holdfast.AnyTier}}}}
		spec.Rules = command.Rules{HoldTTLMs: 8000, PayWindowMs: 5000, CoolDownMs: 1000, ManyOpenHolds: seed%3 == 0, SeatsPerBuyer: uint16(seed % 2 * 3)}
		spec.Checkout.AtOnceMs, spec.Checkout.PayAgainMs, spec.Checkout.FeePerOrderMinor, spec.Checkout.TaxBps = 5000, 9000, 150, 700
		spec.Checkout.KeepFees, spec.Checkout.Notify, spec.Checkout.Invoices = true, true, seed%2 == 0
		spec.Checkout.Promos = []command.Promo{{Code: holdfast.PromoCode{1}, Bps: 10_000, UsesMax: 3}, {Code: holdfast.PromoCode{2}, AmountMinor: 777, UsesMax: 5}}
		spec.Line = command.LineRules{Enabled: true, CeilingMax: 6, SessionMs: 30_000, IdleMs: 6000, CallMs: 8000, OfferMs: 7000}
	})
	q := &queue{shard: s}
	q.must(holdfast.OK, &command.OpenLine{Secret: holdfast.LineSecret{1}})
	q.join(1)
	q.must(holdfast.OK, &command.Draw{})
	return s, &crowdMuddle{moneyMuddle: moneyMuddle{Rand: rand.New(rand.NewPCG(seed, 6))}, entered: 1, people: []int{0}, was: map[string]int{}}
}

// proof is that of somebody who came lately, mostly.
func (r *crowdMuddle) proof() command.Proof {
	number := max(0, len(r.people)-1-r.IntN(14))
	return command.Proof{Number: holdfast.PlaceNumber(number), Key: lineKey(r.people[number])}
}

func (r *crowdMuddle) command(s *shard) command.Command {
	for l := s.m.event(theEvent).line; r.offers < l.offers; {
		r.offers++
		r.holds = append(r.holds, offerID(theEvent, r.offers))
	}
	hold := r.some(r.holds)
	v, _ := s.m.Hold(hold)
	switch r.IntN(30) {
	case 0, 1:
		r.entered++
		r.pending = append(r.pending, r.entered)
		return &command.Enter{Count: 1, Root: draw.Leaf(theEvent, lineKey(r.entered))}
	case 2, 3, 4:
		return &command.Admit{Count: uint32(1 + r.IntN(3))}
	case 5, 6, 7, 8:
		return &command.Redeem{Proof: r.proof()}
	case 9:
		if r.IntN(4) == 0 {
			return &command.LeaveLine{Proof: r.proof()}
		}
	case 10, 11:
		if s.index%600 > 350 { // the rush is over: who paid too late may be lucky
			return &command.LeaveReturns{Buyer: r.proof().Key.Buyer()}
		}
		return &command.JoinReturns{Proof: r.proof(), Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: uint8(1 + r.IntN(3))}
	case 14:
		return &command.LeaveReturns{Buyer: r.proof().Key.Buyer()}
	case 15:
		return &command.Release{Buyer: v.Buyer, Hold: hold}
	case 16:
		switch r.IntN(12) {
		case 0:
			return &command.SetLine{Change: command.LinePause}
		case 1:
			return &command.SetSale{State: holdfast.SalePaused}
		}
	case 20, 21:
		if e := s.m.event(theEvent); e.sale != holdfast.SaleOpen {
			return &command.SetSale{State: holdfast.SaleOpen}
		} else if e.line.paused {
			return &command.SetLine{Change: command.LineResume}
		}
	case 12: // so that the sale goes on
		for _, o := range s.m.state.orders.all() {
			if h := s.m.state.holds.at(o.Hold); h.Count > 0 && r.IntN(3) == 0 {
				return &command.Refund{Order: h.ID.Order(), Reason: holdfast.RefundOrganizer, ReturnSeats: true}
			}
		}
	case 17, 18, 19: // a life that begins anew pauses everything: not for long
		if life, paused := s.m.Incarnation(); paused && r.IntN(3) == 0 {
			return &command.SetIncarnation{Incarnation: life, Reconciled: true}
		}
	}
	c := r.moneyMuddle.command(s)
	switch c := c.(type) {
	case *command.Hold:
		r.holds = r.holds[:len(r.holds)-1] // one that is made counts
		c.Buyer = r.proof().Key.Buyer()
		for range 8 { // mostly somebody who looks
			if slot := s.m.findBuyer(s.m.event(theEvent), c.Buyer); slot != 0 && s.m.sessions.waits(slot) {
				break
			}
			c.Buyer = r.proof().Key.Buyer()
		}
	case *command.BeginPayment:
		if r.IntN(2) == 0 {
			c.Capture = holdfast.CaptureAtOnce
		}
	case *command.StrayMoney:
		for _, p := range s.m.state.payments.all() { // mostly money that comes after all
			if p.Seats != 0 && p.Order == 0 && p.Captured == 0 && !p.free() && s.m.findHold(p.Hold) == 0 && r.IntN(2) == 0 {
				c.Hold, c.Attempt, c.Amount, c.Captured, c.Payment = p.Hold, p.Attempt, eur(p.Quote.TotalMinor), true, fmt.Sprintf("pi_%x_%d", p.Hold[12:], p.Attempt)
			}
		}
	}
	return c
}

// after learns which places were given out, and counts what became of holds.
func (r *crowdMuddle) after(s *shard, cmds []command.Command, results []command.Result) {
	for i, c := range cmds {
		switch c.(type) {
		case *command.Hold:
			if results[i].Outcome == holdfast.OK {
				r.holds = append(r.holds, results[i].Hold)
			}
		case *command.Enter:
			if results[i].Outcome == holdfast.OK {
				equal(s, "the place of who comes next", results[i].Place, holdfast.PlaceNumber(len(r.people)))
				r.people = append(r.people, r.pending[0])
			}
			r.pending = r.pending[1:]
		}
	}
	now := map[holdfast.HoldID]holdRecord{}
	for _, h := range s.m.state.holds.all() {
		now[h.ID] = *h
		kind := map[bool]string{true: "an offer", false: "a hold"}[isOffer(h.ID)]
		before, known := r.before[h.ID]
		_, ended := s.m.Ended(h.ID)
		switch {
		case !known && ended:
			r.was[kind+" is rescued"]++
		case !known:
			r.was[kind+" is made"]++
		case before.State != h.State:
			r.was[kind+" is "+h.State.String()]++
		case h.State == holdfast.HoldSold && before.Count > h.Count && s.m.state.orders.at(h.Order).State != holdfast.OrderCancelled:
			r.was["seats of "+kind+" are refunded and go back"]++
		}
	}
	for id, h := range r.before {
		if _, there := now[id]; !there {
			kind := map[bool]string{true: "an offer", false: "a hold"}[isOffer(id)]
			r.was[kind+" is "+h.State.String()+" and ends"]++
		}
	}
	r.before = now
}

// nobodyIsPassedOver looks that nothing is free that suits somebody who waits for it.
func nobodyIsPassedOver(s *shard) {
	e := s.m.event(theEvent)
	if e.sale != holdfast.SaleOpen || s.m.state.suspended {
		return
	}
	for _, slot := range e.line.returns {
		r := s.m.state.returns.at(slot)
		b := s.m.state.buyers.at(r.Buyer)
		if b.Newest != 0 && !e.rules.ManyOpenHolds || uint32(r.Count) > e.left(b.Units) {
			continue
		}
		if s.m.choice.choose(&e.units, &ask{wants: []command.Want{r.want(e)}}) == holdfast.OK {
			s.Fatalf("entry %d: %v are free, and %s waits for %d", s.index, s.m.choice.units, b.ID, r.Count)
		}
	}
}

// TestAMuddleOfMoneyInALineKeepsBothOrders is TestAMuddleOfMoneyKeepsItsBooks with a line: Check after every entry, a
// twin that is restored now and then, a bank that agrees; nothing that came back lies free while somebody waits for it;
// nothing new is held while books are not reconciled.
func TestAMuddleOfMoneyInALineKeepsBothOrders(t *testing.T) {
	seeds := uint64(16)
	if testing.Short() {
		seeds = 4
	}
	was := map[string]int{}
	for seed := range seeds {
		s, r := newCrowdMuddle(t, seed)
		r.was = was
		theBank := &bank{owed: map[holdfast.EffectID]EffectView{}, counted: map[string]bool{}}
		twin := &shard{TB: t, m: restored(t, snapshot(t, s.m)), index: s.index}
		for i := range 1500 {
			var cmds []command.Command
			for range r.IntN(6) {
				cmds = append(cmds, r.command(s))
			}
			step := []uint32{0, 3, 500, 500}[r.IntN(4)]
			_, suspended := s.m.Incarnation()
			offers := s.m.event(theEvent).line.offers
			results := s.entry(step, cmds...)
			for i, result := range results {
				if result.Outcome == holdfast.OK && !result.Repeated {
					theBank.see(s.m, cmds[i])
				}
			}
			theBank.agree(s)
			r.after(s, cmds, results)
			nobodyIsPassedOver(s)
			if _, still := s.m.Incarnation(); suspended && still && s.m.event(theEvent).line.offers != offers {
				t.Fatalf("seed %d, entry %d: seats are offered that nobody can pay for", seed, s.index)
			}
			twin.entry(step, cmds...)
			if !bytes.Equal(s.out.Results, twin.out.Results) {
				t.Fatalf("seed %d, entry %d: the twin answers otherwise", seed, s.index)
			}
			if i%50 == 0 {
				b := snapshot(t, s.m)
				if !bytes.Equal(b, snapshot(t, twin.m)) {
					t.Fatalf("seed %d, entry %d: the twin is another", seed, s.index)
				}
				twin.m = restored(t, b)
			}
		}
	}
	t.Log(was)
	for _, what := range []string{"a hold is made", "an offer is made", "an offer is paying", "an offer is closing", "an offer is cancelling", "an offer is sold",
		"an offer is held and ends", "an offer is closing and ends", "an offer is cancelling and ends", "a hold is closing and ends", "a hold is rescued", "an offer is rescued",
		"seats of a hold are refunded and go back", "seats of an offer are refunded and go back"} {
		if was[what] == 0 && !testing.Short() {
			t.Errorf("it never happened that %s", what)
		}
	}
}
