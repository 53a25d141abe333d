package person_test

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// Somebody who may still come to have the seats is not forgotten: who holds them, who bought them, and whose payment may
// bring its money late.
func TestOnlyThoseAreSweptWhoCannotBuyAnyMore(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx := cluster.Client(), t.Context()
	vault := person.NewVault(person.RandomMasters(), c)
	event := cluster.LoadEvent(command.EventSpec{Name: "concert", Currency: "eur", Tiers: []command.Tier{{Name: "seat", PriceMinor: 2500}},
		Sections: []command.Section{{Name: "Floor", Places: 20}},
		Rules:    command.Rules{SkipCoolDown: true, HoldTTLMs: 120_000, PayWindowMs: 120_000},
		Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: "sandbox", Invoices: true}})
	buyer := byte(0)
	hold := func() client.Hold {
		t.Helper()
		buyer++
		h, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{buyer}, Wants: []command.Want{{Kind: command.WantGeneral, Section: 0, Count: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		blob, err := vault.Seal(ctx, event.ID, h.ID, person.Person{Mail: "anna@example.org"})
		if err == nil {
			err = c.PutPerson(ctx, event, h.ID, blob)
		}
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	pay := func(h client.Hold) {
		t.Helper()
		if _, err := c.BeginPayment(ctx, client.PaymentRequest{Event: event, Buyer: h.Buyer, Hold: h.ID, Attempt: 1, Amount: h.Amount}); err != nil {
			t.Fatal(err)
		}
	}
	lapsed, released, condemned, failed, sold := hold(), hold(), hold(), hold(), hold()
	if _, err := c.Sell(ctx, client.SellRequest{Event: event, Hold: sold.ID, As: command.SaleInvoiced, Amount: sold.Amount}); err != nil {
		t.Fatal(err)
	}
	if err := c.Release(ctx, client.HoldRef{Event: event, Hold: released.ID, Buyer: released.Buyer}); err != nil {
		t.Fatal(err)
	}
	pay(condemned)
	pay(failed)
	cluster.Advance(10 * time.Minute) // both attempts are condemned, and their cancelling is owed
	if err := c.FailPayment(ctx, client.AttemptRef{Event: event, Hold: failed.ID, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	open := hold()

	known := func() []holdfast.HoldID {
		t.Helper()
		all, _, err := c.PersonHolds(ctx, event.ID)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if n := len(known()); n != 6 {
		t.Fatalf("%d people are known, want 6", n)
	}
	for _, want := range []int{3, 0} { // the second round finds nobody
		n, err := (&person.Sweeper{Client: c}).Sweep(ctx)
		if err != nil || n != want {
			t.Errorf("%d were forgotten, want %d, %v", n, want, err)
		}
	}
	left := known()
	for name, h := range map[string]client.Hold{"sold": sold, "open": open, "condemned": condemned} {
		if !slices.Contains(left, h.ID) {
			t.Errorf("%s was forgotten", name)
		}
	}
	for name, h := range map[string]client.Hold{"lapsed": lapsed, "released": released, "failed": failed} {
		if slices.Contains(left, h.ID) {
			t.Errorf("%s is still known", name)
		}
	}
}
