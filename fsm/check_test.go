package fsm

import (
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestCheckSeesEveryPlantedFault breaks one thing at a time in a machine that has something of everything.
func TestCheckSeesEveryPlantedFault(t *testing.T) {
	const open, paying, sold = 0, 1, 2 // places in slots
	for name, c := range map[string]struct {
		rule  string
		plant func(m *Machine, e *event, slots []uint32)
	}{
		"a seat has no owner": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(1).word = uint32(holdfast.Free)
		}},
		"a seat has another owner": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(1).word = wordOf(holdfast.Held, slots[paying])
		}},
		"a free seat has an owner": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(9).word = slots[open]<<stateBits | uint32(holdfast.Free)
		}},
		"a held seat is sold": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(1).word = wordOf(holdfast.Sold, slots[open])
		}},
		"a seat is in a state that there is not": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(9).word = holdfast.SeatStates
		}},
		"a seat is in two chains": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			m.state.holds.edit(slots[paying]).First = 1
		}},
		"a chain goes round": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(2).next = 1 + 1
			m.state.holds.edit(slots[open]).Count = 3
		}},
		"a chain leaves the event": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.each.edit(1).next = 1000
		}},
		"a seat that nobody holds is held": {RuleOwner, func(m *Machine, e *event, slots []uint32) {
			e.units.move(9, holdfast.Free, holdfast.Held, slots[open])
		}},
		"a counter is off": {RuleConservation, func(m *Machine, e *event, slots []uint32) {
			e.units.counts[0][holdfast.Free]--
		}},
		"a counter counts another state": {RuleConservation, func(m *Machine, e *event, slots []uint32) {
			e.units.counts[0][holdfast.Free]--
			e.units.counts[0][holdfast.Blocked]++
		}},
		"a free seat is not found": {RuleInventory, func(m *Machine, e *event, slots []uint32) { e.units.free.clear(9) }},
		"a held seat is found":     {RuleInventory, func(m *Machine, e *event, slots []uint32) { e.units.free.set(1) }},
		"a run of free seats is passed over": {RuleInventory, func(m *Machine, e *event, slots []uint32) {
			clear(e.units.free.runs)
		}},
		"a hold is overdue": {RuleOverdue, func(m *Machine, e *event, slots []uint32) {
			m.postpone(slots[open], m.Clock())
		}},
		"an outcome is remembered too long": {RuleMemory, func(m *Machine, e *event, slots []uint32) {
			m.state.clock += holdfast.Clock(31_000_000)
		}},
		"an outcome is remembered that nobody counts": {RuleMemory, func(m *Machine, e *event, slots []uint32) { m.state.memory.count-- }},
		"an outcome is not found": {RuleIndex, func(m *Machine, e *event, slots []uint32) {
			m.state.memory.seed++
		}},
		"a payment has two orders": {RulePayment, func(m *Machine, e *event, slots []uint32) {
			h := m.state.holds.at(slots[sold])
			m.state.orders.add(*m.state.orders.at(h.Order))
		}},
		"a payment is not found": {RulePayment, func(m *Machine, e *event, slots []uint32) { m.byPayment = index{} }},
		"an order is not its hold's": {RuleHold, func(m *Machine, e *event, slots []uint32) {
			m.state.orders.edit(m.state.holds.at(slots[sold]).Order).Hold = slots[open]
		}},
		"an order is of no kind": {RuleHold, func(m *Machine, e *event, slots []uint32) {
			m.state.orders.edit(m.state.holds.at(slots[sold]).Order).As = 9
		}},
		"a hold's total is not what its seats cost": {RuleHold, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[open]).Amount++ }},
		"a hold has a price list that there is not": {RuleHold, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[open]).Prices = 9 }},
		"a hold is in a state that there is not":    {RuleHold, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[open]).State = 9 }},
		"a hold in payment has no attempt":          {RuleHold, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[paying]).Attempt = 0 }},
		"a hold is of another event than its buyer": {RuleHold, func(m *Machine, e *event, slots []uint32) {
			m.state.buyers.edit(m.state.holds.at(slots[open]).Buyer).Event = 1
		}},
		"a hold names a buyer who is not there": {RuleHold, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[open]).Buyer = 99 }},
		"an order waits":                        {RuleHold, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[sold]).Deadline = m.Clock() + 1 }},
		"a buyer has more units than holds": {RuleBuyer, func(m *Machine, e *event, slots []uint32) {
			m.state.buyers.edit(m.state.holds.at(slots[open]).Buyer).Units++
		}},
		"a buyer's hold is not in the chain": {RuleBuyer, func(m *Machine, e *event, slots []uint32) {
			m.state.buyers.edit(m.state.holds.at(slots[open]).Buyer).Newest = 0
		}},
		"a buyer's chain has another's hold": {RuleBuyer, func(m *Machine, e *event, slots []uint32) {
			m.state.buyers.edit(m.state.holds.at(slots[open]).Buyer).Newest = slots[paying]
		}},
		"a hold is not found":                  {RuleIndex, func(m *Machine, e *event, slots []uint32) { m.byHold = index{} }},
		"a buyer is not found":                 {RuleIndex, func(m *Machine, e *event, slots []uint32) { m.byBuyer = index{} }},
		"an event is not found":                {RuleIndex, func(m *Machine, e *event, slots []uint32) { delete(m.places, theEvent) }},
		"a hold is not waited for":             {RuleWheel, func(m *Machine, e *event, slots []uint32) { m.due.drop(slots[open]) }},
		"a hold is waited for at another time": {RuleWheel, func(m *Machine, e *event, slots []uint32) { m.state.holds.edit(slots[open]).Deadline++ }},
		"an order is waited for":               {RuleWheel, func(m *Machine, e *event, slots []uint32) { m.due.add(slots[sold], m.Clock()+1) }},
		"an event counts a hold too many":      {RuleEvent, func(m *Machine, e *event, slots []uint32) { e.holds++ }},
		"an event sells at old prices":         {RuleEvent, func(m *Machine, e *event, slots []uint32) { e.prices[0] = []int64{1, 2, 3} }},
		"an event goes by other rules":         {RuleEvent, func(m *Machine, e *event, slots []uint32) { e.rules.SeatsPerHold++ }},
		"an event has no version":              {RuleEvent, func(m *Machine, e *event, slots []uint32) { e.version = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSale(t)
			s.must(holdfast.OK, &command.PutEvent{Header: command.Header{Event: 8}, Spec: hall()})
			r := []command.Result{s.hold(3, 1, 2), s.hold(1, 3), s.hold(2, 5)}
			s.must(holdfast.OK, begin(r[paying], 1))
			pay := begin(r[sold], 1)
			pay.Buyer = buyerNo(2)
			s.must(holdfast.OK, pay)
			s.must(holdfast.OK, paid(r[sold], 1, "pi"))
			slots := []uint32{s.m.findHold(r[open].Hold), s.m.findHold(r[paying].Hold), s.m.findHold(r[sold].Hold)}

			c.plant(s.m, s.m.event(theEvent), slots)
			var rules []string
			for _, v := range s.m.Check() {
				if v.Rule == c.rule {
					return
				}
				rules = append(rules, v.String())
			}
			t.Errorf("Check does not say %q, but %q", c.rule, rules)
		})
	}
}

func TestCheckReportsABoundedNumber(t *testing.T) {
	s := newSale(t)
	for u := range uint32(60) {
		s.m.event(theEvent).units.each.edit(u).word = holdfast.SeatStates
	}
	equal(t, "violations", len(s.m.Check()), violationsMax)
}
