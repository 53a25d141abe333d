package fsm

import (
	"math"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/planted"
)

// The table of buyers. A buyer of an event has a record from the first hold until it means nothing any more.

// findBuyer gives the slot of a buyer's record; 0 if there is none.
func (m *Machine) findBuyer(e *event, id holdfast.BuyerID) uint32 {
	return m.byBuyer.find(m.hashBuyer(e.place, id), func(slot uint32) bool {
		b := m.state.buyers.at(slot)
		return b.ID == id && b.Event == e.place
	})
}

// hashBuyer mixes the event into the hash: a buyer may have a record for each.
func (m *Machine) hashBuyer(place uint16, id holdfast.BuyerID) uint64 {
	return hash16(m.seed+uint64(place), id)
}

// addBuyer makes a record.
func (m *Machine) addBuyer(e *event, id holdfast.BuyerID) uint32 {
	slot := m.state.buyers.add(buyerRecord{ID: id, Event: e.place})
	m.byBuyer.add(m.hashBuyer(e.place, id), slot)
	return slot
}

// orderCounts counts, by the buyer's slot, the orders that name the buyer, those whose units went back included: such a
// buyer is kept. It is derived from the orders, and beside the records, which fill a cache line.
type orderCounts []uint32

func (c orderCounts) of(buyer uint32) uint32 {
	if int(buyer) >= len(c) {
		return 0
	}
	return c[buyer]
}

func (c *orderCounts) count(buyer uint32) {
	if n := int(buyer) + 1 - len(*c); n > 0 {
		*c = append(*c, make(orderCounts, n)...)
	}
	(*c)[buyer]++
}

// mayHold says whether the buyer may have a new hold of count units. A buyer without a record has slot 0.
func (m *Machine) mayHold(e *event, buyer uint32, count uint32) holdfast.Outcome {
	var b buyerRecord
	if buyer != 0 {
		b = *m.state.buyers.at(buyer)
	}
	if planted.Is(planted.LimitLate) {
		b.Units = countedBefore(m, e, &b)
	}
	switch {
	case b.Newest != 0 && !e.rules.ManyOpenHolds:
		return holdfast.BuyerHasHold
	case b.CoolUntil > m.state.clock:
		return holdfast.BuyerCoolingDown
	case count > e.left(b.Units):
		return holdfast.BuyerOverLimit
	}
	return holdfast.OK
}

// mayChange says whether the buyer may change the hold.
func (m *Machine) mayChange(h *holdRecord, buyer holdfast.BuyerID) holdfast.Outcome {
	switch {
	case m.state.buyers.at(h.Buyer).ID != buyer && !planted.Is(planted.OwnerUnchecked):
		return holdfast.HoldNotYours
	case h.State == holdfast.HoldSold:
		return holdfast.HoldAlreadySold
	case h.State != holdfast.HoldOpen:
		return holdfast.HoldInPayment
	}
	return holdfast.OK
}

// left gives how many more units a buyer may have who has units already. A limit may have come down since.
func (e *event) left(units uint32) uint32 {
	if e.rules.SeatsPerBuyer == 0 {
		return math.MaxUint32
	}
	return uint32(e.rules.SeatsPerBuyer) - min(units, uint32(e.rules.SeatsPerBuyer))
}

// coolDown keeps a buyer from holding for a while after the instant at which a hold lapsed.
func (m *Machine) coolDown(e *event, buyer uint32, lapsed holdfast.Clock) {
	until := lapsed + micros(e.rules.CoolDownMs)
	if until > m.state.buyers.at(buyer).CoolUntil {
		m.state.buyers.edit(buyer).CoolUntil = until
	}
}

// tellBuyer tells what the outcome means to the buyer: the hold that is in the way, when to come again, and how
// many more units there may be.
func (m *Machine) tellBuyer(e *event, buyer holdfast.BuyerID, o holdfast.Outcome) {
	var b buyerRecord
	if slot := m.findBuyer(e, buyer); slot != 0 {
		b = *m.state.buyers.at(slot)
	}
	r := &m.last.result
	if e.rules.SeatsPerBuyer > 0 {
		r.Allowance = uint16(e.left(b.Units))
	}
	switch o {
	case holdfast.BuyerHasHold:
		if b.Newest != 0 {
			m.tellOf(m.state.holds.at(b.Newest).ID)
		}
	case holdfast.BuyerCoolingDown:
		// Rounded up, so that who comes back then is not refused again.
		r.RetryAfterMs = uint32((max(b.CoolUntil, m.state.clock) - m.state.clock + 999) / 1000)
	}
}

// The sweep looks at some records of buyers with every entry and drops those that mean nothing any more. It visits
// one for each command, so that it keeps up with a crowd, and some besides, so that it gets round in a quiet time.
const (
	sweepPerEntry   = 16
	sweepPerCommand = 1
)

// sweepBuyers goes on where the entry before left off.
func (m *Machine) sweepBuyers(commands int) {
	buyers := &m.state.buyers
	for range min(sweepPerEntry+sweepPerCommand*commands, buyers.slots()) {
		if m.state.sweep++; int(m.state.sweep) > buyers.slots() {
			m.state.sweep = 1
		}
		slot := m.state.sweep
		if !buyers.holds(slot) {
			continue
		}
		if b := buyers.at(slot); b.Units == 0 && b.Newest == 0 && b.CoolUntil <= m.state.clock && m.ordersOf.of(slot) == 0 && m.mayForget(b) {
			m.byBuyer.drop(m.hashBuyer(b.Event, b.ID), slot)
			buyers.drop(slot)
		}
	}
}
