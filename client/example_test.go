package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// A small hall: one row of eight seats at 25.00 and a floor of a hundred places at 10.00.
var concert = command.EventSpec{
	Name: "concert", Title: "The concert", Currency: "eur",
	Tiers: []command.Tier{{Name: "seat", PriceMinor: 25_00}, {Name: "floor", PriceMinor: 10_00}},
	Sections: []command.Section{
		{Name: "stalls", Tier: 0, Rows: []command.Row{{Label: "A", First: 1, Seats: 8, Tier: holdfast.AnyTier}}},
		{Name: "floor", Tier: 1, Places: 100},
	},
}

// The way of every ticket: hold, pay, sell. With a cluster of processes, client.New takes the addresses of one or
// more members, and the rest is the same.
func Example() {
	tb := &exampleTB{}
	defer tb.cleanup()
	cluster := clienttest.New(tb, clienttest.Config{})
	c, err := client.New(cluster.Endpoints(), cluster.DialOption())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	// The organizer describes the event and puts it on sale.
	event, err := c.ApplyEvent(ctx, concert)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.OpenSale(ctx, event.EventRef); err != nil {
		log.Fatal(err)
	}

	// A buyer wants the best two seats side by side. The price is fixed now, and the clock begins to run.
	buyer := holdfast.BuyerID{0xA1}
	hold, err := c.Hold(ctx, client.HoldRequest{
		Event: client.Named("concert"),
		Buyer: buyer,
		Wants: []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: 0, Count: 2, Adjacent: true}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("held:", hold.Seats, hold.Amount.AmountMinor, hold.Amount.Currency, "for", hold.Remaining)

	// The amount is frozen before the provider is asked for money …
	if _, err := c.BeginPayment(ctx, client.PaymentRequest{Event: event.EventRef, Buyer: buyer, Hold: hold.ID, Attempt: 1, Amount: hold.Amount}); err != nil {
		log.Fatal(err)
	}
	// … and what it authorised sells the seats.
	order, err := c.Sell(ctx, client.SellRequest{
		Event: event.EventRef, Hold: hold.ID, As: command.SalePaid, Attempt: 1, Amount: hold.Amount, Payment: "pi_123",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sold:", order.Seats)

	now, err := c.Event(ctx, event.EventRef)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("seats:", now.Tiers[0])
	// Output:
	// held: [3 4] 5000 eur for 5m0s
	// sold: [3 4]
	// seats: {6 0 0 2 0}
}

// Losing is an answer, not a failure: it says why, what was taken, and what is close by.
func ExampleRefusal() {
	tb := &exampleTB{}
	defer tb.cleanup()
	cluster := clienttest.New(tb, clienttest.Config{})
	event, c := cluster.LoadEvent(concert), cluster.Client()
	ctx := context.Background()

	wants := []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{4, 5}}}
	if _, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{1}, Wants: wants}); err != nil {
		log.Fatal(err)
	}
	_, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{2}, Wants: wants})
	var no *client.Refusal
	switch {
	case errors.As(err, &no) && no.Outcome == holdfast.SeatHeld:
		fmt.Println("taken:", no.Taken, "near:", no.Near)
	case errors.Is(err, holdfast.Unknown):
		fmt.Println("it may have happened: ask again with the id in the error")
	case err != nil:
		fmt.Println("it could not be decided:", err)
	}
	// Output:
	// taken: [4 5] near: [2 3]
}

// A test of a frontend moves the shard's clock and cuts its connections. The client repeats with the same id, so
// the lost answer does not lead to two holds.
func ExampleClient_Hold_lostAnswer() {
	tb := &exampleTB{}
	defer tb.cleanup()
	cluster := clienttest.New(tb, clienttest.Config{})
	event, c := cluster.LoadEvent(concert), cluster.Client()
	ctx := context.Background()

	cluster.DropReply(1)
	hold, err := c.Hold(ctx, client.HoldRequest{
		Event: event, Buyer: holdfast.BuyerID{1},
		Wants: []command.Want{{Kind: command.WantGeneral, Section: 1, Count: 4}},
	})
	fmt.Println(len(hold.Seats), "places, repeated:", hold.Repeated, err)

	cluster.Advance(5 * time.Minute)
	_, err = c.GetHold(ctx, event, hold.ID)
	fmt.Println(errors.Is(err, holdfast.HoldLapsed))
	// Output:
	// 4 places, repeated: true <nil>
	// true
}

// Do carries commands that are at hand already in one batch; each has its own outcome.
func ExampleClient_Do() {
	tb := &exampleTB{}
	defer tb.cleanup()
	cluster := clienttest.New(tb, clienttest.Config{})
	event, c := cluster.LoadEvent(concert), cluster.Client()

	var cmds []command.Command
	for buyer := range byte(3) {
		cmds = append(cmds, &command.Hold{Buyer: holdfast.BuyerID{buyer}, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{0}}}})
	}
	results, err := c.Do(context.Background(), event, cmds, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Outcome.String())
	}
	// Output:
	// ok
	// seat_held
	// seat_held
}

// exampleTB stands in for the *testing.T that a test has.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (tb *exampleTB) Helper()                           {}
func (tb *exampleTB) Cleanup(f func())                  { tb.cleanups = append(tb.cleanups, f) }
func (tb *exampleTB) Fatal(args ...any)                 { log.Fatal(args...) }
func (tb *exampleTB) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
func (tb *exampleTB) Errorf(format string, args ...any) { log.Fatalf(format, args...) }
func (tb *exampleTB) cleanup() {
	for i := len(tb.cleanups) - 1; i >= 0; i-- {
		tb.cleanups[i]()
	}
}

// From the line to a hold. A frontend puts the visitors who came at the same time into one Enter; each browser keeps its
// secret, and with the path proves its place when it is called.
func Example_line() {
	tb := &exampleTB{}
	defer tb.cleanup()
	cluster := clienttest.New(tb, clienttest.Config{})
	c, err := client.New(cluster.Endpoints(), cluster.DialOption())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	// With times in its rules, a line opens, freezes and is drawn by itself. This one is looked after by hand.
	spec := concert
	spec.Line = command.LineRules{Enabled: true}
	applied, err := c.ApplyEvent(ctx, spec)
	if err == nil {
		err = errors.Join(c.OpenLine(ctx, applied.EventRef), c.OpenSale(ctx, applied.EventRef))
	}
	if err != nil {
		log.Fatal(err)
	}
	event := applied.EventRef

	// Ada and Bob join.
	places := []client.PlaceRef{{Event: event, Key: sha256.Sum256([]byte("ada's secret"))}, {Event: event, Key: sha256.Sum256([]byte("bob's secret"))}}
	leaves := []draw.Hash{draw.Leaf(event.ID, places[0].Key), draw.Leaf(event.ID, places[1].Key)}
	base, _, err := c.Enter(ctx, client.EnterRequest{Event: event, Count: 2, Root: draw.Root(leaves)})
	if err != nil {
		log.Fatal(err)
	}
	for i := range places {
		places[i].Number, places[i].Path = base+holdfast.PlaceNumber(i), draw.Path(leaves, i)
	}

	if err := c.Draw(ctx, event, holdfast.BeaconRound{}); err != nil {
		log.Fatal(err)
	}
	record, err := c.DrawRecord(ctx, event)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the draw holds:", draw.Verify(record) == nil)

	cluster.Admit(event, 2) // a leader calls people once a second
	if _, err := c.Redeem(ctx, places[0]); err != nil {
		log.Fatal(err)
	}
	ada, bob := places[0].Key.Buyer(), places[1].Key.Buyer()
	want := []command.Want{{Kind: command.WantBest, Section: holdfast.AnySection, Tier: holdfast.AnyTier, Count: 2, Adjacent: true}}
	hold, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: ada, Wants: want})
	fmt.Println("ada holds", len(hold.Seats), "seats:", err == nil)
	_, err = c.Hold(ctx, client.HoldRequest{Event: event, Buyer: bob, Wants: want})
	fmt.Println("bob has not come yet:", errors.Is(err, holdfast.SessionRequired))
	// Output:
	// the draw holds: true
	// ada holds 2 seats: true
	// bob has not come yet: true
}
