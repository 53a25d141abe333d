package mail_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/frontend/mail"
	"github.com/holdfast-db/holdfast/frontend/mail/mailtest"
	"github.com/holdfast-db/holdfast/frontend/person"
	"github.com/holdfast-db/holdfast/frontend/statement"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// shop is a cluster with one order in it, and receipts.
type shop struct {
	client   *client.Client
	vault    *person.Vault
	server   *mailtest.Server
	receipts *mail.Receipts
	cause    statement.Occasion
}

func newShop(t *testing.T, buyer person.Person) *shop {
	t.Helper()
	cluster := clienttest.New(t, clienttest.Config{})
	s := &shop{client: cluster.Client(), server: mailtest.New(t)}
	s.vault = person.NewVault(person.RandomMasters(), s.client)
	ctx := t.Context()
	event := cluster.LoadEvent(command.EventSpec{Name: "concert", Title: "Spring <Concert>", Currency: "eur", Tiers: []command.Tier{{Name: "seat", PriceMinor: 4950}},
		Sections: []command.Section{{Name: "Stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: 10, Tier: holdfast.AnyTier}}}}})
	h, err := s.client.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{1}, Wants: []command.Want{{Kind: command.WantSeats, Seats: []holdfast.SeatIndex{2, 3}}}})
	if err != nil {
		t.Fatal(err)
	}
	if buyer != (person.Person{}) {
		blob, err := s.vault.Seal(ctx, event.ID, h.ID, buyer)
		if err == nil {
			err = s.client.PutPerson(ctx, event, h.ID, blob)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.client.Sell(ctx, client.SellRequest{Event: event, Hold: h.ID, As: command.SaleInvoiced, Amount: h.Amount}); err != nil {
		t.Fatal(err)
	}
	s.receipts, err = mail.NewReceipts(mail.ReceiptsConfig{Book: statement.NewBook(s.client), People: s.client, Vault: s.vault, Outbox: outbox(t, s.server, nil),
		OrderLink: func(event string, order holdfast.OrderID) string {
			return "https://tickets.example/o/" + order.String() + "?event=" + event + "&t=1"
		}})
	if err != nil {
		t.Fatal(err)
	}
	s.cause = statement.Occasion{Effect: 7, Event: event, Order: h.ID.Order(), Topic: holdfast.TopicPaid}
	return s
}

func TestAReceiptTellsTheOrderAndIsTheSameMailAgain(t *testing.T) {
	s := newShop(t, anna)
	for range 2 { // its acknowledgement was lost
		if err := s.receipts.Do(t.Context(), s.cause); err != nil {
			t.Fatal(err)
		}
	}
	mails := s.server.Mails()
	if len(mails) != 2 || mails[0].To[0] != anna.Mail {
		t.Fatalf("%d mails", len(mails))
	}
	first, again := mails[0].Message(t).Header.Get("Message-ID"), mails[1].Message(t).Header.Get("Message-ID")
	if first != again || !strings.HasPrefix(first, "<receipt.") {
		t.Errorf("the repetition is %s, the first was %s", again, first)
	}
	plain, rich := parts(t, mails[0])
	for _, want := range []string{"Hello Anna Ångström,", "Spring <Concert>", s.cause.Order.String(), "Stalls, row A, seat 3", "Stalls, row A, seat 4", "Total: 99.00 EUR",
		"https://tickets.example/o/" + s.cause.Order.String() + "?event=concert&t=1"} {
		if !strings.Contains(plain, want) {
			t.Errorf("the text does not have %q:\n%s", want, plain)
		}
	}
	for _, want := range []string{"Spring &lt;Concert&gt;", "Stalls, row A, seat 3", "99.00 EUR", "?event=concert&amp;t=1\""} {
		if !strings.Contains(rich, want) {
			t.Errorf("the page does not have %q:\n%s", want, rich)
		}
	}
	s.cause.Effect++
	if err := s.receipts.Do(t.Context(), s.cause); err != nil {
		t.Fatal(err)
	}
	if other := s.server.Mails()[2].Message(t).Header.Get("Message-ID"); other == first {
		t.Error("another receipt has the same id")
	}
}

func TestEveryTopicHasItsLetter(t *testing.T) {
	s := newShop(t, anna)
	subjects := map[string]bool{}
	for _, topic := range []holdfast.Topic{holdfast.TopicPaid, holdfast.TopicRefunded, holdfast.TopicUnpaid, holdfast.TopicCancelled, holdfast.TopicDisputed} {
		s.cause.Topic = topic
		if err := s.receipts.Do(t.Context(), s.cause); err != nil {
			t.Fatal(err)
		}
		mails := s.server.Mails()
		subjects[mails[len(mails)-1].Message(t).Header.Get("Subject")] = true
	}
	if len(subjects) != 5 {
		t.Errorf("the subjects are %v", subjects)
	}
	s.cause.Topic = 99
	if err := s.receipts.Do(t.Context(), s.cause); err != nil || len(s.server.Mails()) != 5 {
		t.Errorf("a topic that nobody knows yet gave %v", err)
	}
}

func TestNobodyIsMailedWhoGaveNoAddressOrWasForgotten(t *testing.T) {
	s := newShop(t, person.Person{})
	if err := s.receipts.Do(t.Context(), s.cause); err != nil {
		t.Errorf("without an address: %v", err)
	}
	s = newShop(t, anna)
	if f, err := s.client.ForgetPersons(t.Context(), []holdfast.HoldID{s.cause.Order.Hold()}); err != nil || !f.Complete() {
		t.Fatal(f, err)
	}
	if err := s.receipts.Do(t.Context(), s.cause); err != nil {
		t.Errorf("who was forgotten: %v", err)
	}
	if n := len(s.server.Mails()); n != 0 {
		t.Errorf("%d mails", n)
	}
}

func TestAReceiptThatCannotBeSentSaysWhetherToTryAgain(t *testing.T) {
	s := newShop(t, anna)
	s.server.Answer("RCPT", "450 4.2.1 busy")
	if err := s.receipts.Do(t.Context(), s.cause); !payment.KindOf(err).Again() {
		t.Errorf("a busy mailbox gave %v", err)
	}
	s.server.Answer("RCPT", "550 5.1.1 unknown")
	if err := s.receipts.Do(t.Context(), s.cause); err == nil || payment.KindOf(err).Again() {
		t.Errorf("an unknown mailbox gave %v", err)
	}
	s.cause.Order[15]++
	if err := s.receipts.Do(t.Context(), s.cause); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("no such order gave %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.receipts.Do(cancelled, s.cause); err == nil {
		t.Error("a caller who has gone was told that it is done")
	}
	if _, err := mail.NewReceipts(mail.ReceiptsConfig{}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("an empty configuration gave %v", err)
	}
}
