package frontend

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/client"
)

// known is the list of the cluster's events, as this frontend read it last. Whatever asks for all of them is content with a
// list that is a moment old. Who asks for an event that is not on it is not: it may have been made just now, so the directory
// is asked again, for all who miss something at the same time, and what it does not have is remembered for a moment.
type known struct {
	events func(context.Context, ...client.ReadOption) ([]client.EventSummary, error) // of the cluster
	life   context.Context                                                            // ends with the server
	now    func() time.Time

	asking chan struct{} // one token: who has it may ask, and take mu
	asked  time.Time     // when that was done last; guarded by asking

	mu     sync.RWMutex          // guards what follows
	list   []client.EventSummary // by number
	listed time.Time
	failed time.Time            // when no member answered last
	why    error                // and what it was; nil: one has answered since
	begun  uint64               // readings, counted as they begin
	sure   uint64               // the last of them that the directory's leader answered
	missed time.Time            // when it did not last
	doubt  error                // and what it was; nil: it answered the last reading
	absent map[string]time.Time // names that there are no events of, and until when that is believed
}

const (
	// listAge is how old the list of events may be.
	listAge = 2 * time.Second
	// listTimeout bounds one question for it: balancers wait for it, by /readyz.
	listTimeout = 2 * time.Second
	// missesEvery spaces the questions for events that are not on the list: names that do not exist, however many, must
	// cost the cluster little.
	missesEvery = 200 * time.Millisecond
	// absentFor is how long a name that the directory did not have is not asked for again.
	absentFor = time.Second
	// absentMax bounds the names that are remembered as such; with more of them all are forgotten.
	absentMax = 4096
	// absentBytesMax is the longest name that an event can have, and that can be asked for.
	absentBytesMax = holdfast.NameBytesMax
)

func newKnown(life context.Context, c *client.Client, now func() time.Time) *known {
	return &known{events: c.Events, life: life, now: now, asking: make(chan struct{}, 1)}
}

// all gives the list of events, which is listAge old at most, or older while the cluster does not answer.
func (k *known) all(ctx context.Context) ([]client.EventSummary, error) {
	if list, err, ok := k.remembered(); ok {
		return list, err
	}
	if err := k.turn(ctx); err != nil {
		return nil, err
	}
	defer k.next()
	if list, err, ok := k.remembered(); ok {
		return list, err // somebody was quicker
	}
	return k.read()
}

// turn waits for the token, and next gives it back.
func (k *known) turn(ctx context.Context) error {
	select {
	case k.asking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &holdfast.Error{Kind: holdfast.Unavailable, Message: "the list of events could not be read in time", Err: ctx.Err()}
	}
}

func (k *known) next() { <-k.asking }

// read asks for the list. It goes on when whoever wanted it has gone: that is not the cluster's silence. The token is held.
func (k *known) read() ([]client.EventSummary, error) {
	k.mu.Lock()
	k.begun++
	this := k.begun
	k.mu.Unlock()
	ctx, cancel := context.WithTimeout(k.life, listTimeout)
	defer cancel()
	strict, over := context.WithTimeout(ctx, listTimeout/2)
	fresh, doubt := k.events(strict)
	over()
	err := doubt
	if doubt != nil { // the directory may be without a leader while sales go on
		fresh, err = k.events(ctx, client.AllowStale())
	}
	k.asked = time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.doubt = doubt; doubt != nil {
		k.missed = k.now()
	}
	if err != nil {
		k.failed, k.why = k.now(), err
		if k.list != nil {
			return k.list, nil
		}
		return nil, err
	}
	if doubt == nil {
		k.sure = this
	}
	k.list, k.listed, k.why = withKnown(fresh, k.list), k.now(), nil
	return k.list, nil
}

// withKnown adds to a list that was read the events that were known before it. Events are never taken off the directory, so
// a list without them is an old one, of a member that has just come back: nobody who holds seats may be told by it that there
// is no such event.
func withKnown(fresh, known []client.EventSummary) []client.EventSummary {
	all := append([]client.EventSummary{}, fresh...)
	for _, e := range known {
		if !slices.ContainsFunc(fresh, func(f client.EventSummary) bool { return f.ID == e.ID }) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b client.EventSummary) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// remembered gives the list without asking: while it is fresh, and for a moment after the cluster did not answer, so that
// visitors do not wait for the same silence one after the other.
func (k *known) remembered() (list []client.EventSummary, err error, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	now := k.now()
	switch {
	case k.list != nil && now.Sub(k.listed) < listAge:
		return k.list, nil, true
	case k.why == nil || now.Sub(k.failed) >= listAge:
		return nil, nil, false
	case k.list != nil:
		return k.list, nil, true
	}
	return nil, k.why, true
}

// answered tells when the cluster answered last.
func (k *known) answered() time.Time {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.listed
}

// named gives the event of a name, or a number. Only the directory's leader can say that there is none: where it does not
// answer, that is said, and not that the event does not exist.
func (k *known) named(ctx context.Context, name string) (event client.EventSummary, err error) {
	if len(name) > absentBytesMax {
		return event, notFound("event")
	}
	k.mu.RLock()
	came := k.begun
	k.mu.RUnlock()
	list, err := k.all(ctx)
	if err != nil {
		return event, err
	}
	if event, found := called(list, name); found {
		return event, nil
	}
	k.mu.RLock()
	until := k.absent[name]
	k.mu.RUnlock()
	if k.now().Before(until) {
		return event, notFound("event")
	}
	if err := k.turn(ctx); err != nil {
		return event, err
	}
	defer k.next()
	if event, found, err := k.since(came, name); found || err != nil {
		return event, err // somebody was quicker
	}
	time.Sleep(time.Until(k.asked.Add(missesEvery)))
	if _, err := k.read(); err != nil {
		return event, err
	}
	event, _, err = k.since(came, name)
	return event, err
}

// since finds an event by what is known after so many readings. found is false, and err nil, if the directory has to be
// asked.
func (k *known) since(came uint64, name string) (event client.EventSummary, found bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	event, found = called(k.list, name)
	switch {
	case found:
		return event, true, nil
	case k.sure > came:
		if k.absent == nil || len(k.absent) >= absentMax {
			k.absent = map[string]time.Time{}
		}
		k.absent[name] = k.now().Add(absentFor)
		return event, false, notFound("event")
	case k.doubt != nil && k.now().Sub(k.missed) < listAge:
		return event, false, &holdfast.Error{Kind: holdfast.Unavailable, RetryAfter: listAge,
			Message: "whether there is such an event cannot be said: the cluster's directory does not answer", Err: k.doubt}
	}
	return event, false, nil
}

// called finds an event by its name in addresses, or its number.
func called(list []client.EventSummary, name string) (event client.EventSummary, found bool) {
	at := slices.IndexFunc(list, func(e client.EventSummary) bool { return e.Name == name || e.ID.String() == name })
	if at < 0 {
		return event, false
	}
	return list[at], true
}
