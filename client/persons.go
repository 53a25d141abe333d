package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client/retry"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// Keys to personal data are kept by every member for itself, beside the logs. What a majority has is safe as a claim is:
// PutPersonKey waits for one, and PersonKey asks one, so that it finds every key that was acknowledged, and gives no key of
// whom a majority has forgotten. To forget takes all members.

// personsPatience bounds how long one member may take.
const personsPatience = readPatience

// PutPersonKey keeps a key: it is on the disks of a majority when there is no error. The same key may be put again. When
// its hold was forgotten the error wraps holdfast.ErrForgotten.
func (c *Client) PutPersonKey(ctx context.Context, k holdfast.PersonKey) error {
	q := &api.PutPersonKeyRequest{Hold: k.Hold[:], Salt: k.Salt[:], Wrapped: k.Wrapped[:], Event: uint32(k.Event)}
	answers, failure := majority(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (*api.PersonKeyResponse, error) {
		return api.NewPersonsClient(conn).Put(ctx, q)
	})
	if failure == nil {
		_, failure = wholeKey(answers)
	}
	if failure != nil {
		return named("put person's key", failure)
	}
	return nil
}

// PersonKey gives a key. One that nobody has put is holdfast.NotFound; when its hold was forgotten the error wraps
// holdfast.ErrForgotten.
func (c *Client) PersonKey(ctx context.Context, hold holdfast.HoldID, salt [holdfast.PersonSaltBytes]byte) (holdfast.PersonKey, error) {
	k, q := holdfast.PersonKey{Hold: hold, Salt: salt}, &api.GetPersonKeyRequest{Hold: hold[:], Salt: salt[:]}
	answers, failure := majority(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (*api.PersonKeyResponse, error) {
		return api.NewPersonsClient(conn).Get(ctx, q)
	})
	var found *api.PersonKeyResponse
	if failure == nil {
		found, failure = wholeKey(answers)
	}
	k.Event = holdfast.EventID(found.GetEvent())
	if failure == nil && copy(k.Wrapped[:], found.GetWrapped()) != len(k.Wrapped) {
		failure = &holdfast.Error{Kind: holdfast.NotFound, Message: "no member has such a key"}
	}
	if failure != nil {
		return holdfast.PersonKey{}, named("person's key", failure)
	}
	return k, nil
}

// wholeKey is what several members' answers come to: one that has forgotten wins over all that have not heard of it.
func wholeKey(answers []*api.PersonKeyResponse) (found *api.PersonKeyResponse, failure *holdfast.Error) {
	for _, a := range answers {
		if a.GetForgotten() {
			return nil, &holdfast.Error{Kind: holdfast.Denied, Message: "the keys are destroyed", Err: holdfast.ErrForgotten}
		}
		if len(a.GetWrapped()) > 0 {
			found = a
		}
	}
	return found, nil
}

// Person reads what a shard keeps, encrypted, about the person behind a hold or an order: nothing, and no error, when
// nothing was put.
func (c *Client) Person(ctx context.Context, event EventRef, hold holdfast.HoldID) (blob []byte, err error) {
	const op = "find person"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return nil, named(op, failure)
	}
	r := c.reading(ctx, event.Shard, nil)
	found, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.FoundPerson, error) {
		return api.NewPersonsClient(conn).Find(ctx, &api.FindPersonRequest{Shard: uint32(event.Shard), Hold: hold[:], Consistency: r.consistency()})
	})
	if failure != nil {
		return nil, named(op, failure)
	}
	return found.GetBlob(), nil
}

// Forgetting is how far members have come with forgetting.
type Forgetting struct {
	Members []MemberForgetting
}

// MemberForgetting is one member's part.
type MemberForgetting struct {
	ID, Name, Address string // an empty address: nobody knows where clients reach it
	Err               error  // nil: its keys are destroyed
}

// Complete reports whether every member has destroyed its keys.
func (f Forgetting) Complete() bool {
	for _, m := range f.Members {
		if m.Err != nil {
			return false
		}
	}
	return len(f.Members) > 0
}

// ForgetPersons destroys the keys to the personal data of holds (and so of the orders that they became) on all members,
// for good. It asks each member once and tells who has confirmed. Members that were away hear of it from the others when
// they are back, and keys that come late are refused by whoever has heard of it; only asking again tells when all have.
func (c *Client) ForgetPersons(ctx context.Context, holds []holdfast.HoldID) (Forgetting, error) {
	const op = "forget persons"
	q := &api.ForgetPersonsRequest{}
	for _, hold := range holds {
		q.Holds = append(q.Holds, hold[:])
	}
	members, failure := c.everybody(ctx)
	if failure != nil {
		return Forgetting{}, named(op, failure)
	}
	asked := ask(c, members, func(ctx context.Context, conn *grpc.ClientConn) (*api.ForgetPersonsResponse, error) {
		return api.NewPersonsClient(conn).Forget(ctx, q)
	})
	f := Forgetting{}
	for _, m := range members {
		f.Members = append(f.Members, MemberForgetting{ID: m.GetId(), Name: m.GetName(), Address: m.GetClientAddress(),
			Err: &holdfast.Error{Kind: holdfast.Unavailable, Op: op, Message: "it has not answered yet"}})
	}
	for range members {
		select {
		case a := <-asked:
			f.Members[a.member].Err = nil
			if a.failure != nil {
				f.Members[a.member].Err = named(op, a.failure)
			}
		case <-ctx.Done():
			return f, nil
		}
	}
	return f, nil
}

// PersonHolds gives the holds of an event to whose personal data there are keys, as a majority of members knows them; all is
// false when more than PersonHoldsMax were left out.
func (c *Client) PersonHolds(ctx context.Context, event holdfast.EventID) (holds []holdfast.HoldID, all bool, err error) {
	answers, failure := majority(ctx, c, func(ctx context.Context, conn *grpc.ClientConn) (page [][]byte, err error) {
		for from := uint32(0); len(page) <= PersonHoldsMax; {
			answer, err := api.NewPersonsClient(conn).Holds(ctx, &api.PersonHoldsRequest{Event: uint32(event), From: from})
			if err != nil {
				return nil, err
			}
			page = append(page, answer.GetHolds()...)
			if from = answer.GetNext(); from == 0 {
				break
			}
		}
		return page, nil
	})
	if failure != nil {
		return nil, false, named("persons", failure)
	}
	known := map[holdfast.HoldID]bool{}
	for _, answer := range answers {
		for _, b := range answer {
			if len(b) != len(holdfast.HoldID{}) {
				return nil, false, &holdfast.Error{Kind: holdfast.Internal, Op: "persons", Message: "an id of another size"}
			}
			if hold := holdfast.HoldID(b); !known[hold] {
				known[hold] = true
				holds = append(holds, hold)
			}
		}
	}
	if all = len(holds) <= PersonHoldsMax; !all {
		holds = holds[:PersonHoldsMax]
	}
	return holds, all, nil
}

// PersonHoldsMax bounds what PersonHolds gives.
const PersonHoldsMax = 1 << 18

// PersonsSummary is what a member has in its keyring. Members with the same digest have the same.
type PersonsSummary struct {
	ID, Name, Address string
	Keys, Forgotten   int
	Digest            [32]byte
	Err               error // why there is no answer
}

// PersonsSummaries asks every member once what it has.
func (c *Client) PersonsSummaries(ctx context.Context) ([]PersonsSummary, error) {
	const op = "persons"
	members, failure := c.everybody(ctx)
	if failure != nil {
		return nil, named(op, failure)
	}
	all := make([]PersonsSummary, len(members))
	for i, m := range members {
		all[i] = PersonsSummary{ID: m.GetId(), Name: m.GetName(), Address: m.GetClientAddress()}
	}
	asked := ask(c, members, func(ctx context.Context, conn *grpc.ClientConn) (*api.PersonsSummary, error) {
		return api.NewPersonsClient(conn).Summary(ctx, &api.PersonsSummaryRequest{})
	})
	for range members {
		a := <-asked
		one := &all[a.member]
		if a.failure != nil {
			one.Err = named(op, a.failure)
			continue
		}
		one.Keys, one.Forgotten = int(a.answer.GetKeys()), int(a.answer.GetForgotten())
		copy(one.Digest[:], a.answer.GetDigest())
	}
	return all, nil
}

// everybody gives the members, those too that cannot be reached.
func (c *Client) everybody(ctx context.Context) ([]*api.Member, *holdfast.Error) {
	r := c.reading(ctx, holdfast.Directory, []ReadOption{AllowStale()})
	for {
		routes, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.RoutesResponse, error) {
			return api.NewClusterClient(conn).Routes(ctx, &api.RoutesRequest{})
		})
		if failure != nil {
			return nil, failure
		}
		if routes.GetCluster() != "" {
			return routes.GetMembers(), nil
		}
		failure = &holdfast.Error{Kind: holdfast.Unavailable, Message: "the member belongs to no cluster yet"}
		if !r.again(ctx, failure) {
			return nil, failure
		}
	}
}

// asked is one member's answer.
type asked[T any] struct {
	member  int
	answer  T
	failure *holdfast.Error
}

// ask asks every member at once; each answers once on the channel, which has room for all. The questions do not end with
// whoever asks them: a member that is slow comes to have what others have acknowledged.
func ask[T any](c *Client, members []*api.Member, question func(context.Context, *grpc.ClientConn) (T, error)) <-chan asked[T] {
	answers := make(chan asked[T], len(members))
	for i, m := range members {
		one := func() (a asked[T]) {
			a.member = i
			if m.GetClientAddress() == "" {
				a.failure = &holdfast.Error{Kind: holdfast.Unavailable, Message: "it was not met yet, and nobody knows where it serves clients"}
				return a
			}
			conn, failure := c.conn(m.GetClientAddress())
			if failure != nil {
				a.failure = failure
				return a
			}
			ctx, cancel := context.WithTimeout(c.ctx, personsPatience)
			defer cancel()
			var err error
			if a.answer, err = question(ctx, conn); err != nil {
				a.failure = statusOf(err)
			}
			return a
		}
		if !c.start(func() { answers <- one() }) {
			answers <- asked[T]{member: i, failure: errClosed}
		}
	}
	return answers
}

// majority asks every member, again as long as need be, until most have answered.
func majority[T any](ctx context.Context, c *Client, question func(context.Context, *grpc.ClientConn) (T, error)) ([]T, *holdfast.Error) {
	deadline := c.deadline(ctx)
	within, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for wait := (retry.Backoff{}); ; {
		members, failure := c.everybody(within)
		if failure != nil {
			return nil, failure
		}
		answers, failure := most(within, len(members), ask(c, members, question))
		if failure == nil || retry.After(failure.Kind) == retry.Never {
			return answers, failure
		}
		if !c.sleep(within, &wait, deadline, failure.RetryAfter) {
			return nil, failure
		}
	}
}

// most waits until most of the members have answered, or can no more.
func most[T any](ctx context.Context, members int, asked <-chan asked[T]) (answers []T, failure *holdfast.Error) {
	for failed := 0; ; {
		select {
		case a := <-asked:
			if a.failure == nil {
				answers = append(answers, a.answer)
			} else {
				failed++
				if failure == nil || retry.After(a.failure.Kind) == retry.Never {
					failure = a.failure
				}
			}
		case <-ctx.Done():
			return nil, &holdfast.Error{Kind: holdfast.Unavailable, Message: "most members did not answer in time; asking again does no harm", Err: ctx.Err()}
		}
		if len(answers) > members/2 {
			return answers, nil
		}
		if failed >= members-members/2 {
			return nil, &holdfast.Error{Kind: failure.Kind, Field: failure.Field, RetryAfter: failure.RetryAfter,
				Message: fmt.Sprintf("%d of %d members did not do it: %s", failed, members, failure.Message), Err: failure.Err}
		}
	}
}

// forgetEvery is how long AwaitForgotten waits between questions.
const forgetEvery = 500 * time.Millisecond

// AwaitForgotten is ForgetPersons until all members have confirmed or ctx ends. Without an error it tells how far it came.
func (c *Client) AwaitForgotten(ctx context.Context, holds []holdfast.HoldID) (Forgetting, error) {
	for {
		f, err := c.ForgetPersons(ctx, holds)
		if err != nil || f.Complete() {
			return f, err
		}
		timer := time.NewTimer(forgetEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return f, nil
		case <-c.ctx.Done():
			timer.Stop()
			return f, nil
		case <-timer.C:
		}
	}
}
