package fsm

import (
	"fmt"
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Violation is an invariant that does not hold. Rule is its name, which tests and the fault harness look for.
type Violation struct {
	Rule   string
	Detail string
}

func (v Violation) String() string { return v.Rule + ": " + v.Detail }

// The rules that Check knows. The first five are the numbered invariants of docs/invariants.md as far as a shard's
// state shows them; the others are what they stand on.
const (
	RuleOwner        = "I1 one owner"               // a unit that is held, in payment or sold is in the chain of exactly one hold, in its state
	RuleConservation = "I2 conservation"            // counters are what a recount gives, and add up to the capacity
	RuleOverdue      = "I4 time-boxed"              // nothing is due that is still there
	RuleMemory       = "I7 memory within validity"  // no outcome is remembered whose command is no longer valid
	RulePayment      = "I8 one order a payment"     // a payment's reference belongs to one order
	RuleMoney        = "I8 money equals seats"      // the books of every payment add up, and orders are in the state that their payment allows
	RuleOutbox       = "outbox"                     // what a payment's state asks for is owed, once, in its place, and nothing else is
	RulePromo        = "promotion uses"             // codes are counted as often as they are used
	RulePerson       = "known while needed"         // of nobody is anything known whose hold is gone for good
	RuleHold         = "hold record"                // amount, count and state of each hold fit its units, event and order
	RuleBuyer        = "buyer record"               // units and chain of each buyer are those of the buyer's holds
	RuleEvent        = "event record"               // rules, prices and counts of each event fit its description and its holds
	RuleIndex        = "index equals records"       // every record is found by its key, and nothing else is
	RuleWheel        = "wheel equals records"       // every hold and order with a deadline is due at it, and nothing else is
	RuleInventory    = "inventory equals its units" // what searches for free units rely on is what a recount gives
)

// violationsMax bounds what Check reports: where one thing is wrong, everything that hangs on it is too.
const violationsMax = 100

// Check works out again from the records alone whatever can be, and says what is not as it must be: nothing, while
// all is well. It walks everything, which takes about a tenth of a second for a million units.
func (m *Machine) Check() []Violation {
	c := &checker{Machine: m}
	c.checkHolds()
	c.checkUnits()
	c.checkBuyers()
	c.checkOrders()
	c.checkPayments()
	c.checkEvents()
	c.checkMemory()
	c.checkLines()
	return c.found
}

type checker struct {
	*Machine
	found []Violation
}

// require reports a violation unless ok.
func (c *checker) require(ok bool, rule, format string, args ...any) {
	if !ok && len(c.found) < violationsMax {
		c.found = append(c.found, Violation{rule, fmt.Sprintf(format, args...)})
	}
}

// checkHolds looks at every hold and order by itself: its id, its units, its place among what is due.
func (c *checker) checkHolds() {
	timed := 0
	for slot, h := range c.state.holds.all() {
		if int(h.Event) >= len(c.state.events) || !c.state.buyers.holds(h.Buyer) {
			c.require(false, RuleHold, "%s names event %d or buyer %d, which are not there", h.ID, h.Event, h.Buyer)
			continue
		}
		e := c.state.events[h.Event]
		c.require(c.findHold(h.ID) == slot, RuleIndex, "%s in slot %d is found in %d", h.ID, slot, c.findHold(h.ID))
		c.checkChain(e, slot, h)
		buyer := c.state.buyers.at(h.Buyer)
		c.require(buyer.Event == h.Event, RuleHold, "%s of event %d has a buyer of event %d", h.ID, h.Event, buyer.Event)
		if h.Deadline != 0 {
			timed++
			c.require(h.Deadline > c.state.clock, RuleOverdue, "%s was due at %d, and it is %d", h.ID, h.Deadline, c.state.clock)
			c.require(c.due.waits(slot) && c.due.until(slot) == h.Deadline, RuleWheel, "%s is due at %d, and not so in the wheel", h.ID, h.Deadline)
		}
		if h.State == holdfast.HoldSold {
			c.require(c.state.orders.holds(h.Order) && c.state.orders.at(h.Order).Hold == slot, RuleHold, "%s is sold, and order %d is not its own", h.ID, h.Order)
			c.require(h.Newer == 0 && h.Older == 0, RuleHold, "%s is sold and waits for something", h.ID)
			continue
		}
		c.require((h.Deadline == 0) == (h.State == holdfast.HoldCancelling), RuleOverdue, "%s is %s until %d", h.ID, h.State, h.Deadline)
		c.require(h.Order == 0, RuleHold, "%s is %s and has order %d", h.ID, h.State, h.Order)
		c.require((h.State == holdfast.HoldOpen) == (h.Attempt == 0), RuleHold, "%s is %s at attempt %d", h.ID, h.State, h.Attempt)
	}
	c.require(c.byHold.len() == c.state.holds.live(), RuleIndex, "%d holds and orders, %d in the index", c.state.holds.live(), c.byHold.len())
	c.require(c.due.len() == timed, RuleWheel, "%d holds and orders have a deadline, %d are in the wheel", timed, c.due.len())
}

// checkChain follows the units of one hold. That no unit is in two chains follows from each naming its hold.
func (c *checker) checkChain(e *event, slot uint32, h *holdRecord) {
	state, ok := unitState(h.State)
	c.require(ok && (h.Count > 0 || h.State == holdfast.HoldSold) && h.Count <= holdfast.UnitsPerHoldMax, RuleHold, "%s is in state %d with %d units", h.ID, h.State, h.Count)
	if int(h.Prices) >= len(e.prices) {
		c.require(false, RuleHold, "%s has price list %d of %d", h.ID, h.Prices, len(e.prices))
		return
	}
	amount, seen, unit := int64(0), []holdfast.SeatIndex(nil), h.First
	for range h.Count {
		if int(unit) >= e.units.len() || slices.Contains(seen, unit) {
			c.require(false, RuleOwner, "the units of %s go on to %d after %v", h.ID, unit, seen)
			return
		}
		seen = append(seen, unit)
		is, holder := e.units.state(unit), e.units.owner(unit)
		c.require(is == state && holder == slot, RuleOwner, "%s in slot %d is %s; its unit %d is %s by slot %d", h.ID, slot, h.State, unit, is, holder)
		amount += e.prices[h.Prices][e.units.geometry.tier(unit)]
		unit = e.units.next(unit)
	}
	c.require(unit == NoSeat, RuleOwner, "the units of %s go on to %d after %v", h.ID, unit, seen)
	c.require(amount == h.Amount, RuleHold, "%s costs %d; its units cost %d", h.ID, h.Amount, amount)
}

// unitState gives the state of the units of a hold in a state.
func unitState(h holdfast.HoldState) (s holdfast.SeatState, ok bool) {
	switch h {
	case holdfast.HoldOpen:
		return holdfast.Held, true
	case holdfast.HoldPaying, holdfast.HoldClosing, holdfast.HoldCancelling:
		return holdfast.Paying, true
	case holdfast.HoldSold:
		return holdfast.Sold, true
	}
	return 0, false
}

// checkUnits counts all units, by state and by holder, and compares with counters and holds.
func (c *checker) checkUnits() {
	inChains := make([]uint32, len(c.state.events)) // units of all holds, by event
	for _, h := range c.state.holds.all() {
		if int(h.Event) < len(inChains) {
			inChains[h.Event] += uint32(h.Count)
		}
	}
	for _, e := range c.state.events {
		count := newTally(e)
		owned := uint32(0)
		for unit := range holdfast.SeatIndex(e.units.len()) {
			s, holder := e.units.state(unit), e.units.owner(unit)
			c.require(s < holdfast.SeatStates && taken(s) == (holder != 0), RuleOwner, "%s unit %d is %s by slot %d", e.id, unit, s, holder)
			if s < holdfast.SeatStates {
				count.add(e.units.geometry, unit, s)
			}
			if holder != 0 {
				owned++
			}
		}
		c.require(owned == inChains[e.place], RuleOwner, "%s: %d units have an owner, its holds have %d", e.id, owned, inChains[e.place])
		view := e.view()
		c.require(view.Total == count.total, RuleConservation, "%s: counted %v, recounted %v", e.id, view.Total, count.total)
		for _, kept := range []struct {
			what          string
			have, recount []Counts
		}{{"sections", view.Sections, count.sections}, {"tiers", view.Tiers, count.tiers}, {"allocations", view.Allocations, count.allocations}} {
			c.require(slices.Equal(kept.have, kept.recount), RuleConservation, "%s: %s counted %v, recounted %v", e.id, kept.what, kept.have, kept.recount)
		}
		for _, wrong := range e.units.check() {
			c.require(false, RuleInventory, "%s: %s", e.id, wrong)
		}
	}
}

// tally is a recount of an event's units.
type tally struct {
	total                        Counts
	sections, tiers, allocations []Counts
}

func newTally(e *event) *tally {
	return &tally{
		sections: make([]Counts, len(e.spec.Sections)), tiers: make([]Counts, len(e.spec.Tiers)),
		allocations: make([]Counts, 1+len(e.spec.Allocations)),
	}
}

func (t *tally) add(g *geometry, unit holdfast.SeatIndex, s holdfast.SeatState) {
	t.total[s]++
	t.sections[g.section(unit)][s]++
	t.tiers[g.tier(unit)][s]++
	t.allocations[g.allocation(unit)][s]++
}

// checkBuyers adds up the holds of each buyer and follows the chain of those that are not sold.
func (c *checker) checkBuyers() {
	units, live, orders := map[uint32]uint32{}, map[uint32]int{}, map[uint32]uint32{} // by the buyer's slot; only looked up
	for _, h := range c.state.holds.all() {
		units[h.Buyer] += uint32(h.Count)
		if h.State != holdfast.HoldSold {
			live[h.Buyer]++
		} else {
			orders[h.Buyer]++
		}
	}
	for slot, b := range c.state.buyers.all() {
		if int(b.Event) >= len(c.state.events) {
			c.require(false, RuleBuyer, "%s is of event %d, which is not there", b.ID, b.Event)
			continue
		}
		found := c.findBuyer(c.state.events[b.Event], b.ID)
		c.require(found == slot, RuleIndex, "%s in slot %d is found in %d", b.ID, slot, found)
		c.require(b.Units == units[slot], RuleBuyer, "%s has %d units, in holds and orders %d", b.ID, b.Units, units[slot])
		c.require(c.ordersOf.of(slot) == orders[slot], RuleBuyer, "%s is named by %d orders, counted are %d", b.ID, orders[slot], c.ordersOf.of(slot))
		chained, newer := 0, uint32(0)
		for at := b.Newest; at != 0 && chained <= live[slot]; chained++ {
			if !c.state.holds.holds(at) || c.state.holds.at(at).Buyer != slot || c.state.holds.at(at).Newer != newer {
				break
			}
			newer, at = at, c.state.holds.at(at).Older
		}
		c.require(chained == live[slot], RuleBuyer, "%s has %d holds, %d in the chain", b.ID, live[slot], chained)
	}
	c.require(c.byBuyer.len() == c.state.buyers.live(), RuleIndex, "%d buyers, %d in the index", c.state.buyers.live(), c.byBuyer.len())
}

// checkOrders looks that each order has its hold, and no payment two orders.
func (c *checker) checkOrders() {
	paid, billed := 0, map[uint32]bool{}
	for slot, o := range c.state.orders.all() {
		if o.Bill != 0 {
			c.require(c.state.bills.holds(o.Bill) && !billed[o.Bill], RuleHold, "order %d has bill %d, which is another's, or not there", slot, o.Bill)
			billed[o.Bill] = true
		}
		c.require(c.state.holds.holds(o.Hold) && c.state.holds.at(o.Hold).Order == slot, RuleHold, "order %d is of slot %d, which knows nothing of it", slot, o.Hold)
		c.require(o.As >= command.SalePaid && o.As <= command.SaleInvoiced, RuleHold, "order %d is a sale of kind %d", slot, o.As)
		if o.As == command.SalePaid {
			paid++
			found := c.findPayment(o.ref())
			c.require(found == slot, RulePayment, "payment %q of order %d is found at order %d", o.ref(), slot, found)
		}
	}
	c.require(len(billed) == c.state.bills.live(), RuleHold, "%d orders have bills, of which there are %d", len(billed), c.state.bills.live())
	c.require(c.byPayment.len() == paid, RuleIndex, "%d orders were paid, %d payments in the index", paid, c.byPayment.len())
}

// checkEvents looks that each event fits its description.
func (c *checker) checkEvents() {
	holds, orders := make([]uint32, len(c.state.events)), make([]uint32, len(c.state.events))
	for _, h := range c.state.holds.all() {
		switch {
		case int(h.Event) >= len(holds):
		case h.State == holdfast.HoldSold:
			orders[h.Event]++
		default:
			holds[h.Event]++
		}
	}
	for i, e := range c.state.events {
		place, ok := c.places[e.id]
		c.require(ok && int(place) == i && e.place == place, RuleIndex, "%s stands at %d, is found at %d", e.id, i, place)
		c.require(e.units.len() == e.spec.Units(), RuleEvent, "%s has %d units, described are %d", e.id, e.units.len(), e.spec.Units())
		c.require(e.rules == e.spec.Rules.WithDefaults() && e.checkout.Mode == e.spec.Checkout.Mode, RuleEvent, "%s goes by the rules %v", e.id, e.rules)
		c.require(int(e.current) < len(e.prices) && slices.Equal(e.prices[e.current], pricesOf(e.spec)), RuleEvent, "%s sells at price list %d of %v", e.id, e.current, e.prices)
		c.require(e.holds == holds[i] && e.orders == orders[i], RuleEvent, "%s counts %d holds and %d orders, there are %d and %d", e.id, e.holds, e.orders, holds[i], orders[i])
		c.require(e.sale <= holdfast.SaleClosed && e.version > 0, RuleEvent, "%s is %s at version %d", e.id, e.sale, e.version)
	}
	c.require(len(c.places) == len(c.state.events), RuleIndex, "%d events, %d found", len(c.state.events), len(c.places))
}

// checkMemory looks that what is remembered is found, and is of commands that may still be valid.
func (c *checker) checkMemory() {
	m, count := &c.state.memory, 0
	first, last := spanAt(c.state.clock), spanAt(c.state.clock.Add(holdfast.ValidityMax))
	for i := range m.generations {
		g := &m.generations[i]
		n := g.endings.len()
		if count += n; n == 0 {
			continue
		}
		c.require(g.span >= first && g.span <= last, RuleMemory, "%d outcomes of span %d, valid are %d to %d", n, g.span, first, last)
		c.require(g.places.len() == n, RuleIndex, "%d outcomes of span %d, %d in the index", n, g.span, g.places.len())
		for at := range uint32(n) {
			e := g.endings.at(at)
			outcome, found, same := m.look(rememberedID(g.span, e), e.fingerprint)
			c.require(found && same && outcome == e.outcome, RuleIndex, "outcome %d of span %d is not found", at, g.span)
		}
	}
	c.require(m.count == count && count <= m.max, RuleMemory, "%d outcomes, counted %d of at most %d", count, m.count, m.max)
}

// rememberedID puts the id of a remembered command together again.
func rememberedID(span uint64, e *ending) (id holdfast.CommandID) {
	id = holdfast.CommandID{byte(span >> 32), byte(span >> 24), byte(span >> 16), byte(span >> 8), byte(span)}
	copy(id[len(id)-len(e.rest):], e.rest[:])
	return id
}
