package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
)

// persons: what is known about people is kept, encrypted, in the shard, and the keys to it beside the logs, until somebody
// is forgotten. A key that was acknowledged is found by everybody; whom most members have forgotten nobody finds again,
// whatever crashes; and in the end all members have the same.
type people struct {
	world *world
	plan  Scene
	event remote.EventRef

	mu  sync.Mutex
	all []*person
}

// person is one of them, with what is known of what was kept. Each is looked after by one goroutine.
type person struct {
	key     holdfast.PersonKey
	put     bool     // the key was acknowledged
	leaving bool     // somebody began to forget it
	gone    bool     // most members have confirmed that they have
	blobs   [][]byte // what the shard may have: one, unless it is unknown what became of a command; an empty one: nothing
}

func newPeople(w *world, s Scene) scene { return &people{world: w, plan: s} }

func (s *people) open(ctx context.Context, c *remote.Client) error {
	places := uint32(100 + s.plan.People*int(s.world.plan.Length.Seconds())*2)
	applied, err := c.ApplyEvent(ctx, command.EventSpec{
		Name: "persons", Title: "Persons", Currency: currency, Tiers: []command.Tier{{Name: "all", PriceMinor: priceMinor}},
		Rules:    command.Rules{HoldTTLMs: command.TimeMsMax, PayWindowMs: command.TimeMsMax, SkipCoolDown: true},
		Sections: []command.Section{{Name: "pit", Places: places}},
	})
	if err != nil {
		return err
	}
	s.event = applied.EventRef
	return c.OpenSale(ctx, s.event)
}

func (s *people) work(until time.Duration) {
	var working sync.WaitGroup
	for i := range s.plan.People {
		random := rand.New(rand.NewPCG(s.world.plan.Seed, 3000+uint64(i)))
		working.Go(func() {
			var known []*person
			for n := 0; s.world.now() < until; n++ {
				switch {
				case len(known) == 0 || random.IntN(4) == 0:
					if p := s.come(i, n, random); p != nil {
						known = append(known, p)
					}
				case random.IntN(5) == 0:
					s.forget(known[random.IntN(len(known))], random)
				default:
					s.look(known[random.IntN(len(known))], random.IntN(fronts))
				}
				time.Sleep(time.Duration(random.ExpFloat64() * float64(s.plan.Think)))
			}
		})
	}
	working.Wait()
}

// once asks one frontend one time.
func (s *people) once(at int, what func(ctx context.Context, c *remote.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callMax)
	defer cancel()
	l := s.world.fronts.pick(ctx, at)
	if l == nil {
		return errRefused
	}
	return what(ctx, l.client)
}

// come has somebody hold a place, and keeps what is known about him.
func (s *people) come(who, n int, random *rand.Rand) *person {
	var buyer holdfast.BuyerID
	binary.BigEndian.PutUint32(buyer[:], uint32(who)+1)
	binary.BigEndian.PutUint32(buyer[4:], uint32(n))
	var hold remote.Hold
	if s.once(who, func(ctx context.Context, c *remote.Client) (err error) {
		hold, err = c.Hold(ctx, remote.HoldRequest{Event: s.event, Buyer: buyer, Wants: []command.Want{{Kind: command.WantGeneral, Count: 1}}})
		return err
	}) != nil {
		return nil
	}
	p := &person{key: holdfast.PersonKey{Event: s.event.ID, Hold: hold.ID}, blobs: [][]byte{nil}}
	for i := range p.key.Wrapped {
		p.key.Wrapped[i] = byte(random.Uint32())
	}
	binary.BigEndian.PutUint64(p.key.Salt[:], random.Uint64())
	s.mu.Lock()
	s.all = append(s.all, p)
	s.mu.Unlock()
	p.put = s.once(who, func(ctx context.Context, c *remote.Client) error { return c.PutPersonKey(ctx, p.key) }) == nil
	s.world.deeds.did(fmt.Sprintf("persons: key put %v", p.put))
	s.write(who, p, fmt.Appendf(nil, "person %d of %d", n, who))
	return p
}

// write puts a blob into the shard, or takes it out when there is none.
func (s *people) write(at int, p *person, blob []byte) {
	err := s.once(at, func(ctx context.Context, c *remote.Client) error {
		if blob == nil {
			return c.ForgetPerson(ctx, s.event, p.key.Hold)
		}
		return c.PutPerson(ctx, s.event, p.key.Hold, blob)
	})
	switch {
	case err == nil:
		p.blobs = [][]byte{blob}
	case holdfast.KindOf(err) == holdfast.Unknown:
		p.blobs = append(p.blobs, blob)
	}
}

// forget destroys somebody's keys on all members that can be reached, or what the shard has.
func (s *people) forget(p *person, random *rand.Rand) {
	at := random.IntN(fronts)
	if random.IntN(3) == 0 {
		s.write(at, p, nil)
		return
	}
	p.leaving = true
	var f remote.Forgetting
	if s.once(at, func(ctx context.Context, c *remote.Client) (err error) {
		f, err = c.ForgetPersons(ctx, []holdfast.HoldID{p.key.Hold})
		return err
	}) != nil {
		return
	}
	confirmed := 0
	for _, m := range f.Members {
		if m.Err == nil {
			confirmed++
		}
	}
	p.gone = p.gone || confirmed > len(f.Members)/2
	s.world.deeds.did(fmt.Sprintf("persons: forgotten by %d of %d", confirmed, len(f.Members)))
}

// look reads what is known of somebody, and holds it against what may be.
func (s *people) look(p *person, at int) {
	var key holdfast.PersonKey
	err := s.once(at, func(ctx context.Context, c *remote.Client) (err error) {
		key, err = c.PersonKey(ctx, p.key.Hold, p.key.Salt)
		return err
	})
	if wrong := p.contradicts(key, err); wrong != "" {
		s.world.cluster.fail("persons: %s: %s", p.key.Hold, wrong)
	}
	var blob []byte
	if s.once(at, func(ctx context.Context, c *remote.Client) (err error) {
		blob, err = c.Person(ctx, s.event, p.key.Hold)
		return err
	}) != nil {
		return
	}
	s.world.deeds.did("persons: looked at")
	for _, may := range p.blobs {
		if bytes.Equal(blob, may) {
			p.blobs = [][]byte{may} // later commands come after it
			return
		}
	}
	s.world.cluster.fail("persons: %s: the shard has %q, and may have %q", p.key.Hold, blob, p.blobs)
}

// contradicts says what is wrong with the answer to a question for the key.
func (p *person) contradicts(key holdfast.PersonKey, err error) string {
	switch {
	case err == nil && key != p.key:
		return "another key was found"
	case err == nil && p.gone:
		return "the key was found, and most members had confirmed that it is destroyed"
	case errors.Is(err, holdfast.ErrForgotten) && !p.leaving:
		return "the key is said to be destroyed, and nobody has asked for it"
	case errors.Is(err, holdfast.NotFound) && p.put:
		return "the key was acknowledged and is lost"
	}
	return ""
}

// judge finishes what was begun to be forgotten, looks everybody up once more, and compares the members.
func (s *people) judge(ctx context.Context, c *remote.Client, r *Report) {
	var leaving []holdfast.HoldID
	for _, p := range s.all {
		if p.leaving {
			leaving = append(leaving, p.key.Hold)
		}
	}
	forgetting, cancel := context.WithTimeout(ctx, s.world.plan.quietAfter())
	defer cancel()
	if f, err := c.AwaitForgotten(forgetting, leaving); len(leaving) > 0 && (err != nil || !f.Complete()) {
		r.violation("liveness", "not all members forget when all is well again: %+v, %v", f, err)
		return
	}
	for _, p := range s.all {
		p.gone = p.leaving
		key, err := c.PersonKey(ctx, p.key.Hold, p.key.Salt)
		if wrong := p.contradicts(key, err); wrong != "" {
			r.violation("persons", "%s: %s", p.key.Hold, wrong)
		}
	}
	var last []remote.PersonsSummary
	err := s.world.await("all members have the same keys", func() bool {
		all, err := c.PersonsSummaries(ctx)
		last = all
		for _, m := range all {
			if m.Err != nil || m.Digest != all[0].Digest {
				return false
			}
		}
		return err == nil
	})
	if err != nil {
		r.violation("persons", "%v: %+v", err, last)
	}
}
