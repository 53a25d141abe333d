package fsm

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// TestAnOrderKeepsABillOnlyWhereItNeedsOne: orders grow for ever, and most cost what their units cost. Which of them have a
// bill in memory must not be seen: not in what is told, not in snapshots, and not after a restore.
func TestAnOrderKeepsABillOnlyWhereItNeedsOne(t *testing.T) {
	equal(t, "bytes of an order", unsafe.Sizeof(orderRecord{}), 88)
	s := newSale(t)
	plain, refunded := s.order(0, "pi_plain"), s.order(1, "pi_refunded")
	equal(t, "bills of orders that cost what their seats cost", s.m.state.bills.live(), 0)

	s.must(holdfast.OK, &command.Refund{Order: refunded.Hold.Order(), Reason: holdfast.RefundOrganizer, ReturnSeats: true})
	equal(t, "bills after a refund", s.m.state.bills.live(), 1)
	s.must(holdfast.OK, &command.Refund{Order: plain.Hold.Order(), Reason: holdfast.RefundOrganizer, Seats: nil})
	twin := restored(t, snapshot(t, s.m))
	if !bytes.Equal(snapshot(t, twin), snapshot(t, s.m)) {
		t.Error("what was restored is written otherwise")
	}
	for _, hold := range []holdfast.HoldID{plain.Hold, refunded.Hold} {
		mine, _ := s.m.Order(hold.Order())
		its, _ := twin.Order(hold.Order())
		equal(t, "state of an order that was refunded", mine.State, holdfast.OrderRefunded)
		equal(t, "what it cost", mine.Amount.AmountMinor, 5000)
		equal(t, "what it cost, after a restore", its.Amount.AmountMinor, mine.Amount.AmountMinor)
	}

	// A bill that was edited to what it would be anyway comes back as none, and that is not seen either.
	other := newSale(t)
	slot := other.m.state.holds.at(other.m.findHold(other.order(0, "pi_plain").Hold)).Order
	before := snapshot(t, other.m)
	other.m.editBill(slot)
	equal(t, "bills", other.m.state.bills.live(), 1)
	if !bytes.Equal(snapshot(t, other.m), before) {
		t.Error("a bill that says nothing is seen in the snapshot")
	}
	equal(t, "bills after a restore", restored(t, before).state.bills.live(), 0)
}
