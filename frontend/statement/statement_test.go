package statement_test

import (
	"errors"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestMoneyIsWrittenWithItsCurrencysDecimals(t *testing.T) {
	for want, m := range map[string]holdfast.Money{
		"49.00 EUR": {AmountMinor: 4900, Currency: "eur"}, "0.05 EUR": {AmountMinor: 5, Currency: "eur"}, "-1.50 EUR": {AmountMinor: -150, Currency: "eur"},
		"5000 JPY": {AmountMinor: 5000, Currency: "jpy"}, "1.250 KWD": {AmountMinor: 1250, Currency: "kwd"}, "0.00 EUR": {Currency: "eur"},
	} {
		if got := statement.Format(m); got != want {
			t.Errorf("%v is written as %q, want %q", m, got, want)
		}
	}
}

func TestTicketsAreValidWhileTheirOrderIsPaid(t *testing.T) {
	for state := holdfast.OrderState(0); state <= holdfast.OrderCancelled; state++ {
		s := statement.Statement{State: state}
		if got, want := s.TicketsValid(), state == holdfast.OrderPaid; got != want {
			t.Errorf("%s: %v", state, got)
		}
		if s.Disputed = true; s.TicketsValid() {
			t.Errorf("%s and disputed: valid", state)
		}
	}
}

// A book remembers what seats are called, and notices when an event has more of them than it knew.
func TestAStatementTellsTheOrderAsItIs(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx := cluster.Client(), t.Context()
	spec := command.EventSpec{Name: "concert", Title: "Spring Concert", Currency: "eur", Tiers: []command.Tier{{Name: "seat", PriceMinor: 4950}},
		Sections: []command.Section{{Name: "Stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 3, Tier: holdfast.AnyTier}}}},
		Rules:    command.Rules{SkipCoolDown: true, ManyOpenHolds: true}, Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: "sandbox", Invoices: true, FeePerOrderMinor: 100}}
	event, book := cluster.LoadEvent(spec), statement.NewBook(c)
	buy := func(seats ...holdfast.SeatIndex) holdfast.OrderID {
		t.Helper()
		h, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{1}, Wants: []command.Want{{Kind: command.WantSeats, Seats: seats}}})
		if err != nil {
			t.Fatal(err)
		}
		quote, err := c.Quote(ctx, event, h.ID, holdfast.PromoCode{})
		if err == nil {
			_, err = c.Sell(ctx, client.SellRequest{Event: event, Hold: h.ID, As: command.SaleInvoiced, Amount: quote.Total})
		}
		if err != nil {
			t.Fatal(err)
		}
		return h.ID.Order()
	}
	order := buy(0, 2)
	s, err := book.Statement(ctx, event, order)
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "Spring Concert" || s.EventName != "concert" || s.State != holdfast.OrderPaid || !s.TicketsValid() || s.Order != order || s.Index == 0 || s.SoldAt.IsZero() ||
		s.Total.AmountMinor != 10_000 || len(s.Lines) != 2 || s.Lines[1].Kind != holdfast.LineFee || s.Lines[1].Amount.AmountMinor != 100 {
		t.Errorf("the statement is %+v", s)
	}
	if len(s.Seats) != 2 || s.Seats[1] != (statement.Seat{Unit: 2, Label: "Stalls, row A, seat 3", Live: true}) {
		t.Errorf("its seats are %+v", s.Seats)
	}
	spec.Sections[0].Rows = append(spec.Sections[0].Rows, command.Row{Label: "B", First: 1, Seats: 3, Tier: holdfast.AnyTier})
	if _, err := c.ApplyEvent(ctx, spec); err != nil {
		t.Fatal(err)
	}
	s, err = book.Statement(ctx, event, buy(4))
	if err != nil || s.Seats[0].Label != "Stalls, row B, seat 2" {
		t.Errorf("a new seat is called %+v, %v", s.Seats, err)
	}
	if _, err := book.Statement(ctx, event, holdfast.OrderID{9}); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("no such order gave %v", err)
	}
}
