package fsm

import (
	"slices"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// What planted faults do that need more than a line. In a build without the tag planted nothing calls it, and the linker
// leaves it out: see package planted.

// aTick is how often a leader looks at the clock at least.
const aTick holdfast.Clock = 250_000

// available leaves of the named units those that can be had, unless that is none.
func available(e *event, wants []command.Want) []command.Want {
	wants = slices.Clone(wants)
	for i := range wants {
		var some []holdfast.SeatIndex
		for _, u := range wants[i].Seats {
			if int(u) < e.units.len() && e.units.state(u) == holdfast.Free {
				some = append(some, u)
			}
		}
		if len(some) > 0 {
			wants[i].Seats, wants[i].Count = some, uint8(len(some))
		}
	}
	return wants
}

// alone reports whether an ask is for this unit and no other, and no other unit follows it in its hold.
func alone(v *inventory, u holdfast.SeatIndex, a *ask) bool {
	return len(a.wants) == 1 && len(a.wants[0].Seats) == 1 && v.next(u) == NoSeat
}

// countedBefore gives the units of a buyer without those of the holds of this entry.
func countedBefore(m *Machine, e *event, b *buyerRecord) uint32 {
	units := b.Units
	for slot := b.Newest; slot != 0; slot = m.state.holds.at(slot).Older {
		if h := m.state.holds.at(slot); h.State == holdfast.HoldOpen && h.Deadline == m.state.clock+micros(e.rules.HoldTTLMs) {
			units -= min(units, uint32(h.Count))
		}
	}
	return units
}

// inMapOrder puts slots in an order that is another one on every replica.
func inMapOrder(slots []uint32) (mixed []uint32) {
	all := map[uint32]bool{}
	for _, slot := range slots {
		all[slot] = true
	}
	for slot := range all {
		mixed = append(mixed, slot)
	}
	return mixed
}
