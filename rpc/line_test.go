package rpc_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/fsm/draw"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// A line with times needs nobody: the leader opens and draws it, and calls people when the sale opens.
func TestALineIsServedFromItsOpeningToASession(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c, ctx := s.client(), t.Context()
		defer c.Close()
		at := func(d time.Duration) int64 { return time.Now().Add(d).UnixMilli() }
		applied, err := c.ApplyEvent(ctx, command.EventSpec{Name: "night", Title: "Night", Currency: "eur", Tiers: []command.Tier{{Name: "all"}},
			Sections: []command.Section{{Name: "floor", Places: 10}},
			Line:     command.LineRules{Enabled: true, OpensMs: at(5 * time.Second), DrawMs: at(10 * time.Second), SaleMs: at(15 * time.Second), CeilingMax: 10}})
		if err != nil {
			t.Fatal(err)
		}
		event := applied.EventRef
		time.Sleep(6 * time.Second)
		place := client.PlaceRef{Event: event, Key: sha256.Sum256([]byte("ann"))}
		other := draw.Leaf(event.ID, sha256.Sum256([]byte("bob")))
		leaves := []draw.Hash{draw.Leaf(event.ID, place.Key), other}
		if place.Number, _, err = c.Enter(ctx, client.EnterRequest{Event: event, Count: 2, Root: draw.Root(leaves)}); err != nil {
			t.Fatal(err)
		}
		place.Path = draw.Path(leaves, 0)
		time.Sleep(20 * time.Second)
		for _, opts := range [][]client.ReadOption{nil, {client.AllowStale()}} {
			l, err := c.Line(ctx, event, opts...)
			if err != nil || l.State != holdfast.LineDrawn || l.Issued != 2 || l.Served != 2 || l.Ceiling != 10 {
				t.Errorf("the line reads %+v, %v", l, err)
			}
			p, err := c.Place(ctx, place, opts...)
			if err != nil || p.State != holdfast.PlaceCalled || p.Remaining <= 0 {
				t.Errorf("the place reads %+v, %v", p, err)
			}
			record, err := c.DrawRecord(ctx, event, opts...)
			if err != nil || draw.Verify(record) != nil || record.Cohort != 2 {
				t.Errorf("the draw's record reads %+v, %v", record, err)
			}
			if _, err := c.Visitor(ctx, event, place.Key.Buyer(), opts...); !errors.Is(err, holdfast.NotFound) {
				t.Errorf("somebody who has not turned up gave %v", err)
			}
		}
		if _, err := c.Redeem(ctx, place); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Visitor(ctx, event, place.Key.Buyer()); err != nil || v.State != holdfast.PlaceAdmitted {
			t.Errorf("the visitor reads %+v, %v", v, err)
		}
		key := holdfast.FrontendKey{Frontend: "front-1", Public: [32]byte{1}, NotBeforeMs: at(0), NotAfterMs: at(time.Hour)}
		if err := c.PutKey(ctx, key); err != nil {
			t.Fatal(err)
		}
		if keys, err := c.Keys(ctx); err != nil || len(keys) != 1 || keys[0] != key {
			t.Errorf("the keys read %+v, %v", keys, err)
		}
	})
}

func TestReadsOfLinesRefuseWhatMakesNoSense(t *testing.T) {
	inCluster(t, 1, 1, func(t *testing.T, s *served) {
		c, conn := s.client(), s.conn("n1")
		defer c.Close()
		defer conn.Close()
		event, ctx, lines := s.concert(c), t.Context(), api.NewLineClient(conn)
		_, without := lines.Get(ctx, &api.GetLineRequest{Shard: 1, Event: uint32(event.ID)})
		_, noKey := lines.Place(ctx, &api.PlaceRequest{Shard: 1, Event: uint32(event.ID), Key: []byte("short")})
		_, noHash := lines.Place(ctx, &api.PlaceRequest{Shard: 1, Event: uint32(event.ID), Key: make([]byte, 32), Path: [][]byte{{1}}})
		_, long := lines.Place(ctx, &api.PlaceRequest{Shard: 1, Event: uint32(event.ID), Key: make([]byte, 32), Path: make([][]byte, holdfast.PathMax+1)})
		_, unproven := lines.Place(ctx, &api.PlaceRequest{Shard: 1, Event: uint32(event.ID), Key: make([]byte, 32)})
		_, noBuyer := lines.Visitor(ctx, &api.VisitorRequest{Shard: 1, Event: uint32(event.ID), Buyer: []byte("short")})
		parts, err := lines.DrawRecord(ctx, &api.DrawRecordRequest{Shard: 1, Event: uint32(event.ID)})
		if err == nil {
			_, err = parts.Recv()
		}
		for i, want := range []codes.Code{codes.NotFound, codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.NotFound, codes.InvalidArgument, codes.NotFound} {
			if err := []error{without, noKey, noHash, long, unproven, noBuyer, err}[i]; status.Code(err) != want {
				t.Errorf("case %d: %v, want %v", i, err, want)
			}
		}
	})
}
