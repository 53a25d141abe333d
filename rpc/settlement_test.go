package rpc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/payment"
)

// paidConcert is an event that takes money through its shard.
func (s *served) paidConcert(c *client.Client) client.EventRef {
	s.t.Helper()
	spec := command.EventSpec{Name: "paid", Currency: "eur", Tiers: []command.Tier{{Name: "one", PriceMinor: 1000}}, Sections: []command.Section{{Name: "Floor", Places: 100}},
		Rules: command.Rules{ManyOpenHolds: true}, Checkout: command.Checkout{Mode: holdfast.ModeTest, Account: "acct_1"}}
	applied, err := c.ApplyEvent(s.t.Context(), spec)
	if err == nil {
		err = c.OpenSale(s.t.Context(), applied.EventRef)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return applied.EventRef
}

// sell sells a place for an authorised payment: its capture is owed.
func (s *served) sell(c *client.Client, event client.EventRef, payment string) holdfast.HoldID {
	s.t.Helper()
	ctx := s.t.Context()
	h, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: anna, Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.BeginPayment(ctx, client.PaymentRequest{Event: event, Buyer: anna, Hold: h.ID, Attempt: 1, Amount: h.Amount}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Sell(ctx, client.SellRequest{Event: event, Hold: h.ID, As: command.SalePaid, Attempt: 1, Amount: h.Amount, Payment: payment,
		Mode: holdfast.ModeTest, Account: "acct_1"}); err != nil {
		s.t.Fatal(err)
	}
	return h.ID
}

func TestEffectsAreLeasedByALeaderAndGivenAnewByTheNext(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c := s.client()
		defer c.Close()
		event := s.paidConcert(c)
		number := uint64(0)
		lease := func(worker string, wait time.Duration, have ...holdfast.EffectID) client.Lease {
			t.Helper()
			number++
			l, err := c.LeaseEffects(t.Context(), client.LeaseRequest{Shard: event.Shard, Worker: worker, Number: number, Account: "acct_1", Mode: holdfast.ModeTest,
				Kinds: []holdfast.EffectKind{holdfast.EffectCapture}, Max: 10, Have: have, Wait: wait})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}

		// One waits for work, and has it as soon as it is decided.
		waiting := make(chan client.Lease, 1)
		go func() {
			l, _ := c.LeaseEffects(t.Context(), client.LeaseRequest{Shard: event.Shard, Worker: "a", Number: 1, Account: "acct_1", Mode: holdfast.ModeTest,
				Kinds: []holdfast.EffectKind{holdfast.EffectCapture}, Max: 10, Wait: 5 * time.Second})
			waiting <- l
		}()
		time.Sleep(time.Second)
		began := time.Now()
		hold := s.sell(c, event, "pi_1")
		given := <-waiting
		if took := time.Since(began); took > time.Second || len(given.Effects) != 1 || given.Effects[0].Hold != hold || given.Effects[0].Payment != "pi_1" ||
			given.Effects[0].Amount.AmountMinor != 1000 || given.Effects[0].Begun.IsZero() || given.Cluster == "" {
			t.Fatalf("after %v it was given %+v", took, given)
		}
		number = 1
		id := given.Effects[0].ID
		if l := lease("b", 0); len(l.Effects) != 0 {
			t.Errorf("another was given the same: %+v", l.Effects)
		}
		for _, other := range []client.LeaseRequest{{Account: "acct_2", Mode: holdfast.ModeTest, Kinds: []holdfast.EffectKind{holdfast.EffectCapture}},
			{Account: "acct_1", Mode: holdfast.ModeLive, Kinds: []holdfast.EffectKind{holdfast.EffectCapture}},
			{Account: "acct_1", Mode: holdfast.ModeTest, Kinds: []holdfast.EffectKind{holdfast.EffectVoid}}} {
			other.Shard, other.Worker, other.Max = event.Shard, "c", 10
			s.sell(c, event, "pi_"+other.Account+other.Mode.String()+other.Kinds[0].String())
			if l, err := c.LeaseEffects(t.Context(), other); err != nil || len(l.Effects) != 0 {
				t.Errorf("who cannot carry it out was given %+v, %v", l.Effects, err)
			}
		}
		if l := lease("b", 0); len(l.Effects) != 3 {
			t.Errorf("b was given %d", len(l.Effects))
		}
		if l := lease("c", 0); len(l.Effects) != 0 {
			t.Errorf("what b has was given to c: %d", len(l.Effects))
		}
		number++
		if _, err := c.LeaseEffects(t.Context(), client.LeaseRequest{Shard: event.Shard, Worker: "b", Number: number}); err != nil { // gives all back
			t.Fatal(err)
		}

		// What is acknowledged is gone, whoever asks.
		if err := c.AckEffect(t.Context(), client.EffectAck{Effect: id, Event: event, Result: holdfast.EffectDone, Amount: holdfast.Money{AmountMinor: 1000, Currency: "eur"}}); err != nil {
			t.Fatal(err)
		}
		err := c.AckEffect(t.Context(), client.EffectAck{Effect: id, Event: event, Result: holdfast.EffectDone, Amount: holdfast.Money{AmountMinor: 1000, Currency: "eur"}})
		if !errors.Is(err, holdfast.EffectUnknown) {
			t.Errorf("acknowledged twice: %v", err)
		}
		if o, err := c.GetOrder(t.Context(), event, hold.Order()); err != nil || o.State != holdfast.OrderPaid || o.CapturedMinor != 1000 || len(o.Lines) != 1 {
			t.Errorf("the order is %+v, %v", o, err)
		}

		// The next leader knows of no lease.
		if l := lease("a", 0); len(l.Effects) != 3 {
			t.Errorf("a was given %d of what b gave back", len(l.Effects))
		}
		s.stop(s.leader(event.Shard))
		if l := lease("d", 5*time.Second); len(l.Effects) != 3 {
			t.Errorf("the next leader gave %d", len(l.Effects))
		}

		// Books and lists.
		owed := 0
		for e, err := range c.Effects(t.Context(), event.Shard) {
			if owed++; err != nil || e.Kind != holdfast.EffectCapture {
				t.Errorf("%+v, %v", e, err)
			}
		}
		book, err := c.Payments(t.Context(), event)
		if err != nil || owed != 3 || len(book.Payments) != 4 || book.Ledger.Captured != 1000 || book.Ledger.Capturing != 3000 || book.Cluster != given.Cluster {
			t.Errorf("%d are owed; the books are %+v, %v", owed, book, err)
		}
		if _, err := c.Payments(t.Context(), client.EventRef{ID: 77, Shard: 1}); !errors.Is(err, holdfast.NotFound) {
			t.Errorf("the books of no event: %v", err)
		}
	})
}

func TestTheProvidersBudgetIsOneForAll(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		a, b := s.client(), s.client()
		defer a.Close()
		defer b.Close()
		ask := func(c *client.Client, want uint32) client.Grant {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			acts := payment.Acts{payment.Capturing: want}
			g, err := c.GrantActs(ctx, client.GrantRequest{Account: "acct_1", ReadsPerSecond: 50, WritesPerSecond: 50, Burst: time.Second, Want: acts[:]})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		first := ask(a, 1)
		if len(first.Acts) != payment.Classes || first.Acts[payment.Capturing] != 0 || first.Again == 0 {
			t.Errorf("a new leader gave %+v", first)
		}
		got := uint32(0)
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			got += ask(a, 100).Acts[payment.Capturing] + ask(b, 100).Acts[payment.Capturing]
		}
		if got < 400 || got > 500 {
			t.Errorf("two were given %d calls in ten seconds at fifty a second", got)
		}
		s.stop(s.leader(holdfast.Directory))
		if g := ask(a, 100); g.Acts[payment.Capturing] > 50 {
			t.Errorf("the next leader gave what was given before: %+v", g)
		}
	})
}

// leader gives the index of the member that leads a shard.
func (s *served) leader(shard holdfast.ShardID) int {
	s.t.Helper()
	for i, n := range s.nodes {
		if n.Status().Shards[shard].Role == "leader" {
			return i
		}
	}
	s.t.Fatalf("nobody leads shard %d", shard)
	return 0
}
