package fsm

import (
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// has reports whether the event has what the wants name, and no unit is named twice.
func (e *event) has(allocation holdfast.AllocationIndex, wants []command.Want) bool {
	if int(allocation) > len(e.spec.Allocations) {
		return false
	}
	for i := range wants {
		switch w := &wants[i]; w.Kind {
		case command.WantSeats:
			for j, unit := range w.Seats {
				if int(unit) >= e.units.len() || slices.Contains(w.Seats[:j], unit) || named(wants[:i], unit) {
					return false
				}
			}
		case command.WantBest:
			if w.Section != holdfast.AnySection && (int(w.Section) >= len(e.spec.Sections) || e.spec.Sections[w.Section].General()) ||
				w.Tier != holdfast.AnyTier && int(w.Tier) >= len(e.spec.Tiers) {
				return false
			}
		case command.WantGeneral:
			if int(w.Section) >= len(e.spec.Sections) || !e.spec.Sections[w.Section].General() {
				return false
			}
		}
	}
	return true
}

// named reports whether one of the wants names the unit.
func named(wants []command.Want, unit holdfast.SeatIndex) bool {
	return slices.ContainsFunc(wants, func(w command.Want) bool { return slices.Contains(w.Seats, unit) })
}

// wanted gives how many units the wants are for, in all.
func wanted(wants []command.Want) (count uint32) {
	for i := range wants {
		count += uint32(wants[i].Count)
	}
	return count
}

// total gives what the units cost by a price list.
func (e *event) total(prices uint16, units []holdfast.SeatIndex) (amount int64) {
	list := e.prices[prices]
	for _, unit := range units {
		amount += list[e.units.geometry.tier(unit)]
	}
	return amount
}

// tellSeats tells which of the named units were not to be had, and what could be asked for instead.
func (m *Machine) tellSeats(e *event, a *ask, o holdfast.Outcome) {
	m.choice.explain(&e.units, a, o)
	r := &m.last.result
	r.Taken = append(r.Taken, m.choice.taken...)
	r.Near = append(r.Near, m.choice.near...)
}
