package client_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/client/clienttest"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
)

// joined makes a place for each name, in one Enter.
func joined(t *testing.T, c *client.Client, event client.EventRef, names ...string) []client.PlaceRef {
	t.Helper()
	places, leaves := make([]client.PlaceRef, len(names)), make([]draw.Hash, len(names))
	for i, name := range names {
		places[i] = client.PlaceRef{Event: event, Key: sha256.Sum256([]byte(name))}
		leaves[i] = draw.Leaf(event.ID, places[i].Key)
	}
	base, stamp, err := c.Enter(t.Context(), client.EnterRequest{Event: event, Count: len(names), Root: draw.Root(leaves)})
	if err != nil || stamp.Index == 0 {
		t.Fatalf("enter gave %+v, %v", stamp, err)
	}
	for i := range places {
		places[i].Number, places[i].Path = base+holdfast.PlaceNumber(i), draw.Path(leaves, i)
	}
	return places
}

// lined is an event with a line that opens in an hour, is drawn an hour later, and sells from an hour after that.
func lined(cluster *clienttest.Cluster) command.EventSpec {
	spec, at := hall("evening", 10, 10), func(hours int) int64 { return cluster.Wall().Add(time.Duration(hours) * time.Hour).UnixMilli() }
	spec.Line = command.LineRules{Enabled: true, OpensMs: at(1), DrawMs: at(2), SaleMs: at(3), CeilingMax: 10}
	return spec
}

func TestAPlaceGoesFromTheLineToAnOrder(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx, start := cluster.Client(), t.Context(), cluster.Wall()
	applied, err := c.ApplyEvent(ctx, lined(cluster))
	if err != nil {
		t.Fatal(err)
	}
	event := applied.EventRef
	if l, err := c.Line(ctx, event); err != nil || l.State != holdfast.LineClosed || l.Commitment != (draw.Hash{}) {
		t.Errorf("before it is opened: %+v, %v", l, err)
	}
	if err := c.OpenLine(ctx, event); err != nil {
		t.Fatal(err)
	}
	early := client.EnterRequest{Event: event, Count: 1, Root: draw.Hash{1}}
	var refused *client.Refusal
	if _, _, err := c.Enter(ctx, early); !errors.Is(err, holdfast.LineNotOpen) || !errors.As(err, &refused) || refused.RetryAfter != time.Hour {
		t.Errorf("joining an hour too early gave %v", err)
	}
	cluster.SetWall(start.Add(time.Hour))
	places := joined(t, c, event, "ann", "bob", "cid")
	if p, err := c.Place(ctx, places[1]); err != nil || p.State != holdfast.PlaceWaiting || p.Drawn || p.Number != places[1].Number {
		t.Errorf("a place before the draw: %+v, %v", p, err)
	}

	cluster.SetWall(start.Add(2 * time.Hour))
	late := joined(t, c, event, "dan")[0]
	if err := c.Draw(ctx, event, holdfast.BeaconRound{}); err != nil {
		t.Fatal(err)
	}
	record, err := c.DrawRecord(ctx, event)
	if err != nil || draw.Verify(record) != nil || record.Cohort != 3 {
		t.Fatalf("the record of the draw: %+v, %v, %v", record, err, draw.Verify(record))
	}
	l, err := c.Line(ctx, event, client.AllowStale())
	if err != nil || l.State != holdfast.LineDrawn || l.Issued != 4 || l.Cohort != 3 || l.Seed != record.Seed || l.Counts[holdfast.PlaceWaiting] != 4 {
		t.Errorf("the line after the draw: %+v, %v", l, err)
	}

	cluster.SetWall(start.Add(3 * time.Hour))
	if e, err := c.Event(ctx, event); err != nil || e.Sale != holdfast.SaleOpen || e.Line == nil || e.Line.Units.Free != 20 {
		t.Errorf("the event when its sale opens: %+v, %v", e, err)
	}
	if _, err := c.Redeem(ctx, late); !errors.Is(err, holdfast.TurnAwaited) || !errors.As(err, &refused) || refused.Turn.Position != 3 || refused.Turn.Served != 0 {
		t.Errorf("coming before one is called: %v, %+v", err, refused.Turn)
	}
	cluster.Admit(event, 3)
	first, front := places[0], holdfast.Position(3)
	for _, p := range places {
		at, err := draw.VerifyPlace(record, p.Number, p.Key, p.Path)
		if err != nil {
			t.Fatal(err)
		}
		if at < front { // two may stand at the same position, and nobody at another
			first, front = p, at
		}
	}
	turn, err := c.Redeem(ctx, first)
	if err != nil || turn.Position != front || turn.Served != 3 || turn.Remaining <= 0 {
		t.Fatalf("coming when called gave %+v, %v", turn, err)
	}
	buyer := first.Key.Buyer()
	if v, err := c.Visitor(ctx, event, buyer); err != nil || v.State != holdfast.PlaceAdmitted || v.Number != first.Number || v.SessionRemaining <= 0 {
		t.Errorf("the visitor: %+v, %v", v, err)
	}
	if _, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: late.Key.Buyer(), Wants: wantSeats(1)}); !errors.Is(err, holdfast.SessionRequired) {
		t.Errorf("a hold without a session: %v", err)
	}
	hold, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: buyer, Wants: wantSeats(1)})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.Visitor(ctx, event, buyer); err != nil || len(v.Holds) != 1 || v.Holds[0] != hold.ID {
		t.Errorf("the visitor with a hold: %+v, %v", v, err)
	}
	if _, err := c.Sell(ctx, client.SellRequest{Event: event, Hold: hold.ID, As: command.SaleInvoiced, Amount: hold.Amount}); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Place(ctx, first); err != nil || p.State != holdfast.PlaceFinished {
		t.Errorf("the place of who has bought: %+v, %v", p, err)
	}
	forged := late
	forged.Key[0] ^= 1
	if _, err := c.Place(ctx, forged); !errors.Is(err, holdfast.NotFound) {
		t.Errorf("a place that is not proven: %v", err)
	}
}

func TestALineIsPausedPacedLeftAndClosed(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx := cluster.Client(), t.Context()
	spec := hall("evening", 10, 10)
	spec.Line = command.LineRules{Enabled: true}
	event := cluster.LoadEvent(spec)
	if err := c.OpenLine(ctx, event); err != nil {
		t.Fatal(err)
	}
	if err := c.OpenLine(ctx, event); !errors.Is(err, holdfast.LineConflict) {
		t.Errorf("opening it twice gave %v", err)
	}
	places := joined(t, c, event, "ann", "bob", "cid")
	if err := c.Draw(ctx, event, holdfast.BeaconRound{}); err != nil { // by hand: frozen and drawn at once
		t.Fatal(err)
	}
	for _, s := range []struct {
		change command.LineChange
		value  uint32
		look   func(client.Line) bool
	}{
		{command.LineCeiling, 7, func(l client.Line) bool { return l.Ceiling == 7 }},
		{command.LineRate, 3, func(l client.Line) bool { return l.Rate == 3 }},
		{command.LinePause, 0, func(l client.Line) bool { return l.Paused }},
		{command.LineResume, 0, func(l client.Line) bool { return !l.Paused }},
	} {
		if err := c.SetLine(ctx, event, s.change, s.value); err != nil {
			t.Errorf("change %d gave %v", s.change, err)
		}
		if l, err := c.Line(ctx, event); err != nil || !s.look(l) {
			t.Errorf("after change %d: %+v, %v", s.change, l, err)
		}
	}
	if err := c.LeaveLine(ctx, places[0]); err != nil {
		t.Errorf("leaving gave %v", err)
	}
	if _, err := c.Redeem(ctx, places[0]); !errors.Is(err, holdfast.PlaceSpent) {
		t.Errorf("coming after leaving gave %v", err)
	}
	wish := client.ReturnsRequest{PlaceRef: places[1], Count: 2, Section: holdfast.AnySection, Tier: holdfast.AnyTier}
	if _, err := c.JoinReturns(ctx, wish); !errors.Is(err, holdfast.ReturnsNotYet) {
		t.Errorf("waiting for returns while seats are free gave %v", err)
	}
	wish.Count = 0
	if _, err := c.JoinReturns(ctx, wish); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("a wish for nothing gave %v", err)
	}
	if err := c.LeaveReturns(ctx, event, places[1].Key.Buyer()); err != nil {
		t.Errorf("leaving a list that one is not on gave %v", err)
	}
	if err := c.SetLine(ctx, event, command.LineClose, 0); err != nil {
		t.Errorf("closing gave %v", err)
	}
	if _, _, err := c.Enter(ctx, client.EnterRequest{Event: event, Count: 1, Root: draw.Hash{1}}); !errors.Is(err, holdfast.LineEnded) {
		t.Errorf("joining a line that is over gave %v", err)
	}
	if _, _, err := c.Enter(ctx, client.EnterRequest{Event: event}); !errors.Is(err, holdfast.Invalid) {
		t.Errorf("nobody joining gave %v", err)
	}
}

func TestAWatchTellsHowFarTheLineIs(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx := cluster.Client(), t.Context()
	spec := hall("evening", 10, 10)
	spec.Line = command.LineRules{Enabled: true}
	event := cluster.LoadEvent(spec)
	if err := c.OpenLine(ctx, event); err != nil {
		t.Fatal(err)
	}
	var states []holdfast.LineState
	for changes, err := range c.Watch(ctx, event, 0) {
		if err != nil || changes.Line == nil {
			t.Fatalf("%+v, %v", changes, err)
		}
		switch states = append(states, changes.Line.State); {
		case changes.Cut:
			joined(t, c, event, "ann", "bob")
		case changes.Line.State == holdfast.LineOpen:
			if err := c.Draw(ctx, event, holdfast.BeaconRound{}); err != nil {
				t.Fatal(err)
			}
		case changes.Line.Served == 0:
			cluster.Admit(event, 1)
		}
		if changes.Line.Served == 1 {
			break
		}
	}
	if len(states) < 3 || states[0] != holdfast.LineOpen || states[len(states)-1] != holdfast.LineDrawn {
		t.Errorf("the line was seen as %v", states)
	}
}

func TestFrontendsKeysAreGivenOut(t *testing.T) {
	cluster := clienttest.New(t, clienttest.Config{})
	c, ctx, now := cluster.Client(), t.Context(), cluster.Wall()
	key := holdfast.FrontendKey{Frontend: "front-1", Public: [32]byte{7}, NotBeforeMs: now.UnixMilli(), NotAfterMs: now.Add(time.Hour).UnixMilli()}
	for range 2 {
		if err := c.PutKey(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := c.Keys(ctx)
	if err != nil || len(keys) != 1 || keys[0] != key {
		t.Errorf("the keys are %+v, %v", keys, err)
	}
	cluster.SetWall(now.Add(2 * time.Hour))
	next := key
	next.Public, next.NotAfterMs = [32]byte{8}, now.Add(3*time.Hour).UnixMilli()
	if err := c.PutKey(ctx, next); err != nil {
		t.Fatal(err)
	}
	if keys, err := c.Keys(ctx, client.AllowStale()); err != nil || len(keys) != 1 || keys[0] != next {
		t.Errorf("after the first has expired: %+v, %v", keys, err)
	}
	if key.Frontend = ""; !errors.Is(c.PutKey(ctx, key), holdfast.Invalid) {
		t.Error("nobody's key was given out")
	}
}
