package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// hall is an event of one row of seats at 25 eur and a floor of places at 10.
func hall(name string, seats, places int) command.EventSpec {
	return command.EventSpec{Name: name, Title: "An evening", Currency: "eur",
		Tiers: []command.Tier{{Name: "seat", PriceMinor: 2500}, {Name: "floor", PriceMinor: 1000}},
		Sections: []command.Section{
			{Name: "stalls", Rows: []command.Row{{Label: "A", First: 1, Seats: uint16(seats), Tier: holdfast.AnyTier}}},
			{Name: "floor", Tier: 1, Places: uint32(places)},
		},
		Rules: command.Rules{SkipCoolDown: true},
	}
}

func wantSeats(seats ...holdfast.SeatIndex) []command.Want {
	return []command.Want{{Kind: command.WantSeats, Seats: seats}}
}

var anna, bert = holdfast.BuyerID{1}, holdfast.BuyerID{2}

func hold(t *testing.T, c *client.Client, event client.EventRef, buyer holdfast.BuyerID, seats ...holdfast.SeatIndex) client.Hold {
	t.Helper()
	h, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: buyer, Wants: wantSeats(seats...)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAHoldIsPaidAndSold(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	ctx := t.Context()

	h := hold(t, c, client.Named("evening"), anna, 3, 4)
	if h.Amount != (holdfast.Money{AmountMinor: 5000, Currency: "eur"}) || len(h.Seats) != 2 || h.Remaining != 5*time.Minute || h.State != holdfast.HoldOpen {
		t.Errorf("the hold is %+v", h)
	}
	h, err := c.Swap(ctx, client.SwapRequest{Event: event, Buyer: anna, Hold: h.ID, Wants: wantSeats(4, 5)})
	if err != nil || h.Seats[1] != 5 {
		t.Fatalf("swap gave %+v, %v", h, err)
	}
	ref := client.HoldRef{Event: event, Buyer: anna, Hold: h.ID}
	if h, err = c.Extend(ctx, ref); err != nil || h.Remaining != 7*time.Minute {
		t.Fatalf("extend gave %+v, %v", h, err)
	}
	if h, err = c.BeginPayment(ctx, client.PaymentRequest{Event: event, Buyer: anna, Hold: h.ID, Attempt: 1, Amount: h.Amount}); err != nil || h.Attempt != 1 {
		t.Fatalf("begin payment gave %+v, %v", h, err)
	}
	read, err := c.GetHold(ctx, event, h.ID)
	if err != nil || read.State != holdfast.HoldPaying || !read.Extended || read.Buyer != anna {
		t.Errorf("the hold reads %+v, %v", read, err)
	}
	sale := client.SellRequest{Event: event, Hold: h.ID, As: command.SalePaid, Attempt: 1, Amount: holdfast.Money{AmountMinor: 5000, Currency: "eur"}, Payment: "pi_1"}
	for range 2 { // selling again gives the same order
		o, err := c.Sell(ctx, sale)
		if err != nil || o.ID != h.ID.Order() {
			t.Fatalf("sell gave %+v, %v", o, err)
		}
	}
	o, err := c.GetOrder(ctx, event, h.ID.Order())
	if err != nil || o.Payment != "pi_1" || o.Buyer != anna || len(o.Seats) != 2 {
		t.Errorf("the order reads %+v, %v", o, err)
	}
	n := 0
	for o, err := range c.Orders(ctx, event) {
		if n++; err != nil || o.ID != h.ID.Order() {
			t.Errorf("an order in the list: %+v, %v", o, err)
		}
	}
	if n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

func TestARefusalNamesItsReasonAndTheFacts(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	first := hold(t, c, event, anna, 3)

	_, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: bert, Wants: wantSeats(3)})
	var no *client.Refusal
	if !errors.Is(err, holdfast.SeatHeld) || !errors.As(err, &no) || len(no.Taken) != 1 || no.Taken[0] != 3 || len(no.Near) != 1 {
		t.Errorf("a taken seat gave %+v", err)
	}
	_, err = c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(5)})
	if !errors.Is(err, holdfast.BuyerHasHold) || !errors.As(err, &no) || no.Hold != first.ID {
		t.Errorf("a second hold gave %+v", err)
	}

	cluster.Advance(5 * time.Minute)
	if _, err := c.GetHold(t.Context(), event, first.ID); !errors.Is(err, holdfast.HoldLapsed) {
		t.Errorf("reading a hold that lapsed gave %v", err)
	}
	if _, err := c.GetHold(t.Context(), event, holdfast.HoldID{9}); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("reading a hold that never was gave %v", err)
	}
}

func TestAnUnknownOutcomeIsAskedForWithTheSameID(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	hold(t, c, event, bert, 9) // the stream is up

	cluster.DropReply(1)
	h := hold(t, c, event, anna, 3)
	if !h.Repeated {
		t.Errorf("the hold %+v was made by the attempt whose answer was lost, and says otherwise", h)
	}

	// The caller gives up before the answer: the error has the id, and asking with it later tells.
	cluster.Stall(1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		cluster.AwaitStalled()
		cancel()
	}()
	_, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: holdfast.BuyerID{3}, Wants: wantSeats(5)})
	var unknown *holdfast.Error
	if !errors.Is(err, holdfast.Unknown) || !errors.As(err, &unknown) || unknown.Command == (holdfast.CommandID{}) {
		t.Fatalf("no answer gave %v", err)
	}
	h, err = c.Hold(t.Context(), client.HoldRequest{ID: unknown.Command, Event: event, Buyer: holdfast.BuyerID{3}, Wants: wantSeats(5)})
	if err != nil || h.ID != holdfast.HoldID(unknown.Command) {
		t.Errorf("asking again gave %+v, %v", h, err)
	}
}

// After an unknown attempt, a later attempt's refusal of the id says nothing about the first.
func TestAnUnknownOutcomeStaysUnknownWhenItsIDHasExpired(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	h := hold(t, c, event, bert, 9)

	cluster.FailNext(&holdfast.Error{Kind: holdfast.Unknown}, 1)
	cluster.Advance(2 * time.Minute) // the client does not know: its next id has expired
	_, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(3)})
	if !errors.Is(err, holdfast.Unknown) || errors.Is(err, holdfast.CommandExpired) {
		t.Errorf("an expired id after an unknown attempt gave %v", err)
	}
	if _, err := c.GetHold(t.Context(), event, h.ID); err != nil {
		t.Error(err)
	}
}

// An id that is asked for again after its validity is refused, whatever came of it the first time: the refusal must not say that
// nothing did.
func TestARepetitionThatComesTooLateIsNotToldThatNothingHappened(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	h := hold(t, c, event, bert, 9)
	cluster.Advance(2 * time.Minute)
	_, err := c.Hold(t.Context(), client.HoldRequest{ID: holdfast.CommandID(h.ID), Event: event, Buyer: bert, Wants: wantSeats(9)})
	if !errors.Is(err, holdfast.CommandExpired) || !strings.Contains(err.Error(), "look first what came of it") {
		t.Errorf("the id of a hold that was made is answered after its validity: %v", err)
	}
}

func TestAnIDThatMissedItsValidityIsMadeAnewOnce(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	hold(t, c, event, bert, 9)
	cluster.Advance(2 * time.Minute)
	if h := hold(t, c, event, anna, 3); h.Repeated {
		t.Errorf("the hold %+v is new", h)
	}
	cluster.Advance(2 * time.Minute)
	results, err := c.Do(t.Context(), event, []command.Command{&command.Hold{Buyer: holdfast.BuyerID{3}, Wants: wantSeats(5)}}, nil)
	if err != nil || results[0].Outcome != holdfast.OK {
		t.Errorf("a batch gave %+v, %v", results, err)
	}
}

func TestTheLeaderIsFollowed(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	for seat := range holdfast.SeatIndex(7) {
		cluster.StepDown()
		hold(t, c, event, holdfast.BuyerID{7, byte(seat)}, seat)
	}
	// The hint was lost, and the routes must tell.
	cluster.StepDown()
	cluster.FailNext(&holdfast.Error{Kind: holdfast.NotLeader}, 3)
	hold(t, c, event, anna, 8)
	// A read follows too.
	cluster.StepDown()
	if e, err := c.Event(t.Context(), event); err != nil || e.Total.Held != 8 {
		t.Errorf("the event reads %+v, %v", e, err)
	}
}

// A leader that is cut off does not say so: its callers learn from the others.
func TestASilentLeaderIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster := clienttest.New(t, clienttest.Config{})
		event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
		hold(t, c, event, bert, 9)
		cluster.Stall(1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			hold(t, c, event, anna, 3)
		}()
		cluster.AwaitStalled()
		cluster.StepDown()
		<-done
	})
}

func TestNothingIsAttemptedWithoutALeader(t *testing.T) {
	c, err := client.New([]string{"127.0.0.1:1"}, client.WithTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	event := client.EventRef{ID: 1, Shard: 1}
	if _, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(1)}); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("without a cluster a hold gave %v", err)
	}
	if _, err := c.Event(t.Context(), event); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("without a cluster a read gave %v", err)
	}
}

func TestFailuresThatPassAreWaitedFor(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	for i, kind := range []holdfast.Kind{holdfast.Unavailable, holdfast.Overloaded, holdfast.Halted, holdfast.Unknown} {
		cluster.FailNext(&holdfast.Error{Kind: kind, RetryAfter: time.Millisecond}, 2)
		hold(t, c, event, holdfast.BuyerID{7, byte(i)}, holdfast.SeatIndex(i))
	}
	for _, kind := range []holdfast.Kind{holdfast.Invalid, holdfast.NotFound, holdfast.Denied, holdfast.Internal} {
		cluster.FailNext(&holdfast.Error{Kind: kind, Message: "as the test wished"}, 1)
		_, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(9)})
		if !errors.Is(err, kind) {
			t.Errorf("a %s gave %v", kind, err)
		}
	}
}

func TestAMalformedCommandNeverLeaves(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	for name, wants := range map[string][]command.Want{
		"no wants":       nil,
		"a want of none": {{Kind: command.WantGeneral, Section: 1}},
		"too many wants": make([]command.Want, 300),
		"too many seats": wantSeats(make([]holdfast.SeatIndex, 300)...),
	} {
		if _, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wants}); !errors.Is(err, holdfast.Invalid) {
			t.Errorf("%s gave %v", name, err)
		}
	}
	if err := c.Block(t.Context(), event, make([]holdfast.SeatIndex, 20_000)...); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a block of 20,000 gave %v", err)
	}
}

// Callers that come at once share batches; each gets its own outcome, and a seat has one owner.
func TestManyCallersAtOnce(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{Shards: 2})
	event, c := cluster.LoadEvent(hall("evening", 200, 10)), cluster.Client()
	other := cluster.LoadEvent(hall("matinee", 200, 10))
	if event.Shard == other.Shard {
		t.Fatalf("two events on two shards are both on %d", event.Shard)
	}
	var won [2][200]int
	var mu sync.Mutex
	var callers sync.WaitGroup
	for i := range 800 {
		callers.Go(func() {
			ref, side, seat := event, i%2, holdfast.SeatIndex(i/4)
			if side == 1 {
				ref = other
			}
			h, err := c.Hold(t.Context(), client.HoldRequest{Event: ref, Buyer: holdfast.BuyerID{byte(i), byte(i >> 8)}, Wants: wantSeats(seat)})
			if err == nil && h.Seats[0] != seat || err != nil && !errors.Is(err, holdfast.SeatHeld) {
				t.Errorf("caller %d got %+v, %v", i, h, err)
			}
			if err == nil {
				mu.Lock()
				won[side][seat]++
				mu.Unlock()
			}
			if i%100 == 0 {
				cluster.StepDown()
			}
		})
	}
	callers.Wait()
	for side := range won {
		for seat, n := range won[side] {
			if n != 1 {
				t.Errorf("side %d: seat %d has %d owners", side, seat, n)
			}
		}
	}
}

func TestDoGivesEachCommandItsOutcome(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	first, second := &command.Hold{Buyer: anna, Wants: wantSeats(1)}, &command.Hold{Buyer: bert, Wants: wantSeats(1)}
	cmds := []command.Command{first, second}
	results, err := c.Do(t.Context(), event, cmds, nil)
	if err != nil || results[0].Outcome != holdfast.OK || results[1].Outcome != holdfast.SeatHeld {
		t.Fatalf("the batch gave %+v, %v", results, err)
	}
	if results[0].Stamp.Index != results[1].Stamp.Index || results[1].Stamp.Slot != results[0].Stamp.Slot+1 {
		t.Errorf("the stamps are %+v and %+v", results[0].Stamp, results[1].Stamp)
	}
	again, err := c.Do(t.Context(), event, cmds, results) // with the ids of the first time
	if err != nil || !again[0].Repeated || again[0].Hold != holdfast.HoldID(first.ID) || again[1].Outcome != holdfast.SeatHeld {
		t.Errorf("the batch again gave %+v, %v", again, err)
	}
	if _, err := c.Do(t.Context(), event, nil, nil); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("an empty batch gave %v", err)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event := cluster.LoadEvent(hall("evening", 10, 10))
	c := cluster.Client()
	hold(t, c, event, bert, 9)
	cluster.Stall(1)
	ended := make(chan error)
	go func() {
		_, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(3)})
		ended <- err
	}()
	cluster.AwaitStalled()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, holdfast.Unknown) {
		t.Errorf("a call that was under way gave %v", err)
	}
	if _, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(3)}); !errors.Is(err, holdfast.Unavailable) {
		t.Errorf("a call after Close gave %v", err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("a second Close gave %v", err)
	}
}

func TestEndedCallsLeaveNothingHeld(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	h := hold(t, c, event, anna, 1, 2)
	if err := c.Release(t.Context(), client.HoldRef{Event: event, Buyer: anna, Hold: h.ID}); err != nil {
		t.Fatal(err)
	}
	cluster.Machine(event.Shard, func(m *fsm.Machine) {
		if n := m.Stats().Holds; n != 0 {
			t.Errorf("%d holds are left", n)
		}
	})
	if err := c.Release(t.Context(), client.HoldRef{Event: event, Buyer: anna, Hold: h.ID}); !errors.Is(err, holdfast.HoldReleased) {
		t.Errorf("releasing again gave %v", err)
	}
}
