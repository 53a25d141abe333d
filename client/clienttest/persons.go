package clienttest

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm"
	"github.com/holdfast-db/holdfast/rpc/api"
	"github.com/holdfast-db/holdfast/rpc/convert"
)

// persons is one member's keyring. Members do not teach each other here.
type persons struct {
	api.UnimplementedPersonsServer
	member *member

	mu        sync.Mutex
	away      bool
	keys      map[string]*api.PutPersonKeyRequest // by hold and salt
	forgotten map[string]bool
}

func newPersons(m *member) *persons {
	return &persons{member: m, keys: map[string]*api.PutPersonKeyRequest{}, forgotten: map[string]bool{}}
}

// PersonsAway makes a member's keyring answer nobody, or answer again.
func (c *Cluster) PersonsAway(member int, away bool) {
	p := c.members[member].persons
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// here is told to those who ask a member that is away. p.mu is held.
func (p *persons) here() error {
	if p.away {
		return convert.Status(&holdfast.Error{Kind: holdfast.Unavailable, Message: "the test has taken this member away"})
	}
	return nil
}

func (p *persons) Put(_ context.Context, q *api.PutPersonKeyRequest) (*api.PersonKeyResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forgotten[string(q.GetHold())] {
		return &api.PersonKeyResponse{Forgotten: true}, p.here()
	}
	if err := p.here(); err != nil {
		return nil, err
	}
	p.keys[string(q.GetHold())+string(q.GetSalt())] = q
	return &api.PersonKeyResponse{Wrapped: q.GetWrapped()}, nil
}

func (p *persons) Get(_ context.Context, q *api.GetPersonKeyRequest) (*api.PersonKeyResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keys[string(q.GetHold())+string(q.GetSalt())]
	return &api.PersonKeyResponse{Forgotten: p.forgotten[string(q.GetHold())], Wrapped: k.GetWrapped(), Event: k.GetEvent()}, p.here()
}

func (p *persons) Forget(_ context.Context, q *api.ForgetPersonsRequest) (*api.ForgetPersonsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.here(); err != nil {
		return nil, err
	}
	for _, hold := range q.GetHolds() {
		p.forgotten[string(hold)] = true
		for name := range p.keys {
			if name[:16] == string(hold) {
				delete(p.keys, name)
			}
		}
	}
	return &api.ForgetPersonsResponse{}, nil
}

func (p *persons) Find(_ context.Context, q *api.FindPersonRequest) (*api.FoundPerson, error) {
	return read(p.member, q.GetShard(), q.GetConsistency(), func(m *fsm.Machine, stamp *api.Stamp) (*api.FoundPerson, error) {
		blob, _ := m.Person(holdfast.HoldID(q.GetHold()))
		return &api.FoundPerson{Stamp: stamp, Blob: blob}, nil
	})
}

func (p *persons) Holds(_ context.Context, q *api.PersonHoldsRequest) (*api.PersonHoldsResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := &api.PersonHoldsResponse{}
	for _, k := range p.keys {
		if k.GetEvent() == q.GetEvent() {
			answer.Holds = append(answer.Holds, k.GetHold())
		}
	}
	return answer, p.here()
}

func (p *persons) Summary(context.Context, *api.PersonsSummaryRequest) (*api.PersonsSummary, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for name := range p.keys {
		all = append(all, "key "+name)
	}
	for hold := range p.forgotten {
		all = append(all, "forgotten "+hold)
	}
	slices.Sort(all)
	digest := sha256.New()
	for _, one := range all {
		digest.Write([]byte(one))
	}
	return &api.PersonsSummary{Keys: uint64(len(p.keys)), Forgotten: uint64(len(p.forgotten)), Digest: digest.Sum(nil)}, p.here()
}
