package fsm

import (
	"math/bits"

	"github.com/holdfast-db/holdfast/fsm/command"
)

// What an order costs is in its bill. Most orders need none: see plainBill. Which of them have one in memory says nothing,
// and is not seen in snapshots; what billOf gives does.

// plainBill is the bill of an order that costs what its units cost, to a buyer who told no mail address, and of which
// nothing was refunded. It is not kept: an event without Checkout rules has no others but those of what was refunded. The
// amount is that of the hold, which changes only when units go back, and editBill comes before that.
func plainBill(amount int64) billRecord {
	return billRecord{Quote: command.Quote{SeatsMinor: amount, TotalMinor: amount}, Live: amount}
}

// billOf gives an order's bill.
func (s *state) billOf(o *orderRecord) billRecord {
	if o.Bill != 0 {
		return *s.bills.at(o.Bill)
	}
	return plainBill(s.holds.at(o.Hold).Amount)
}

// keepBill gives an order that is being made, or read, its bill. amount is its hold's.
func (s *state) keepBill(o *orderRecord, b *billRecord, amount int64) {
	if *b != plainBill(amount) {
		o.Bill = s.bills.add(*b)
	}
}

// editBill gives an order's bill to read and write. It is valid until the next order is made.
func (m *Machine) editBill(order uint32) *billRecord {
	if o := m.state.orders.at(order); o.Bill == 0 {
		bill := m.state.bills.add(m.state.billOf(o))
		m.state.orders.edit(order).Bill = bill
	}
	return m.state.bills.edit(m.state.orders.at(order).Bill)
}

// liveUnits counts the units of an order that were not refunded.
func (m *Machine) liveUnits(o *orderRecord) int {
	n := int(m.state.holds.at(o.Hold).Count)
	if o.Bill != 0 {
		n -= bits.OnesCount64(m.state.bills.at(o.Bill).Dead)
	}
	return n
}
