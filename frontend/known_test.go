package frontend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// catalogue is a directory of events, as a client of the cluster sees it.
type catalogue struct {
	mu     sync.Mutex
	names  []string
	strict int           // questions that its leader answered
	takes  time.Duration // for an answer
	silent bool          // it has no leader: any member answers, and from what it has
}

var errNoDirectory = &holdfast.Error{Kind: holdfast.Unavailable, Message: "no leader"}

func (c *catalogue) events(ctx context.Context, opts ...client.ReadOption) (list []client.EventSummary, err error) {
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(opts) == 0 && c.silent {
		return nil, errNoDirectory
	}
	if len(opts) == 0 {
		c.strict++
	}
	for i, name := range c.names {
		list = append(list, client.EventSummary{EventRef: client.EventRef{ID: holdfast.EventID(i + 1), Name: name}})
	}
	return list, nil
}

func (c *catalogue) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, name)
}

func (c *catalogue) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.strict
}

// inKnown runs f in virtual time with a list that was just read.
func inKnown(t *testing.T, f func(t *testing.T, c *catalogue, k *known)) {
	synctest.Test(t, func(t *testing.T) {
		c := &catalogue{names: []string{"old"}, takes: 2 * time.Millisecond}
		k := newKnown(t.Context(), nil, time.Now)
		k.events = c.events
		if _, err := k.named(t.Context(), "old"); err != nil {
			t.Fatal(err)
		}
		f(t, c, k)
	})
}

func TestANewEventIsThereAtTheFirstRequest(t *testing.T) {
	g := newGround(t, hall("evening"))
	s, b := g.serve(), newBrowser(t)
	b.api(s, "GET", "/api/v1/events", nil).want(200) // the list is known, and fresh
	g.cluster.LoadEvent(hall("matinee"))
	b.api(s, "GET", "/api/v1/events/matinee", nil).want(200)
	b.api(s, "GET", "/api/v1/events/night", nil).want(404)

	inKnown(t, func(t *testing.T, c *catalogue, k *known) {
		for i := range 5 { // also one after the other
			name := fmt.Sprint("new-", i)
			c.add(name)
			if e, err := k.named(t.Context(), name); err != nil || e.Name != name {
				t.Errorf("%s: %+v, %v", name, e, err)
			}
		}
	})
}

func TestACrowdOnWrongNamesCostsTheDirectoryLittle(t *testing.T) {
	inKnown(t, func(t *testing.T, c *catalogue, k *known) {
		const people, seconds = 100, 5
		before, began := c.asked(), time.Now()
		var all sync.WaitGroup
		for i := range people {
			all.Go(func() {
				for n := 0; time.Since(began) < seconds*time.Second; n++ {
					at := time.Now()
					name := "wrong"
					if i%2 == 1 {
						name = fmt.Sprint("wrong-", i, "-", n) // another each time
					}
					if _, err := k.named(t.Context(), name); !errors.Is(err, holdfast.NotFound) {
						t.Errorf("%s: %v", name, err)
					}
					if took := time.Since(at); took > 2*(missesEvery+c.takes) {
						t.Errorf("%s took %v", name, took)
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		all.Wait()
		if asked, most := c.asked()-before, int(time.Since(began)/missesEvery)+1; asked > most {
			t.Errorf("the directory was asked %d times in %v, want %d at most", asked, time.Since(began), most)
		}
		if len(k.absent) > absentMax {
			t.Errorf("%d names are remembered", len(k.absent))
		}

		// One name alone is asked for once a second, and is there soon after it came to be.
		time.Sleep(time.Minute)
		before = c.asked()
		for range 100 {
			_, _ = k.named(t.Context(), "wrong")
			time.Sleep(10 * time.Millisecond)
		}
		if asked := c.asked() - before; asked > 2 {
			t.Errorf("the directory was asked %d times in a second for one name", asked)
		}
		c.add("wrong")
		time.Sleep(absentFor)
		if _, err := k.named(t.Context(), "wrong"); err != nil {
			t.Error(err)
		}
	})
}

func TestASilentDirectoryDoesNotSayThatThereIsNoSuchEvent(t *testing.T) {
	inKnown(t, func(t *testing.T, c *catalogue, k *known) {
		c.silent = true
		began := time.Now()
		for range 20 {
			if _, err := k.named(t.Context(), "new"); !errors.Is(err, holdfast.Unavailable) {
				t.Errorf("a name that only the leader can know: %v", err)
			}
			if _, err := k.named(t.Context(), "old"); err != nil {
				t.Errorf("an event that is known: %v", err)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("one silence was waited for again and again: %v", took)
		}
		c.add("new")
		c.silent = false
		time.Sleep(listAge)
		if _, err := k.named(t.Context(), "new"); err != nil {
			t.Error(err)
		}
	})
}

func TestWhoGoesAwayIsNotTheClustersSilence(t *testing.T) {
	inKnown(t, func(t *testing.T, c *catalogue, k *known) {
		c.takes = 500 * time.Millisecond
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		c.add("new")
		_, _ = k.named(impatient, "new")
		if _, err := k.named(t.Context(), "new"); err != nil {
			t.Errorf("after somebody went away: %v", err)
		}
		if k.doubt != nil || k.why != nil {
			t.Errorf("the cluster counts as silent: %v, %v", k.doubt, k.why)
		}
	})
}
