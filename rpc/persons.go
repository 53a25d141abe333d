package rpc

import (
	"context"
	"errors"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// persons answers for this member's keyring. It needs no leader.
type persons struct {
	api.UnimplementedPersonsServer
	*Server
}

// personKey reads the names of a key.
func personKey(hold, salt []byte) (k holdfast.PersonKey, err error) {
	if k.Hold, err = convert.ID[holdfast.HoldID]("hold", hold); err != nil {
		return k, err
	}
	return k, fill("salt", k.Salt[:], salt)
}

// fill copies a field that has a fixed size.
func fill(field string, to, from []byte) error {
	if copy(to, from) != len(to) || len(from) != len(to) {
		return &holdfast.Error{Kind: holdfast.Invalid, Field: field, Message: "has another size"}
	}
	return nil
}

// Put keeps a key.
func (s *persons) Put(ctx context.Context, q *api.PutPersonKeyRequest) (*api.PersonKeyResponse, error) {
	k, err := personKey(q.GetHold(), q.GetSalt())
	if err == nil {
		err = fill("wrapped", k.Wrapped[:], q.GetWrapped())
	}
	if k.Event = holdfast.EventID(q.GetEvent()); err == nil {
		err = s.node.PutPersonKey(ctx, k)
	}
	if errors.Is(err, holdfast.ErrForgotten) {
		return &api.PersonKeyResponse{Forgotten: true}, nil
	}
	return &api.PersonKeyResponse{Wrapped: q.GetWrapped()}, err
}

// Get gives a key.
func (s *persons) Get(_ context.Context, q *api.GetPersonKeyRequest) (*api.PersonKeyResponse, error) {
	k, err := personKey(q.GetHold(), q.GetSalt())
	if err != nil {
		return nil, err
	}
	k, err = s.node.PersonKey(k.Hold, k.Salt)
	switch {
	case errors.Is(err, holdfast.ErrForgotten):
		return &api.PersonKeyResponse{Forgotten: true}, nil
	case errors.Is(err, holdfast.NotFound):
		return &api.PersonKeyResponse{}, nil
	}
	return &api.PersonKeyResponse{Wrapped: k.Wrapped[:], Event: uint32(k.Event)}, err
}

// Forget destroys the keys of holds.
func (s *persons) Forget(ctx context.Context, q *api.ForgetPersonsRequest) (*api.ForgetPersonsResponse, error) {
	holds := make([]holdfast.HoldID, len(q.GetHolds()))
	for i, b := range q.GetHolds() {
		var err error
		if holds[i], err = convert.ID[holdfast.HoldID]("holds", b); err != nil {
			return nil, err
		}
	}
	return &api.ForgetPersonsResponse{}, s.node.ForgetPersons(ctx, holds)
}

// Find reads a shard's ciphertext.
func (s *persons) Find(ctx context.Context, q *api.FindPersonRequest) (*api.FoundPerson, error) {
	hold, err := convert.ID[holdfast.HoldID]("hold", q.GetHold())
	if err != nil {
		return nil, err
	}
	blob, at, err := look(ctx, s.Server, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine) ([]byte, error) {
		blob, _ := m.Person(hold)
		return blob, nil
	})
	if err != nil {
		return nil, err
	}
	return &api.FoundPerson{Stamp: at, Blob: blob}, nil
}

// Holds lists an event's holds that have keys.
func (s *persons) Holds(_ context.Context, q *api.PersonHoldsRequest) (*api.PersonHoldsResponse, error) {
	holds, next := s.node.PersonHolds(holdfast.EventID(q.GetEvent()), q.GetFrom())
	answer := &api.PersonHoldsResponse{Next: next}
	for _, hold := range holds {
		answer.Holds = append(answer.Holds, hold[:])
	}
	return answer, nil
}

// Summary tells what this member has.
func (s *persons) Summary(context.Context, *api.PersonsSummaryRequest) (*api.PersonsSummary, error) {
	have := s.node.Persons()
	return &api.PersonsSummary{Keys: uint64(have.Keys), Forgotten: uint64(have.Forgotten), Digest: have.Digest[:]}, nil
}
