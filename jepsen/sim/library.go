package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-db/holdfast"
	remote "github.com/holdfast-db/holdfast/client"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/jepsen/history"
)

// library: clients of the seats that everybody wants, who use package client through the frontends, and a watcher in
// each frontend. What they are told goes into the same history as what the others are told, and is judged with it.
type library struct {
	world *world
	plan  Scene

	mu      sync.Mutex
	changes []history.Change
	sights  []history.Sight
	seen    [fronts]holdfast.Revision // by each frontend's watcher, since it last began anew
}

func newLibrary(w *world, s Scene) scene { return &library{world: w, plan: s} }

// libraryNumber is the number of the first of its clients.
const libraryNumber = 1000

func (b *library) open(context.Context, *remote.Client) error { return nil }

func (b *library) work(until time.Duration) {
	var working sync.WaitGroup
	for i := range b.plan.People {
		cl := b.world.newClient(libraryNumber + i)
		cl.library, cl.thinks = b, b.plan.Think
		b.world.hire(cl)
		working.Go(func() { cl.work(until) })
	}
	working.Wait()
}

// once is how long a caller waits for one answer of package client, which asks more than once meanwhile.
const once = 3 * time.Second

// do is client.do by package client.
func (b *library) do(cl *client, claims []*claim) {
	cmds := make([]command.Command, len(claims))
	for i, c := range claims {
		if cmds[i] = c.cmd; c.Call == 0 {
			c.Call = b.world.now()
		}
	}
	for tired := b.world.now() + stamina; b.world.now() < tired; {
		results, err := b.ask(cl, cmds)
		for i, c := range claims {
			c.Command = cmds[i].Head().ID // the library has made it
			if c.Kind == history.Hold {
				c.Hold = holdfast.HoldID(c.Command)
			}
		}
		if err == nil {
			for i, c := range claims {
				cl.told(c, &results[i].Result, results[i].Stamp)
				b.world.deeds.did("library commands")
			}
			return
		}
		switch kind := holdfast.KindOf(err); kind {
		case holdfast.Unknown:
			for i, c := range claims {
				if c.reached = true; b.world.cluster.broken.FreshIDs {
					cmds[i].Head().ID = holdfast.CommandID{}
				}
			}
		case holdfast.Unavailable, holdfast.Overloaded:
		default:
			b.world.cluster.fail("client %d was told: %v", cl.number, err)
			return
		}
		cl.at++ // perhaps another frontend knows better
		time.Sleep(time.Duration(cl.random.Int64N(int64(50 * time.Millisecond))))
	}
}

func (b *library) ask(cl *client, cmds []command.Command) ([]remote.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), once)
	defer cancel()
	front := b.world.fronts.pick(ctx, cl.at)
	if front == nil {
		return nil, &holdfast.Error{Kind: holdfast.Unavailable, Message: "no frontend"}
	}
	return front.client.Do(ctx, b.world.reference(), cmds, nil)
}

// read is client.read by package client: strictly some seats, or all of them, perhaps as a member has them that is
// behind.
func (b *library) read(cl *client, seats []holdfast.SeatIndex) {
	ctx, cancel := context.WithTimeout(context.Background(), once)
	defer cancel()
	front := b.world.fronts.pick(ctx, cl.at)
	if front == nil {
		return
	}
	how, opts := cl.random.IntN(4), []remote.ReadOption(nil)
	if how == 0 {
		opts = append(opts, remote.AllowStale())
	}
	call := b.world.now()
	m, err := front.client.Seats(ctx, b.world.reference(), opts...)
	if err != nil {
		cl.at++
		return // a read that fails tells nothing
	}
	b.world.deeds.did("library reads")
	if how < 2 {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sights = append(b.sights, history.Sight{Client: cl.number, Call: call, Return: b.world.now(), Stale: how == 0,
			Revision: m.Revision, Stamp: m.Stamp.Stamp, States: m.States})
		return
	}
	o := history.Operation{Client: cl.number, Kind: history.Read, Seats: seats, Call: call, Return: b.world.now(), Outcome: holdfast.OK, Stamp: m.Stamp.Stamp}
	for _, s := range seats {
		o.States = append(o.States, m.States[s])
	}
	cl.clock = max(cl.clock, m.Stamp.Clock)
	b.world.recorder.Add(o)
}

// serve watches the seats for one frontend's process, with one watch after the other.
func (b *library) serve(l *frontLife) {
	random := rand.New(rand.NewPCG(b.world.plan.Seed, uint64(60+l.number)))
	from := holdfast.Revision(0)
	for l.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(l.ctx, 5*time.Second+time.Duration(random.Int64N(int64(20*time.Second))))
		anew := from == 0
		for c, err := range l.client.Watch(ctx, b.world.reference(), from) {
			if err != nil {
				break
			}
			b.changed(l.number, anew, &c)
			from, anew = c.Revision+1, false
		}
		cancel()
		if random.IntN(4) == 0 {
			from = 0
		}
		time.Sleep(time.Millisecond)
	}
}

func (b *library) changed(watcher int, anew bool, c *remote.Changes) {
	change := history.Change{Watcher: watcher + 1, Anew: anew, At: b.world.now(), Revision: c.Revision, Cut: c.Cut,
		Seats: slices.Clone(c.Seats), States: slices.Clone(c.SeatStates)}
	if c.Cut {
		change.Seats, change.States = nil, slices.Clone(c.States)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !c.Cut && len(c.Seats) == 0 && b.seen[watcher] == c.Revision {
		return // a sign of life
	}
	b.seen[watcher] = c.Revision
	b.world.deeds.did("library changes")
	b.changes = append(b.changes, change)
}

// judge waits until the watchers have seen the end, and hands over what they saw.
func (b *library) judge(_ context.Context, _ *remote.Client, r *Report) {
	err := b.world.await("the frontends' watchers have seen everything", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, seen := range b.seen {
			if seen < r.Final.Revision {
				return false
			}
		}
		return true
	})
	if err != nil {
		r.violation("liveness", "%v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.Changes, r.Sights = append(r.Changes, b.changes...), append(r.Sights, b.sights...)
}

// reference is the event of the seats, as package client names it.
func (w *world) reference() remote.EventRef { return remote.EventRef{ID: w.event, Shard: Shard} }
