package client_test

import (
	"errors"
	"testing"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm/command"
)

func TestAnEventIsAppliedAndChanged(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{Shards: 2})
	c, spec := cluster.Client(), hall("evening", 10, 10)

	created, err := c.ApplyEvent(t.Context(), spec)
	if err != nil || created.Version != 1 {
		t.Fatalf("applying gave %+v, %v", created, err)
	}
	same, err := c.ApplyEvent(t.Context(), spec)
	if err != nil || same != created && same.Version != 1 {
		t.Errorf("applying the same again gave %+v, %v", same, err)
	}
	spec.Title = "Another evening"
	changed, err := c.ApplyEvent(t.Context(), spec)
	if err != nil || changed.EventRef != created.EventRef || changed.Version != 2 {
		t.Errorf("applying a change gave %+v, %v", changed, err)
	}
	back, err := c.ApplyEvent(t.Context(), hall("evening", 10, 10))
	if err != nil || back.Version != 3 {
		t.Errorf("going back gave %+v, %v", back, err)
	}
	if _, err := c.ApplyEvent(t.Context(), hall("evening", 9, 10)); !errors.Is(err, holdfast.EventConflict) {
		t.Errorf("taking a seat away gave %v", err)
	}
	if _, err := c.ApplyEvent(t.Context(), command.EventSpec{Name: "Not a name"}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a description that is none gave %v", err)
	}
	e, err := c.Event(t.Context(), client.Named("evening"))
	if err != nil || e.Spec.Title != "An evening" || e.Sale != holdfast.SaleDraft || e.Total.Free != 20 {
		t.Errorf("the event reads %+v, %v", e, err)
	}
}

func TestASaleOpensPausesAndCloses(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	ctx, try := t.Context(), func() error {
		_, err := c.Hold(t.Context(), client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(1)})
		return err
	}
	for _, step := range []struct {
		do   func() error
		want error
	}{
		{func() error { return c.PauseSale(ctx, event) }, holdfast.EventPaused},
		{func() error { return c.OpenSale(ctx, event) }, nil},
		{func() error { return c.CloseSale(ctx, event) }, holdfast.EventClosed},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if err := try(); !errors.Is(err, step.want) {
			t.Errorf("a hold gave %v, want %v", err, step.want)
		}
	}
}

func TestSeatsAreBlockedAllOrNone(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	hold(t, c, event, anna, 3)
	if err := c.Block(t.Context(), event, 2, 3); !errors.Is(err, holdfast.SeatTaken) {
		t.Errorf("blocking a held seat gave %v", err)
	}
	if err := c.Block(t.Context(), event, 1, 2); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Event(t.Context(), event, client.AllowStale()); err != nil || e.Total.Blocked != 2 {
		t.Errorf("the event reads %+v, %v", e, err)
	}
	if err := c.Unblock(t.Context(), event, 1, 2); err != nil {
		t.Fatal(err)
	}
}

func TestEventsAreFoundByNameAndByNumber(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	for _, ref := range []client.EventRef{client.Named("evening"), {ID: event.ID}, event} {
		if e, err := c.Event(t.Context(), ref); err != nil || e.EventRef != event {
			t.Errorf("%+v is %+v, %v", ref, e.EventRef, err)
		}
	}
	for _, ref := range []client.EventRef{client.Named("morning"), {ID: 77}} {
		if _, err := c.Event(t.Context(), ref); !errors.Is(err, holdfast.NotFound) {
			t.Errorf("%+v gave %v", ref, err)
		}
	}
	if _, err := c.Event(t.Context(), client.EventRef{}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("no event at all gave %v", err)
	}
	all, err := c.Events(t.Context())
	if err != nil || len(all) != 1 || all[0].EventRef != event || all[0].Title != "An evening" {
		t.Errorf("the events are %+v, %v", all, err)
	}
}

func TestMembersTellOfThemselves(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	event, c := cluster.LoadEvent(hall("evening", 10, 10)), cluster.Client()
	routes, err := c.Routes(t.Context())
	if err != nil || len(routes.GetMembers()) != 3 || len(routes.GetShards()) != 2 {
		t.Errorf("the routes are %v, %v", routes, err)
	}
	for _, address := range cluster.Endpoints() {
		if s, err := c.Status(t.Context(), address); err != nil || s.GetId() != address {
			t.Errorf("%s says %v, %v", address, s, err)
		}
	}
	mark, err := c.Mark(t.Context(), event.Shard)
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Digest(t.Context(), cluster.Endpoints()[0], event.Shard, mark.Index)
	if err != nil || first == [32]byte{} {
		t.Errorf("the hash at the mark is %x, %v", first, err)
	}
	if _, err := c.Digest(t.Context(), cluster.Endpoints()[0], event.Shard, mark.Index+1); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("the hash where there is no mark gave %v", err)
	}
}
