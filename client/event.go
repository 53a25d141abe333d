package client

import (
	"context"

	"google.golang.org/grpc"

	"github.com/holdfast-db/holdfast"
	"github.com/holdfast-db/holdfast/fsm/command"
	"github.com/holdfast-db/holdfast/rpc/api"
)

// EventRef says which event is meant: by name, by number, or by number and shard. The client looks up what is
// missing and remembers it.
type EventRef struct {
	Name  string
	ID    holdfast.EventID
	Shard holdfast.ShardID // 0: not known here
}

// Named is the event of this name.
func Named(name string) EventRef { return EventRef{Name: name} }

// EventSummary is one line of the list of events.
type EventSummary struct {
	EventRef
	Title string
}

// Event is an event as its shard has it.
type Event struct {
	EventRef
	Sale     holdfast.SaleState
	Version  uint32 // of the description
	Revision holdfast.Revision
	Spec     command.EventSpec
	Layout   *command.Layout // what people call its units
	Total    Counts
	// In the description's order; Allocations begin with public.
	Sections, Tiers, Allocations []Counts
	Holds, Orders                int
	Line                         *LineSummary // nil: the event has no line
	Stamp                        Stamp
}

// Counts are units by state. They add up to the capacity.
type Counts struct{ Free, Held, Paying, Sold, Blocked int }

// SeatMap is the state of every unit of an event at one revision.
type SeatMap struct {
	Event    EventRef
	Revision holdfast.Revision
	States   []holdfast.SeatState // by SeatIndex
	Stamp    Stamp
}

// names is what the client remembers of events. It is replaced as a whole.
type names struct {
	byName map[string]EventRef
	byID   map[holdfast.EventID]EventRef
}

func (n *names) find(e EventRef) (EventRef, bool) {
	found, ok := n.byName[e.Name]
	if e.ID != 0 {
		found, ok = n.byID[e.ID]
	}
	return found, ok
}

// resolve fills in an event's number and shard. What the client does not know it asks the directory's leader.
func (c *Client) resolve(ctx context.Context, e EventRef) (EventRef, *holdfast.Error) {
	if e.ID != 0 && e.Shard != holdfast.Directory {
		return e, nil
	}
	if e.ID == 0 && e.Name == "" {
		return e, invalid("event", "neither a name nor a number")
	}
	if found, ok := c.names.Load().find(e); ok {
		return found, nil
	}
	if _, failure := c.list(ctx, nil); failure != nil {
		return e, failure
	}
	if found, ok := c.names.Load().find(e); ok {
		return found, nil
	}
	what := e.Name
	if e.ID != 0 {
		what = e.ID.String()
	}
	return e, &holdfast.Error{Kind: holdfast.NotFound, Field: "event", Message: "there is no event " + what}
}

// Locate fills in an event's number and shard.
func (c *Client) Locate(ctx context.Context, e EventRef) (EventRef, error) {
	e, failure := c.resolve(ctx, e)
	if failure != nil {
		return e, named("find event", failure)
	}
	return e, nil
}

// Events lists the cluster's events by number.
func (c *Client) Events(ctx context.Context, opts ...ReadOption) ([]EventSummary, error) {
	events, failure := c.list(ctx, opts)
	if failure != nil {
		return nil, named("list events", failure)
	}
	return events, nil
}

// list reads the directory and remembers it.
func (c *Client) list(ctx context.Context, opts []ReadOption) ([]EventSummary, *holdfast.Error) {
	r := c.reading(ctx, holdfast.Directory, opts)
	answer, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.ListEventsResponse, error) {
		return api.NewEventsClient(conn).List(ctx, &api.ListEventsRequest{Consistency: r.consistency()})
	})
	if failure != nil {
		return nil, failure
	}
	events := make([]EventSummary, 0, len(answer.GetEvents()))
	refs := make([]EventRef, 0, len(answer.GetEvents()))
	for _, e := range answer.GetEvents() {
		ref := EventRef{Name: e.GetName(), ID: holdfast.EventID(e.GetId()), Shard: holdfast.ShardID(e.GetShard())}
		refs = append(refs, ref)
		events = append(events, EventSummary{EventRef: ref, Title: e.GetTitle()})
	}
	c.remember(refs...)
	return events, nil
}

// remember adds to the events that the client knows. What was known stays: a stale member's list may lack it.
func (c *Client) remember(refs ...EventRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.names.Load()
	known := &names{byName: make(map[string]EventRef, len(old.byName)+len(refs)), byID: make(map[holdfast.EventID]EventRef, len(old.byID)+len(refs))}
	for _, ref := range old.byID {
		known.byName[ref.Name], known.byID[ref.ID] = ref, ref
	}
	for _, ref := range refs {
		known.byName[ref.Name], known.byID[ref.ID] = ref, ref
	}
	c.names.Store(known)
}

// Event reads an event.
func (c *Client) Event(ctx context.Context, event EventRef, opts ...ReadOption) (Event, error) {
	const op = "get event"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return Event{}, named(op, failure)
	}
	r := c.reading(ctx, event.Shard, opts)
	e, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.Event, error) {
		return api.NewEventsClient(conn).Get(ctx, &api.GetEventRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: r.consistency()})
	})
	if failure != nil {
		return Event{}, named(op, failure)
	}
	spec, err := command.DecodeSpec(e.GetSpec())
	if err != nil {
		return Event{}, &holdfast.Error{Kind: holdfast.Internal, Op: op, Message: "the event's description cannot be read", Err: err}
	}
	grown := make([]command.Growth, len(e.GetGrown())/2)
	for i := range grown {
		grown[i] = command.Growth{Section: holdfast.SectionIndex(e.GetGrown()[2*i]), Count: e.GetGrown()[2*i+1]}
	}
	layout, err := command.NewLayout(&spec, grown)
	if err != nil {
		return Event{}, &holdfast.Error{Kind: holdfast.Internal, Op: op, Message: "the event's units cannot be named", Err: err}
	}
	event.Name = spec.Name
	return Event{EventRef: event, Layout: layout, Sale: holdfast.SaleState(e.GetSale()), Version: e.GetVersion(), Revision: holdfast.Revision(e.GetRevision()),
		Spec: spec, Total: countsOf(e.GetTotal()), Sections: countsOfAll(e.GetSections()), Tiers: countsOfAll(e.GetTiers()),
		Allocations: countsOfAll(e.GetAllocations()), Holds: int(e.GetHolds()), Orders: int(e.GetOrders()), Line: summaryOf(e.GetLine()), Stamp: stampOf(e.GetStamp())}, nil
}

func countsOf(n *api.Counts) Counts {
	return Counts{Free: int(n.GetFree()), Held: int(n.GetHeld()), Paying: int(n.GetPaying()), Sold: int(n.GetSold()), Blocked: int(n.GetBlocked())}
}

func countsOfAll(ns []*api.Counts) []Counts {
	all := make([]Counts, len(ns))
	for i, n := range ns {
		all[i] = countsOf(n)
	}
	return all
}

// Seats reads the state of every unit of an event, as one consistent cut.
func (c *Client) Seats(ctx context.Context, event EventRef, opts ...ReadOption) (SeatMap, error) {
	const op = "get seats"
	event, failure := c.resolve(ctx, event)
	if failure != nil {
		return SeatMap{}, named(op, failure)
	}
	r := c.reading(ctx, event.Shard, opts)
	m, failure := read(ctx, r, func(ctx context.Context, conn *grpc.ClientConn) (*api.SeatMap, error) {
		return api.NewEventsClient(conn).Seats(ctx, &api.SeatsRequest{Shard: uint32(event.Shard), Event: uint32(event.ID), Consistency: r.consistency()})
	})
	if failure != nil {
		return SeatMap{}, named(op, failure)
	}
	return SeatMap{Event: event, Revision: holdfast.Revision(m.GetRevision()), States: statesOf(m.GetStates()), Stamp: stampOf(m.GetStamp())}, nil
}

// Applied is what ApplyEvent did.
type Applied struct {
	EventRef
	Version uint32 // of the description, as it is now; 1: it was created
	Stamp   Stamp
}

// ApplyEvent creates the event that spec names, or brings it to that description. Applying what is there already
// changes nothing, so after holdfast.Unknown it is simply applied again. When somebody else changes the event at the
// same time the answer is holdfast.EventChanged.
func (c *Client) ApplyEvent(ctx context.Context, spec command.EventSpec) (Applied, error) {
	const op = "apply event"
	if err := spec.Validate(); err != nil {
		return Applied{}, err
	}
	ctx, cancel := context.WithDeadline(ctx, c.deadline(ctx)) // one for all steps
	defer cancel()

	// The directory gives the name its number and shard. That it had another description at first is no matter.
	a, err := c.oneAt(ctx, op, EventRef{}, &command.AssignEvent{Spec: spec})
	if err != nil && (a.Outcome != holdfast.EventConflict || a.Event == 0) {
		return Applied{}, err
	}
	event := EventRef{Name: spec.Name, ID: a.Event, Shard: a.Shard}
	c.remember(event)

	// The shard's leader creates what is assigned to it; whoever is first, the other repeats the same.
	put := &command.PutEvent{Header: command.Header{Event: event.ID}, Spec: spec}
	a, err = c.oneAt(ctx, op, event, put)
	if a.Outcome == holdfast.EventChanged {
		// It was there before: change the version that is there now.
		now, failure := c.Event(ctx, event)
		if failure != nil {
			return Applied{}, failure
		}
		put.Header.ID, put.Expect = holdfast.CommandID{}, now.Version
		a, err = c.oneAt(ctx, op, event, put)
	}
	if err != nil {
		return Applied{}, err
	}
	return Applied{EventRef: event, Version: a.Version, Stamp: Stamp{Stamp: a.stamp}}, nil
}

// OpenSale puts an event on sale, or goes on with a paused sale.
func (c *Client) OpenSale(ctx context.Context, event EventRef) error {
	return c.setSale(ctx, "open sale", event, holdfast.SaleOpen)
}

// PauseSale stops new holds. Those that exist go on to be paid.
func (c *Client) PauseSale(ctx context.Context, event EventRef) error {
	return c.setSale(ctx, "pause sale", event, holdfast.SalePaused)
}

// CloseSale ends an event's sale for good.
func (c *Client) CloseSale(ctx context.Context, event EventRef) error {
	return c.setSale(ctx, "close sale", event, holdfast.SaleClosed)
}

func (c *Client) setSale(ctx context.Context, op string, event EventRef, state holdfast.SaleState) error {
	_, err := c.one(ctx, op, event, &command.SetSale{State: state})
	return err
}

// Block takes free units off sale: all of them or none.
func (c *Client) Block(ctx context.Context, event EventRef, seats ...holdfast.SeatIndex) error {
	_, err := c.one(ctx, "block", event, &command.Block{Seats: seats})
	return err
}

// Unblock puts blocked units back on sale: all of them or none.
func (c *Client) Unblock(ctx context.Context, event EventRef, seats ...holdfast.SeatIndex) error {
	_, err := c.one(ctx, "unblock", event, &command.Block{Unblock: true, Seats: seats})
	return err
}
