package fsm

import (
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func begin(r command.Result, attempt holdfast.Attempt) *command.BeginPayment {
	return &command.BeginPayment{Buyer: buyerNo(1), Hold: r.Hold, Attempt: attempt, Amount: r.Amount}
}

func paid(r command.Result, attempt holdfast.Attempt, ref string) *command.Sell {
	return &command.Sell{Hold: r.Hold, As: command.SalePaid, Attempt: attempt, Amount: r.Amount, Payment: ref}
}

func TestPaymentMovesTheDeadlineOnce(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1, 2)
	s.wait(100_000)
	paying := s.must(holdfast.OK, begin(r, 1))
	equal(t, "deadline", paying.Deadline, s.m.Clock()+600_000_000)
	equal(t, "attempt", paying.Attempt, 1)
	equalAll(t, "states", s.states(1, 2), holdfast.Paying, holdfast.Paying)
	s.wait(1000)
	equal(t, "deadline", s.must(holdfast.OK, begin(r, 1)).Deadline, paying.Deadline)
	second := s.must(holdfast.OK, begin(r, 2))
	equal(t, "deadline", second.Deadline, paying.Deadline)
	equal(t, "attempt", second.Attempt, 2)
	s.must(holdfast.AttemptStale, begin(r, 1))
	s.must(holdfast.AttemptStale, begin(r, 4))
	s.must(holdfast.AttemptStale, paid(r, 1, "pi_1"))
	s.must(holdfast.OK, paid(r, 2, "pi_2"))
}

func TestBeginPaymentRefusesInOrder(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1)
	other, wrong, pounds := begin(r, 1), begin(r, 1), begin(r, 1)
	other.Buyer, wrong.Amount, pounds.Amount.Currency = buyerNo(2), eur(1), "gbp"
	s.must(holdfast.HoldNotYours, other)
	s.must(holdfast.AttemptStale, begin(r, 2))
	s.must(holdfast.AmountMismatch, wrong)
	s.must(holdfast.AmountMismatch, pounds)
	gift := s.must(holdfast.OK, &command.Hold{Buyer: buyerNo(3), Wants: []command.Want{{Kind: command.WantGeneral, Section: 2, Count: 1}}})
	s.must(holdfast.AmountMismatch, &command.BeginPayment{Buyer: buyerNo(3), Hold: gift.Hold, Attempt: 1, Amount: gift.Amount})
}

func TestWhatIsInPaymentCannotBeChanged(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1)
	s.must(holdfast.OK, begin(r, 1))
	change := func(want holdfast.Outcome) {
		s.must(want, &command.Extend{Buyer: buyerNo(1), Hold: r.Hold})
		s.must(want, &command.Release{Buyer: buyerNo(1), Hold: r.Hold})
		s.must(want, &command.Swap{Buyer: buyerNo(1), Hold: r.Hold, Wants: wantSeats(1, 2).Wants})
	}
	change(holdfast.HoldInPayment)
	s.must(holdfast.SeatInPayment, wantSeats(2, 1))
	s.must(holdfast.HoldInPayment, &command.Sell{Hold: r.Hold, As: command.SaleInvoiced, Amount: r.Amount})
	s.must(holdfast.OK, paid(r, 1, "pi"))
	change(holdfast.HoldAlreadySold)
	s.must(holdfast.HoldAlreadySold, begin(r, 1))
	s.must(holdfast.SeatSold, wantSeats(2, 1))
}

func TestTheGraceSellsWhatWasAuthorisedInTime(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1)
	s.must(holdfast.OK, begin(r, 1))
	s.wait(600_000)
	view, _ := s.m.Hold(r.Hold)
	equal(t, "state", view.State, holdfast.HoldClosing)
	equalAll(t, "states", s.states(1), holdfast.Paying)
	s.must(holdfast.HoldInPayment, begin(r, 1))
	s.wait(14_999)
	s.must(holdfast.OK, paid(r, 1, "pi"))
	equalAll(t, "states", s.states(1), holdfast.Sold)
}

func TestAfterTheGraceTheAttemptIsCondemned(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1)
	s.must(holdfast.OK, begin(r, 1))
	s.wait(615_000)
	equalAll(t, "states", s.states(1), holdfast.Free)
	s.must(holdfast.HoldLapsed, paid(r, 1, "pi"))
	s.must(holdfast.BuyerCoolingDown, wantSeats(1, 1))
}

func TestASaleIsFinalAndTheSameAgain(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1, 2)
	s.must(holdfast.OK, begin(r, 1))
	s.must(holdfast.OK, paid(r, 1, "pi_1"))
	equal(t, "changes", len(s.m.Changes()), 2)
	s.must(holdfast.OK, paid(r, 1, "pi_1"))
	equal(t, "changes", len(s.m.Changes()), 0)
	s.must(holdfast.HoldAlreadySold, paid(r, 1, "pi_2"))
	s.wait(700_000)
	order, ok := s.m.Order(r.Hold.Order())
	equal(t, "found", ok, true)
	equal(t, "payment", order.Payment, "pi_1")
	equal(t, "amount", order.Amount, eur(10000))
	equal(t, "buyer", order.Buyer, buyerNo(1))
	equalAll(t, "seats", order.Seats, 1, 2)
	view, _ := s.m.Hold(r.Hold)
	equal(t, "state", view.State, holdfast.HoldSold)
	equal(t, "deadline", view.Deadline, 0)
}

func TestAPaymentBuysOnce(t *testing.T) {
	s := newSale(t)
	first, second := s.hold(1, 1), s.hold(2, 2)
	s.must(holdfast.OK, begin(first, 1))
	s.must(holdfast.OK, &command.BeginPayment{Buyer: buyerNo(2), Hold: second.Hold, Attempt: 1, Amount: second.Amount})
	s.must(holdfast.AttemptStale, paid(first, 2, "pi_1"))
	s.must(holdfast.OK, paid(first, 1, "pi_1"))
	s.must(holdfast.PaymentReused, paid(second, 1, "pi_1"))
	cheap := paid(second, 1, "pi_2")
	cheap.Amount = eur(1)
	s.must(holdfast.AmountMismatch, cheap)
	s.must(holdfast.OK, paid(second, 1, "pi_2"))
}

func TestFreeAndInvoicedSales(t *testing.T) {
	s := newSale(t)
	gift := s.must(holdfast.OK, &command.Hold{Buyer: buyerNo(1), Wants: []command.Want{{Kind: command.WantGeneral, Section: 2, Count: 2}}})
	s.must(holdfast.AttemptStale, paid(gift, 1, "pi"))
	s.must(holdfast.AmountMismatch, &command.Sell{Hold: gift.Hold, As: command.SaleFree, Amount: eur(1)})
	s.must(holdfast.OK, &command.Sell{Hold: gift.Hold, As: command.SaleFree, Amount: eur(0)})

	dear := s.hold(2, 1)
	s.must(holdfast.PaymentRequired, &command.Sell{Hold: dear.Hold, As: command.SaleFree, Amount: eur(0)})
	s.must(holdfast.AmountMismatch, &command.Sell{Hold: dear.Hold, As: command.SaleInvoiced, Amount: eur(0)})
	s.must(holdfast.OK, &command.Sell{Hold: dear.Hold, As: command.SaleInvoiced, Amount: dear.Amount, Payment: "invoice 1"})
	also := s.hold(3, 2)
	s.must(holdfast.OK, &command.Sell{Hold: also.Hold, As: command.SaleInvoiced, Amount: also.Amount, Payment: "invoice 1"})
}

func TestWhatIsHeldIsPaidWhateverTheSalesState(t *testing.T) {
	s := newSale(t)
	r := s.hold(1, 1)
	s.must(holdfast.OK, &command.SetSale{State: holdfast.SaleClosed})
	s.must(holdfast.EventClosed, wantSeats(2, 2))
	s.must(holdfast.EventClosed, &command.Swap{Buyer: buyerNo(1), Hold: r.Hold, Wants: wantSeats(1, 2).Wants})
	s.must(holdfast.OK, begin(r, 1))
	s.must(holdfast.OK, paid(r, 1, "pi"))
}
