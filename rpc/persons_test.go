package rpc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// A key is safe when most members have it; a person is forgotten when all members have said so.
func TestMostKeepAKeyAndAllForgetIt(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c, ctx := s.client(), t.Context()
		defer c.Close()
		k := holdfast.PersonKey{Hold: holdfast.HoldID{7}, Salt: [8]byte{1}, Wrapped: [64]byte{2}}
		if _, err := c.PersonKey(ctx, k.Hold, k.Salt); !errors.Is(err, holdfast.NotFound) || errors.Is(err, holdfast.ErrForgotten) {
			t.Errorf("a key that nobody put gave %v", err)
		}
		if err := s.servers[2].Close(); err != nil { // the clients' way to it, not the node
			t.Fatal(err)
		}
		if err := c.PutPersonKey(ctx, k); err != nil {
			t.Fatalf("with two of three members: %v", err)
		}
		if got, err := c.PersonKey(ctx, k.Hold, k.Salt); err != nil || got != k {
			t.Errorf("the key reads %v, %v", got, err)
		}
		f, err := c.ForgetPersons(ctx, []holdfast.HoldID{k.Hold})
		if err != nil || f.Complete() {
			t.Errorf("with a member out of reach it is complete: %+v, %v", f, err)
		}
		confirmed := 0
		for _, m := range f.Members {
			if m.Err == nil {
				confirmed++
			} else if m.Name != "n3" {
				t.Errorf("%s did not confirm: %v", m.Name, m.Err)
			}
		}
		if confirmed != 2 {
			t.Errorf("%d members confirmed, want 2", confirmed)
		}
		if _, err := c.PersonKey(ctx, k.Hold, k.Salt); !errors.Is(err, holdfast.ErrForgotten) {
			t.Errorf("what most have forgotten reads %v", err)
		}
		if err := c.PutPersonKey(ctx, k); !errors.Is(err, holdfast.ErrForgotten) {
			t.Errorf("putting it again gave %v", err)
		}
		s.serve("n3", s.nodes[2])
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if f, err := c.AwaitForgotten(within, []holdfast.HoldID{k.Hold}); err != nil || !f.Complete() {
			t.Errorf("with all members back it is not complete: %+v, %v", f, err)
		}
		all, err := c.PersonsSummaries(ctx)
		if err != nil || len(all) != 3 {
			t.Fatalf("the summaries are %+v, %v", all, err)
		}
		for _, m := range all {
			if m.Err != nil || m.Forgotten != 1 || m.Keys != 0 || m.Digest != all[0].Digest {
				t.Errorf("%s has %+v", m.Name, m)
			}
		}
	})
}

func TestAKeyIsNotKeptByAMinority(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c := s.client()
		defer c.Close()
		for _, i := range []int{1, 2} {
			if err := s.servers[i].Close(); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := c.PutPersonKey(ctx, holdfast.PersonKey{Hold: holdfast.HoldID{7}}); !errors.Is(err, holdfast.Unavailable) {
			t.Errorf("one member of three gave %v", err)
		}
		if err := c.PutPersonKey(t.Context(), holdfast.PersonKey{}); err == nil {
			t.Error("a key without a hold was taken")
		}
	})
}

func TestTheKeyringChecksWhatComesIn(t *testing.T) {
	inCluster(t, 1, 1, func(t *testing.T, s *served) {
		conn := s.conn("n1")
		defer conn.Close()
		persons, ctx := api.NewPersonsClient(conn), t.Context()
		hold, salt := make([]byte, 16), make([]byte, 8)
		_, zero := persons.Put(ctx, &api.PutPersonKeyRequest{Hold: hold, Salt: salt, Wrapped: make([]byte, 64)})
		_, short := persons.Put(ctx, &api.PutPersonKeyRequest{Hold: []byte("short"), Salt: salt, Wrapped: make([]byte, 64)})
		_, long := persons.Put(ctx, &api.PutPersonKeyRequest{Hold: hold, Salt: salt, Wrapped: make([]byte, 65)})
		_, salted := persons.Get(ctx, &api.GetPersonKeyRequest{Hold: hold, Salt: make([]byte, 9)})
		_, many := persons.Forget(ctx, &api.ForgetPersonsRequest{Holds: make([][]byte, 3)})
		for i, err := range []error{zero, short, long, salted, many} {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("call %d gave %v", i, err)
			}
		}
	})
}

// The ciphertext goes the way of all commands, and the keyring lists whose keys there are.
func TestACiphertextIsInTheShardAndItsKeyIsListed(t *testing.T) {
	inCluster(t, 3, 1, func(t *testing.T, s *served) {
		c, ctx := s.client(), t.Context()
		defer c.Close()
		event := s.concert(c)
		h, err := c.Hold(ctx, client.HoldRequest{Event: event, Buyer: anna, Wants: wantSeats(1)})
		if err != nil {
			t.Fatal(err)
		}
		if blob, err := c.Person(ctx, event, h.ID); err != nil || len(blob) != 0 {
			t.Errorf("before anything was put it reads %q, %v", blob, err)
		}
		if err := c.PutPerson(ctx, event, h.ID, []byte("ciphertext")); err != nil {
			t.Fatal(err)
		}
		if blob, err := c.Person(ctx, event, h.ID); err != nil || string(blob) != "ciphertext" {
			t.Errorf("it reads %q, %v", blob, err)
		}
		for i, id := range []holdfast.EventID{event.ID, event.ID, event.ID + 1} {
			if err := c.PutPersonKey(ctx, holdfast.PersonKey{Event: id, Hold: holdfast.HoldID{byte(1 + i/2*i)}, Salt: [8]byte{byte(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		holds, all, err := c.PersonHolds(ctx, event.ID)
		if err != nil || !all || len(holds) != 1 || holds[0] != (holdfast.HoldID{1}) {
			t.Errorf("two keys of one hold, and one of another event, list as %v, %v, %v", holds, all, err)
		}
	})
}
